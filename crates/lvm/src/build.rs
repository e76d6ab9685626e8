//! New volumes for a machine's disks, and writing onto existing ones.
//!
//! A disk goes into a volume group (`GROUP`), into a thin pool (`GROUP/POOL`), or onto just one
//! existing volume or device. Does not define machines: what is built is their disks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_model::{ByteCount, DiskName, ErrorKind, VmName};
use lifeboat_platform::{
    Build, BuildDisk, BuildPlan, BuildRequest, Builder, Error, Finding, LocalDisk, Placement,
    PlannedDisk, Result, VmId,
};

use crate::adapter::Lvm;
use crate::report::{Volume, VolumeKind};
use crate::system::System;
use crate::tools::{NewVolume, Tools};
use crate::{FullName, GroupName};

mod beginning;
mod blank;

use beginning::Beginning;
use blank::Blank;

const PLANNING: &str = "planning the disk";

/// A place for new volumes.
struct Pool {
    group: GroupName,
    /// The thin pool in the group.
    thin: Option<String>,
}

impl Pool {
    fn read(text: &str) -> Result<Self> {
        let invalid = |e: lifeboat_model::ParseError| {
            Error::new(ErrorKind::Invalid, "reading the place", text).because(e)
        };
        let (group, thin) = match text.split_once('/') {
            Some((group, thin)) => (group, Some(thin)),
            None => (text, None),
        };
        if let Some(thin) = thin {
            thin.parse::<crate::VolumeName>().map_err(invalid)?;
        }
        Ok(Self {
            group: group.parse().map_err(invalid)?,
            thin: thin.map(str::to_owned),
        })
    }
}

/// `web 1` and `vda` become `web_1-vda`: what LVM does not allow is replaced.
fn volume_name(machine: &VmName, disk: &DiskName) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    let name = format!("{machine}-{disk}");
    name.chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

impl Lvm {
    fn plan_disk(
        &self,
        machine: &VmName,
        disk: &BuildDisk,
        all: &[Volume],
    ) -> Result<(PlannedDisk, String)> {
        let refused = |kind, seen: &str| {
            let seen = seen.to_owned();
            Err(Error::new(kind, PLANNING, disk.name.as_str()).seen(seen))
        };
        if disk.format.is_some_and(|it| it != ImageFormat::Raw) {
            return refused(
                ErrorKind::Unsupported,
                "volumes and devices hold raw disks only",
            );
        }
        let (place, step) = match &disk.placement {
            Placement::Pool(text) => self.plan_volume(machine, disk, &Pool::read(text)?, all)?,
            Placement::Exact(path) => {
                self.refuse_unfit(path, (&disk.name, disk.size), all)?;
                let place = path.display().to_string();
                let step = format!("overwrite {place}");
                (place, step)
            }
            Placement::Folder(_) | Placement::Remote(_) => {
                let seen =
                    "LVM keeps disks in volume groups only; name a group, a pool or a device";
                return refused(ErrorKind::Unsupported, seen);
            }
        };
        let planned = PlannedDisk {
            name: disk.name.clone(),
            size: disk.size,
            format: ImageFormat::Raw,
            placement: disk.placement.clone(),
            place,
        };
        Ok((planned, step))
    }

