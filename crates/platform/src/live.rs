//! Machines that run from a disk elsewhere until they are moved or removed.

use lifeboat_model::VmName;

use crate::{BuildDisk, Finding, PlannedDisk, Result, VmId};

/// How far a move is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that are at the new place.
    pub done: u64,
    /// Bytes that must be; grows while the machine writes.
    pub end: u64,
}

impl Moved {
    /// Whether the machine can go over.
    pub fn is_ready(self) -> bool {
        self.end > 0 && self.done == self.end
    }
}

/// A disk of a running machine on its way to its final place.
///
/// One that is dropped goes on: both places are kept equal until it is ended.
pub trait Promotion: Send {
    /// Says how far it is.
    ///
    /// Errors: the copy ended by itself, as when its target is full; the machine stays where it
    /// was.
    fn progress(&self) -> Result<Moved>;

    /// Lets the machine go over.
    ///
    /// Errors: `Busy` while it is not ready; then it goes on.
    fn finish(&self) -> Result<()>;

    /// Gives up: the machine stays where it was, the copy is removed.
    fn give_up(&self) -> Result<()>;
}

/// The side of a platform that moves disks of running machines.
pub trait LiveMachines: Send + Sync {
    /// Says where a disk would go.
    ///
    /// Errors: `Exists`, `NotFound` for a pool, `Full`.
    fn plan_disk(&self, vm: &VmName, disk: &BuildDisk) -> Result<PlannedDisk>;

    /// Begins to move a disk of a running machine, while it runs.
    ///
    /// Errors: `Exists` for a place that is taken; `Busy` if a job runs on the disk.
    fn begin_promotion(&self, vm: &VmId, disk: &PlannedDisk) -> Result<Box<dyn Promotion>>;

    /// A move that a process that is gone began, if it still goes on.
    ///
    /// Errors: `Busy` if something else runs on the disk.
    fn find_promotion(&self, vm: &VmId, disk: &PlannedDisk) -> Result<Option<Box<dyn Promotion>>>;

    /// Removes the copy that a move left which ended before the machine went over; nothing where
    /// there is none.
    ///
    /// Errors: `Busy` for a disk that a machine has.
    fn remove_copy(&self, vm: &VmName, disk: &PlannedDisk) -> Result<()>;

    /// Lets a machine go on that stopped because a disk did not answer; others stay as they are.
    ///
    /// Errors: `NotFound`.
    fn go_on(&self, vm: &VmId) -> Result<()>;

    /// Stops a machine at once and forgets it; its disks are left alone.
    ///
    /// Errors: `NotFound`.
    fn remove(&self, vm: &VmId) -> Result<Vec<Finding>>;
}
