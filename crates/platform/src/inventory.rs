//! What runs on a platform.

use std::collections::BTreeMap;
use std::fmt;

use lifeboat_disk::ImageFormat;
use lifeboat_model::{DiskName, VmName};

use crate::Finding;

/// The platform's own id of a machine, which stays when it is renamed: a UUID, a number, a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(String);

impl VmId {
    /// Takes it as the platform writes it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the platform writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmState {
    /// Its processors run.
    Running,
    /// It is there, and its processors stand still.
    Paused,
    /// It is not running.
    Off,
    /// On its way between the others, or broken: no capture can begin.
    Unsettled,
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Off => "off",
            Self::Unsettled => "unsettled",
        })
    }
}

/// A machine as the platform lists it.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The platform's id.
    pub id: VmId,
    /// The name people use.
    pub name: VmName,
    /// Whether it runs.
    pub state: VmState,
    /// One line that people wrote about it, if any.
    pub title: Option<String>,
    /// What rules can select by: keys and values that people gave it.
    pub tags: BTreeMap<String, String>,
    /// Its disks, in its own order.
    pub disks: Vec<VmDisk>,
}

/// A disk of a machine.
#[derive(Clone, Debug)]
pub struct VmDisk {
    /// The name inside the machine.
    pub name: DiskName,
    /// Bytes of the guest's view, where the platform tells without opening it.
    pub size: Option<u64>,
    /// How it is kept, as the platform states it.
    pub format: Option<ImageFormat>,
    /// Where it is kept, for people: a path, a volume, a URI.
    pub place: String,
    /// Why it is not captured unless asked for by name: removable, shared, read-only.
    pub passed_over: Option<String>,
}

/// All machines of a platform.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// In the order of names.
    pub vms: Vec<Vm>,
    /// Machines that cannot be protected, and why.
    pub findings: Vec<Finding>,
}
