//! `lifeboat chain import`

use std::path::Path;
use std::sync::Arc;

use lifeboat_disk::{DiskReader, Qcow2Disk};
use lifeboat_engine::backup::{
    BackupRequest, BackupResult, Change, DiskOutcome, DiskTask, ParentDisk, PlainFile, backup,
};
use lifeboat_format::{
    Chunking, DiskManifest, GoTime, MANIFEST_NAME, MachineIdentity, MachineManifest, SnapshotId,
    label,
};
use lifeboat_model::{ByteCount, DiskName, ErrorKind, VmName};
use lifeboat_repository::{BlobReader, Index, Lock, LockMode, Repository, Snapshot, snapshots};
use serde::Serialize;

use super::folder;
use super::plan::{Point, order};
use crate::commands::backup::{load_index, read_manifest};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::{Table, moment};

/// What was asked for.
pub(super) struct Request<'a> {
    pub(super) folder: &'a Path,
    pub(super) machine: Option<VmName>,
    pub(super) disk: DiskName,
    pub(super) is_dry_run: bool,
}

#[derive(Serialize)]
struct PointLine {
    number: usize,
    file: String,
    time: String,
    mode: &'static str,
    below: Option<String>,
    size: u64,
    changed_bytes: u64,
    /// The snapshot, if there is one already or now.
    snapshot_id: Option<String>,
    already_there: bool,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    machine: &'a str,
    points: usize,
    imported: usize,
    already_there: usize,
    dry_run: bool,
}

/// Stores every point in time of a chain as a snapshot.
pub(super) fn run(context: &Context, request: Request<'_>) -> Result<u8> {
    let folder = request.folder.canonicalize().map_err(|e| {
        let message = format!("cannot open the folder {}: {e}", request.folder.display());
        Error::new(ErrorKind::of_io(&e), message)
    })?;
    let found = folder::find(&folder, request.machine)?;
    for note in &found.notes {
        context.output.warn(note);
    }
    let points = order(&folder, found.files)?;
    let repository = context.open()?;
    let locked = context.lock(&repository, LockMode::Shared)?;
    load_index(context, &locked, request.is_dry_run)?;
    let importer = Importer {
        context,
        repository: &repository,
        folder: &folder,
        machine: &found.machine,
        disk: &request.disk,
        points: &points,
    };
    let present = importer.present()?;
    importer.show(&present)?;
    let imported = if request.is_dry_run {
        0
    } else {
        importer.store_all(locked.lock()?, present.clone())?
    };
    let already_there = present.iter().flatten().count();
    let summary = SummaryLine {
        machine: found.machine.as_str(),
        points: points.len(),
        imported,
        already_there,
        dry_run: request.is_dry_run,
    };
    if context.output.is_json() {
        context.output.message("summary", &summary)?;
        return Ok(0);
    }
    let machine = &found.machine;
    context.output.result(match request.is_dry_run {
        true => format!(
            "dry run: would import {} points of {machine}, {already_there} are there",
            points.len() - already_there
        ),
        false => format!("imported {imported} points of {machine}, {already_there} were there"),
    })?;
    Ok(0)
}

struct Importer<'a> {
    context: &'a Context,
    repository: &'a Repository,
    folder: &'a Path,
    machine: &'a VmName,
    disk: &'a DiskName,
    points: &'a [Point],
}

/// The disk right below, as the repository has it.
struct Below {
    snapshot: SnapshotId,
    disk: ParentDisk,
}

