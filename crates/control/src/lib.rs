//! Carries out what was decided: a backup or a recovery of machines, with hooks and limits.
//!
//! Takes a platform, a repository and a job; resolves which machines are meant, captures each,
//! moves its disks through the engine, records what happened, and leaves nothing behind.
//! Does not parse arguments, show progress, decide when a run is due, or speak to a platform
//! other than through its port.
//!
//! Source: DESIGN, row 3.

mod backup;
mod error;
mod export;
mod files;
pub mod hook;
mod inside;
pub mod instant;
mod job;
mod pace;
mod parent;
mod priority;
mod recover;
mod selection;
mod several;
mod steps;
mod turns;

pub use backup::{BackupPlace, DiskFacts, Stored, StoredFiles, VmBackup, VmOutcome, origin_of};
pub use error::{Error, Result, chain};
pub use export::{CACHE_BYTES, ReadOnlyExport, SnapshotDisks, of_nbd};
pub use files::{Inside, of_rescue};
pub use inside::{InsideDisks, RescueVm, WayInside};
pub use job::{FilesJob, FilesText, HookText, Job, JobText, Limits, LvmText, OfflinePolicy};
pub use pace::{Paced, Pacer};
pub use parent::{
    Parent, node_at, parent_disk, parent_of_vm, read_file, read_manifest, snapshots_of,
};
pub use priority::{IoClass, lower_priority};
pub use recover::{
    Recovered, RecoveryPlan, RecoverySettings, RecoverySource, apply_recovery, clear_recovery,
    plan_recovery,
};
pub use selection::{Rule, Selection};
pub use several::{Each, each};
pub use steps::{Quiet, Step, Watch};
pub use turns::{Turn, Turns};
