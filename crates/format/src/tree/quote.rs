//! Names as Go's `strconv.Quote` writes them, without the outer quotation marks.
//!
//! Source: the Go documentation of strconv.Quote and strconv.IsPrint.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Escapes `"`, `\`, and everything that cannot be printed.
pub(super) fn quote(name: &[u8]) -> String {
    let mut quoted = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        part.valid().chars().for_each(|c| push_char(&mut quoted, c));
        part.invalid()
            .iter()
            .for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted
}

fn push_char(quoted: &mut String, c: char) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{b}' => "\\v",
        _ if is_printed(c) => return quoted.push(c),
        _ => "",
    };
    let code = u32::from(c);
    match code {
        _ if !short.is_empty() => quoted.push_str(short),
        0..0x20 | 0x7f => quoted.push_str(&format!("\\x{code:02x}")),
        0x20..0x1_0000 => quoted.push_str(&format!("\\u{code:04x}")),
        _ => quoted.push_str(&format!("\\U{code:08x}")),
    }
}

/// Letters, marks, numbers, punctuation, symbols, and the ASCII space.
fn is_printed(c: char) -> bool {
    let group = c.general_category_group();
    let is_other = matches!(
        group,
        GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator
    );
    c == ' ' || !is_other
}

/// The bytes of a quoted name; nothing if an escape is not Go's.
pub(super) fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        name.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at..].strip_prefix('\\')?;
        rest = push_unescaped(&mut name, escape)?;
    }
    name.extend_from_slice(rest.as_bytes());
    Some(name)
}

/// Takes one escape, without its backslash; gives what follows it.
fn push_unescaped<'a>(name: &mut Vec<u8>, escape: &'a str) -> Option<&'a str> {
    let first = *escape.as_bytes().first()?;
    let byte = match first {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' | b'"' => first,
        b'x' => return push_number(name, escape.get(1..3)?, 16, escape.get(3..)?),
        b'0'..=b'7' => return push_number(name, escape.get(..3)?, 8, escape.get(3..)?),
        b'u' => return push_rune(name, escape.get(1..5)?, escape.get(5..)?),
        b'U' => return push_rune(name, escape.get(1..9)?, escape.get(9..)?),
        _ => return None,
    };
    name.push(byte);
    escape.get(1..)
}

fn push_number<'a>(name: &mut Vec<u8>, digits: &str, radix: u32, rest: &'a str) -> Option<&'a str> {
    name.push(u8::try_from(parse(digits, radix)?).ok()?);
    Some(rest)
}

fn push_rune<'a>(name: &mut Vec<u8>, digits: &str, rest: &'a str) -> Option<&'a str> {
    let c = char::from_u32(parse(digits, 16)?)?;
    name.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

/// A number without the sign that Rust's own parser would take.
fn parse(digits: &str, radix: u32) -> Option<u32> {
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_plain {
        u32::from_str_radix(digits, radix).ok()
    } else {
        None
    }
}