    fn plan_volume(
        &self,
        machine: &VmName,
        disk: &BuildDisk,
        pool: &Pool,
        all: &[Volume],
    ) -> Result<(String, String)> {
        let failed = |kind| Error::new(kind, PLANNING, disk.name.as_str());
        let name = FullName::for_new(&pool.group, &volume_name(machine, &disk.name))
            .map_err(|e| failed(ErrorKind::Invalid).because(e))?;
        if all.iter().any(|it| it.name == name) {
            let seen = format!("the volume {name} exists; name another machine or place");
            return Err(failed(ErrorKind::Exists).seen(seen));
        }
        let group = self.tools.group(&pool.group)?;
        let size = rounded(disk.size, group.extent_size);
        if let Some(thin) = &pool.thin {
            let is_it = |it: &&Volume| {
                it.kind == VolumeKind::ThinPool
                    && it.name.group == pool.group
                    && it.name.volume.as_str() == thin
            };
            if !all.iter().any(|it| is_it(&it)) {
                let seen = format!("there is no thin pool {}/{thin}", pool.group);
                return Err(failed(ErrorKind::NotFound).seen(seen));
            }
        } else if size > group.free {
            let free = ByteCount(group.free);
            let seen = format!("it needs {} and {free} are free", ByteCount(size));
            return Err(failed(ErrorKind::Full).seen(seen));
        }
        let step = format!("create the volume {name} of {}", ByteCount(size));
        Ok((device_path(&name), step))
    }

    /// Errors: for a device that is not there, too small, in use, or a part of LVM's own.
    fn refuse_unfit(
        &self,
        path: &Path,
        (name, size): (&DiskName, u64),
        all: &[Volume],
    ) -> Result<()> {
        let place = path.display();
        let refused =
            |kind, seen: String| Err(Error::new(kind, PLANNING, name.as_str()).seen(seen));
        let Some(volume) = self.volume_at(path, all) else {
            return match self.doors.system.device_number(path) {
                Some(_) => Ok(()),
                None => refused(ErrorKind::NotFound, format!("{place} is no block device")),
            };
        };
        if !matches!(volume.kind, VolumeKind::Classic | VolumeKind::Thin) {
            let seen = format!("{place} is a snapshot, a pool or a part of LVM's own");
            return refused(ErrorKind::Invalid, seen);
        }
        if volume.is_open {
            let seen = format!("{place} is in use, perhaps by a running machine; stop it first");
            return refused(ErrorKind::Busy, seen);
        }
        if volume.size < size {
            let seen = format!("{place} has {} bytes, the disk {size}", volume.size);
            return refused(ErrorKind::Invalid, seen);
        }
        Ok(())
    }
}

/// Volumes are whole extents.
fn rounded(size: u64, extent: u64) -> u64 {
    size.max(1)
        .checked_next_multiple_of(extent)
        .unwrap_or(u64::MAX)
}

fn device_path(name: &FullName) -> String {
    format!("/dev/{name}")
}

impl Builder for Lvm {
    fn plan(&self, request: &BuildRequest) -> Result<BuildPlan> {
        let all = self.volumes()?;
        let planned: Result<Vec<_>> = request
            .disks
            .iter()
            .map(|disk| self.plan_disk(&request.name, disk, &all))
            .collect();
        let (disks, steps): (Vec<_>, Vec<_>) = planned?.into_iter().unzip();
        let text = "only disks are made: define the machine by what the backup keeps of it";
        Ok(BuildPlan {
            name: request.name.clone(),
            definition: String::new(),
            files: Vec::new(),
            disks,
            replaced: None,
            steps,
            findings: vec![Finding::note(text)],
        })
    }

    fn makes_machines(&self) -> bool {
        false
    }

    fn begin(&self, plan: &BuildPlan) -> Result<Box<dyn Build>> {
        let all = self.volumes()?;
        for disk in &plan.disks {
            if let Placement::Exact(path) = &disk.placement {
                self.refuse_unfit(path, (&disk.name, disk.size), &all)?;
            }
        }
        let mut build = VolumesBuild {
            tools: self.tools.clone(),
            name: plan.name.clone(),
            disks: Vec::new(),
            is_kept: false,
        };
        for disk in &plan.disks {
            let begun = build.begin(disk)?;
            build.disks.push(begun);
        }
        Ok(Box::new(build))
    }
}

/// Volumes on their way into being.
struct VolumesBuild {
    tools: Tools,
    name: VmName,
    disks: Vec<Begun>,
    is_kept: bool,
}

