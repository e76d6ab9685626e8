//! Moves data between disks and repositories: backup, restore, dump, verify, copy.
//!
//! Takes disk readers and writers and open repositories, gives snapshots and restored disks.
//! Does not know machines, schedules or platforms; names pass through unread.
//!
//! The data plane is threads and bounded queues, so that memory is a formula and every stage
//! can be stepped by a test.
//!
//! Source: DESIGN, row 2.

pub mod backup;
mod browse;
mod compare;
mod content;
pub mod copy;
mod dump;
mod error;
mod fetch;
pub mod file_backup;
pub mod files;
mod memory;
pub mod restore;
mod transfer;
pub mod verify;

pub use browse::{ChunkCache, SnapshotDisk};
pub use compare::compare;
pub use content::{PlacedChunk, PlacedContent, content_root, place};
pub use dump::dump;
pub use error::{Error, Result};
pub use memory::{ChangeShape, DiskShape, MemoryBound};
pub use restore::{Existing, RestorePlan, RestoreTarget};
pub use transfer::{Transferred, differs, transfer};
