//! `lifeboat chain export`

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lifeboat_disk::{BackingFile, ImageFormat, Qcow2Writer, TargetMode, open_reader};
use lifeboat_engine::restore::{apply, plan};
use lifeboat_engine::{Existing, PlacedContent, RestoreTarget, place};
use lifeboat_format::{Node, label};
use lifeboat_model::{ByteCount, DiskName, ErrorKind, Extent, ExtentSet};
use lifeboat_repository::{BlobReader, Index, LockMode, Repository, Snapshot};
use serde::Serialize;
use serde_json::{Map, Value};

use super::checkpoints::{CHECKPOINTS_NAME, Checkpoint};
use super::sparing::Sparing;
use crate::args::FilterArguments;
use crate::commands::backup::read_manifest;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{select, whole_file};

/// What was asked for.
pub(super) struct Request<'a> {
    pub(super) ids: &'a [String],
    pub(super) filter: &'a FilterArguments,
    pub(super) disk: DiskName,
    pub(super) target: &'a Path,
    pub(super) is_compressed: bool,
}

#[derive(Serialize)]
struct FileLine<'a> {
    snapshot_id: String,
    time: String,
    file: &'a str,
    mode: &'static str,
    file_size: u64,
    bytes_written: u64,
    bytes_zero: u64,
}

/// Writes snapshots of one disk as a chain of qcow2 files.
pub(super) fn run(context: &Context, request: &Request<'_>) -> Result<u8> {
    prepare(request.target)?;
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let chosen = choose(&repository, request)?;
    let index = context.load_index_to_read(&repository)?;
    let mut exporter = Exporter {
        context,
        repository: &repository,
        index: &index,
        request,
        below: None,
        written: Vec::new(),
    };
    exporter
        .write_all(&chosen)
        .map_err(|error| exporter.take_back(error))?;
    if !context.output.is_json() {
        context.output.result(format!(
            "wrote {} files to {}",
            chosen.len(),
            request.target.display()
        ))?;
    }
    Ok(0)
}

/// Makes the folder; refuses one that holds a chain.
fn prepare(folder: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        let message = format!("cannot make the folder {}: {e}", folder.display());
        Error::new(ErrorKind::of_io(&e), message)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    if folder.join(CHECKPOINTS_NAME).symlink_metadata().is_ok() {
        let message = format!("{} holds a chain already: choose another", folder.display());
        return Err(Error::new(ErrorKind::Exists, message));
    }
    Ok(())
}

/// The snapshots that are meant, oldest first.
fn choose(repository: &Repository, request: &Request<'_>) -> Result<Vec<Snapshot>> {
    let latest = ["latest".to_owned()];
    let ids = if request.ids.is_empty() {
        &latest[..]
    } else {
        request.ids
    };
    let mut chosen = select::many(repository, ids, request.filter)?;
    chosen.sort_by_key(|snapshot| snapshot.file.time.timestamp());
    let mut hosts: Vec<&str> = chosen.iter().map(|s| s.file.hostname.as_str()).collect();
    hosts.dedup();
    if hosts.len() > 1 {
        return Err(Error::usage(
            "the snapshots are of several machines: choose those of one with --machine NAME",
        ));
    }
    Ok(chosen)
}

struct Exporter<'a> {
    context: &'a Context,
    repository: &'a Repository,
    index: &'a Index,
    request: &'a Request<'a>,
    /// The file that was written last, and what it holds.
    below: Option<(String, PlacedContent)>,
    written: Vec<Checkpoint>,
}

