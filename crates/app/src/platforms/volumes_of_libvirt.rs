//! Machines of libvirt whose disks are logical volumes: snapshots by LVM, all else by libvirt.

use std::sync::Arc;

use lifeboat_libvirt::Libvirt;
use lifeboat_lvm::{Lvm, Machine, Sort};
use lifeboat_platform::{
    Builder, Capture, CaptureRequest, CheckpointId, Executed, Finding, GuestCommand, Inventory,
    LiveMachines, Origin, Platform, Quiescer, Result, SnapshotRules, Vm, VmId,
};

/// The machines of a libvirt, captured by snapshots of their volumes while libvirt keeps them
/// still.
pub(super) struct VolumesOfLibvirt {
    pub(super) libvirt: Arc<Libvirt>,
    pub(super) rules: SnapshotRules,
}

impl VolumesOfLibvirt {
    fn over(&self, vms: Vec<Vm>) -> Result<Lvm> {
        let machines = vms.into_iter().map(|vm| {
            let files = self.libvirt.describe(&vm.id)?;
            Ok(Machine { vm, files })
        });
        let machines = machines.collect::<Result<Vec<_>>>()?;
        let lvm = super::on_volumes(Sort::LvmLibvirt, machines, self.rules);
        Ok(lvm.quiesced_by(Arc::clone(&self.libvirt) as Arc<dyn Quiescer>))
    }

    /// One machine, as it is now.
    fn of(&self, vm: &VmId) -> Result<Lvm> {
        let mut vms = self.libvirt.inventory()?.vms;
        vms.retain(|it| it.id == *vm);
        self.over(vms)
    }
}

impl Platform for VolumesOfLibvirt {
    fn kind(&self) -> &'static str {
        Sort::LvmLibvirt.as_str()
    }

    fn place(&self) -> String {
        format!("lvm+{}", self.libvirt.place())
    }

    fn inventory(&self) -> Result<Inventory> {
        let found = self.libvirt.inventory()?;
        let mut inventory = self.over(found.vms)?.inventory()?;
        inventory.findings.splice(..0, found.findings);
        Ok(inventory)
    }

    fn sweep(&self, vm: &VmId, origin: &Origin, wanted: &[CheckpointId]) -> Result<Vec<Finding>> {
        self.of(vm)?.sweep(vm, origin, wanted)
    }

    fn preview(&self, vm: &VmId, disks: &[lifeboat_model::DiskName]) -> Result<Vec<String>> {
        self.of(vm)?.preview(vm, disks)
    }

    fn begin_capture(&self, request: &CaptureRequest) -> Result<Box<dyn Capture>> {
        self.of(&request.vm)?.begin_capture(request)
    }

    fn execute(&self, vm: &VmId, command: &GuestCommand) -> Result<Executed> {
        self.libvirt.execute(vm, command)
    }

    fn builder(&self) -> Option<&dyn Builder> {
        self.libvirt.builder()
    }

    fn live(&self) -> Option<&dyn LiveMachines> {
        self.libvirt.live()
    }
}
