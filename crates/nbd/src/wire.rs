//! The protocol's numbers and messages, and nothing that reads or writes a connection.
//!
//! All numbers on the wire are big-endian.
//!
//! Source: doc/proto.md of the NBD project, "Values" and the message layouts.

pub(crate) mod fields;
pub(crate) mod option;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod status;

pub(crate) use fields::{Fields, Malformed};

/// First bytes of every server.
pub(crate) const GREETING_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// "IHAVEOPT": second number of a server, first of every option.
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(crate) const EXTENDED_REQUEST_MAGIC: u32 = 0x21e4_1c71;
pub(crate) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub(crate) const CHUNK_MAGIC: u32 = 0x668e_33ef;
pub(crate) const EXTENDED_CHUNK_MAGIC: u32 = 0x6e8a_278c;

/// Longest text of the protocol, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;
/// Largest payload of a request or a chunk, where no other limit was told.
pub(crate) const PAYLOAD_BYTES_MAX: u32 = 32 << 20;

/// Flags of the greeting; the client's answer has the same bits.
pub(crate) mod handshake {
    pub(crate) const FIXED_NEWSTYLE: u16 = 1;
    pub(crate) const NO_ZEROES: u16 = 2;
}

/// What an export can do.
pub(crate) mod can {
    pub(crate) const HAS_FLAGS: u16 = 1;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const FLUSH: u16 = 1 << 2;
    pub(crate) const FUA: u16 = 1 << 3;
    pub(crate) const TRIM: u16 = 1 << 5;
    pub(crate) const WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const DF: u16 = 1 << 7;
    pub(crate) const MULTI_CONN: u16 = 1 << 8;
    pub(crate) const CACHE: u16 = 1 << 10;
}

/// Options of the handshake.
pub(crate) mod options {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const STARTTLS: u32 = 5;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
    pub(crate) const EXTENDED_HEADERS: u32 = 11;
}

/// Answers to options.
pub(crate) mod answers {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    /// All failures have this bit.
    pub(crate) const FAILURE: u32 = 1 << 31;
    pub(crate) const UNSUPPORTED: u32 = FAILURE | 1;
    pub(crate) const POLICY: u32 = FAILURE | 2;
    pub(crate) const INVALID: u32 = FAILURE | 3;
    pub(crate) const TLS_REQUIRED: u32 = FAILURE | 5;
    pub(crate) const UNKNOWN: u32 = FAILURE | 6;
    pub(crate) const SHUTDOWN: u32 = FAILURE | 7;
    pub(crate) const BLOCK_SIZE_REQUIRED: u32 = FAILURE | 8;
    pub(crate) const TOO_BIG: u32 = FAILURE | 9;
}

/// Facts of an export, in answers to INFO and GO.
pub(crate) mod facts {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// Commands of the transmission.
pub(crate) mod commands {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISCONNECT: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const CACHE: u16 = 5;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// Flags of a command.
pub(crate) mod with {
    pub(crate) const FUA: u16 = 1;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const REQUEST_ONE: u16 = 1 << 3;
    pub(crate) const PAYLOAD: u16 = 1 << 5;
}

/// Kinds of chunks.
pub(crate) mod chunks {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const DATA: u16 = 1;
    pub(crate) const HOLE: u16 = 2;
    pub(crate) const STATUS: u16 = 5;
    pub(crate) const EXTENDED_STATUS: u16 = 6;
    /// All failures have this bit.
    pub(crate) const FAILURE: u16 = 1 << 15;
    pub(crate) const ERROR: u16 = FAILURE | 1;
    pub(crate) const ERROR_OFFSET: u16 = FAILURE | 2;
    /// Flag of the last chunk of a reply.
    pub(crate) const DONE: u16 = 1;
}

/// Error numbers of replies.
pub(crate) mod errors {
    pub(crate) const NOT_PERMITTED: u32 = 1;
    pub(crate) const IO: u32 = 5;
    pub(crate) const NO_MEMORY: u32 = 12;
    pub(crate) const INVALID: u32 = 22;
    pub(crate) const NO_SPACE: u32 = 28;
    pub(crate) const OVERFLOW: u32 = 75;
    pub(crate) const NOT_SUPPORTED: u32 = 95;
    pub(crate) const SHUTDOWN: u32 = 108;
}

/// The meta context that every server may have: flag 1 is a hole, flag 2 reads as zeros.
pub(crate) const ALLOCATION: &str = "base:allocation";
pub(crate) const ALLOCATION_HOLE: u64 = 1;
pub(crate) const ALLOCATION_ZERO: u64 = 2;

/// How requests and replies of one connection are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Simple replies only.
    Simple,
    /// Replies in chunks, lengths of 32 bits.
    Structured,
    /// Replies in chunks, lengths of 64 bits.
    Extended,
}
