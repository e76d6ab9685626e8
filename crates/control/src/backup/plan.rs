//! For every disk: whether it is taken, and what of it need not be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_disk::{DiskReader, ImageFormat};
use lifeboat_engine::backup::{Change, DiskTask, FullReason, ParentDisk};
use lifeboat_format::SnapshotId;
use lifeboat_model::{ByteCount, DiskName, ErrorKind};
use lifeboat_platform::{Capture, CapturedChange, CapturedDisk, Since, Vm};

use super::VmBackup;
use crate::job::Job;
use crate::pace::Paced;
use crate::parent::{Parent, parent_disk};
use crate::{Error, Result};

/// How a disk was read, as the manifest records it.
#[derive(Clone, Debug)]
pub struct DiskFacts {
    /// The name inside the machine.
    pub name: DiskName,
    /// How the platform keeps it.
    pub format: ImageFormat,
    /// The snapshot that was built upon; nothing for a disk that was read as a whole.
    pub parent: Option<SnapshotId>,
    /// What made it so.
    pub reason: String,
    /// Bytes that were said to have changed.
    pub changed_bytes: Option<u64>,
    /// The mark for the next run, as whoever keeps it names it.
    pub checkpoint: Option<String>,
}

impl DiskFacts {
    /// `full` or `incremental`.
    pub fn mode(&self) -> &'static str {
        match self.parent {
            Some(_) => "incremental",
            None => "full",
        }
    }
}

/// A disk of the parent, or why it is of no use.
struct Earlier {
    usable: std::result::Result<(ParentDisk, Since), String>,
}

/// What the parent snapshot knows of each disk.
pub(super) struct ParentDisks {
    snapshot: Option<SnapshotId>,
    disks: BTreeMap<DiskName, Earlier>,
}

impl ParentDisks {
    /// What is asked of the platform.
    pub(super) fn since(&self) -> BTreeMap<DiskName, Since> {
        let usable = self.disks.iter().filter_map(|(name, earlier)| {
            let (_, since) = earlier.usable.as_ref().ok()?;
            Some((name.clone(), since.clone()))
        });
        usable.collect()
    }
}

impl Job {
    /// The disks that the job wants; none stands for the platform's own choice.
    ///
    /// Errors: `NotFound` for one that the machine does not have.
    pub fn disks_of(&self, vm: &Vm) -> Result<Vec<DiskName>> {
        let missing = self
            .disks
            .iter()
            .find(|name| vm.disks.iter().all(|disk| disk.name != **name));
        if let Some(name) = missing {
            let has: Vec<&str> = vm.disks.iter().map(|disk| disk.name.as_str()).collect();
            let message = format!("{} has no disk {name}: it has {}", vm.name, has.join(", "));
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        if self.disks.is_empty() && self.but_disks.is_empty() {
            return Ok(Vec::new());
        }
        let is_meant = |disk: &&lifeboat_platform::VmDisk| {
            let is_named = self.disks.contains(&disk.name);
            let is_usual = self.disks.is_empty() && disk.passed_over.is_none();
            (is_named || is_usual) && !self.but_disks.contains(&disk.name)
        };
        let names: Vec<DiskName> = vm
            .disks
            .iter()
            .filter(is_meant)
            .map(|d| d.name.clone())
            .collect();
        if names.is_empty() {
            let message = format!(
                "no disk of {} is left to back up: see disks and all_disks_but",
                vm.name
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(names)
    }
}

impl VmBackup<'_> {
    /// Looks at every disk of the machine in the parent.
    pub(super) fn parent_disks(&self, vm: &Vm, parent: Option<&Parent>) -> ParentDisks {
        let names = vm.disks.iter().map(|disk| disk.name.clone());
        ParentDisks {
            snapshot: parent.map(|parent| parent.snapshot.id),
            disks: names
                .map(|name| {
                    let usable = self.earlier(&name, parent);
                    (name, Earlier { usable })
                })
                .collect(),
        }
    }

    fn earlier(
        &self,
        name: &DiskName,
        parent: Option<&Parent>,
    ) -> std::result::Result<(ParentDisk, Since), String> {
        if self.is_forced {
            return Err(FullReason::Forced.to_string());
        }
        let known = parent.and_then(|parent| parent.disk(name.as_str()));
        let size = known.map_or(0, |disk| disk.size);
        let sizes = self.place.sizes.for_disk(size);
        let (repository, index) = (self.place.repository, self.place.index);
        let disk = parent_disk(repository, index, parent, name.as_str(), sizes)?;
        let is_raw = known.is_some_and(|disk| disk.source_format == ImageFormat::Raw.to_string());
        let checkpoint = known.and_then(|disk| disk.checkpoint.as_deref());
        let checkpoint = checkpoint.ok_or(match is_raw {
            true => "raw disks have no bitmaps",
            false => "the parent has no checkpoint of this disk",
        })?;
        let checkpoint = checkpoint
            .parse()
            .map_err(|_| format!("the parent's checkpoint {checkpoint:?} is none of ours"))?;
        Ok((disk, Since { checkpoint, size }))
    }

    /// What the engine is to do with each captured disk.
    pub(super) fn tasks(
        &self,
        capture: &dyn Capture,
        mut parents: ParentDisks,
    ) -> (Vec<DiskTask>, Vec<DiskFacts>) {
        let all = capture.disks().iter();
        all.map(|disk| {
            let earlier = parents.disks.remove(&disk.name);
            let (change, facts) = change_of(disk, earlier, parents.snapshot);
            let task = DiskTask {
                file_name: format!("{}.raw", disk.name),
                source: self.paced(&disk.reader),
                change,
            };
            (task, facts)
        })
        .unzip()
    }

    pub(super) fn paced(&self, reader: &Arc<dyn DiskReader>) -> Arc<dyn DiskReader> {
        match &self.pacer {
            Some(pacer) => Arc::new(Paced::new(Arc::clone(reader), Arc::clone(pacer))),
            None => Arc::clone(reader),
        }
    }
}

fn change_of(
    disk: &CapturedDisk,
    earlier: Option<Earlier>,
    snapshot: Option<SnapshotId>,
) -> (Change, DiskFacts) {
    let mut facts = DiskFacts {
        name: disk.name.clone(),
        format: disk.format,
        parent: None,
        reason: String::new(),
        changed_bytes: None,
        checkpoint: disk.checkpoint.as_ref().map(ToString::to_string),
    };
    let earlier = earlier.map_or_else(|| Err(FullReason::NoParent.to_string()), |it| it.usable);
    match (&disk.change, earlier, snapshot) {
        (CapturedChange::Since { changed }, Ok((parent, since)), Some(snapshot)) => {
            facts.parent = Some(snapshot);
            facts.changed_bytes = Some(changed.byte_count());
            facts.reason = format!("{} since {}", since.checkpoint, snapshot.short());
            if parent.size() != disk.reader.size() {
                let was = ByteCount(parent.size());
                facts.reason.push_str(&format!(", resized from {was}"));
            }
            let changed = changed.clone();
            (Change::Since { parent, changed }, facts)
        }
        (_, Err(reason), _) => {
            facts.reason = reason;
            (Change::Unknown, facts)
        }
        (CapturedChange::Everything { reason }, _, _) => {
            facts.reason = reason.clone();
            (Change::Unknown, facts)
        }
        (CapturedChange::Since { .. }, Ok(_), None) => {
            facts.reason = FullReason::NoParent.to_string();
            (Change::Unknown, facts)
        }
    }
}
