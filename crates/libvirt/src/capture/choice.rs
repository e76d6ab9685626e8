//! Which disks are captured, and which of them by their changes.

use std::collections::BTreeMap;

use lifeboat_disk::ImageFormat;
use lifeboat_model::{DiskName, ErrorKind};
use lifeboat_platform::{
    CaptureRequest, CheckpointId, Error, Finding, Origin, Result, Since, VmId,
};

use crate::binding::Domain;
use crate::definition::{DefinedDisk, Definition};

use super::job::CheckpointRecord;

/// A disk that will be captured.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) name: DiskName,
    pub(crate) disk: DefinedDisk,
    /// Bytes of the machine's view.
    pub(crate) size: u64,
    pub(crate) change: Change,
}

/// How it is read.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Everything(String),
    Since(CheckpointId),
}

impl Chosen {
    pub(crate) fn format(&self) -> ImageFormat {
        self.disk.format().unwrap_or(ImageFormat::Raw)
    }

    /// Whether a mark can cover it.
    pub(crate) fn has_bitmaps(&self) -> bool {
        self.disk.format() == Some(ImageFormat::Qcow2)
    }

    pub(crate) fn since(&self) -> Option<&CheckpointId> {
        match &self.change {
            Change::Everything(_) => None,
            Change::Since(checkpoint) => Some(checkpoint),
        }
    }
}

type NamedDisk = (DiskName, DefinedDisk);

/// The wanted disks of a machine, in its own order.
///
/// Errors: `NotFound` for a name that the machine does not have; `Invalid` for one without a
/// medium, or if nothing is left.
pub(crate) fn choose(
    definition: &Definition,
    request: &CaptureRequest,
) -> Result<(Vec<NamedDisk>, Vec<Finding>)> {
    let failed = |kind, disk: &str, seen: String| {
        let object = format!("{} of {}", disk, definition.name);
        Err(Error::new(kind, "choosing the disk", object).seen(seen))
    };
    let has = |name: &DiskName| definition.disks.iter().any(|it| it.target == name.as_str());
    if let Some(absent) = request.disks.iter().find(|name| !has(name)) {
        let all: Vec<_> = definition
            .disks
            .iter()
            .map(|it| it.target.as_str())
            .collect();
        let seen = format!("the machine has {}", all.join(", "));
        return failed(ErrorKind::NotFound, absent.as_str(), seen);
    }
    let (mut chosen, mut findings) = (Vec::new(), Vec::new());
    for disk in &definition.disks {
        let Ok(name) = disk.target.parse::<DiskName>() else {
            continue;
        };
        let asked = request.disks.contains(&name);
        let reason = disk.passed_over();
        match reason {
            None if asked || request.disks.is_empty() => chosen.push((name, disk.clone())),
            Some(reason) if asked && disk.source == crate::definition::DiskSource::Nothing => {
                return failed(ErrorKind::Invalid, &disk.target, reason);
            }
            Some(_) if asked => chosen.push((name, disk.clone())),
            Some(reason) if request.disks.is_empty() => {
                findings.push(Finding::note(format!("{name} was passed over: {reason}")));
            }
            _ => {}
        }
    }
    if chosen.is_empty() {
        return failed(
            ErrorKind::Invalid,
            "any disk",
            "there is none to capture".into(),
        );
    }
    Ok((chosen, findings))
}

/// Decides for each disk how it is read, by what libvirt says of the marks.
///
/// Whether the bitmap itself is sound shows later.
pub(crate) struct Marks<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) vm: &'a VmId,
    pub(crate) request: &'a CaptureRequest,
    known: BTreeMap<CheckpointId, Option<CheckpointRecord>>,
}

impl<'a> Marks<'a> {
    pub(crate) fn new(domain: &'a Domain, vm: &'a VmId, request: &'a CaptureRequest) -> Self {
        Self {
            domain,
            vm,
            request,
            known: BTreeMap::new(),
        }
    }

    pub(crate) fn decide(
        &mut self,
        name: &DiskName,
        disk: &DefinedDisk,
        size: u64,
    ) -> Result<Change> {
        if disk.format() != Some(ImageFormat::Qcow2) {
            let kind = disk.driver.as_deref().unwrap_or("raw");
            return Ok(Change::Everything(format!("{kind} disks have no bitmaps")));
        }
        let Some(since) = self.request.since.get(name) else {
            return Ok(Change::Everything("no earlier snapshot knows it".into()));
        };
        let origin = &self.request.origin;
        let record = self.record(&since.checkpoint)?;
        Ok(match refusal(record, since, disk, size, origin) {
            Some(reason) => Change::Everything(reason),
            None => Change::Since(since.checkpoint.clone()),
        })
    }

    fn record(&mut self, id: &CheckpointId) -> Result<Option<&CheckpointRecord>> {
        if !self.known.contains_key(id) {
            let found = record_of(self.domain, self.vm, id)?;
            self.known.insert(id.clone(), found);
        }
        Ok(self.known.get(id).and_then(Option::as_ref))
    }
}

/// What libvirt knows of a checkpoint; nothing if it does not know it.
pub(crate) fn record_of(
    domain: &Domain,
    vm: &VmId,
    id: &CheckpointId,
) -> Result<Option<CheckpointRecord>> {
    let failed =
        |failure: crate::binding::Failure| failure.of("looking up a checkpoint of", vm.as_str());
    let Some(checkpoint) = domain.checkpoint(id.as_str()).map_err(failed)? else {
        return Ok(None);
    };
    CheckpointRecord::parse(&checkpoint.xml().map_err(failed)?).map(Some)
}

fn refusal(
    record: Option<&CheckpointRecord>,
    since: &Since,
    disk: &DefinedDisk,
    size: u64,
    origin: &Origin,
) -> Option<String> {
    let checkpoint = &since.checkpoint;
    let Some(record) = record else {
        return Some(format!("libvirt has lost the checkpoint {checkpoint}"));
    };
    if record.origin != Some(origin.to_string()) {
        return Some(format!(
            "the checkpoint {checkpoint} belongs to another repository"
        ));
    }
    if !record.disks.contains(&disk.target) {
        return Some(format!(
            "the checkpoint {checkpoint} does not cover the disk"
        ));
    }
    (since.size != size).then(|| format!("it had {} bytes and now has {size}", since.size))
}
