//! Reading numbers and texts off a message that may be shorter than it says.

use std::fmt;

/// A message that breaks the protocol: which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// The fields of a message that were not taken yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(Malformed("a message ends within a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("a message ends within a number"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text behind its length.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()?;
        let length = usize::try_from(length).map_err(|_| Malformed("a text is too long"))?;
        text(self.bytes(length)?)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Refuses what is left.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Malformed("a message is longer than its fields")),
        }
    }
}

/// Checks a text of the protocol: UTF-8, at most 4096 bytes, no NUL.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.len() > super::TEXT_BYTES_MAX {
        return Err(Malformed("a text is longer than 4096 bytes"));
    }
    if bytes.contains(&0) {
        return Err(Malformed("a text holds a NUL"));
    }
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
}

/// Appends a text behind its length.
pub(crate) fn put_text(message: &mut Vec<u8>, text: &str) {
    message.extend(length_of(text.as_bytes()).to_be_bytes());
    message.extend(text.as_bytes());
}

/// The length of a message's part; parts are far below 4 GiB.
pub(crate) fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
