//! What host and rescue VM say to each other, as values and as bytes.
//!
//! A frame is the length of its body (4 bytes, little-endian) and the body: one byte for the
//! kind, then the fields. One request at a time; its answer ends with `Done`, `Failed` or what
//! its description says. Both sides have bounds, and the host believes nothing: lengths, names
//! and the order of answers are checked here and in `host::walk`.

mod codec;
mod entry;
mod frame;
mod reply;
mod request;
mod volume;

pub use codec::Malformed;
pub(crate) use entry::NAME_BYTES_MAX;
pub use entry::{Attribute, Entry, FileKind, Moment};
pub use frame::{FRAME_BYTES_MAX, read_frame, write_frame};
pub use reply::Reply;
pub(crate) use request::PATH_BYTES_MAX;
pub use request::{Place, Request};
pub use volume::{FoundVolume, VolumePlace};

/// Both sides are the same program; a leftover of another one is refused.
pub const VERSION: u32 = 3;
/// The longest piece of content in one frame.
pub const DATA_BYTES_MAX: usize = 256 << 10;
/// Deepest nesting of folders: no real tree is deeper, and paths of that length cannot be used.
pub const DEPTH_MAX: usize = 1024;
/// The most entries that a list of one folder has; a walk has no such bound.
pub(crate) const LIST_MAX: usize = 1 << 20;
/// The most paths that are told to be missing.
pub(crate) const MISSING_MAX: usize = 512;
/// Name of the port by which both sides find each other.
pub const PORT: &str = "lifeboat.rescue";
/// Variable of the rescue VM's first process: `read` or `write`.
///
/// No argument: before those for the first process the kernel puts each word it does not know.
pub const INIT_VARIABLE: &str = "LIFEBOAT_RESCUE";
/// Its value where the disks may be written.
pub(crate) const WRITE_WORD: &str = "write";
/// First argument of the program when it enters a restored system and becomes a command there.
pub const ENTER_WORD: &str = "rescue-enter";
