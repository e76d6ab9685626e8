//! Reading JSON part by part.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lifeboat_model::Id;

/// Where the text stops being what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    at: usize,
    expected: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for Malformed {}

pub(crate) type Read<T> = Result<T, Malformed>;

/// Nesting that is accepted in values nobody asked for.
const SKIPPED_DEPTH_MAX: usize = 128;

/// A place in JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed {
            at: self.at,
            expected,
        }
    }

    /// The next byte that is not white space; stays before it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn accept_word(&mut self, word: &[u8]) -> bool {
        let found = self.peek().is_some() && self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Passes `text`, if exactly that comes next.
    pub(crate) fn exactly(&mut self, text: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Passes `null`, if that comes next.
    pub(crate) fn null(&mut self) -> bool {
        self.accept_word(b"null")
    }

    /// Calls `field` with each key; `field` must consume the value. `null` has no fields.
    pub(crate) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &[u8]) -> Read<()>,
    ) -> Read<()> {
        if self.null() {
            return Ok(());
        }
        if !self.accept(b'{') {
            return Err(self.malformed("an object"));
        }
        if self.accept(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            if !self.accept(b':') {
                return Err(self.malformed("a colon"));
            }
            field(self, &key)?;
            if self.accept(b'}') {
                return Ok(());
            }
            if !self.accept(b',') {
                return Err(self.malformed("a comma or the end of an object"));
            }
        }
    }

    /// Calls `element` before each element; it must consume it. `null` has no elements.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        if self.null() {
            return Ok(());
        }
        if !self.accept(b'[') {
            return Err(self.malformed("a list"));
        }
        if self.accept(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.accept(b']') {
                return Ok(());
            }
            if !self.accept(b',') {
                return Err(self.malformed("a comma or the end of a list"));
            }
        }
    }

    /// A list of ids, or nothing for `null`.
    ///
    /// Cost: 32 bytes each, allocated once for what the text can hold up to the next `]`.
    pub(crate) fn ids<T: From<Id>>(&mut self) -> Read<Option<Vec<T>>> {
        if self.peek() == Some(b'n') && self.null() {
            return Ok(None);
        }
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|byte| *byte == b']')
            .unwrap_or(rest.len());
        let mut ids = Vec::with_capacity(end / 66);
        self.array(|reader| {
            ids.push(reader.id()?.into());
            Ok(())
        })?;
        Ok(Some(ids))
    }

    /// 64 hexadecimal digits as a string.
    pub(crate) fn id(&mut self) -> Read<Id> {
        let start = self.peek().map(|_| self.at);
        let quoted = start.and_then(|at| self.text.get(at..at + 66));
        let id = match quoted {
            Some([b'"', digits @ .., b'"']) => Id::from_hex(digits),
            _ => None,
        };
        let id = id.ok_or_else(|| self.malformed("an id of 64 digits 0-9 a-f"))?;
        self.at += 66;
        Ok(id)
    }

    /// A whole number from 0 to 2^64 - 1.
    pub(crate) fn number(&mut self) -> Read<u64> {
        let expected = "a whole number from 0 to 18446744073709551615";
        self.peek();
        let rest = &self.text[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let follows = rest.get(count);
        let is_whole = !matches!(follows, Some(b'.' | b'e' | b'E' | b'-' | b'+'));
        let has_leading_zero = count > 1 && rest[0] == b'0';
        if count == 0 || !is_whole || has_leading_zero {
            return Err(self.malformed(expected));
        }
        let value = rest[..count].iter().try_fold(0u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        let value = value.ok_or_else(|| self.malformed(expected))?;
        self.at += count;
        Ok(value)
    }

    /// A whole number from 0 to 2^32 - 1.
    pub(crate) fn number32(&mut self) -> Read<u32> {
        let start = self.at;
        u32::try_from(self.number()?).map_err(|_| Malformed {
            at: start,
            expected: "a number below 4294967296",
        })
    }

    /// A string in UTF-8; lone surrogates become U+FFFD as in Go.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, [u8]>> {
        self.string_where_lost("\u{fffd}".as_bytes())
    }

    /// A string that Go may have written of bytes that were not UTF-8: each of them was lost,
    /// and is 0xff here, from which [`write_string`](super::write_string) makes the same text.
    pub(crate) fn lossy_string(&mut self) -> Read<Vec<u8>> {
        self.string_where_lost(&[0xff]).map(Cow::into_owned)
    }

    fn string_where_lost(&mut self, lost: &[u8]) -> Read<Cow<'a, [u8]>> {
        let at = self.at;
        let raw = self.raw_string()?;
        if !raw.contains(&b'\\') {
            return Ok(Cow::Borrowed(raw));
        }
        let broken = Malformed {
            at,
            expected: "a string with sound escapes",
        };
        unescape(raw, lost).map(Cow::Owned).ok_or(broken)
    }

    /// Base64 in a string, or nothing for `null`.
    pub(crate) fn base64(&mut self) -> Read<Option<Vec<u8>>> {
        if self.null() {
            return Ok(None);
        }
        let at = self.at;
        let text = self.string()?;
        let bytes = STANDARD.decode(text.as_ref());
        bytes.map(Some).map_err(|_| Malformed {
            at,
            expected: "a string of base64",
        })
    }

    /// What stands between the quotes, escapes as they are; UTF-8 without control characters.
    pub(crate) fn raw_string(&mut self) -> Read<&'a [u8]> {
        if !self.accept(b'"') {
            return Err(self.malformed("a string"));
        }
        let start = self.at;
        loop {
            let rest = &self.text[self.at..];
            let stop = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let stop = stop.ok_or_else(|| self.malformed("a string that ends"))?;
            self.at += stop;
            match rest[stop] {
                b'"' => break,
                b'\\' if rest.len() > stop + 1 => self.at += 2,
                _ => return Err(self.malformed("a character that may stand in a string")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        if std::str::from_utf8(raw).is_ok() {
            return Ok(raw);
        }
        Err(Malformed {
            at: start,
            expected: "a string in UTF-8",
        })
    }

    /// Passes one value of any shape and gives its text.
    pub(crate) fn skip(&mut self) -> Read<&'a [u8]> {
        self.peek();
        let start = self.at;
        let mut open = Vec::new();
        loop {
            match self.peek() {
                Some(mark @ (b'{' | b'[')) if open.len() < SKIPPED_DEPTH_MAX => {
                    self.at += 1;
                    open.push(mark + 2);
                    if !self.at_end_of(&open) {
                        self.skip_key(&open)?;
                        continue;
                    }
                }
                Some(b'{' | b'[') => return Err(self.malformed("something less deeply nested")),
                _ => self.skip_scalar()?,
            }
            while self.at_end_of(&open) {
                self.at += 1;
                open.pop();
            }
            if open.is_empty() {
                return Ok(&self.text[start..self.at]);
            }
            if !self.accept(b',') {
                return Err(self.malformed("a comma or an end"));
            }
            self.skip_key(&open)?;
        }
    }

    fn at_end_of(&mut self, open: &[u8]) -> bool {
        open.last().is_some_and(|end| self.peek() == Some(*end))
    }

    fn skip_key(&mut self, open: &[u8]) -> Read<()> {
        if open.last() == Some(&b'}') {
            self.string()?;
            if !self.accept(b':') {
                return Err(self.malformed("a colon"));
            }
        }
        Ok(())
    }

    fn skip_scalar(&mut self) -> Read<()> {
        if self.peek() == Some(b'"') {
            return self.string().map(|_| ());
        }
        if [&b"null"[..], b"true", b"false"]
            .iter()
            .any(|word| self.accept_word(word))
        {
            return Ok(());
        }
        let rest = &self.text[self.at..];
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let count = rest.iter().take_while(is_part).count();
        if serde_json::from_slice::<serde_json::Number>(&rest[..count]).is_err() {
            return Err(self.malformed("a value"));
        }
        self.at += count;
        Ok(())
    }

    /// Makes sure that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("the end of the text")),
        }
    }
}

/// Resolves escapes in the inside of a string, `\ufffd` as `lost`.
fn unescape(raw: &[u8], lost: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        bytes.extend_from_slice(&rest[..at]);
        let escape = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        match escape {
            b'"' | b'\\' | b'/' => bytes.push(escape),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'u' => {
                let (character, after) = unescape_unicode(rest)?;
                match rest.get(..4) {
                    Some(b"fffd") => bytes.extend_from_slice(lost),
                    _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                rest = after;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest);
    Some(bytes)
}

/// The character behind `\u`, with its second half if there is one.
fn unescape_unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| {
        let digits = text
            .get(..4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (high, rest) = (unit(text)?, &text[4..]);
    if let Some(character) = char::from_u32(high) {
        return Some((character, rest));
    }
    let low = rest.strip_prefix(b"\\u").and_then(unit);
    match low {
        Some(low @ 0xdc00..=0xdfff) if high < 0xdc00 => {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            Some((char::from_u32(code)?, &rest[6..]))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, rest)),
    }
}