impl Exporter<'_> {
    /// Writes the files, oldest first, then the list that makes them a chain.
    fn write_all(&mut self, chosen: &[Snapshot]) -> Result<()> {
        for (number, snapshot) in chosen.iter().enumerate() {
            self.write(number, snapshot)?;
        }
        let list = serde_json::to_vec_pretty(&self.written);
        let list = list.map_err(|e| Error::usage(e.to_string()))?;
        whole_file::write(&self.request.target.join(CHECKPOINTS_NAME), &list)
    }

    /// Removes the files that were finished: without the rest they are no chain, and they would
    /// be in the way of the next try.
    fn take_back(&self, error: Error) -> Error {
        let names = self
            .written
            .iter()
            .filter_map(|file| file.backup_file_path.as_ref());
        for name in names {
            let path = self.request.target.join(name);
            if let Err(failed) = std::fs::remove_file(&path) {
                let path = path.display();
                self.context
                    .output
                    .warn(format!("{path} stays and is no complete chain: {failed}"));
            }
        }
        error
    }

    fn write(&mut self, number: usize, snapshot: &Snapshot) -> Result<()> {
        let content = place(self.index, &self.node(snapshot)?)?;
        let mode = if self.below.is_some() {
            "incremental"
        } else {
            "full"
        };
        let name = format!("{}-{number:04}-{mode}.qcow2", self.request.disk);
        let target = self.request.target.join(&name);
        let mut options = super::merge::writer_options(self.request.is_compressed);
        options.mode = TargetMode::New;
        let mut wanted = content.clone();
        if let Some((below, held)) = &self.below {
            options.backing = Some(self.backing(below)?);
            wanted = difference(held, &content);
        }
        let below = options
            .backing
            .as_ref()
            .and_then(|below| below.content.clone());
        let writer = Qcow2Writer::create(&target, content.size, &options)?;
        let sparing = Sparing::new(&writer, below);
        let to = RestoreTarget {
            writer: &sparing,
            existing: Existing::Ignore,
        };
        let display = self.context.show_progress()?;
        plan(self.repository, wanted, to)
            .and_then(|plan| apply(self.repository, self.index, &plan, to))
            .inspect_err(|_| {
                // What counts is the failure itself.
                let _ = writer.abort();
            })?;
        drop(display);
        let (bytes_written, bytes_zero) = sparing.passed();
        let file_size = std::fs::metadata(&target).map_or(0, |found| found.len());
        let line = FileLine {
            snapshot_id: snapshot.id.to_string(),
            time: snapshot.file.time.to_string(),
            file: &name,
            mode,
            file_size,
            bytes_written,
            bytes_zero,
        };
        self.note(number, snapshot, &line);
        self.tell(&line)?;
        self.below = Some((name, content));
        Ok(())
    }

    fn node(&self, snapshot: &Snapshot) -> Result<Node> {
        let mut reader = BlobReader::new(self.repository, self.index);
        let name = self.request.disk.as_str();
        let path = match label::read(&snapshot.file) {
            None => format!("disks/{name}.raw"),
            Some(_) => {
                let manifest = read_manifest(&mut reader, snapshot)?;
                let found = manifest.disks.into_iter().find(|disk| disk.name == name);
                let missing = || {
                    let id = snapshot.id.short();
                    let message = format!("snapshot {id} has no disk \"{name}\": use --disk");
                    Error::new(ErrorKind::NotFound, message)
                };
                found.ok_or_else(missing)?.path
            }
        };
        select::node_at(&mut reader, &snapshot.file.tree, &path)
    }

    /// The file below, by its name alone: a chain can be moved as a folder.
    fn backing(&self, name: &str) -> Result<BackingFile> {
        let options = super::confined_to(self.request.target);
        let path = self.request.target.join(name);
        Ok(BackingFile {
            path: PathBuf::from(name),
            format: ImageFormat::Qcow2,
            content: Some(open_reader(&path, ImageFormat::Qcow2, &options)?),
        })
    }

    fn tell(&self, line: &FileLine<'_>) -> Result<()> {
        if self.context.output.is_json() {
            return self.context.output.message("exported", line);
        }
        self.context.output.tell(format!(
            "{}: {} of data, {}",
            line.file,
            ByteCount(line.bytes_written),
            line.mode
        ))
    }

    fn note(&mut self, number: usize, snapshot: &Snapshot, line: &FileLine<'_>) {
        self.written.push(Checkpoint {
            id: Value::String(snapshot.id.to_string()),
            vm_name: Some(snapshot.file.hostname.clone()),
            status: Some("completed".to_owned()),
            backup_type: Some(line.mode.to_owned()),
            backup_date: Value::String(line.time.clone()),
            chain_level: Some(number as u64),
            backup_file_path: Some(line.file.to_owned()),
            file_size: Some(line.file_size),
            other: Map::new(),
        });
    }
}

/// What of `now` is not in `held` at the same place.
fn difference(held: &PlacedContent, now: &PlacedContent) -> PlacedContent {
    let known: HashSet<_> = held.chunks.iter().map(|c| (c.offset, c.id)).collect();
    let chunks = now.chunks.iter();
    let mut zeros = held.zeros.clone();
    // Behind its own end a backing file reads as zeros.
    if let Some(behind) = Extent::new(held.size, now.size) {
        zeros.insert(behind);
    }
    PlacedContent {
        size: now.size,
        chunks: chunks
            .filter(|chunk| !known.contains(&(chunk.offset, chunk.id)))
            .copied()
            .collect(),
        zeros: subtract(&now.zeros, &zeros),
    }
}

/// The bytes of `all` that are not in `less`.
fn subtract(all: &ExtentSet, less: &ExtentSet) -> ExtentSet {
    let mut rest = ExtentSet::new();
    for extent in all.iter() {
        let mut at = extent.start();
        while at < extent.end() {
            let next = less.next_from(at);
            let gap_end = next.map_or(extent.end(), |next| next.start().min(extent.end()));
            Extent::new(at, gap_end)
                .into_iter()
                .for_each(|gap| rest.insert(gap));
            at = next.map_or(extent.end(), Extent::end);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtracting_leaves_what_only_the_first_has() {
        let set = |list: &[(u64, u64)]| -> ExtentSet {
            list.iter()
                .filter_map(|(a, b)| Extent::new(*a, *b))
                .collect()
        };
        let all = set(&[(0, 10), (20, 30), (40, 50)]);
        let less = set(&[(2, 4), (8, 22), (30, 40), (45, 90)]);
        assert_eq!(
            subtract(&all, &less),
            set(&[(0, 2), (4, 8), (22, 30), (40, 45)])
        );
        assert_eq!(subtract(&all, &ExtentSet::new()), all);
        assert!(subtract(&all, &all).is_empty());
    }
}
