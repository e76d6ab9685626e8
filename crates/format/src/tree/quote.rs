//! Names as Go's `strconv.Quote` writes them, without the outer quotation marks.
//!
//! Source: the Go documentation of strconv.Quote.

use std::io::Write;

use super::printable::is_printable;

/// Writes every byte so that it can be read back from valid UTF-8.
pub(super) fn quote(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|character| quote_character(&mut out, character));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| write_code(&mut out, format_args!("x{byte:02x}")));
    }
    out
}

fn quote_character(out: &mut Vec<u8>, character: char) {
    let short = match character {
        '"' | '\\' => Some(character),
        '\x07' => Some('a'),
        '\x08' => Some('b'),
        '\x0c' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\x0b' => Some('v'),
        _ => None,
    };
    let code = u32::from(character);
    match short {
        Some(short) => write_code(out, format_args!("{short}")),
        None if is_printable(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None if code < 0x20 || code == 0x7f => write_code(out, format_args!("x{code:02x}")),
        None if code < 0x1_0000 => write_code(out, format_args!("u{code:04x}")),
        None => write_code(out, format_args!("U{code:08x}")),
    }
}

fn write_code(out: &mut Vec<u8>, code: std::fmt::Arguments<'_>) {
    write!(out, "\\{code}").expect("a vector takes every byte");
}

/// Reads what [`quote`] or Go wrote; nothing when Go would refuse it.
pub(super) fn unquote(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'\\' => unquote_escape(after, &mut name)?,
            b'"' | b'\n' => return None,
            plain => {
                name.push(*plain);
                after
            }
        };
    }
    Some(name)
}

/// Reads what follows a backslash and gives the rest.
fn unquote_escape<'a>(text: &'a [u8], name: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (escape, rest) = text.split_first()?;
    let byte = match escape {
        b'\\' | b'"' => *escape,
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'x' => return push_byte(digits(rest, 2, 16)?, rest.get(2..)?, name),
        b'0'..=b'7' => return push_byte(digits(text, 3, 8)?, text.get(3..)?, name),
        b'u' => return push_character(digits(rest, 4, 16)?, rest.get(4..)?, name),
        b'U' => return push_character(digits(rest, 8, 16)?, rest.get(8..)?, name),
        _ => return None,
    };
    name.push(byte);
    Some(rest)
}

fn digits(text: &[u8], count: usize, radix: u32) -> Option<u32> {
    text.get(..count)?.iter().try_fold(0u32, |sum, digit| {
        sum.checked_mul(radix)?
            .checked_add(char::from(*digit).to_digit(radix)?)
    })
}

fn push_byte<'a>(code: u32, rest: &'a [u8], name: &mut Vec<u8>) -> Option<&'a [u8]> {
    name.push(u8::try_from(code).ok()?);
    Some(rest)
}

fn push_character<'a>(code: u32, rest: &'a [u8], name: &mut Vec<u8>) -> Option<&'a [u8]> {
    name.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}
