//! What the host asks.

use super::codec::{Decoder, Encoder, Malformed};

/// Longest path in a request, as Linux has it.
pub(crate) const PATH_BYTES_MAX: usize = 4095;
const WORD_BYTES_MAX: usize = 128 << 10;
const WORDS_MAX: usize = 4096;

/// A file inside the disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of a volume in the list of volumes; none for the system's own tree.
    pub volume: Option<u32>,
    /// Path from the root of the volume or the system. Links inside are followed inside only.
    pub path: Vec<u8>,
    /// If the last name is a symbolic link, what it leads to is meant.
    pub follows_last: bool,
}

/// A request; what answers it stands with each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// All volumes: `Volumes`; before it `Missing`s for what the system should have and has not.
    Volumes,
    /// An entry alone: `Entry`, then `Done`.
    Describe(Place),
    /// An entry and, if it is a folder, what is in it: `Entry`s, then `Done`. A `Fault` says what
    /// of the folder, or of what is in it, could not be read.
    List(Place),
    /// An entry and all below it: a sequence of `Entry` and its content, then `Done`.
    ///
    /// After a file's `Entry` come its `Data` and one `ContentEnd`; after a folder's the entries
    /// in it, sorted by the bytes of their names, and one `Leave`. In place of a file's content
    /// may come `SameContent`. A `Fault` says what of the latest entry could not be read; for a
    /// file it stands in place of `ContentEnd`.
    Walk(Place),
    /// A range of a file's content: `Data` (what is missing are zeros), then `Done`.
    Read {
        /// The file.
        place: Place,
        /// First byte.
        offset: u64,
        /// How many bytes.
        length: u32,
    },
    /// Runs a command inside the system's tree: `Output`s, then `Exited`.
    Run {
        /// Program and arguments; none is empty.
        words: Vec<Vec<u8>>,
        /// Variables as `NAME=value`: the command's whole environment.
        environment: Vec<Vec<u8>>,
        /// The command is killed after it.
        seconds_max: u32,
    },
    /// Ends the answer that is on its way; it still ends with `Done`.
    Stop,
    /// Writes everything to the disks, lets go of them and powers off: `Done`.
    Finish,
}

impl Request {
    /// The body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let encoder = match self {
            Self::Volumes => Encoder::of_kind(1),
            Self::List(place) => encode_place(Encoder::of_kind(2), place),
            Self::Walk(place) => encode_place(Encoder::of_kind(3), place),
            Self::Read {
                place,
                offset,
                length,
            } => encode_place(Encoder::of_kind(4), place)
                .u64(*offset)
                .u32(*length),
            Self::Run {
                words,
                environment,
                seconds_max,
            } => Encoder::of_kind(5)
                .list(words, |to, word| to.string(word))
                .list(environment, |to, word| to.string(word))
                .u32(*seconds_max),
            Self::Stop => Encoder::of_kind(6),
            Self::Finish => Encoder::of_kind(7),
            Self::Describe(place) => encode_place(Encoder::of_kind(8), place),
        };
        encoder.bytes
    }

    /// Reads the body of a frame.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(body);
        let words = |from: &mut Decoder<'_>| {
            from.list(WORDS_MAX, |from| {
                let word = from.string(WORD_BYTES_MAX)?;
                if word.contains(&0) {
                    return Err(Malformed("a word holds a zero byte"));
                }
                Ok(word)
            })
        };
        let request = match from.u8()? {
            1 => Self::Volumes,
            2 => Self::List(decode_place(&mut from)?),
            3 => Self::Walk(decode_place(&mut from)?),
            4 => Self::Read {
                place: decode_place(&mut from)?,
                offset: from.u64()?,
                length: from.u32()?,
            },
            5 => Self::Run {
                words: words(&mut from)?,
                environment: words(&mut from)?,
                seconds_max: from.u32()?,
            },
            6 => Self::Stop,
            7 => Self::Finish,
            8 => Self::Describe(decode_place(&mut from)?),
            _ => return Err(Malformed("a request's kind is unknown")),
        };
        from.end()?;
        Ok(request)
    }
}

fn encode_place(to: Encoder, place: &Place) -> Encoder {
    let to = match place.volume {
        Some(volume) => to.u8(1).u32(volume),
        None => to.u8(0),
    };
    to.string(&place.path).u8(u8::from(place.follows_last))
}

fn decode_place(from: &mut Decoder<'_>) -> Result<Place, Malformed> {
    let volume = match from.flag()? {
        true => Some(from.u32()?),
        false => None,
    };
    let path = from.string(PATH_BYTES_MAX)?;
    if path.contains(&0) {
        return Err(Malformed("a path holds a zero byte"));
    }
    Ok(Place {
        volume,
        path,
        follows_last: from.flag()?,
    })
}
