//! Numbers and byte strings, little-endian, each string behind its length.

use std::fmt;

/// Bytes that are no message: says what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame is malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Collects the fields of a message.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    pub(super) bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn of_kind(kind: u8) -> Self {
        Self { bytes: vec![kind] }
    }

    pub(super) fn u8(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub(super) fn string(self, value: &[u8]) -> Self {
        let mut it = self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        it.bytes.extend(value);
        it
    }

    pub(super) fn optional(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.u8(1).string(value),
            None => self.u8(0),
        }
    }

    pub(super) fn list<T>(self, items: &[T], each: impl Fn(Self, &T) -> Self) -> Self {
        let it = self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.iter().fold(it, each)
    }
}

/// Takes the fields of a message, each within its bound.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn string(&mut self, bytes_max: usize) -> Result<Vec<u8>, Malformed> {
        let length = self.u32()? as usize;
        if length > bytes_max {
            return Err(Malformed("a string is longer than it may be"));
        }
        Ok(self.take(length)?.to_vec())
    }

    pub(super) fn text(&mut self, bytes_max: usize) -> Result<String, Malformed> {
        let bytes = self.string(bytes_max)?;
        String::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(super) fn optional(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, Malformed> {
        match self.flag()? {
            true => Ok(Some(self.string(bytes_max)?)),
            false => Ok(None),
        }
    }

    /// No memory is taken for items that are not there.
    pub(super) fn list<T>(
        &mut self,
        count_max: usize,
        each: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()? as usize;
        if count > count_max {
            return Err(Malformed("a list is longer than it may be"));
        }
        (0..count).map(|_| each(self)).collect()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Malformed("bytes follow the last field"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Malformed("it ends too early"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(Malformed("it ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }
}
