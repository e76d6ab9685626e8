//! What the caller tells: machines, and of what sort they are.

use lifeboat_platform::{DescribingFile, Vm};

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
