//! What the rescue VM answers.

use lifeboat_model::ErrorKind;

use super::codec::{Decoder, Encoder, Malformed};
use super::{DATA_BYTES_MAX, Entry, FoundVolume};

const TEXT_BYTES_MAX: usize = 4096;
const VOLUMES_MAX: usize = 512;

/// Kinds of errors, by the number they have in a frame.
const KINDS: [ErrorKind; 11] = [
    ErrorKind::Io,
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Exists,
    ErrorKind::Denied,
    ErrorKind::Busy,
    ErrorKind::Full,
    ErrorKind::Unreachable,
    ErrorKind::Corrupt,
    ErrorKind::Unsupported,
    ErrorKind::Cancelled,
];

/// An answer, or a part of one; see [`Request`](super::Request) for their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The first frame: the rescue VM is up.
    Hello {
        /// What the other side speaks.
        version: u32,
    },
    /// What the system's own table puts somewhere and is not there.
    Missing {
        /// Where it would be.
        path: String,
        /// Why it is not.
        text: String,
    },
    /// All volumes.
    Volumes(Vec<FoundVolume>),
    /// An entry.
    Entry(Box<Entry>),
    /// A folder is complete.
    Leave,
    /// A piece of content; what lies between pieces are zeros.
    Data {
        /// Where it begins.
        offset: u64,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// A file's content is complete.
    ContentEnd,
    /// A further name of a file: its content came with the entry of the same device and inode.
    SameContent,
    /// The latest entry could not be read in full.
    Fault(String),
    /// It is at work and has nothing to say yet.
    Alive,
    /// What a command wrote.
    Output(Vec<u8>),
    /// A command ended.
    Exited {
        /// Its exit code, or 128 and the number of the signal that ended it.
        code: u32,
        /// It was killed because its time was over.
        is_timed_out: bool,
    },
    /// The answer is complete.
    Done,
    /// The request could not be fulfilled: the answer ends here.
    Failed {
        /// What sort of failure.
        kind: ErrorKind,
        /// What was seen.
        text: String,
    },
}

impl Reply {
    /// The body of a frame. Texts that are too long are cut.
    pub fn encode(&self) -> Vec<u8> {
        let encoder = match self {
            Self::Hello { version } => Encoder::of_kind(1).u32(*version),
            Self::Volumes(volumes) => {
                let some = &volumes[..volumes.len().min(VOLUMES_MAX)];
                Encoder::of_kind(2).list(some, |to, volume| volume.encode(to))
            }
            Self::Entry(entry) => entry.encode(Encoder::of_kind(3)),
            Self::Leave => Encoder::of_kind(4),
            Self::Data { offset, bytes } => {
                let mut encoder = Encoder::of_kind(5).u64(*offset);
                encoder.bytes.extend(bytes);
                encoder
            }
            Self::ContentEnd => Encoder::of_kind(6),
            Self::SameContent => Encoder::of_kind(13),
            Self::Missing { path, text } => Encoder::of_kind(14)
                .string(clipped(path))
                .string(clipped(text)),
            Self::Fault(text) => Encoder::of_kind(7).string(clipped(text)),
            Self::Alive => Encoder::of_kind(8),
            Self::Output(bytes) => {
                let mut encoder = Encoder::of_kind(9);
                encoder.bytes.extend(bytes);
                encoder
            }
            Self::Exited { code, is_timed_out } => {
                Encoder::of_kind(10).u32(*code).u8(u8::from(*is_timed_out))
            }
            Self::Done => Encoder::of_kind(11),
            Self::Failed { kind, text } => {
                let number = KINDS.iter().position(|known| known == kind);
                Encoder::of_kind(12)
                    .u8(number.unwrap_or(0) as u8)
                    .string(clipped(text))
            }
        };
        encoder.bytes
    }

    /// Reads the body of a frame.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(body);
        let reply = match from.u8()? {
            1 => Self::Hello {
                version: from.u32()?,
            },
            2 => Self::Volumes(from.list(VOLUMES_MAX, FoundVolume::decode)?),
            3 => Self::Entry(Entry::decode(&mut from)?.into()),
            4 => Self::Leave,
            5 => {
                return Ok(Self::Data {
                    offset: from.u64()?,
                    bytes: piece(from)?,
                });
            }
            6 => Self::ContentEnd,
            7 => Self::Fault(from.text(TEXT_BYTES_MAX)?),
            8 => Self::Alive,
            9 => return Ok(Self::Output(piece(from)?)),
            10 => Self::Exited {
                code: from.u32()?,
                is_timed_out: from.flag()?,
            },
            11 => Self::Done,
            12 => {
                let kind = KINDS.get(from.u8()? as usize);
                Self::Failed {
                    kind: *kind.ok_or(Malformed("a failure's kind is unknown"))?,
                    text: from.text(TEXT_BYTES_MAX)?,
                }
            }
            13 => Self::SameContent,
            14 => Self::Missing {
                path: from.text(TEXT_BYTES_MAX)?,
                text: from.text(TEXT_BYTES_MAX)?,
            },
            _ => return Err(Malformed("a reply's kind is unknown")),
        };
        from.end()?;
        Ok(reply)
    }
}

fn piece(from: Decoder<'_>) -> Result<Vec<u8>, Malformed> {
    let bytes = from.rest();
    if bytes.is_empty() || bytes.len() > DATA_BYTES_MAX {
        return Err(Malformed("a piece of content has no fitting length"));
    }
    Ok(bytes.to_vec())
}

fn clipped(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
