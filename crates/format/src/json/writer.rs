//! Writing JSON byte for byte as Go does.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lifeboat_model::Id;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// What Go writes where the bytes are not UTF-8.
const REPLACEMENT: &[u8] = b"\\ufffd";

/// Appends a string; each byte that is not UTF-8 becomes `\ufffd`.
pub(crate) fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        write_valid(out, chunk.valid());
        chunk
            .invalid()
            .iter()
            .for_each(|_| out.extend_from_slice(REPLACEMENT));
    }
    out.push(b'"');
}

fn write_valid(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(is_escaped) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut characters = rest[at..].chars();
        if let Some(character) = characters.next() {
            write_escape(out, character);
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn is_escaped(character: char) -> bool {
    matches!(
        character,
        '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f'
    )
}

fn write_escape(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\x08' => out.extend_from_slice(b"\\b"),
        '\x0c' => out.extend_from_slice(b"\\f"),
        other => write!(out, "\\u{:04x}", u32::from(other)).expect("a vector takes every byte"),
    }
}

/// Appends a decimal number.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends bytes as a base64 string, or `null`.
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a list of ids: 67 bytes each.
pub(crate) fn write_ids(out: &mut Vec<u8>, ids: impl ExactSizeIterator<Item = Id>) {
    out.reserve(ids.len().saturating_mul(67) + 2);
    out.push(b'[');
    let mut separator = &b"\""[..];
    for id in ids {
        out.extend_from_slice(separator);
        out.extend_from_slice(&id.to_hex());
        out.push(b'"');
        separator = b",\"";
    }
    out.push(b']');
}

/// Makes serde_json escape as Go does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoStyle;

impl Formatter for GoStyle {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut escaped = Vec::with_capacity(fragment.len());
        write_valid(&mut escaped, fragment);
        writer.write_all(&escaped)
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

impl GoStyle {
    /// The compact JSON text of a small value.
    pub(crate) fn encode<T: serde::Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, Self);
        value.serialize(&mut serializer)?;
        Ok(text)
    }
}