/// A disk that has its place.
struct Begun {
    name: DiskName,
    size: u64,
    path: PathBuf,
    /// The volume that was made for it.
    made: Option<FullName>,
    /// Whether it certainly reads as zeros.
    is_blank: bool,
}

impl VolumesBuild {
    fn begin(&self, disk: &PlannedDisk) -> Result<Begun> {
        let mut begun = Begun {
            name: disk.name.clone(),
            size: disk.size,
            path: PathBuf::from(&disk.place),
            made: None,
            is_blank: false,
        };
        if let Placement::Pool(text) = &disk.placement {
            let pool = Pool::read(text)?;
            let invalid =
                |e| Error::new(ErrorKind::Invalid, PLANNING, disk.name.as_str()).because(e);
            let name = FullName::for_new(&pool.group, &volume_name(&self.name, &disk.name))
                .map_err(invalid)?;
            let size = rounded(disk.size, self.tools.group(&pool.group)?.extent_size);
            let kind = match &pool.thin {
                Some(thin) => NewVolume::Thin { size, pool: thin },
                None => NewVolume::Classic { size },
            };
            self.tools.create(&name, kind, &[])?;
            begun.made = Some(name.clone());
            // A volume whose description cannot be read is removed by the caller's undo.
            let is_zeroed = self.tools.volume(&name).is_ok_and(|it| it.is_zeroed);
            begun.is_blank = pool.thin.is_some() && is_zeroed;
        }
        Ok(begun)
    }

    fn remove_made(&mut self) -> Result<()> {
        let mut result = Ok(());
        for name in self.disks.drain(..).filter_map(|it| it.made) {
            result = result.and(self.tools.remove(&name));
        }
        result
    }

    fn overwritten(&self) -> Vec<Finding> {
        let existing = self.disks.iter().filter(|it| it.made.is_none());
        existing
            .map(|disk| {
                let place = disk.path.display();
                Finding::warning(format!("{place} was there before and stays overwritten"))
            })
            .collect()
    }
}

impl VolumesBuild {
    fn begun(&self, name: &DiskName) -> Result<&Begun> {
        let missing = || Error::new(ErrorKind::NotFound, "opening the disk", name.as_str());
        let mut disks = self.disks.iter();
        disks.find(|it| it.name == *name).ok_or_else(missing)
    }
}

impl Build for VolumesBuild {
    fn disk(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskWriter>>> {
        let disk = self.begun(name)?;
        let system: &Arc<dyn System> = self.tools.system();
        let writer = system.open_for_writing(&disk.path, disk.size)?;
        Ok(Some(match disk.is_blank {
            true => Arc::new(Blank(writer)),
            false => writer,
        }))
    }

    fn read_back(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskReader>>> {
        let disk = self.begun(name)?;
        let inner = self.tools.system().open(&disk.path, ImageFormat::Raw)?;
        let size = disk.size;
        Ok((inner.size() >= size).then(|| Arc::new(Beginning { inner, size }) as _))
    }

    fn local(&self, name: &DiskName) -> Option<LocalDisk> {
        let disk = self.begun(name).ok()?;
        Some(LocalDisk {
            path: disk.path.clone(),
            format: ImageFormat::Raw,
            size: disk.size,
        })
    }

    fn define(&mut self) -> Result<VmId> {
        Ok(VmId::new(self.name.as_str()))
    }

    fn start(&mut self) -> Result<()> {
        let seen = "LVM knows volumes only; start the machine where it is defined";
        Err(Error::new(ErrorKind::Unsupported, "starting", self.name.as_str()).seen(seen))
    }

    fn keep(mut self: Box<Self>) -> Result<Vec<Finding>> {
        self.is_kept = true;
        Ok(Vec::new())
    }

    fn undo(mut self: Box<Self>) -> Result<Vec<Finding>> {
        let findings = self.overwritten();
        self.remove_made()?;
        Ok(findings)
    }
}

impl Drop for VolumesBuild {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nobody is there to be told; the names say what to remove by hand.
            let _ = self.remove_made();
        }
    }
}
