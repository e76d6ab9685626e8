//! Making a machine from its definition and its disks.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_model::{DiskName, VmName};

use crate::{DescribingFile, Finding, Result, VmId};

/// Whether the new machine is the old one to the outside: UUID and MAC addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Identity {
    /// Kept where no other machine has them, new ones else.
    #[default]
    KeepIfFree,
    /// Always new.
    New,
    /// Always kept; two machines with the same ones are refused.
    Keep,
}

/// What happens to a machine of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Occupied {
    /// The plan fails.
    #[default]
    Refuse,
    /// It is stopped, renamed and kept until the new one is proven; put back on failure.
    SetAside,
}

/// A network or bridge of the old place and the one to use instead; nothing disconnects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkMapping {
    /// As the definition names it.
    pub from: String,
    /// As it is called here.
    pub to: Option<String>,
}

/// Where a disk of the new machine goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Into a pool, volume group or storage domain, under a name that the platform chooses.
    Pool(String),
    /// Into a folder.
    Folder(PathBuf),
    /// To just this file or device.
    Exact(PathBuf),
    /// Nowhere: the machine reads and writes it there, at this NBD URI.
    Remote(String),
}

/// A disk of the new machine.
#[derive(Clone, Debug)]
pub struct BuildDisk {
    /// The name inside the machine.
    pub name: DiskName,
    /// Bytes of the guest's view.
    pub size: u64,
    /// How it will be kept; nothing stands for what suits the place.
    pub format: Option<ImageFormat>,
    /// Where it goes.
    pub placement: Placement,
}

/// The machine that is wanted.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Its name.
    pub name: VmName,
    /// What described the captured machine.
    pub files: Vec<DescribingFile>,
    /// Its disks; disks of the definition that are not named here are left out, with a finding.
    pub disks: Vec<BuildDisk>,
    /// Networks by another name.
    pub networks: Vec<NetworkMapping>,
    /// UUID and MAC addresses.
    pub identity: Identity,
    /// What happens to a machine of the same name.
    pub occupied: Occupied,
}

/// Where a disk will go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDisk {
    /// The name inside the machine.
    pub name: DiskName,
    /// Bytes of the guest's view.
    pub size: u64,
    /// How it will be kept.
    pub format: ImageFormat,
    /// Where.
    pub placement: Placement,
    /// As shown to people.
    pub place: String,
}

/// A machine that will be set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its id.
    pub id: VmId,
    /// Its name while it is kept aside.
    pub aside: VmName,
}

/// What building will do; nothing has been done yet.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    /// The new machine's name.
    pub name: VmName,
    /// The new definition, in the platform's own form.
    pub definition: String,
    /// Other files of the definition that will be written, as NVRAM.
    pub files: Vec<DescribingFile>,
    /// Where each disk goes.
    pub disks: Vec<PlannedDisk>,
    /// The machine that makes room.
    pub replaced: Option<Replaced>,
    /// Every step in one line each, for people.
    pub steps: Vec<String>,
    /// What will differ from the captured machine.
    pub findings: Vec<Finding>,
}

/// A disk as a file or device of this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDisk {
    /// The file or device.
    pub path: PathBuf,
    /// How it is kept there.
    pub format: ImageFormat,
    /// Bytes of the guest's view.
    pub size: u64,
}

/// The side of a platform that makes machines.
pub trait Builder: Send + Sync {
    /// Says what building would do, and whether it can.
    ///
    /// Errors: `Exists`, `NotFound` for pools and networks, `Full`, `Invalid` definitions.
    fn plan(&self, request: &BuildRequest) -> Result<BuildPlan>;

    /// Takes back what a build of this name left whose process died. A machine that it had
    /// defined stays.
    ///
    /// Errors: `Busy` if that process lives; what could not be taken back.
    fn clear(&self, name: &VmName) -> Result<Vec<Finding>> {
        let _ = name;
        Ok(Vec::new())
    }

    /// Whether it defines and starts machines, or makes their disks only.
    fn makes_machines(&self) -> bool {
        true
    }

    /// Makes room and creates the disks, exactly as planned.
    ///
    /// Errors: whatever changed since the plan; then nothing is left behind.
    fn begin(&self, plan: &BuildPlan) -> Result<Box<dyn Build>>;
}

/// A machine on its way into being. One that is dropped is undone.
pub trait Build: Send {
    /// Opens a disk for writing; nothing for one that stays remote.
    fn disk(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskWriter>>>;

    /// Opens a finished disk for reading, to be compared; nothing where that is not possible.
    fn read_back(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskReader>>> {
        let _ = name;
        Ok(None)
    }

    /// Where a disk lies on this computer, for work inside it between its end and `define`;
    /// nothing where it lies elsewhere.
    fn local(&self, name: &DiskName) -> Option<LocalDisk> {
        let _ = name;
        None
    }

    /// Defines the machine, when all disks are finished.
    fn define(&mut self) -> Result<VmId>;

    /// Starts it.
    fn start(&mut self) -> Result<()>;

    /// The machine is proven: removes what was set aside, if anything was.
    fn keep(self: Box<Self>) -> Result<Vec<Finding>>;

    /// Removes the new machine and its disks, and puts back what was set aside.
    fn undo(self: Box<Self>) -> Result<Vec<Finding>>;
}
