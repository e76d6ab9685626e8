//! Requests of the transmission.

use super::{EXTENDED_REQUEST_MAGIC, Fields, Form, Malformed, REQUEST_MAGIC};

/// Bytes of a request without its payload.
pub(crate) const COMPACT_BYTES: usize = 28;
/// The same with lengths of 64 bits.
pub(crate) const EXTENDED_BYTES: usize = 32;

/// A request without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    /// Below 2^32 in all forms but the extended.
    pub(crate) length: u64,
}

/// Bytes of a request of this form.
pub(crate) fn size(form: Form) -> usize {
    match form {
        Form::Extended => EXTENDED_BYTES,
        Form::Simple | Form::Structured => COMPACT_BYTES,
    }
}

impl Request {
    /// Appends the request; lengths that the form cannot say are cut.
    pub(crate) fn encode(&self, form: Form, message: &mut Vec<u8>) {
        let magic = match form {
            Form::Extended => EXTENDED_REQUEST_MAGIC,
            Form::Simple | Form::Structured => REQUEST_MAGIC,
        };
        message.extend(magic.to_be_bytes());
        message.extend(self.flags.to_be_bytes());
        message.extend(self.command.to_be_bytes());
        message.extend(self.cookie.to_be_bytes());
        message.extend(self.offset.to_be_bytes());
        match form {
            Form::Extended => message.extend(self.length.to_be_bytes()),
            Form::Simple | Form::Structured => {
                let length = u32::try_from(self.length).unwrap_or(u32::MAX);
                message.extend(length.to_be_bytes());
            }
        }
    }

    /// Reads a request of exactly [`size`] bytes.
    pub(crate) fn decode(form: Form, message: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(message);
        let magic = match form {
            Form::Extended => EXTENDED_REQUEST_MAGIC,
            Form::Simple | Form::Structured => REQUEST_MAGIC,
        };
        if fields.u32()? != magic {
            return Err(Malformed("a request does not begin with its magic number"));
        }
        let request = Self {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            length: match form {
                Form::Extended => fields.u64()?,
                Form::Simple | Form::Structured => fields.u32()?.into(),
            },
        };
        fields.end()?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_reads_back_as_written(
            (flags, command, cookie, offset, length) in any::<(u16, u16, u64, u64, u64)>(),
        ) {
            for form in [Form::Simple, Form::Structured, Form::Extended] {
                let length = if form == Form::Extended { length } else { length >> 32 };
                let request = Request { flags, command, cookie, offset, length };
                let mut message = Vec::new();
                request.encode(form, &mut message);
                prop_assert_eq!(message.len(), size(form));
                prop_assert_eq!(Request::decode(form, &message).unwrap(), request);
                prop_assert!(Request::decode(form, &message[1..]).is_err());
            }
        }
    }
}