impl Importer<'_> {
    /// For every point the snapshot that an earlier import made of it.
    fn present(&self) -> Result<Vec<Option<SnapshotId>>> {
        let mut known = snapshots::list_tolerant(self.repository)?.0;
        known.retain(|snapshot| label::read(&snapshot.file).as_ref() == Some(self.machine));
        let index = self.context.load_index(self.repository)?;
        let mut reader = BlobReader::new(self.repository, &index);
        let mut holds_disk = |snapshot: &Snapshot| {
            let name = self.disk.as_str();
            read_manifest(&mut reader, snapshot)
                .is_ok_and(|manifest| manifest.disks.iter().any(|disk| disk.name == name))
        };
        let mut find = |point: &Point| {
            let mut same = known
                .iter()
                .filter(|s| s.file.time.timestamp() == point.time);
            same.find(|snapshot| holds_disk(snapshot)).map(|s| s.id)
        };
        Ok(self.points.iter().map(&mut find).collect())
    }

    fn show(&self, present: &[Option<SnapshotId>]) -> Result<()> {
        let output = self.context.output;
        let heads = [
            "File",
            "Time",
            "Mode",
            ">Size",
            ">Own data",
            "Upon",
            "Snapshot",
        ];
        let mut table = Table::new(&heads);
        for (number, point) in self.points.iter().enumerate() {
            if output.is_json() {
                output.message("plan", &self.line(number, present[number], true))?;
                continue;
            }
            let id = present[number];
            let below = point.below.map(|below| self.points[below].name());
            table.row([
                point.name(),
                moment(point.time),
                mode(point).to_owned(),
                ByteCount(point.size).to_string(),
                ByteCount(point.own_bytes).to_string(),
                below.unwrap_or_default(),
                id.map(|id| id.short()).unwrap_or_default(),
            ]);
        }
        if !output.is_json() {
            table
                .lines()
                .iter()
                .try_for_each(|line| output.tell(line))?;
        }
        Ok(())
    }

    fn line(&self, number: usize, id: Option<SnapshotId>, is_there: bool) -> PointLine {
        let point = &self.points[number];
        PointLine {
            number,
            file: point.name(),
            time: point.time.to_string(),
            mode: mode(point),
            below: point.below.map(|below| self.points[below].name()),
            size: point.size,
            changed_bytes: point.own_bytes,
            snapshot_id: id.map(|id| id.to_string()),
            already_there: is_there && id.is_some(),
        }
    }

    /// Stores what is not there, in order; gives how many.
    fn store_all(&self, lock: &Lock<'_>, present: Vec<Option<SnapshotId>>) -> Result<usize> {
        let (mut ids, mut imported) = (present, 0);
        for (number, point) in self.points.iter().enumerate() {
            if ids[number].is_some() {
                continue;
            }
            let below = point.below.and_then(|below| ids[below]);
            let result = self.store(lock, point, below)?;
            ids[number] = result.snapshot;
            imported += 1;
            let output = self.context.output;
            if output.is_json() {
                output.message("imported", &self.line(number, result.snapshot, false))?;
            } else if let Some(id) = result.snapshot {
                output.tell(format!(
                    "snapshot {} of {}, added {}",
                    id.short(),
                    point.name(),
                    ByteCount(result.totals.added)
                ))?;
            }
        }
        Ok(imported)
    }

    fn store(
        &self,
        lock: &Lock<'_>,
        point: &Point,
        below: Option<SnapshotId>,
    ) -> Result<BackupResult> {
        // The data of the point before is in the newest index only.
        let index = self.repository.load_index()?;
        let source = Arc::new(Qcow2Disk::open(
            &point.path,
            &super::confined_to(self.folder),
        )?);
        let below = match below {
            Some(id) => Ok(self.below(&index, id, source.size())?),
            None => Err("nothing below it in the chain".to_owned()),
        };
        let below = below.and_then(|below| below);
        let reason = match &below {
            Ok(below) => format!(
                "clusters of {} since {}",
                point.name(),
                below.snapshot.short()
            ),
            Err(reason) => reason.clone(),
        };
        let parent = below.as_ref().ok().map(|below| below.snapshot);
        let change = match below {
            Ok(below) => Change::Since {
                parent: below.disk,
                changed: source.own_extents()?,
            },
            Err(_) => Change::Unknown,
        };
        let time = GoTime::from(point.time);
        let mut label = label::of(self.machine, time, &[]);
        let owner = &self.context.environment.owner;
        label.username = owner.username.clone();
        (label.uid, label.gid) = (owner.uid, owner.gid);
        label.parent = parent;
        let facts = Facts {
            parent,
            reason,
            changed_bytes: parent.map(|_| point.own_bytes),
        };
        let describe = |outcomes: &[DiskOutcome]| Ok(self.manifest(time, &facts, outcomes));
        let request = BackupRequest {
            disks: vec![DiskTask {
                file_name: format!("{}.raw", self.disk),
                source,
                change,
            }],
            files: Vec::new(),
            describe: &describe,
            label,
            sizes: self.context.chunk_sizes(self.repository),
            write: self.context.write_options(self.repository)?,
            is_dry_run: false,
        };
        let _display = self.context.show_progress()?;
        Ok(backup(self.repository, &index, lock, request)?)
    }

    /// The disk below, or why it cannot be built upon.
    fn below(
        &self,
        index: &Index,
        id: SnapshotId,
        size: u64,
    ) -> Result<std::result::Result<Below, String>> {
        let snapshot = snapshots::load(self.repository, id)?;
        let mut reader = BlobReader::new(self.repository, index);
        let manifest = read_manifest(&mut reader, &snapshot)?;
        let name = self.disk.as_str();
        let Some(disk) = manifest.disks.iter().find(|disk| disk.name == name) else {
            return Ok(Err("the snapshot below has no such disk".to_owned()));
        };
        let sizes = self.context.chunk_sizes(self.repository).for_disk(size);
        let seed = self.repository.config().chunker_polynomial;
        if disk.chunking != Chunking::new(sizes.min(), sizes.gap(), sizes.max(), seed) {
            return Ok(Err("the snapshot below is cut otherwise".to_owned()));
        }
        let node = select::node_at(&mut reader, &snapshot.file.tree, &disk.path)?;
        let disk = ParentDisk::new(&node, index).map_err(|reason| reason.to_string());
        Ok(disk.map(|disk| Below { snapshot: id, disk }))
    }

    fn manifest(&self, time: GoTime, facts: &Facts, outcomes: &[DiskOutcome]) -> PlainFile {
        let seed = self.repository.config().chunker_polynomial;
        let disks = outcomes.iter().map(|outcome| {
            let sizes = outcome.sizes;
            DiskManifest {
                name: self.disk.to_string(),
                path: format!("disks/{}", outcome.file_name),
                size: outcome.size,
                source_format: "qcow2".to_owned(),
                chunking: Chunking::new(sizes.min(), sizes.gap(), sizes.max(), seed),
                mode: facts.mode().to_owned(),
                reason: facts.reason.clone(),
                parent: facts.parent,
                changed_bytes: facts.changed_bytes,
                read_bytes: outcome.read_bytes,
                checkpoint: None,
                root: outcome.root,
            }
        });
        let manifest = MachineManifest {
            version: 1,
            program: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: MachineIdentity {
                platform: "image".to_owned(),
                id: None,
                name: self.machine.to_string(),
            },
            captured_at: time,
            consistency: "unknown".to_owned(),
            disks: disks.collect(),
            files: Vec::new(),
            other: serde_json::Map::new(),
        };
        PlainFile {
            name: MANIFEST_NAME.to_owned(),
            content: manifest.encode(),
        }
    }
}

/// What is recorded of how a point was read.
struct Facts {
    parent: Option<SnapshotId>,
    reason: String,
    changed_bytes: Option<u64>,
}

impl Facts {
    fn mode(&self) -> &'static str {
        match self.parent {
            Some(_) => "incremental",
            None => "full",
        }
    }
}

fn mode(point: &Point) -> &'static str {
    match point.below {
        Some(_) => "incremental",
        None => "full",
    }
}
