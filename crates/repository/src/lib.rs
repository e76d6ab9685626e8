//! A restic repository, format v2: open, lock, look up, store, forget, prune, check, repair.
//!
//! Takes a [`lifeboat_backend::Backend`] and a password and gives blobs, trees and snapshots.
//! Does not know disks, machines or chunking: what the blobs mean is the business of `engine`.
//!
//! Order is the safety argument. A pack is durable before an index file names it; the index file
//! is durable before a snapshot leads to it; the snapshot file is the commit point. Forget removes
//! a name only. Prune removes a pack only after the index without it is durable, a grace period
//! has passed and no writer of that time is left.
//!
//! | beside | backup | prune: mark | prune: remove | stock restic |
//! |---|---|---|---|---|
//! | backup | nothing | backup looks again at its end | grace, age of locks | shared locks |
//! | prune | as left | prune lock | prune lock | its lock excludes prune |
//! | forget, tag | nothing | snapshots listed again | as mark | as restic |
//! | restore, check | nothing | index loaded again | grace | shared locks |
//!
//! Assumed of the place: what a `save` has returned is in every later list and can be read, what a
//! `remove` has returned is in none. Where lists are minutes behind, backups, forgetting and the
//! two phases of prune still lose nothing: they may refuse. What excludes others (an instant
//! prune, a repair) is not safe there.
//!
//! Assumed of clocks: those of lifeboat's processes differ by at most six hours, that of a stock
//! restic by less than 20 minutes, by its own rule. Durations count by a clock that
//! nobody sets.
//!
//! Source: restic's design document; decisions 0003 and 0004.

mod adopt;
mod blobs;
mod check;
mod commit;
mod environment;
mod error;
mod index;
pub mod keys;
mod load;
pub mod lock;
mod pack;
pub mod prune;
pub mod repair;
mod repository;
pub mod reserve;
pub mod snapshots;
pub mod walk;
mod writer;

pub use adopt::{Adopted, adopt};
pub use blobs::{BlobOpener, BlobReader};
pub use check::{Checked, Finding, check};
pub use commit::{commit, with_marked};
pub use environment::{Environment, Owner};
pub use error::{Cause, Error, Result};
pub use index::{
    BlobLocation, Index, IndexBuilder, IndexedBlob, IndexedPack, PackContents, PackNumber,
};
pub use load::{each, each_with};
pub use lock::{Lock, LockMode, LockWait};
pub use pack::{PackVerifier, read_header, verify as verify_pack};
pub use repository::{InitOptions, Repository};
pub use snapshots::{Snapshot, Unreadable};
pub use writer::{Bench, BlobWriter, Put, WriteOptions, WriteTotals, write};
