//! Making machines in memory.

use std::sync::Arc;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_model::{DiskName, ErrorKind, VmName};
use lifeboat_platform::{
    Build, BuildPlan, BuildRequest, Builder, Error, Finding, LocalDisk, Occupied, Placement,
    PlannedDisk, Replaced, Result, VmId, VmState,
};

use super::{FakePlatform, Kept, Machine, Memory, PlatformFault};
use crate::MemoryTarget;

impl FakePlatform {
    fn id_of(&self, name: &VmName) -> Option<VmId> {
        let world = self.lock();
        let mut all = world.machines.iter();
        all.find(|(_, machine)| machine.name == *name)
            .map(|(id, _)| id.clone())
    }
}

impl Builder for FakePlatform {
    fn plan(&self, request: &BuildRequest) -> Result<BuildPlan> {
        let old = self.id_of(&request.name);
        let replaced = match (old, request.occupied) {
            (Some(_), Occupied::Refuse) => {
                let error = Error::new(ErrorKind::Exists, "making", request.name.as_str());
                return Err(error.seen("there is one already"));
            }
            (Some(id), Occupied::SetAside) => {
                let aside = format!("{}-before", request.name);
                let aside = aside.parse().map_err(|_| {
                    Error::new(ErrorKind::Invalid, "setting aside", request.name.as_str())
                })?;
                Some(Replaced { id, aside })
            }
            (None, _) => None,
        };
        let disks = request.disks.iter().map(|disk| PlannedDisk {
            name: disk.name.clone(),
            size: disk.size,
            format: disk.format.unwrap_or(ImageFormat::Raw),
            placement: disk.placement.clone(),
            place: format!("memory of {}", disk.name),
        });
        Ok(BuildPlan {
            name: request.name.clone(),
            definition: format!("a machine called {}", request.name),
            files: Vec::new(),
            disks: disks.collect(),
            replaced,
            steps: vec![format!("define {}", request.name)],
            findings: Vec::new(),
        })
    }

    fn begin(&self, plan: &BuildPlan) -> Result<Box<dyn Build>> {
        if let Some(replaced) = &plan.replaced {
            self.rename(replaced.id.as_str(), &replaced.aside);
        }
        let disks = plan.disks.iter();
        Ok(Box::new(FakeBuild {
            platform: self.clone(),
            plan: plan.clone(),
            disks: disks
                .map(|disk| {
                    (
                        disk.name.clone(),
                        Arc::new(MemoryTarget::of_rubbish(disk.size)),
                    )
                })
                .collect(),
            made: None,
            is_over: false,
        }))
    }
}

struct FakeBuild {
    platform: FakePlatform,
    plan: BuildPlan,
    disks: Vec<(DiskName, Arc<MemoryTarget>)>,
    made: Option<VmId>,
    is_over: bool,
}

impl FakeBuild {
    fn target(&self, name: &DiskName) -> Option<Arc<MemoryTarget>> {
        let mut all = self.disks.iter();
        all.find(|(known, _)| known == name)
            .map(|(_, target)| Arc::clone(target))
    }

    fn put_back(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        if let Some(id) = self.made.take() {
            self.platform.lock().machines.remove(&id);
        }
        if let Some(replaced) = &self.plan.replaced {
            self.platform.rename(replaced.id.as_str(), &self.plan.name);
        }
    }

    fn failed(&self, doing: &'static str) -> Option<Error> {
        let fault = self.platform.lock().fault;
        let error = Error::new(ErrorKind::Io, doing, self.plan.name.as_str());
        (fault == Some(PlatformFault::Define)).then(|| error.seen("the platform refused"))
    }
}

impl Drop for FakeBuild {
    fn drop(&mut self) {
        self.put_back();
    }
}

impl Build for FakeBuild {
    fn disk(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskWriter>>> {
        Ok(self
            .target(name)
            .map(|target| target as Arc<dyn DiskWriter>))
    }

    fn read_back(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskReader>>> {
        let target = self.target(name);
        Ok(target.map(|target| Arc::new(Memory(target.bytes())) as Arc<dyn DiskReader>))
    }

    fn local(&self, name: &DiskName) -> Option<LocalDisk> {
        let planned = self.plan.disks.iter().find(|it| it.name == *name)?;
        let is_remote = matches!(planned.placement, Placement::Remote(_));
        (!is_remote).then(|| LocalDisk {
            path: format!("/memory/{name}").into(),
            format: planned.format,
            size: planned.size,
        })
    }

    fn define(&mut self) -> Result<VmId> {
        if let Some(error) = self.failed("defining") {
            return Err(error);
        }
        let disks = self.disks.iter().map(|(name, target)| {
            let planned = self.plan.disks.iter().find(|disk| disk.name == *name);
            let remote = planned.and_then(|disk| match &disk.placement {
                Placement::Remote(uri) => Some(uri.clone()),
                _ => None,
            });
            let kept = Kept {
                bytes: match remote {
                    Some(_) => Vec::new(),
                    None => target.bytes(),
                },
                place: remote,
                ..Kept::default()
            };
            (name.clone(), kept)
        });
        let machine = Machine {
            name: self.plan.name.clone(),
            state: VmState::Off,
            tags: std::collections::BTreeMap::new(),
            disks: disks.collect(),
        };
        let mut world = self.platform.lock();
        let id = VmId::new(format!("made-{}", world.machines.len()));
        world.machines.insert(id.clone(), machine);
        drop(world);
        self.made = Some(id.clone());
        Ok(id)
    }

    fn start(&mut self) -> Result<()> {
        if let Some(id) = &self.made {
            self.platform.set_state(id.as_str(), VmState::Running);
        }
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<Vec<Finding>> {
        self.is_over = true;
        if let Some(replaced) = &self.plan.replaced {
            self.platform.lock().machines.remove(&replaced.id);
        }
        Ok(Vec::new())
    }

    fn undo(mut self: Box<Self>) -> Result<Vec<Finding>> {
        self.put_back();
        Ok(Vec::new())
    }
}
