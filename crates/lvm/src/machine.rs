//! What the caller tells: machines, rules, and who freezes them.

use lifeboat_model::ByteCount;
use lifeboat_platform::{CaptureRequest, Consistency, DescribingFile, Finding, Result, Vm};

use crate::Percent;

/// What sort of machines an adapter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Virtual machines of libvirt; every disk is a volume.
    LvmLibvirt,
    /// A hypervisor itself; its disks are the named volumes of this computer.
    LvmHost,
    /// This computer: volumes by snapshots, every other device or file as it is.
    SelfHost,
    /// Devices and files as they are, without any snapshot.
    Plain,
}

impl Sort {
    /// The word that manifests and configurations keep.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LvmLibvirt => "lvm_libvirt",
            Self::LvmHost => "lvm_host",
            Self::SelfHost => "self",
            Self::Plain => "plain",
        }
    }
}

/// A machine and where its disks are.
#[derive(Clone, Debug)]
pub struct Machine {
    /// As its own platform lists it; the places of its disks are paths of devices or files.
    pub vm: Vm,
    /// What describes it.
    pub files: Vec<DescribingFile>,
}

/// How large the store of a classic snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreSize {
    /// That share of its origin.
    Share(Percent),
    /// That many bytes.
    Bytes(ByteCount),
    /// All that is free in the group, shared among the machine's volumes by their size.
    AllFree,
}

/// Whether classic volumes keep a snapshot from one run to the next, which tells what changed
/// and occupies its store all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ThickIncrements {
    /// Every backup reads the whole volume.
    #[default]
    Off,
    /// A snapshot stays.
    Kept,
}

/// Rules for snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How large stores are made.
    pub store_size: StoreSize,
    /// The smallest store; none needs more than its origin and the tables.
    pub store_bytes_min: ByteCount,
    /// Whether classic volumes keep a snapshot.
    pub thick_increments: ThickIncrements,
}

impl Default for Options {
    /// A tenth of the volume and at least 256 MiB; no kept snapshots.
    fn default() -> Self {
        Self {
            store_size: StoreSize::Share(Percent(1_000)),
            store_bytes_min: ByteCount(256 << 20),
            thick_increments: ThickIncrements::Off,
        }
    }
}

/// What a machine was like at the instant of its snapshots.
#[derive(Clone, Debug)]
pub struct Stillness {
    /// What the bytes are worth.
    pub consistency: Consistency,
    /// Whether nothing was written from the first snapshot to the last: frozen, paused or off.
    pub is_still: bool,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// Who keeps a machine still around the instant.
pub trait Quiescer: Send + Sync {
    /// Makes the machine as still as the request wants, calls `instant` exactly once, and lets
    /// the machine go on in every case, at the latest after `request.freeze_max`.
    ///
    /// Errors: what `instant` gave; if the machine must be frozen and cannot be, without having
    /// called it. A machine that went on by itself before `instant` returned was not still.
    fn around(
        &self,
        request: &CaptureRequest,
        instant: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Stillness>;
}
