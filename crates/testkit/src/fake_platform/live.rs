//! Machines in memory that are moved while they run.

use lifeboat_disk::ImageFormat;
use lifeboat_model::{DiskName, ErrorKind, VmName};
use lifeboat_platform::{
    BuildDisk, Error, Finding, LiveMachines, Moved, PlannedDisk, Promotion, Result, VmId,
};

use super::{FakePlatform, PlatformFault};

impl LiveMachines for FakePlatform {
    fn plan_disk(&self, vm: &VmName, disk: &BuildDisk) -> Result<PlannedDisk> {
        Ok(PlannedDisk {
            name: disk.name.clone(),
            size: disk.size,
            format: ImageFormat::Raw,
            placement: disk.placement.clone(),
            place: format!("/moved/{vm}/{}", disk.name),
        })
    }

    fn begin_promotion(&self, vm: &VmId, disk: &PlannedDisk) -> Result<Box<dyn Promotion>> {
        self.lock().events.push(format!("promote {}", disk.name));
        Ok(Box::new(FakePromotion {
            platform: self.clone(),
            vm: vm.clone(),
            disk: disk.name.clone(),
            place: disk.place.clone(),
        }))
    }

    fn find_promotion(&self, _vm: &VmId, _: &PlannedDisk) -> Result<Option<Box<dyn Promotion>>> {
        Ok(None)
    }

    fn remove_copy(&self, _vm: &VmName, disk: &PlannedDisk) -> Result<()> {
        let event = format!("remove the copy {}", disk.place);
        self.lock().events.push(event);
        Ok(())
    }

    fn go_on(&self, _vm: &VmId) -> Result<()> {
        self.lock().events.push("go on".to_owned());
        Ok(())
    }

    fn remove(&self, vm: &VmId) -> Result<Vec<Finding>> {
        let mut world = self.lock();
        world.events.push("remove".to_owned());
        let removed = world.machines.remove(vm);
        let missing = || Error::new(ErrorKind::NotFound, "removing", vm.as_str());
        removed.map(|_| Vec::new()).ok_or_else(missing)
    }
}

struct FakePromotion {
    platform: FakePlatform,
    vm: VmId,
    disk: DiskName,
    place: String,
}

impl Promotion for FakePromotion {
    fn progress(&self) -> Result<Moved> {
        Ok(Moved { done: 7, end: 7 })
    }

    fn finish(&self) -> Result<()> {
        if self.platform.lock().fault != Some(PlatformFault::Promote) {
            self.platform
                .set_place(self.vm.as_str(), &self.disk, &self.place);
        }
        Ok(())
    }

    fn give_up(&self) -> Result<()> {
        Ok(())
    }
}
