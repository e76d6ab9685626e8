//! Machines on remote disks: moved to their final place while they run, or removed.

use std::time::Duration;

use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    BuildDisk, Error, Finding, LiveMachines, Moved, PlannedDisk, Promotion, Result, VmId,
};

use super::{LibvirtBuilder, place, promote};
use crate::binding::{Domain, DomainState, Undefining};

/// How long a machine may stop again and again.
const GO_ON_LIMIT: Duration = Duration::from_secs(60);
/// How long it must run to be called going on, and how often that is looked at.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

impl LibvirtBuilder {
    /// Whether a disk's error stops the machine, now or within a second.
    fn stands_still(&self, domain: &Domain, vm: &VmId) -> Result<bool> {
        for _ in 0..LOOKS {
            let state = domain.state();
            let state = state.map_err(|failure| failure.of("looking at", vm.as_str()))?;
            match state {
                DomainState::Paused { by_error: true } => return Ok(true),
                DomainState::Running => self.access.clock.sleep(LOOK_PAUSE),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }
}

impl LiveMachines for LibvirtBuilder {
    fn plan_disk(&self, vm: &VmName, disk: &BuildDisk) -> Result<PlannedDisk> {
        let (connection, host) = (self.access.connection()?, self.access.host()?);
        place::plan((&connection, host.as_ref()), vm, disk)
    }

    fn begin_promotion(&self, vm: &VmId, disk: &PlannedDisk) -> Result<Box<dyn Promotion>> {
        let begun = promote::promote(&self.access, vm, &disk.name, disk)?;
        Ok(Box::new(begun))
    }

    fn find_promotion(&self, vm: &VmId, disk: &PlannedDisk) -> Result<Option<Box<dyn Promotion>>> {
        let found = promote::find(&self.access, vm, disk)?;
        Ok(found.map(|it| Box::new(it) as Box<dyn Promotion>))
    }

    fn remove_copy(&self, vm: &VmName, disk: &PlannedDisk) -> Result<()> {
        promote::remove_copy(&self.access, vm, disk)
    }

    fn go_on(&self, vm: &VmId) -> Result<()> {
        let domain = self.access.domain(vm)?;
        let end = self.access.clock.monotonic() + GO_ON_LIMIT;
        // QEMU connects anew when it is asked for data, and fails the question that made it do
        // so: the machine stops once more for each of its disks.
        while self.stands_still(&domain, vm)? {
            if self.access.clock.monotonic() >= end {
                return Err(Error::new(ErrorKind::Io, "letting go on", vm.as_str())
                    .seen("a disk does not answer; see whether its server runs, and its log"));
            }
            let resumed = domain.resume();
            resumed.map_err(|failure| failure.of("letting go on", vm.as_str()))?;
        }
        Ok(())
    }

    fn remove(&self, vm: &VmId) -> Result<Vec<Finding>> {
        let domain = self.access.domain(vm)?;
        if domain.number().is_some()
            && let Err(failure) = domain.switch_off()
            // It may have stopped in between: what a killed run asked for is done all the same.
            && !matches!(domain.state(), Ok(DomainState::Off))
        {
            return Err(failure.of("stopping", vm.as_str()));
        }
        let gone = domain.undefine(Undefining::WithNvram);
        gone.map_err(|failure| failure.of("removing", vm.as_str()))?;
        Ok(Vec::new())
    }
}

impl Promotion for promote::Promotion {
    fn progress(&self) -> Result<Moved> {
        let promote::Promoted { done, end } = promote::Promotion::progress(self)?;
        Ok(Moved { done, end })
    }

    fn finish(&self) -> Result<()> {
        promote::Promotion::finish(self)
    }

    fn give_up(&self) -> Result<()> {
        promote::Promotion::give_up(self)
    }
}
