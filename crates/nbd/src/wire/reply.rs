//! Heads of replies: simple ones, and chunks with lengths of 32 or 64 bits.

use super::{
    CHUNK_MAGIC, EXTENDED_CHUNK_MAGIC, Fields, Form, Malformed, SIMPLE_REPLY_MAGIC, chunks,
};

/// Bytes of a simple reply's head.
pub(crate) const SIMPLE_BYTES: usize = 16;
/// Bytes of a chunk's head.
pub(crate) const CHUNK_BYTES: usize = 20;
/// Bytes of an extended chunk's head.
pub(crate) const EXTENDED_CHUNK_BYTES: usize = 32;

/// The head of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Data follows if the request was a read and `error` is 0.
    Simple { error: u32, cookie: u64 },
    /// One of the chunks of a reply.
    Chunk(Chunk),
}

/// The head of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) is_last: bool,
    pub(crate) kind: u16,
    pub(crate) cookie: u64,
    /// The request's offset; said only in the extended form.
    pub(crate) offset: u64,
    /// Bytes of the payload; below 2^32 in the structured form.
    pub(crate) length: u64,
}

/// Bytes of a head that begins with this number.
///
/// Errors: a number that no reply of this form begins with.
pub(crate) fn head_bytes(form: Form, magic: u32) -> Result<usize, Malformed> {
    match (form, magic) {
        (Form::Simple | Form::Structured, SIMPLE_REPLY_MAGIC) => Ok(SIMPLE_BYTES),
        (Form::Structured, CHUNK_MAGIC) => Ok(CHUNK_BYTES),
        (Form::Extended, EXTENDED_CHUNK_MAGIC) => Ok(EXTENDED_CHUNK_BYTES),
        _ => Err(Malformed("a reply does not begin with its magic number")),
    }
}

impl Head {
    /// Reads a head of as many bytes as [`head_bytes`] said.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(message);
        let magic = fields.u32()?;
        if magic == SIMPLE_REPLY_MAGIC {
            let (error, cookie) = (fields.u32()?, fields.u64()?);
            fields.end()?;
            return Ok(Self::Simple { error, cookie });
        }
        let (flags, kind, cookie) = (fields.u16()?, fields.u16()?, fields.u64()?);
        let (offset, length) = match magic {
            EXTENDED_CHUNK_MAGIC => (fields.u64()?, fields.u64()?),
            CHUNK_MAGIC => (0, fields.u32()?.into()),
            _ => return Err(Malformed("a reply does not begin with its magic number")),
        };
        fields.end()?;
        let is_last = flags & chunks::DONE != 0;
        if kind == chunks::NONE && !(is_last && length == 0) {
            return Err(Malformed("an empty chunk is not the last, or is not empty"));
        }
        Ok(Self::Chunk(Chunk {
            is_last,
            kind,
            cookie,
            offset,
            length,
        }))
    }

    /// Appends the head in the form it has.
    pub(crate) fn encode(&self, form: Form, message: &mut Vec<u8>) {
        match self {
            Self::Simple { error, cookie } => {
                message.extend(SIMPLE_REPLY_MAGIC.to_be_bytes());
                message.extend(error.to_be_bytes());
                message.extend(cookie.to_be_bytes());
            }
            Self::Chunk(chunk) => chunk.encode(form, message),
        }
    }
}

impl Chunk {
    fn encode(&self, form: Form, message: &mut Vec<u8>) {
        let magic = match form {
            Form::Extended => EXTENDED_CHUNK_MAGIC,
            Form::Simple | Form::Structured => CHUNK_MAGIC,
        };
        let flags = if self.is_last { chunks::DONE } else { 0 };
        message.extend(magic.to_be_bytes());
        message.extend(flags.to_be_bytes());
        message.extend(self.kind.to_be_bytes());
        message.extend(self.cookie.to_be_bytes());
        match form {
            Form::Extended => {
                message.extend(self.offset.to_be_bytes());
                message.extend(self.length.to_be_bytes());
            }
            Form::Simple | Form::Structured => {
                let length = u32::try_from(self.length).unwrap_or(u32::MAX);
                message.extend(length.to_be_bytes());
            }
        }
    }
}

/// What an error chunk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: u32,
    pub(crate) text: String,
    pub(crate) offset: Option<u64>,
}

impl Failure {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = self.error.to_be_bytes().to_vec();
        let length = u16::try_from(self.text.len()).unwrap_or(u16::MAX);
        body.extend(length.to_be_bytes());
        body.extend(self.text.bytes().take(length.into()));
        if let Some(offset) = self.offset {
            body.extend(offset.to_be_bytes());
        }
        body
    }

    /// Reads the payload of a failing chunk; kinds that are not known have at least a number.
    pub(crate) fn decode(kind: u16, body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(body);
        let error = fields.u32()?;
        if error == 0 {
            return Err(Malformed("an error chunk reports success"));
        }
        let length = fields.u16()?;
        let text = crate::error::shown(fields.bytes(length.into())?);
        let mut offset = None;
        if kind == chunks::ERROR_OFFSET {
            offset = Some(fields.u64()?);
        }
        if matches!(kind, chunks::ERROR | chunks::ERROR_OFFSET) {
            fields.end()?;
        }
        Ok(Self {
            error,
            text,
            offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_reads_back_as_written(
            (error, cookie, offset, length) in any::<(u32, u64, u64, u64)>(),
            (is_last, kind) in any::<(bool, u16)>(), is_extended in any::<bool>(),
        ) {
            let kind = kind.max(1);
            let (form, offset, length) = match is_extended {
                true => (Form::Extended, offset, length),
                false => (Form::Structured, 0, length >> 32),
            };
            let chunk = Chunk { is_last, kind, cookie, offset, length };
            for head in [Head::Simple { error, cookie }, Head::Chunk(chunk)] {
                let mut message = Vec::new();
                head.encode(form, &mut message);
                let magic = Fields::of(&message).u32().unwrap();
                let is_simple = matches!(head, Head::Simple { .. });
                if !(is_simple && is_extended) {
                    prop_assert_eq!(head_bytes(form, magic).unwrap(), message.len());
                }
                prop_assert_eq!(Head::decode(&message).unwrap(), head);
            }
        }

        #[test]
        fn a_failure_reads_back_as_written(
            error in 1u32.., text in "[a-z ]{0,40}", offset in any::<Option<u64>>(),
        ) {
            let kind = if offset.is_some() { chunks::ERROR_OFFSET } else { chunks::ERROR };
            let failure = Failure { error, text, offset };
            prop_assert_eq!(Failure::decode(kind, &failure.encode()).unwrap(), failure);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            kind in any::<u16>(), bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = Head::decode(&bytes);
            drop(Failure::decode(kind, &bytes));
        }
    }
}
