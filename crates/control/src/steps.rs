//! What a run is doing, for whoever watches it.

use std::fmt;

use lifeboat_model::VmName;
use lifeboat_platform::Finding;

/// The steps of a machine's backup, then those of its recovery, each in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Other runs have taken all turns of the host or of the repository.
    Wait,
    /// The request is looked at before anything is touched.
    Validate,
    /// The parent snapshot and the machine are looked at.
    Inspect,
    /// What earlier runs left on the machine is removed.
    Sweep,
    /// The hook before the capture.
    PreSnapshot,
    /// All disks are frozen at one instant.
    Capture,
    /// The hook when the capture is there.
    OnSnapshot,
    /// Disks are read and stored.
    Transfer,
    /// The platform says whether all that was read is of the one instant.
    Confirm,
    /// The snapshot is recorded.
    Record,
    /// The capture ends.
    Release,
    /// The hook after everything.
    PostSnapshot,
    /// The hook before a recovery.
    PreRecovery,
    /// Places for the disks are made.
    Build,
    /// Disks are written.
    Restore,
    /// Disks are read back and compared.
    Verify,
    /// The hooks inside the restored disks.
    EndRecovery,
    /// The platform is told of the machine.
    Define,
    /// The machine is started.
    Start,
    /// The hook after a recovery.
    PostRecovery,
    /// What made room is removed.
    Keep,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wait => "wait",
            Self::Validate => "validate",
            Self::Inspect => "inspect",
            Self::Sweep => "sweep",
            Self::PreSnapshot => "pre_snapshot",
            Self::Capture => "capture",
            Self::OnSnapshot => "on_snapshot",
            Self::Transfer => "transfer",
            Self::Confirm => "confirm",
            Self::Record => "record",
            Self::Release => "release",
            Self::PostSnapshot => "post_snapshot",
            Self::PreRecovery => "pre_recovery",
            Self::Build => "build",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::EndRecovery => "end_recovery",
            Self::Define => "define",
            Self::Start => "start",
            Self::PostRecovery => "post_recovery",
            Self::Keep => "keep",
        })
    }
}

/// Is told what happens, from the thread that does it.
pub trait Watch: Send + Sync {
    /// A step begins.
    fn step(&self, vm: &VmName, step: Step);

    /// Something worth knowing was seen.
    fn finding(&self, vm: &VmName, finding: &Finding);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Watch for Quiet {
    fn step(&self, _vm: &VmName, _step: Step) {}

    fn finding(&self, _vm: &VmName, _finding: &Finding) {}
}
