//! The platform: which volumes belong to whom, sweeping, capturing, building.

use std::path::Path;
use std::sync::Arc;

use lifeboat_disk::ImageFormat;
use lifeboat_model::{Clock, DiskName, Entropy, ErrorKind};
use lifeboat_platform::{
    Builder, Capture, CaptureRequest, CheckpointId, Error, Finding, Inventory, Origin, Platform,
    Quiescer, Result, SnapshotRules, Vm, VmDisk, VmId,
};

use crate::machine::{Machine, Sort};
use crate::report::{Volume, VolumeKind};
use crate::sweep;
use crate::system::System;
use crate::take::{self, Place};
use crate::tools::Tools;

/// What is said of a computer on which no volume is mounted.
const NO_VOLUMES: &str = "no logical volume is mounted; name its disks, as in self:vg0/root or \
    self:/dev/sda1";

/// By which the adapter reaches the world.
#[derive(Clone, Debug)]
pub struct Doors {
    /// This computer.
    pub system: Arc<dyn System>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for names.
    pub entropy: Arc<dyn Entropy>,
}

/// Machines on volumes of this computer.
pub struct Lvm {
    pub(crate) sort: Sort,
    pub(crate) machines: Vec<Machine>,
    pub(crate) rules: SnapshotRules,
    pub(crate) doors: Doors,
    pub(crate) quiescer: Option<Arc<dyn Quiescer>>,
    pub(crate) tools: Tools,
}

impl Lvm {
    /// An adapter for these machines, which nobody freezes.
    pub fn new(sort: Sort, mut machines: Vec<Machine>, rules: SnapshotRules, doors: Doors) -> Self {
        machines.sort_by(|a, b| a.vm.name.cmp(&b.vm.name));
        Self {
            sort,
            machines,
            rules,
            tools: Tools::new(Arc::clone(&doors.system)),
            doors,
            quiescer: None,
        }
    }

    /// The same with somebody who keeps machines still around the instant.
    pub fn quiesced_by(self, quiescer: Arc<dyn Quiescer>) -> Self {
        Self {
            quiescer: Some(quiescer),
            ..self
        }
    }

    fn machine(&self, id: &VmId) -> Result<&Machine> {
        let missing = || {
            Error::new(ErrorKind::NotFound, "looking for the machine", id.as_str())
                .seen("it is not among the configured ones")
        };
        self.machines
            .iter()
            .find(|it| it.vm.id == *id)
            .ok_or_else(missing)
    }

    /// All volumes, where the sort looks for any.
    pub(crate) fn volumes(&self) -> Result<Vec<Volume>> {
        match self.sort {
            Sort::Plain => Ok(Vec::new()),
            Sort::LvmLibvirt | Sort::LvmHost | Sort::SelfHost => self.tools.volumes(),
        }
    }

    /// Where a disk is: its volume, or nothing where the sort allows a device or file.
    fn place<'a>(&self, disk: &'a VmDisk, all: &'a [Volume]) -> Result<Place<'a>> {
        let volume = self.volume_at(Path::new(&disk.place), all);
        let needs_volume = matches!(self.sort, Sort::LvmLibvirt | Sort::LvmHost);
        let refused = |kind, seen: String| {
            let object = format!("disk {} at {}", disk.name, disk.place);
            Err(Error::new(kind, "finding the volume of", object).seen(seen))
        };
        match volume {
            None if needs_volume => refused(
                ErrorKind::NotFound,
                "it is no logical volume of this computer; name it by /dev/GROUP/VOLUME or use \
                 the sort plain"
                    .to_owned(),
            ),
            Some(volume) if !matches!(volume.kind, VolumeKind::Classic | VolumeKind::Thin) => {
                let seen = "is a snapshot, a pool or being converted; name a plain or thin volume";
                refused(ErrorKind::Unsupported, format!("{} {seen}", volume.name))
            }
            volume => Ok(Place { disk, volume }),
        }
    }

