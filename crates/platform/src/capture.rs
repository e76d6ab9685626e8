//! The platform's frozen view of a machine during one run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_disk::{DiskReader, ImageFormat};
use lifeboat_model::{ByteCount, DiskName, ExtentSet, VmName};

use crate::{CheckpointId, Finding, Origin, Result, VmId};

/// Whether the guest's file systems are frozen at the instant of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Quiesce {
    /// Never.
    Never,
    /// If the guest can; else the capture is crash consistent and a finding says why.
    #[default]
    IfPossible,
    /// Else the capture fails.
    Required,
}

/// What an earlier snapshot knows about a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The mark that was made at its instant.
    pub checkpoint: CheckpointId,
    /// The disk's size then, in bytes.
    pub size: u64,
}

/// What is wanted of a capture.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// The machine.
    pub vm: VmId,
    /// The disks; none stands for all that are not passed over.
    pub disks: Vec<DiskName>,
    /// What the parent snapshot knows, by disk; a disk without is read as a whole.
    pub since: BTreeMap<DiskName, Since>,
    /// The mark to make for the next run; nothing makes none.
    pub checkpoint: Option<CheckpointId>,
    /// For whom it is made.
    pub origin: Origin,
    /// Whether to freeze the guest.
    pub quiesce: Quiesce,
    /// The longest time the guest may stay frozen, whatever happens; at most 10 s.
    pub freeze_max: Duration,
    /// Where the platform keeps what the guest overwrites meanwhile; nothing stands for its
    /// usual place.
    pub scratch: Option<PathBuf>,
    /// Bytes that must be free there before the capture begins; nothing stands for a tenth of
    /// the disks.
    pub scratch_bytes_min: Option<ByteCount>,
}

/// What the captured bytes are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Applications had brought their data in order.
    Application,
    /// File systems were frozen.
    Filesystem,
    /// As after a loss of power.
    Crash,
    /// The machine was not running.
    Offline,
}

impl Consistency {
    /// The word that manifests keep.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Filesystem => "filesystem",
            Self::Crash => "crash",
            Self::Offline => "offline",
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What can differ from the parent snapshot.
#[derive(Clone, Debug)]
pub enum CapturedChange {
    /// Anything.
    Everything {
        /// Why, in words for people: "the bitmap is missing", "raw disks have no bitmaps".
        reason: String,
    },
    /// Only these bytes, since the mark that was asked for.
    Since {
        /// Changed bytes of the guest's view; may be larger than the truth, never smaller.
        changed: ExtentSet,
    },
}

/// One disk of a capture.
pub struct CapturedDisk {
    /// The name inside the machine.
    pub name: DiskName,
    /// How the platform keeps it.
    pub format: ImageFormat,
    /// Its bytes at the instant of the capture; readable until `finish`.
    ///
    /// What cannot be read is an error, never zeros.
    pub reader: Arc<dyn DiskReader>,
    /// What can differ.
    pub change: CapturedChange,
    /// The mark from which the next run can ask for changes of this disk.
    pub checkpoint: Option<CheckpointId>,
}

/// A small file that describes the machine: its definition, its NVRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribingFile {
    /// Its name at the snapshot's root, as in `machine.xml`.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// What became of the run that asked for the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureOutcome {
    /// A snapshot with the new mark is durable: the mark stays, the one it replaces goes.
    Committed,
    /// There is no such snapshot: the new mark goes, the old one stays.
    Abandoned,
}

/// The platform's frozen view of a machine.
///
/// A capture that is dropped is abandoned.
pub trait Capture: Send {
    /// The machine's name at the instant.
    fn name(&self) -> &VmName;

    /// The instant.
    fn captured_at(&self) -> Timestamp;

    /// What the bytes are worth.
    fn consistency(&self) -> Consistency;

    /// The disks, in the machine's own order.
    fn disks(&self) -> &[CapturedDisk];

    /// What describes the machine.
    fn files(&self) -> &[DescribingFile];

    /// What was noticed so far.
    fn findings(&self) -> &[Finding];

    /// Says whether all that was read is the view of the one instant: to be asked when the last
    /// byte was read, before anything is committed.
    ///
    /// Errors: the view was lost meanwhile (a full scratch, an overflowed snapshot, a machine
    /// that died): nothing that was read may be kept.
    fn confirm(&mut self) -> Result<()>;

    /// Ends the view and removes everything that was made for it.
    ///
    /// Errors: something could not be removed; the next `sweep` will try again. What was
    /// committed stays good.
    fn finish(self: Box<Self>, outcome: CaptureOutcome) -> Result<Vec<Finding>>;
}
