//! Messages of the handshake: options and the answers to them.

use super::fields::{length_of, put_text};
use super::{Fields, Malformed, OPTION_MAGIC, OPTION_REPLY_MAGIC, answers, facts};

/// Bytes before the body of an option.
pub(crate) const OPTION_HEAD_BYTES: usize = 16;
/// Bytes before the body of an answer.
pub(crate) const ANSWER_HEAD_BYTES: usize = 20;

/// Most meta contexts that one query may name.
pub(crate) const QUERIES_MAX: u32 = 64;
/// Most kinds of facts that one option may ask for; the protocol knows four.
const FACT_REQUESTS_MAX: u16 = 64;

/// Writes a whole option.
pub(crate) fn encode_option(code: u32, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(OPTION_HEAD_BYTES + body.len());
    message.extend(OPTION_MAGIC.to_be_bytes());
    message.extend(code.to_be_bytes());
    message.extend(length_of(body).to_be_bytes());
    message.extend(body);
    message
}

/// Reads an option's head: its code and the length of its body.
pub(crate) fn decode_option_head(head: &[u8; OPTION_HEAD_BYTES]) -> Result<(u32, u32), Malformed> {
    let mut fields = Fields::of(head);
    if fields.u64()? != OPTION_MAGIC {
        return Err(Malformed("an option does not begin with its magic number"));
    }
    Ok((fields.u32()?, fields.u32()?))
}

/// Writes a whole answer.
pub(crate) fn encode_answer(option: u32, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(ANSWER_HEAD_BYTES + body.len());
    message.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    message.extend(option.to_be_bytes());
    message.extend(kind.to_be_bytes());
    message.extend(length_of(body).to_be_bytes());
    message.extend(body);
    message
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    pub(crate) option: u32,
    pub(crate) kind: u32,
    pub(crate) length: u32,
}

pub(crate) fn decode_answer_head(head: &[u8; ANSWER_HEAD_BYTES]) -> Result<AnswerHead, Malformed> {
    let mut fields = Fields::of(head);
    if fields.u64()? != OPTION_REPLY_MAGIC {
        return Err(Malformed("an answer does not begin with its magic number"));
    }
    Ok(AnswerHead {
        option: fields.u32()?,
        kind: fields.u32()?,
        length: fields.u32()?,
    })
}

/// The body of INFO and GO: an export and the facts asked for.
pub(crate) fn encode_go(export: &str, asked: &[u16]) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, export);
    let count = u16::try_from(asked.len()).unwrap_or(u16::MAX);
    body.extend(count.to_be_bytes());
    asked
        .iter()
        .for_each(|kind| body.extend(kind.to_be_bytes()));
    body
}

pub(crate) fn decode_go(body: &[u8]) -> Result<(&str, Vec<u16>), Malformed> {
    let mut fields = Fields::of(body);
    let export = fields.text()?;
    let count = fields.u16()?;
    if count > FACT_REQUESTS_MAX {
        return Err(Malformed("an option asks for too many facts"));
    }
    let asked = (0..count).map(|_| fields.u16()).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok((export, asked))
}

/// The body of LIST_META_CONTEXT and SET_META_CONTEXT.
pub(crate) fn encode_queries(export: &str, queries: &[String]) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, export);
    let count = u32::try_from(queries.len()).unwrap_or(u32::MAX);
    body.extend(count.to_be_bytes());
    queries.iter().for_each(|query| put_text(&mut body, query));
    body
}

pub(crate) fn decode_queries(body: &[u8]) -> Result<(&str, Vec<&str>), Malformed> {
    let mut fields = Fields::of(body);
    let export = fields.text()?;
    let count = fields.u32()?;
    if count > QUERIES_MAX {
        return Err(Malformed("an option names too many meta contexts"));
    }
    let queries = (0..count)
        .map(|_| fields.text())
        .collect::<Result<_, _>>()?;
    fields.end()?;
    Ok((export, queries))
}

/// A fact of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Export {
        size: u64,
        flags: u16,
    },
    Name(String),
    Description(String),
    BlockSize {
        least: u32,
        preferred: u32,
        most: u32,
    },
    /// To be skipped, as the protocol says.
    Unknown,
}