    /// Where the wanted disks are.
    fn places<'a>(
        &self,
        machine: &'a Machine,
        wanted: &[DiskName],
        all: &'a [Volume],
    ) -> Result<Vec<Place<'a>>> {
        let disks = chosen(&machine.vm, wanted)?;
        if disks.is_empty() {
            let error = Error::new(ErrorKind::NotFound, "capturing", machine.vm.name.as_str());
            return Err(error.seen(match self.sort {
                Sort::SelfHost => NO_VOLUMES,
                _ => "it has no disks",
            }));
        }
        disks.into_iter().map(|it| self.place(it, all)).collect()
    }

    pub(crate) fn volume_at<'a>(&self, path: &Path, all: &'a [Volume]) -> Option<&'a Volume> {
        let named = all
            .iter()
            .find(|it| it.path == path || it.mapper_path == path);
        named.or_else(|| {
            let number = self.doors.system.device_number(path)?;
            all.iter().find(|it| it.device == Some(number))
        })
    }
}

/// The disks that are wanted, in the machine's order.
fn chosen<'a>(vm: &'a Vm, wanted: &[DiskName]) -> Result<Vec<&'a VmDisk>> {
    let unknown = wanted
        .iter()
        .find(|name| vm.disks.iter().all(|it| it.name != **name));
    if let Some(name) = unknown {
        let object = format!("disk {name} of {}", vm.name);
        return Err(Error::new(ErrorKind::NotFound, "looking for", object));
    }
    let is_chosen = |disk: &&VmDisk| match wanted {
        [] => disk.passed_over.is_none(),
        names => names.contains(&disk.name),
    };
    Ok(vm.disks.iter().filter(is_chosen).collect())
}

impl Platform for Lvm {
    fn kind(&self) -> &'static str {
        self.sort.as_str()
    }

    fn place(&self) -> String {
        "this computer's volumes".to_owned()
    }

    fn inventory(&self) -> Result<Inventory> {
        let all = self.volumes()?;
        let mut inventory = Inventory::default();
        for machine in &self.machines {
            let mut vm = machine.vm.clone();
            for disk in &mut vm.disks {
                let volume = self.volume_at(Path::new(&disk.place), &all);
                let is_raw = disk.format.is_none_or(|it| it == ImageFormat::Raw);
                if let Some(volume) = volume.filter(|_| is_raw) {
                    disk.size = Some(volume.size);
                }
                if let Err(error) = self.place(disk, &all) {
                    let text = format!("{}: {error}", vm.name);
                    inventory.findings.push(Finding::warning(text));
                }
            }
            if vm.disks.is_empty() && self.sort == Sort::SelfHost {
                let text = format!("{}: {NO_VOLUMES}", vm.name);
                inventory.findings.push(Finding::warning(text));
            }
            inventory.vms.push(vm);
        }
        Ok(inventory)
    }

    fn sweep(&self, vm: &VmId, origin: &Origin, wanted: &[CheckpointId]) -> Result<Vec<Finding>> {
        let machine = self.machine(vm)?;
        let all = self.volumes()?;
        let places = machine.vm.disks.iter().map(|it| Path::new(&it.place));
        let mine: Vec<&Volume> = places.filter_map(|it| self.volume_at(it, &all)).collect();
        let mut findings = match &self.quiescer {
            Some(quiescer) => quiescer.let_go(vm, origin)?,
            None => Vec::new(),
        };
        findings.extend(sweep::sweep(&self.tools, (&mine, &all), origin, wanted)?);
        Ok(findings)
    }

    fn preview(&self, vm: &VmId, disks: &[DiskName]) -> Result<Vec<String>> {
        let all = self.volumes()?;
        let places = self.places(self.machine(vm)?, disks, &all)?;
        take::preview(self, (&places, &all))
    }

    fn begin_capture(&self, request: &CaptureRequest) -> Result<Box<dyn Capture>> {
        let machine = self.machine(&request.vm)?;
        let all = self.volumes()?;
        let places = self.places(machine, &request.disks, &all)?;
        take::capture(self, machine, request, (&places, &all))
    }

    fn builder(&self) -> Option<&dyn Builder> {
        Some(self)
    }
}
