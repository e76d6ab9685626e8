//! Keeps the named files of a repository: config, keys, locks, snapshots, indexes, packs.
//!
//! Takes a file's kind, name and bytes and gives them back; every save is atomic and durable.
//! Does not know what is inside a file, who may write, or in which order files depend on
//! each other.
//!
//! One small trait, so that faults, crashes and limits are wrappers and never special cases
//! of a caller.
//!
//! Source: DESIGN, row 1; reference/restic-format.md 5.2; reference/reliability.md 2.2, 3.2.

mod ahead;
mod archive;
mod contract;
mod counted;
mod error;
mod faulty;
mod file;
mod limited;
mod local;
mod location;
mod memory;
mod recording;
mod retrying;

pub use ahead::LoadedAhead;
pub use archive::{ArchiveReader, ArchiveWriter};
pub use contract::{Backend, Call, Upkeep};
pub use counted::Counted;
pub use error::{Doing, Error, Result};
pub use faulty::{Fault, FaultRule, Faulty};
pub use file::{FileHandle, FileKind, Listed};
pub use limited::{Limited, Rates};
pub use local::{Journal, LEFTOVER_AGE_MIN, Local, RESERVE_NAME, Stray, StrayKind, SystemCall};
pub use location::{Location, open};
pub use memory::Memory;
pub use recording::{Effect, Recording};
pub use retrying::{RetryRule, Retrying};
