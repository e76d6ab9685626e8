//! Machines on remote disks: moved to their final place while they run, or removed.

use lifeboat_model::VmName;
use lifeboat_platform::{
    BuildDisk, Finding, LiveMachines, Moved, PlannedDisk, Promotion, Result, VmId,
};

use super::{LibvirtBuilder, place, promote};
use crate::binding::{DomainState, Undefining};

impl LiveMachines for LibvirtBuilder {
    fn plan_disk(&self, vm: &VmName, disk: &BuildDisk) -> Result<PlannedDisk> {
        let (connection, host) = (self.access.connection()?, self.access.host()?);
        place::plan((&connection, host.as_ref()), vm, disk)
    }

    fn begin_promotion(&self, vm: &VmId, disk: &PlannedDisk) -> Result<Box<dyn Promotion>> {
        let begun = promote::promote(&self.access, vm, &disk.name, disk)?;
        Ok(Box::new(begun))
    }

    fn go_on(&self, vm: &VmId) -> Result<()> {
        let domain = self.access.domain(vm)?;
        let state = domain.state();
        let state = state.map_err(|failure| failure.of("looking at", vm.as_str()))?;
        if state != (DomainState::Paused { by_error: true }) {
            return Ok(());
        }
        let resumed = domain.resume();
        resumed.map_err(|failure| failure.of("letting go on", vm.as_str()))
    }

    fn remove(&self, vm: &VmId) -> Result<Vec<Finding>> {
        let domain = self.access.domain(vm)?;
        if domain.number().is_some() {
            let stopped = domain.switch_off();
            stopped.map_err(|failure| failure.of("stopping", vm.as_str()))?;
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
