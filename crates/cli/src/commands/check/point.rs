//! `lifeboat verify --snapshot`: everything of one snapshot is read back.

use lifeboat_disk::{DiskWriter, Result as DiskResult};
use lifeboat_engine::restore::{apply, plan};
use lifeboat_engine::{Existing, RestoreTarget, place};
use lifeboat_format::{BlobId, Node, NodeKind};
use lifeboat_model::ByteCount;
use lifeboat_repository::{BlobReader, Index, LockMode, Repository};
use serde::Serialize;

use crate::args::PointArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::count;

/// Limit: folders in folders.
const DEPTH_MAX: usize = 1024;

#[derive(Serialize)]
struct ProofLine {
    snapshot_id: String,
    files: u64,
    bytes: u64,
    total_duration: f64,
}

/// Takes bytes that were proved, and drops them.
struct Nowhere(u64);

impl DiskWriter for Nowhere {
    fn size(&self) -> u64 {
        self.0
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> DiskResult<()> {
        Ok(())
    }

    fn zero_at(&self, _offset: u64, _length: u64) -> DiskResult<()> {
        Ok(())
    }

    fn finish(&self) -> DiskResult<()> {
        Ok(())
    }

    fn is_blank(&self) -> bool {
        true
    }
}

/// What was read.
#[derive(Default)]
struct Read {
    files: u64,
    bytes: u64,
}

/// Reads every file of a snapshot by the code of a restore: each chunk is opened and compared
/// with its name.
pub(super) fn run(context: &Context, repository: &Repository, snapshot: &str) -> Result<u8> {
    let _locked = context.lock(repository, LockMode::Shared)?;
    let clock = &context.environment.clock;
    let began = clock.monotonic();
    let snapshot = select::one(context, repository, snapshot, &PointArguments::default())?;
    let index = context.load_index_to_read(repository)?;
    let mut read = Read::default();
    let display = context.show_progress()?;
    folder(repository, &index, &snapshot.file.tree, &mut read, 0)?;
    drop(display);
    let duration = clock.monotonic().saturating_sub(began);
    if context.output.is_json() {
        let line = ProofLine {
            snapshot_id: snapshot.id.to_string(),
            files: read.files,
            bytes: read.bytes,
            total_duration: duration.as_secs_f64(),
        };
        context.output.message("proof", &line)?;
        return Ok(0);
    }
    context.output.result(format!(
        "snapshot {} comes back: {} with {} read in {}",
        snapshot.id.short(),
        count(usize::try_from(read.files).unwrap_or(usize::MAX), "file"),
        ByteCount(read.bytes),
        crate::tables::span(duration)
    ))?;
    Ok(0)
}

fn folder(
    repository: &Repository,
    index: &Index,
    tree: &BlobId,
    read: &mut Read,
    depth: usize,
) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::new(
            lifeboat_model::ErrorKind::Corrupt,
            "the snapshot's folders are deeper than 1024",
        ));
    }
    let tree = BlobReader::new(repository, index).tree(tree)?;
    for node in &tree.nodes {
        match (node.kind, &node.subtree) {
            (NodeKind::Dir, Some(subtree)) => folder(repository, index, subtree, read, depth + 1)?,
            (NodeKind::File, _) => file(repository, index, node, read)?,
            _ => {}
        }
    }
    Ok(())
}

fn file(repository: &Repository, index: &Index, node: &Node, read: &mut Read) -> Result<()> {
    let content = place(index, node)?;
    let nowhere = Nowhere(content.size);
    let target = RestoreTarget {
        writer: &nowhere,
        existing: Existing::Ignore,
    };
    let plan = plan(repository, content, target)?;
    read.bytes += plan.size;
    read.files += 1;
    apply(repository, index, &plan, target)?;
    Ok(())
}
