//! `lifeboat backup`

mod disks;
mod parent;

use jiff::Zoned;
use lifeboat_control::DiskFacts;
use lifeboat_engine::backup::{
    BackupRequest, BackupResult, Change, DiskOutcome, DiskTask, PlainFile, backup,
};
use lifeboat_engine::{ChangeShape, DiskShape, MemoryBound};
use lifeboat_format::{
    GoTime, MANIFEST_NAME, MachineIdentity, MachineManifest, SnapshotFile, label,
};
use lifeboat_model::{ByteCount, VmName};
use lifeboat_repository::{Index, LockMode, Repository, adopt};
use serde::Serialize;

use crate::args::BackupArguments;
use crate::context::{Context, Locked};
use crate::error::{Error, Result};
use crate::select;
use crate::tables::{Table, count, span};
use disks::{DiskRequest, plain_files};
use parent::plan_disks;
pub(crate) use parent::read_manifest;

/// Stores the disks of a machine as one snapshot.
pub(crate) fn run(context: &Context, arguments: &BackupArguments) -> Result<u8> {
    let machine: VmName = arguments.machine.parse()?;
    let time = time(arguments)?;
    let consistency = consistency(&arguments.consistency)?;
    let requests = disks::parse(arguments)?;
    let files = plain_files(&arguments.describe)?;
    let repository = context.open()?;
    let locked = context.lock(&repository, LockMode::Shared)?;
    let index = load_index(context, &locked, arguments.dry_run)?;
    let planned = plan_disks(context, &repository, &index, arguments, &machine, requests)?;
    for disk in &planned.disks {
        context.output.detail(disk.told())?;
    }
    let mut label = label::of(&machine, time, &arguments.tag);
    label.parent = planned.parent;
    owner(context, &mut label);
    let manifest = Manifest {
        repository: &repository,
        machine: &machine,
        arguments,
        time,
        consistency,
    };
    let facts: Vec<DiskFacts> = planned
        .disks
        .iter()
        .map(|disk| disk.facts.clone())
        .collect();
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let describe = |outcomes: &[DiskOutcome]| Ok(manifest.file(&facts, outcomes, names.clone()));
    let request = BackupRequest {
        disks: planned
            .disks
            .into_iter()
            .map(|disk| disk.task)
            .collect::<Vec<DiskTask>>(),
        files,
        describe: &describe,
        label,
        sizes: context.chunk_sizes(&repository),
        write: context.write_options(&repository)?,
        is_dry_run: arguments.dry_run,
    };
    tell_memory(context, &index, &request);
    let display = context.show_progress()?;
    let result = backup(&repository, &index, locked.lock()?, request)?;
    drop(display);
    if !arguments.dry_run {
        context.hold_reserve(&repository);
    }
    report(context, &machine, &facts, &result)
}

fn tell_memory(context: &Context, index: &Index, request: &BackupRequest<'_>) {
    let shape = |disk: &DiskTask| DiskShape {
        size: disk.source.size(),
        changed: match &disk.change {
            Change::Unknown => None,
            Change::Since { changed, .. } => Some(ChangeShape {
                extents: changed.count() as u64,
                bytes: changed.byte_count(),
            }),
        },
    };
    let disks: Vec<DiskShape> = request.disks.iter().map(shape).collect();
    let threads = context.environment.threads;
    let (blobs, sizes) = (index.blob_count(), request.sizes);
    let bound = MemoryBound::of_backup(blobs, threads, sizes, &disks, &request.write);
    context.output.detail_aside(format!("memory: {bound}"));
}

/// The index, with what an interrupted run has stored and not listed, without what is gone.
pub(crate) fn load_index(
    context: &Context,
    locked: &Locked<'_>,
    is_dry_run: bool,
) -> Result<Index> {
    let index = context.load_index(locked.repository)?;
    if is_dry_run {
        return Ok(index);
    }
    let (index, adopted) = adopt(locked.repository, locked.lock()?, index)?;
    if adopted.packs > 0 {
        let (packs, bytes) = (count(adopted.packs, "pack"), ByteCount(adopted.bytes));
        context.output.tell(format!(
            "an interrupted run left {packs} with {bytes}: taken over"
        ))?;
    }
    if adopted.lost > 0 {
        let packs = count(adopted.lost, "pack");
        context.output.warn(format!(
            "the index lists {packs} that the repository does not hold: what this backup needs \
             of them is stored again; run 'lifeboat check'"
        ));
    }
    Ok(index)
}

fn time(arguments: &BackupArguments) -> Result<GoTime> {
    match &arguments.time {
        Some(text) => {
            let time = select::parse_time(text)?;
            Ok(time.to_zoned(jiff::tz::TimeZone::system()).into())
        }
        None => Ok(Zoned::now().into()),
    }
}