impl Fact {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Export { size, flags } => {
                body.extend(facts::EXPORT.to_be_bytes());
                body.extend(size.to_be_bytes());
                body.extend(flags.to_be_bytes());
            }
            Self::Name(name) => {
                body.extend(facts::NAME.to_be_bytes());
                body.extend(name.as_bytes());
            }
            Self::Description(text) => {
                body.extend(facts::DESCRIPTION.to_be_bytes());
                body.extend(text.as_bytes());
            }
            Self::BlockSize {
                least,
                preferred,
                most,
            } => {
                body.extend(facts::BLOCK_SIZE.to_be_bytes());
                [least, preferred, most]
                    .iter()
                    .for_each(|size| body.extend(size.to_be_bytes()));
            }
            Self::Unknown => body.extend(u16::MAX.to_be_bytes()),
        }
        body
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(body);
        let fact = match fields.u16()? {
            facts::EXPORT => Self::Export {
                size: fields.u64()?,
                flags: fields.u16()?,
            },
            facts::BLOCK_SIZE => Self::BlockSize {
                least: fields.u32()?,
                preferred: fields.u32()?,
                most: fields.u32()?,
            },
            facts::NAME => return Ok(Self::Name(owned(fields)?)),
            facts::DESCRIPTION => return Ok(Self::Description(owned(fields)?)),
            _ => return Ok(Self::Unknown),
        };
        fields.end()?;
        Ok(fact)
    }
}

fn owned(fields: Fields<'_>) -> Result<String, Malformed> {
    super::fields::text(fields.rest()).map(str::to_owned)
}

/// The body of a meta context's answer.
pub(crate) fn encode_context(id: u32, name: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(name.as_bytes());
    body
}

pub(crate) fn decode_context(body: &[u8]) -> Result<(u32, &str), Malformed> {
    let mut fields = Fields::of(body);
    Ok((fields.u32()?, super::fields::text(fields.rest())?))
}

/// The body of a listed export: its name, and a description or nothing.
pub(crate) fn encode_listed(name: &str, description: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, name);
    body.extend(description.as_bytes());
    body
}

pub(crate) fn decode_listed(body: &[u8]) -> Result<(&str, &str), Malformed> {
    let mut fields = Fields::of(body);
    let name = fields.text()?;
    // Servers may put anything behind the name: what is no text is no description.
    let description = super::fields::text(fields.rest()).unwrap_or("");
    Ok((name, description))
}

/// What a failing answer says, for people.
pub(crate) fn failure(kind: u32) -> &'static str {
    match kind {
        answers::UNSUPPORTED => "the server does not know this option",
        answers::POLICY => "the server does not allow it",
        answers::INVALID => "the server finds the request invalid",
        answers::TLS_REQUIRED => "the server wants TLS: write nbds://",
        answers::UNKNOWN => "there is no such export",
        answers::SHUTDOWN => "the server is shutting down",
        answers::BLOCK_SIZE_REQUIRED => "the server wants block sizes to be kept",
        answers::TOO_BIG => "the server finds the request too big",
        _ => "the server refused it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        "[^\0]{0,60}"
    }

    fn fact() -> impl Strategy<Value = Fact> {
        prop_oneof![
            any::<(u64, u16)>().prop_map(|(size, flags)| Fact::Export { size, flags }),
            text().prop_map(Fact::Name),
            text().prop_map(Fact::Description),
            any::<(u32, u32, u32)>().prop_map(|(least, preferred, most)| Fact::BlockSize {
                least,
                preferred,
                most
            }),
        ]
    }

    proptest! {
        #[test]
        fn messages_read_back_as_written(
            name in text(), more in text(), asked in prop::collection::vec(any::<u16>(), 0..9),
            queries in prop::collection::vec(text(), 0..9), code in any::<u32>(),
            kind in any::<u32>(), fact in fact(),
        ) {
            let body = encode_go(&name, &asked);
            prop_assert_eq!(decode_go(&body).unwrap(), (name.as_str(), asked));
            let option = encode_option(code, &body);
            let (head, rest) = option.split_first_chunk().unwrap();
            prop_assert_eq!(decode_option_head(head).unwrap(), (code, rest.len() as u32));
            let answer = encode_answer(code, kind, &body);
            let (head, rest) = answer.split_first_chunk().unwrap();
            let head = decode_answer_head(head).unwrap();
            prop_assert_eq!((head.option, head.kind), (code, kind));
            prop_assert_eq!(head.length as usize, rest.len());
            let body = encode_queries(&name, &queries);
            let read = decode_queries(&body).unwrap();
            prop_assert_eq!(read.0, name.as_str());
            prop_assert_eq!(read.1, queries);
            let body = encode_context(code, &name);
            prop_assert_eq!(decode_context(&body).unwrap(), (code, name.as_str()));
            let body = encode_listed(&name, &more);
            prop_assert_eq!(decode_listed(&body).unwrap(), (name.as_str(), more.as_str()));
            prop_assert_eq!(Fact::decode(&fact.encode()).unwrap(), fact);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(decode_go(&bytes));
            drop(decode_queries(&bytes));
            drop(Fact::decode(&bytes));
            let _ = decode_context(&bytes);
            let _ = decode_listed(&bytes);
        }
    }

    #[test]
    fn counts_and_texts_have_limits() {
        let many = vec![String::new(); 65];
        assert!(decode_queries(&encode_queries("x", &many)).is_err());
        assert!(decode_go(&encode_go(&"x".repeat(4097), &[])).is_err());
        assert!(decode_go(&encode_go("a\0b", &[])).is_err());
    }
}
