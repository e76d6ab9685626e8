//! The port to a place where machines run: inventory, capture, building.
//!
//! Says what every adapter (libvirt, LVM, and later ones) can do for a backup and a recovery,
//! in words that fit all of them.
//! Does not talk to any platform, move bytes, or know repositories, jobs and schedules.
//!
//! A backup goes `inventory -> sweep -> begin_capture -> read the disks -> confirm -> commit ->
//! finish`; a recovery goes `plan -> begin -> write the disks -> define -> start -> keep`.
//! Nothing here promises order across machines: each call concerns one machine.
//!
//! Source: DESIGN, row 1.

mod build;
mod capture;
mod checkpoint;
mod error;
mod execute;
mod inventory;
mod live;
mod rules;
mod still;

use lifeboat_model::DiskName;

pub use build::{
    Build, BuildDisk, BuildPlan, BuildRequest, Builder, Identity, LocalDisk, NetworkMapping,
    Occupied, Placement, PlannedDisk, Replaced,
};
pub use capture::{
    Capture, CaptureOutcome, CaptureRequest, CapturedChange, CapturedDisk, Consistency,
    DescribingFile, Quiesce, Since,
};
pub use checkpoint::{CHECKPOINT_PREFIX, CheckpointId, Origin};
pub use error::{Error, Result};
pub use execute::{Executed, GuestCommand};
pub use inventory::{Inventory, Vm, VmDisk, VmId, VmState};
pub use live::{LiveMachines, Moved, Promotion};
pub use rules::{KeptSnapshots, Percent, SnapshotRules, StoreSize};
pub use still::{Quiescer, Stillness};

/// Something worth knowing that happened beside the work: a leftover removed, a disk passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// One sentence: what was seen, and what was done about it or is to be done.
    pub text: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Note,
    /// The result is less than was wished for.
    Warning,
}

impl Finding {
    /// For the record.
    pub fn note(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            text: text.into(),
        }
    }

    /// The result is less than was wished for.
    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            text: text.into(),
        }
    }
}

/// A place where machines run.
///
/// Calls may come from several threads, for different machines at the same time.
pub trait Platform: Send + Sync {
    /// The word that manifests keep: `libvirt`, `lvm`.
    fn kind(&self) -> &'static str;

    /// Where it is, for people: a URI, a host.
    fn place(&self) -> String;

    /// Every machine, in the order of names; what cannot be named is a finding.
    ///
    /// Errors: `Unreachable`, `Denied`, `Unsupported` where a library or program is missing.
    fn inventory(&self) -> Result<Inventory>;

    /// Removes what an earlier run of ours left on this machine (jobs, snapshots, scratch
    /// files, frozen file systems), and says so. Nothing of others is touched.
    ///
    /// `origin` and `wanted` say which checkpoints must stay: those of other origins, and of
    /// this origin the wanted ones.
    fn sweep(&self, vm: &VmId, origin: &Origin, wanted: &[CheckpointId]) -> Result<Vec<Finding>>;

    /// Says how each of the disks would be captured, a line each, for people; no names stand for
    /// all that are not passed over.
    ///
    /// Errors: what would refuse the capture before anything is made.
    fn preview(&self, vm: &VmId, disks: &[DiskName]) -> Result<Vec<String>> {
        let _ = (vm, disks);
        Ok(Vec::new())
    }

    /// Freezes a view of the wanted disks at one instant; it lives until `finish`.
    ///
    /// The guest is frozen as short as possible and never when this returns.
    ///
    /// Errors: `NotFound` for machine or disk, `Busy` if another capture runs, `Denied`,
    /// `Unsupported` for a state that allows no capture. Then nothing is left behind.
    fn begin_capture(&self, request: &CaptureRequest) -> Result<Box<dyn Capture>>;

    /// Runs a command inside the machine.
    ///
    /// Errors: `Unsupported` where there is no way into it, `Unreachable` if nobody answers.
    fn execute(&self, vm: &VmId, command: &GuestCommand) -> Result<Executed> {
        let _ = command;
        Err(Error::new(
            lifeboat_model::ErrorKind::Unsupported,
            "running a command in the machine",
            vm.as_str(),
        )
        .seen("this platform has no way into its machines"))
    }

    /// The side that makes machines, where the platform has one.
    fn builder(&self) -> Option<&dyn Builder> {
        None
    }

    /// The side that moves disks of running machines, where the platform has one.
    fn live(&self) -> Option<&dyn LiveMachines> {
        None
    }
}
