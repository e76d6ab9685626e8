//! For every disk: its source, and what of it need not be read.

use lifeboat_control::{DiskFacts, Parent, parent_disk, snapshots_of};
use lifeboat_disk::{ChangedExtents, DiskReader, ImageFormat, Qcow2Image, open_reader};
use lifeboat_engine::backup::{Change, DiskTask, FullReason, ParentDisk};
use lifeboat_format::{MachineManifest, SnapshotId};
use lifeboat_model::{ByteCount, ErrorKind, ExtentSet, VmName};
use lifeboat_repository::{BlobReader, Index, Repository, Snapshot};

use super::disks::{ChangeSource, DiskRequest};
use crate::args::BackupArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;

/// A disk that is ready to be stored.
pub(crate) struct ReadyDisk {
    pub(crate) task: DiskTask,
    pub(crate) facts: DiskFacts,
}

impl ReadyDisk {
    pub(crate) fn told(&self) -> String {
        let facts = &self.facts;
        let size = ByteCount(self.task.source.size());
        format!(
            "disk {}: {size}, {}, {}",
            facts.name,
            facts.mode(),
            facts.reason
        )
    }
}

/// All disks of a backup.
pub(crate) struct PlannedDisks {
    pub(crate) disks: Vec<ReadyDisk>,
    pub(crate) parent: Option<SnapshotId>,
}

/// Opens every disk and decides how it is read.
pub(crate) fn plan_disks(
    context: &Context,
    repository: &Repository,
    index: &Index,
    arguments: &BackupArguments,
    machine: &VmName,
    requests: Vec<DiskRequest>,
) -> Result<PlannedDisks> {
    let parent = find_parent(repository, index, arguments, machine)?;
    let mut disks = Vec::with_capacity(requests.len());
    for request in requests {
        let source = open_reader(&request.path, request.format, &request.options)
            .map_err(|error| with_flag(&request, error))?;
        let planner = Planner {
            context,
            repository,
            index,
            is_forced: arguments.force,
        };
        let (change, facts) = planner.plan(&request, &*source, parent.as_ref())?;
        let task = DiskTask {
            file_name: request.file_name(),
            source,
            change,
        };
        disks.push(ReadyDisk { task, facts });
    }
    Ok(PlannedDisks {
        disks,
        parent: parent.map(|parent| parent.snapshot.id),
    })
}

/// Names the flag that allows what the image asks for.
fn with_flag(request: &DiskRequest, error: lifeboat_disk::Error) -> Error {
    let kind = error.kind();
    let error = Error::from(error);
    let is_about_files = request.format == ImageFormat::Qcow2 && kind == ErrorKind::Denied;
    if !is_about_files {
        return error;
    }
    Error::with_code(error.code(), format!("{error} with --allow-backing FOLDER"))
}

fn find_parent(
    repository: &Repository,
    index: &Index,
    arguments: &BackupArguments,
    machine: &VmName,
) -> Result<Option<Parent>> {
    let all = snapshots_of(repository, machine)?;
    let snapshot = match &arguments.parent {
        Some(id) => Some(select::pick(&all, id)?),
        None => all.last(),
    };
    let Some(snapshot) = snapshot else {
        return Ok(None);
    };
    Ok(Some(Parent::of(repository, index, snapshot)))
}

/// Reads the manifest of a machine's snapshot.
pub(crate) fn read_manifest(
    reader: &mut BlobReader<'_>,
    snapshot: &Snapshot,
) -> Result<MachineManifest> {
    Ok(lifeboat_control::read_manifest(reader, snapshot)?)
}

struct Planner<'a> {
    context: &'a Context,
    repository: &'a Repository,
    index: &'a Index,
    is_forced: bool,
}

impl Planner<'_> {
    fn plan(
        &self,
        request: &DiskRequest,
        source: &dyn DiskReader,
        parent: Option<&Parent>,
    ) -> Result<(Change, DiskFacts)> {
        let mut facts = DiskFacts {
            name: request.name.clone(),
            format: request.format,
            parent: None,
            reason: String::new(),
            changed_bytes: None,
            checkpoint: checkpoint(request),
        };
        let changed = self.changed(request, source.size())?;
        facts.changed_bytes = changed.as_ref().map(|(changed, _)| changed.byte_count());
        match self.parent_disk(request, source, parent, changed) {
            Ok((parent_disk, id, changed, told)) => {
                facts.parent = Some(id);
                facts.reason = told;
                if parent_disk.size() != source.size() {
                    let was = ByteCount(parent_disk.size());
                    facts.reason.push_str(&format!(", resized from {was}"));
                }
                Ok((
                    Change::Since {
                        parent: parent_disk,
                        changed,
                    },
                    facts,
                ))
            }
            Err(reason) => {
                facts.reason = reason;
                Ok((Change::Unknown, facts))
            }
        }
    }

    /// The disk in the parent, or why it cannot be built upon.
    fn parent_disk(
        &self,
        request: &DiskRequest,
        source: &dyn DiskReader,
        parent: Option<&Parent>,
        changed: Option<(ExtentSet, String)>,
    ) -> std::result::Result<(ParentDisk, SnapshotId, ExtentSet, String), String> {
        if self.is_forced {
            return Err(FullReason::Forced.to_string());
        }
        let (changed, told) = changed.ok_or_else(|| FullReason::NoChangedExtents.to_string())?;
        let sizes = self
            .context
            .chunk_sizes(self.repository)
            .for_disk(source.size());
        let name = request.name.as_str();
        let parent_disk = parent_disk(self.repository, self.index, parent, name, sizes)?;
        let parent = parent.ok_or_else(|| FullReason::NoParent.to_string())?;
        let told = format!("{told} since {}", parent.snapshot.id.short());
        Ok((parent_disk, parent.snapshot.id, changed, told))
    }

    fn changed(&self, request: &DiskRequest, size: u64) -> Result<Option<(ExtentSet, String)>> {
        match &request.change {
            ChangeSource::None => Ok(None),
            ChangeSource::Bitmap(_) if request.format != ImageFormat::Qcow2 => {
                let name = &request.name;
                let message = format!(
                    "--bitmap {name}: only a qcow2 file has bitmaps, add --format {name}=qcow2"
                );
                Err(Error::usage(message))
            }
            ChangeSource::Bitmap(bitmap) => {
                let changed = Qcow2Image::open(&request.path)?.read_bitmap(bitmap)?;
                Ok(Some((changed, format!("bitmap {bitmap}"))))
            }
            ChangeSource::List(path) => {
                let json = std::fs::read(path).map_err(|e| {
                    let message =
                        format!("cannot read the changed extents {}: {e}", path.display());
                    Error::new(ErrorKind::of_io(&e), message)
                })?;
                let changed = ChangedExtents::from_json(&json, size)?;
                Ok(Some((changed, "changed extents".to_owned())))
            }
        }
    }
}

fn checkpoint(request: &DiskRequest) -> Option<String> {
    match &request.change {
        ChangeSource::Bitmap(bitmap) => Some(bitmap.clone()),
        _ => None,
    }
}
