//! Many processes at one repository, each stopped at every call until a seed lets it go on.
//!
//! A *process* runs one operation after the other; it can be stopped for days, killed and started
//! again, and its clock is wrong. A *lane* is a thread of it that makes calls: the one that works
//! and the one that refreshes its lock. Exactly one lane runs at a time.

pub(crate) mod chooser;
pub(crate) mod content;
pub(crate) mod judge;
pub(crate) mod operations;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod roles;
pub(crate) mod schedule;
pub(crate) mod world;
