//! Payloads that tell the state of ranges.

use super::{Fields, Form, Malformed};

/// Most extents that one chunk may tell: 16 MiB of them.
pub(crate) const DESCRIPTORS_MAX: usize = 1 << 20;

/// A length and the flags that all of it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Below 2^32 in the structured form.
    pub(crate) length: u64,
    /// The same.
    pub(crate) flags: u64,
}

/// Bytes of the largest payload that is accepted.
pub(crate) fn payload_bytes_max(form: Form) -> u64 {
    let (head, each) = match form {
        Form::Extended => (8, 16),
        Form::Simple | Form::Structured => (4, 8),
    };
    head + each * DESCRIPTORS_MAX as u64
}

/// Reads a payload: the context's number, and extents that follow each other.
///
/// Errors: no extent, empty extents, more than the count says.
pub(crate) fn decode(form: Form, body: &[u8]) -> Result<(u32, Vec<Descriptor>), Malformed> {
    let mut fields = Fields::of(body);
    let context = fields.u32()?;
    let each = match form {
        Form::Extended => 16,
        Form::Simple | Form::Structured => 8,
    };
    let stated = match form {
        Form::Extended => Some(fields.u32()?),
        Form::Simple | Form::Structured => None,
    };
    let count = fields.rest().len() / each;
    if stated.is_some_and(|stated| usize::try_from(stated) != Ok(count)) {
        return Err(Malformed("a count of extents is not the count of extents"));
    }
    if count == 0 || count > DESCRIPTORS_MAX {
        return Err(Malformed("a status has no extent, or too many"));
    }
    let mut descriptors = Vec::with_capacity(count);
    for _ in 0..count {
        let descriptor = match form {
            Form::Extended => Descriptor {
                length: fields.u64()?,
                flags: fields.u64()?,
            },
            Form::Simple | Form::Structured => Descriptor {
                length: fields.u32()?.into(),
                flags: fields.u32()?.into(),
            },
        };
        if descriptor.length == 0 {
            return Err(Malformed("an extent is empty"));
        }
        descriptors.push(descriptor);
    }
    fields.end()?;
    Ok((context, descriptors))
}

/// Writes a payload; numbers that the form cannot say are cut.
pub(crate) fn encode(form: Form, context: u32, descriptors: &[Descriptor]) -> Vec<u8> {
    let mut body = context.to_be_bytes().to_vec();
    if form == Form::Extended {
        let count = u32::try_from(descriptors.len()).unwrap_or(u32::MAX);
        body.extend(count.to_be_bytes());
    }
    for descriptor in descriptors {
        for number in [descriptor.length, descriptor.flags] {
            match form {
                Form::Extended => body.extend(number.to_be_bytes()),
                Form::Simple | Form::Structured => {
                    let cut = u32::try_from(number).unwrap_or(u32::MAX);
                    body.extend(cut.to_be_bytes());
                }
            }
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_status_reads_back_as_written(
            context in any::<u32>(), is_extended in any::<bool>(),
            numbers in prop::collection::vec((1u32.., any::<u32>(), any::<u16>()), 1..20),
        ) {
            let form = if is_extended { Form::Extended } else { Form::Structured };
            let high = |part: u16| if is_extended { u64::from(part) << 32 } else { 0 };
            let descriptors: Vec<_> = numbers
                .iter()
                .map(|&(length, flags, more)| Descriptor {
                    length: u64::from(length) | high(more),
                    flags: u64::from(flags) | high(more),
                })
                .collect();
            let body = encode(form, context, &descriptors);
            prop_assert!(body.len() as u64 <= payload_bytes_max(form));
            prop_assert_eq!(decode(form, &body).unwrap(), (context, descriptors));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for form in [Form::Structured, Form::Extended] {
                drop(decode(form, &bytes));
            }
        }
    }
}