fn consistency(word: &str) -> Result<&'static str> {
    let words = ["crash", "filesystem", "application"];
    words
        .into_iter()
        .find(|known| *known == word)
        .ok_or_else(|| {
            Error::usage(format!(
                "--consistency {word}: write crash, filesystem or application"
            ))
        })
}

fn owner(context: &Context, label: &mut SnapshotFile) {
    let owner = &context.environment.owner;
    label.username = owner.username.clone();
    (label.uid, label.gid) = (owner.uid, owner.gid);
}

struct Manifest<'a> {
    repository: &'a Repository,
    machine: &'a VmName,
    arguments: &'a BackupArguments,
    time: GoTime,
    consistency: &'static str,
}

impl Manifest<'_> {
    fn file(&self, facts: &[DiskFacts], outcomes: &[DiskOutcome], files: Vec<String>) -> PlainFile {
        let disks = facts
            .iter()
            .zip(outcomes)
            .map(|(fact, outcome)| fact.manifest(self.repository, outcome));
        let manifest = MachineManifest {
            version: 1,
            program: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: MachineIdentity {
                platform: "image".to_owned(),
                id: self.arguments.machine_id.clone(),
                name: self.machine.to_string(),
            },
            captured_at: self.time,
            consistency: self.consistency.to_owned(),
            disks: disks.collect(),
            files,
            other: serde_json::Map::new(),
        };
        PlainFile {
            name: MANIFEST_NAME.to_owned(),
            content: manifest.encode(),
        }
    }
}

#[derive(Serialize)]
struct DiskLine<'a> {
    disk: String,
    size: u64,
    mode: &'a str,
    reason: &'a str,
    bytes_read: u64,
    bytes_reused: u64,
    bytes_zero: u64,
    root: String,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    snapshot_id: Option<String>,
    tree: String,
    machine: &'a str,
    disks: Vec<DiskLine<'a>>,
    data_blobs: u64,
    tree_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    total_bytes_processed: u64,
    total_duration: f64,
    dry_run: bool,
}

fn report(
    context: &Context,
    machine: &VmName,
    facts: &[DiskFacts],
    result: &BackupResult,
) -> Result<u8> {
    if context.output.is_json() {
        context
            .output
            .message("summary", &summary(machine, facts, result))?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        "Disk", ">Size", ">Read", ">Reused", ">Zero", "Mode", "Reason",
    ]);
    for (fact, disk) in facts.iter().zip(&result.disks) {
        table.row([
            fact.name.to_string(),
            ByteCount(disk.size).to_string(),
            ByteCount(disk.read_bytes).to_string(),
            ByteCount(disk.reused_bytes).to_string(),
            ByteCount(disk.zero_bytes).to_string(),
            fact.mode().to_owned(),
            fact.reason.clone(),
        ]);
    }
    for line in table.lines() {
        context.output.tell(line)?;
    }
    let totals = result.totals;
    context.output.tell(format!(
        "added {} in {} chunks, stored as {}, in {}",
        ByteCount(totals.added),
        totals.data_blobs,
        ByteCount(totals.added_packed),
        span(result.duration)
    ))?;
    match result.snapshot {
        Some(id) => context
            .output
            .result(format!("snapshot {} of {machine} saved", id.short()))?,
        None => context.output.result("dry run: no snapshot was saved")?,
    }
    Ok(0)
}

fn summary<'a>(
    machine: &'a VmName,
    facts: &'a [DiskFacts],
    result: &BackupResult,
) -> SummaryLine<'a> {
    let disks = facts
        .iter()
        .zip(&result.disks)
        .map(|(fact, disk)| DiskLine {
            disk: fact.name.to_string(),
            size: disk.size,
            mode: fact.mode(),
            reason: &fact.reason,
            bytes_read: disk.read_bytes,
            bytes_reused: disk.reused_bytes,
            bytes_zero: disk.zero_bytes,
            root: disk.root.to_string(),
        });
    SummaryLine {
        snapshot_id: result.snapshot.map(|id| id.to_string()),
        tree: result.tree.to_string(),
        machine: machine.as_str(),
        disks: disks.collect(),
        data_blobs: result.totals.data_blobs,
        tree_blobs: result.totals.tree_blobs,
        data_added: result.totals.added,
        data_added_packed: result.totals.added_packed,
        total_bytes_processed: result.disks.iter().map(|disk| disk.size).sum(),
        total_duration: result.duration.as_secs_f64(),
        dry_run: result.snapshot.is_none(),
    }
}

impl DiskRequest {
    /// What is stored in the snapshot's folder of disks.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.raw", self.name)
    }
}
