//! `lifeboat stats`

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, BlobKind, Node};
use lifeboat_model::ByteCount;
use lifeboat_repository::{Index, LockMode, Repository, Snapshot, walk};
use serde::Serialize;

use crate::args::StatsArguments;
use crate::context::Context;
use crate::error::Result;
use crate::select;
use crate::tables::Table;

/// What a set of snapshots takes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Amounts {
    snapshots: u64,
    /// Bytes that a restore of all of them writes.
    restore_size: u64,
    /// Bytes of their different chunks, without zeros counted twice.
    raw_size: u64,
    /// Bytes of those, compressed and encrypted.
    stored_size: u64,
    blobs: u64,
}

#[derive(Serialize)]
struct Stats {
    total: Amounts,
    machines: BTreeMap<String, Amounts>,
    compression_ratio: f64,
    dedup_ratio: f64,
    repository_size: u64,
    packs: usize,
}

/// Shows how much space what takes.
pub(crate) fn run(context: &Context, arguments: &StatsArguments) -> Result<u8> {
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshots = select::many(&repository, &arguments.ids, &arguments.filter)?;
    let index = context.load_index(&repository)?;
    let display = context.show_progress()?;
    let total = amounts(&repository, &index, &snapshots.iter().collect::<Vec<_>>())?;
    let mut by_host: BTreeMap<String, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in &snapshots {
        by_host
            .entry(snapshot.file.hostname.clone())
            .or_default()
            .push(snapshot);
    }
    let machines = by_host
        .into_iter()
        .map(|(host, list)| Ok((host, amounts(&repository, &index, &list)?)));
    let machines = machines.collect::<Result<_>>()?;
    let packs = repository.list(FileKind::Pack)?;
    drop(display);
    let stats = Stats {
        total,
        machines,
        compression_ratio: ratio(total.raw_size, total.stored_size),
        dedup_ratio: ratio(total.restore_size, total.raw_size),
        repository_size: packs.iter().map(|file| file.size).sum(),
        packs: packs.len(),
    };
    report(context, &stats)
}

fn ratio(large: u64, small: u64) -> f64 {
    if small == 0 {
        1.0
    } else {
        large as f64 / small as f64
    }
}

fn amounts(repository: &Repository, index: &Index, snapshots: &[&Snapshot]) -> Result<Amounts> {
    let seen = Mutex::new(HashSet::<(BlobKind, BlobId)>::new());
    let restore_size = Mutex::new(std::collections::HashMap::<BlobId, u64>::new());
    let roots = snapshots.iter().map(|snapshot| snapshot.file.tree);
    walk::trees(repository, index, roots, |at| {
        let Ok(tree) = at.tree else { return Ok(()) };
        let data = tree
            .nodes
            .iter()
            .flat_map(Node::content_ids)
            .map(|id| (BlobKind::Data, *id));
        let mut seen = seen.lock().unwrap_or_else(|poison| poison.into_inner());
        seen.extend(data.chain([(BlobKind::Tree, at.id)]));
        let size = tree.nodes.iter().map(|node| node.size).sum();
        restore_size
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .insert(at.id, size);
        Ok(())
    })?;
    let sizes = restore_size
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    let mut amounts = Amounts {
        snapshots: snapshots.len() as u64,
        ..Amounts::default()
    };
    for snapshot in snapshots {
        amounts.restore_size += restore_size_of(repository, index, snapshot, &sizes)?;
    }
    for (kind, id) in seen
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner())
    {
        if let Some(location) = index.find(kind, &id) {
            amounts.blobs += 1;
            amounts.raw_size += u64::from(location.plaintext_length());
            amounts.stored_size += u64::from(location.length);
        }
    }
    Ok(amounts)
}

/// Sums up the trees of one snapshot; its summary knows when it is one of ours.
fn restore_size_of(
    repository: &Repository,
    index: &Index,
    snapshot: &Snapshot,
    sizes: &std::collections::HashMap<BlobId, u64>,
) -> Result<u64> {
    if let Some(summary) = &snapshot.file.summary {
        return Ok(summary.total_bytes_processed);
    }
    let total = Mutex::new(0);
    walk::trees(repository, index, [snapshot.file.tree], |at| {
        *total.lock().unwrap_or_else(|poison| poison.into_inner()) +=
            sizes.get(&at.id).unwrap_or(&0);
        Ok(())
    })?;
    Ok(total
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner()))
}

fn report(context: &Context, stats: &Stats) -> Result<u8> {
    if context.output.is_json() {
        context.output.json(stats)?;
        return Ok(0);
    }
    let mut table = Table::new(&[
        "Machine",
        ">Snapshots",
        ">Restores to",
        ">Unique",
        ">Stored",
    ]);
    let all = stats
        .machines
        .iter()
        .map(|(name, amounts)| (name.clone(), amounts));
    for (name, amounts) in all.chain([("all together".to_owned(), &stats.total)]) {
        table.row([
            name,
            amounts.snapshots.to_string(),
            ByteCount(amounts.restore_size).to_string(),
            ByteCount(amounts.raw_size).to_string(),
            ByteCount(amounts.stored_size).to_string(),
        ]);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    let (dedup, compression) = (stats.dedup_ratio, stats.compression_ratio);
    context.output.tell(format!(
        "deduplication {dedup:.2}x, compression {compression:.2}x"
    ))?;
    let size = ByteCount(stats.repository_size);
    context.output.tell(format!(
        "the repository's {} packs have {size}",
        stats.packs
    ))?;
    Ok(0)
}
