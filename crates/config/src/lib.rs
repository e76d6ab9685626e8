//! Reads `lifeboat.toml`: repositories, platforms, policies and jobs.
//!
//! Takes texts and gives values, all findings at once, each with file, line, column and a
//! suggestion, and for every value where it came from.
//! Does not open files: whoever calls reads them.
//! Secrets never stand in it: only where they are found.
//!
//! What a job says about captures is read by the type that the caller names, so that this crate
//! knows no platform.

mod document;
mod finding;
mod job;
mod place;
mod policy;
mod read;
mod section;

pub use finding::{Finding, Severity, Spot};
pub use job::JobEntry;
pub use place::{PlatformEntry, RepositoryEntry, SecretSource};
pub use policy::{Objectives, PolicyEntry};
pub use read::{Config, Loaded, SourceFile, read};
pub use section::{Origin, ShownValue};
