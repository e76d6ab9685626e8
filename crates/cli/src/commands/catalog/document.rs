//! The catalog as a document: every snapshot with its record, its machine and its disks.
//!
//! The complete record of each snapshot is in it, so that a record that was lost can be stored
//! again. Field names are a promise: fields may be added, never renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use lifeboat_format::{BlobId, GoTime, SnapshotFile, SnapshotId, label};
use lifeboat_model::{ErrorKind, Id};
use lifeboat_repository::{BlobReader, Index, Repository, Snapshot};
use serde::{Deserialize, Serialize};

use crate::commands::backup::read_manifest;
use crate::error::{Error, Result};

/// Version of the document's shape.
const VERSION: u32 = 1;

/// Limit: bytes of a catalog; about a thousand a snapshot.
const CATALOG_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Catalog {
    pub(super) version: u32,
    pub(super) repository: String,
    pub(super) exported_at: GoTime,
    pub(super) snapshots: Vec<Entry>,
    #[serde(default)]
    pub(super) machines: Vec<Machine>,
    #[serde(default)]
    pub(super) totals: Totals,
}

/// One snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: SnapshotId,
    pub(super) time: GoTime,
    #[serde(default)]
    pub(super) machine: Option<String>,
    #[serde(default)]
    pub(super) host: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(default)]
    pub(super) parent: Option<SnapshotId>,
    #[serde(default)]
    pub(super) original: Option<SnapshotId>,
    /// Its tree: the Merkle root.
    pub(super) root: BlobId,
    #[serde(default)]
    pub(super) paths: Vec<String>,
    #[serde(default)]
    pub(super) disks: Vec<Disk>,
    #[serde(default)]
    pub(super) files: u64,
    #[serde(default)]
    pub(super) total_size: u64,
    /// The snapshot's own file.
    pub(super) record: SnapshotFile,
}

/// One disk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) size: u64,
    /// SHA-256 over the ids of its chunks, in order.
    pub(super) root: BlobId,
    pub(super) mode: String,
}

/// One machine and its snapshots.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) snapshots: usize,
    pub(super) first: GoTime,
    pub(super) last: GoTime,
    pub(super) disks: BTreeSet<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) snapshots: usize,
    pub(super) machines: usize,
    pub(super) total_size: u64,
}

impl Entry {
    /// The snapshot it was first, through rewrites and copies.
    pub(super) fn origin(&self) -> SnapshotId {
        self.original.unwrap_or(self.id)
    }
}

/// Describes snapshots; what cannot be read of one is told and left out.
pub(super) fn build(
    repository: &Repository,
    index: &Index,
    list: &[Snapshot],
    warn: &dyn Fn(String),
) -> Result<Catalog> {
    let mut reader = BlobReader::new(repository, index);
    let snapshots: Vec<Entry> = list
        .iter()
        .map(|snapshot| entry(&mut reader, snapshot, warn))
        .collect();
    let machines = machines(&snapshots);
    let totals = Totals {
        snapshots: snapshots.len(),
        machines: machines.len(),
        total_size: snapshots
            .iter()
            .fold(0, |sum, entry| sum.saturating_add(entry.total_size)),
    };
    Ok(Catalog {
        version: VERSION,
        repository: repository.config().id.to_string(),
        exported_at: repository.environment().clock.now().into(),
        snapshots,
        machines,
        totals,
    })
}

fn entry(reader: &mut BlobReader<'_>, snapshot: &Snapshot, warn: &dyn Fn(String)) -> Entry {
    let file = &snapshot.file;
    let machine = label::read(file);
    let disks = match machine.as_ref().map(|_| read_manifest(reader, snapshot)) {
        None => Vec::new(),
        Some(Ok(manifest)) => manifest.disks,
        Some(Err(error)) => {
            let id = snapshot.id.short();
            warn(format!(
                "the disks of snapshot {id} are not listed: {error}"
            ));
            Vec::new()
        }
    };
    let disks = disks.into_iter().map(|disk| Disk {
        name: disk.name,
        path: disk.path,
        size: disk.size,
        root: disk.root,
        mode: disk.mode,
    });
    let summary = file.summary.as_ref();
    Entry {
        id: snapshot.id,
        time: file.time,
        machine: machine.map(|name| name.to_string()),
        host: file.hostname.clone(),
        tags: file.tags.clone(),
        parent: file.parent,
        original: file.original,
        root: file.tree,
        paths: file.paths.clone(),
        disks: disks.collect(),
        files: summary.map_or(0, |summary| summary.total_files_processed),
        total_size: summary.map_or(0, |summary| summary.total_bytes_processed),
        record: file.clone(),
    }
}

fn machines(snapshots: &[Entry]) -> Vec<Machine> {
    let mut machines: BTreeMap<&str, Machine> = BTreeMap::new();
    for entry in snapshots {
        let Some(name) = &entry.machine else { continue };
        let machine = machines.entry(name).or_insert_with(|| Machine {
            name: name.clone(),
            snapshots: 0,
            first: entry.time,
            last: entry.time,
            disks: BTreeSet::new(),
        });
        machine.snapshots += 1;
        machine.first = machine.first.min(entry.time);
        machine.last = machine.last.max(entry.time);
        machine
            .disks
            .extend(entry.disks.iter().map(|disk| disk.name.clone()));
    }
    machines.into_values().collect()
}

/// Reads a catalog from a file.
///
/// Errors: `Invalid` if it is none, if it is larger than 256 MiB, or if it contradicts itself.
pub(super) fn read(path: &Path) -> Result<Catalog> {
    let shown = path.display();
    let failed = |e: std::io::Error| {
        let message = format!("cannot read the catalog {shown}: {e}");
        Error::new(ErrorKind::of_io(&e), message)
    };
    let wrong = |seen: &str| Error::usage(format!("{shown} is no catalog: {seen}"));
    let mut json = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut limited = file.take(CATALOG_BYTES_MAX + 1);
    limited.read_to_end(&mut json).map_err(failed)?;
    if json.len() as u64 > CATALOG_BYTES_MAX {
        return Err(wrong("it is larger than 256 MiB"));
    }
    let catalog: Catalog = serde_json::from_slice(&json).map_err(|e| wrong(&e.to_string()))?;
    if catalog.version != VERSION {
        let seen = format!("its version is {}, this program knows 1", catalog.version);
        return Err(wrong(&seen));
    }
    if catalog.repository.parse::<Id>().is_err() {
        return Err(wrong("the repository's id is no id"));
    }
    let mut ids = BTreeSet::new();
    for entry in &catalog.snapshots {
        let record = &entry.record;
        if record.tree != entry.root || record.time != entry.time {
            let seen = format!("the entry of snapshot {} contradicts its record", entry.id);
            return Err(wrong(&seen));
        }
        if !ids.insert(entry.id) {
            return Err(wrong(&format!("snapshot {} is in it twice", entry.id)));
        }
    }
    Ok(catalog)
}
