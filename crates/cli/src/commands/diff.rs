//! `lifeboat diff`

use std::collections::{BTreeMap, HashSet};

use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, Tree, ZeroIds};
use lifeboat_model::{ByteCount, Extent, ExtentSet};
use lifeboat_repository::{BlobReader, Index, LockMode, Snapshot};
use serde::Serialize;

use crate::args::DiffArguments;
use crate::context::Context;
use crate::error::Result;
use crate::select;

#[derive(Serialize)]
struct ChangeLine<'a> {
    path: &'a str,
    /// restic's letters: + - M T
    modifier: &'a str,
    changed_bytes: u64,
    ranges: Vec<[u64; 2]>,
}

#[derive(Default, Serialize)]
struct Totals {
    files_added: u64,
    files_removed: u64,
    files_changed: u64,
    changed_bytes: u64,
    new_blob_bytes: u64,
}

/// Shows what differs between two snapshots, down to byte ranges of disks.
pub(crate) fn run(context: &Context, arguments: &DiffArguments) -> Result<u8> {
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let all = select::many(&repository, &[], &arguments.filter)?;
    let from = select::pick(&all, &arguments.from)?.clone();
    let to = select::pick(&all, &arguments.to)?.clone();
    let index = context.load_index_to_read(&repository)?;
    let reader = BlobReader::new(&repository, &index);
    let is_detailed = arguments.ranges;
    let mut diff = Diff {
        context,
        index: &index,
        reader,
        is_detailed,
        totals: Totals::default(),
    };
    diff.tell_heads(&from, &to)?;
    diff.trees(Some(from.file.tree), Some(to.file.tree), "")?;
    diff.report()
}

/// A file's chunks with data as offset, length and name, and its zeros.
#[derive(Default)]
struct Chunks {
    list: Vec<(u64, u64, BlobId)>,
    zeros: ExtentSet,
}

struct Diff<'a> {
    context: &'a Context,
    index: &'a Index,
    reader: BlobReader<'a>,
    is_detailed: bool,
    totals: Totals,
}

impl Diff<'_> {
    fn tell_heads(&self, from: &Snapshot, to: &Snapshot) -> Result<()> {
        let (from, to) = (from.id.short(), to.id.short());
        self.context
            .output
            .tell(format!("comparing snapshot {from} with {to}"))
    }

    fn trees(&mut self, from: Option<BlobId>, to: Option<BlobId>, path: &str) -> Result<()> {
        if from == to {
            return Ok(());
        }
        crate::select::require_depth(path)?;
        let mut load = |id: Option<BlobId>| match id {
            Some(id) => self.reader.tree(&id),
            None => Ok(Tree::default()),
        };
        let (from, to) = (load(from)?, load(to)?);
        let mut names: BTreeMap<&[u8], (Option<&Node>, Option<&Node>)> = BTreeMap::new();
        from.nodes
            .iter()
            .for_each(|node| names.entry(&node.name).or_default().0 = Some(node));
        to.nodes
            .iter()
            .for_each(|node| names.entry(&node.name).or_default().1 = Some(node));
        for (from, to) in names.into_values() {
            self.nodes(from, to, path)?;
        }
        Ok(())
    }

    fn nodes(&mut self, from: Option<&Node>, to: Option<&Node>, path: &str) -> Result<()> {
        let Some(known) = to.or(from) else {
            return Ok(());
        };
        let path = format!("{path}/{}", known.shown_name());
        let (changed, modifier) = match (from, to) {
            (None, Some(new)) => {
                self.totals.files_added += 1;
                (self.whole(new), "+")
            }
            (Some(old), None) => {
                self.totals.files_removed += 1;
                (self.whole(old), "-")
            }
            (Some(old), Some(new)) if old.kind != new.kind => (self.whole(new), "T"),
            (Some(old), Some(new)) => (self.changed(old, new), "M"),
            (None, None) => return Ok(()),
        };
        if modifier != "M" || !changed.is_empty() {
            self.totals.files_changed += u64::from(modifier == "M");
            self.show(&path, modifier, &changed)?;
        }
        let subtree = |node: Option<&Node>| {
            node.filter(|node| node.kind == NodeKind::Dir)
                .and_then(|node| node.subtree)
        };
        self.trees(subtree(from), subtree(to), &path)
    }

    fn whole(&self, node: &Node) -> ExtentSet {
        if node.kind == NodeKind::File {
            ExtentSet::all(node.size)
        } else {
            ExtentSet::new()
        }
    }

    /// Byte ranges whose chunks differ; chunks are compared at equal offsets, zeros by extent.
    fn changed(&mut self, old: &Node, new: &Node) -> ExtentSet {
        if old.content == new.content {
            return ExtentSet::new();
        }
        let (old_chunks, new_chunks) = (self.chunks(old), self.chunks(new));
        let known: HashSet<(u64, BlobId)> = old_chunks.list.iter().map(|c| (c.0, c.2)).collect();
        let stored: HashSet<BlobId> = old_chunks.list.iter().map(|c| c.2).collect();
        let mut changed = new_chunks.zeros.without(&old_chunks.zeros);
        for (start, length, id) in new_chunks.list {
            if known.contains(&(start, id)) {
                continue;
            }
            changed.extend(Extent::at(start, length));
            if !stored.contains(&id) {
                self.totals.new_blob_bytes += length;
            }
        }
        let (short, long) = (old.size.min(new.size), old.size.max(new.size));
        changed.extend(Extent::new(short, long));
        changed
    }

    fn chunks(&self, node: &Node) -> Chunks {
        let (mut chunks, mut zeros, mut start) = (Chunks::default(), ZeroIds::new(), 0);
        for id in node.content_ids() {
            let found = self.index.find(BlobKind::Data, id);
            let length = found.map_or(0, |location| u64::from(location.plaintext_length()));
            if zeros.is_zero(id, length) {
                chunks.zeros.extend(Extent::at(start, length));
            } else {
                chunks.list.push((start, length, *id));
            }
            start += length;
        }
        chunks
    }

    fn show(&mut self, path: &str, modifier: &str, changed: &ExtentSet) -> Result<()> {
        self.totals.changed_bytes += changed.byte_count();
        let output = self.context.output;
        if output.is_json() {
            let ranges = changed
                .iter()
                .map(|extent| [extent.start(), extent.len()])
                .collect();
            let changed_bytes = changed.byte_count();
            let line = ChangeLine {
                path,
                modifier,
                changed_bytes,
                ranges,
            };
            return output.message("change", &line);
        }
        let amount = ByteCount(changed.byte_count());
        let ranges = changed.count();
        output.result(match ranges {
            0 => format!("{modifier}    {path}"),
            1 => format!("{modifier}    {path}  {amount}"),
            _ => format!("{modifier}    {path}  {amount} in {ranges} ranges"),
        })?;
        if self.is_detailed {
            for extent in changed.iter() {
                output.result(format!("       {} + {}", extent.start(), extent.len()))?;
            }
        }
        Ok(())
    }

    fn report(&self) -> Result<u8> {
        let (output, totals) = (self.context.output, &self.totals);
        if output.is_json() {
            output.message("statistics", totals)?;
            return Ok(0);
        }
        output.tell(format!(
            "{} added, {} removed, {} changed; {} changed, {} of it stored anew",
            totals.files_added,
            totals.files_removed,
            totals.files_changed,
            ByteCount(totals.changed_bytes),
            ByteCount(totals.new_blob_bytes)
        ))?;
        Ok(0)
    }
}
