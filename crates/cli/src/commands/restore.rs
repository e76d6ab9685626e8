//! `lifeboat restore`

mod files;
mod machine;
mod target;

use lifeboat_format::{MachineManifest, Node};
use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_repository::{BlobReader, Index, LockMode, Repository, Snapshot};
use serde::Serialize;

use crate::args::RestoreArguments;
use crate::commands::backup::read_manifest;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::span;
use target::{Restored, TargetFormat, restore_disk};

/// What a restore works with.
struct Source<'a> {
    context: &'a Context,
    repository: &'a Repository,
    index: &'a Index,
    snapshot: &'a Snapshot,
    arguments: &'a RestoreArguments,
    format: TargetFormat,
}

#[derive(Serialize)]
struct SummaryLine {
    snapshot_id: String,
    dry_run: bool,
    bytes_written: u64,
    bytes_zero: u64,
    bytes_equal: u64,
    bytes_read: u64,
    total_duration: f64,
    verified: bool,
}

/// Brings back a machine, a disk, or files.
pub(crate) fn run(context: &Context, arguments: &RestoreArguments) -> Result<u8> {
    let format: TargetFormat = arguments.to_format.parse()?;
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshot = select::one(context, &repository, &arguments.snapshot, &arguments.point)?;
    let index = context.load_index_to_read(&repository)?;
    let (repository, index, snapshot) = (&repository, &index, &snapshot);
    let source = Source {
        context,
        repository,
        index,
        snapshot,
        arguments,
        format,
    };
    let restored = match &arguments.disk {
        Some(disk) => source.one_disk(disk)?,
        None if source.is_of_files() => return files::restore(&source),
        None => machine::restore(&source)?,
    };
    source.report(&restored)
}

impl Source<'_> {
    fn one_disk(&self, disk: &str) -> Result<Restored> {
        let node = self.disk_node(disk)?;
        restore_disk(self, &node, &self.arguments.target)
    }

    /// The node of a disk by its name, or of any file by its path.
    fn disk_node(&self, disk: &str) -> Result<Node> {
        let mut reader = BlobReader::new(self.repository, self.index);
        let path = match self.manifest(&mut reader)? {
            Some(manifest) => {
                let found = manifest.disks.iter().find(|known| known.name == disk);
                let names: Vec<&str> = manifest.disks.iter().map(|d| d.name.as_str()).collect();
                let known = found.ok_or_else(|| no_disk(disk, &names))?;
                known.path.clone()
            }
            None => disk.to_owned(),
        };
        select::node_at(&mut reader, &self.snapshot.file.tree, &path)
    }

    /// Whether files are wanted: of a snapshot that is no machine's, or by their paths.
    fn is_of_files(&self) -> bool {
        let has_paths = !self.arguments.include.is_empty() || !self.arguments.exclude.is_empty();
        has_paths || lifeboat_format::label::read(&self.snapshot.file).is_none()
    }

    /// The manifest, if this is a machine's snapshot.
    fn manifest(&self, reader: &mut BlobReader<'_>) -> Result<Option<MachineManifest>> {
        match lifeboat_format::label::read(&self.snapshot.file) {
            Some(_) => read_manifest(reader, self.snapshot).map(Some),
            None => Ok(None),
        }
    }

    fn report(&self, restored: &Restored) -> Result<u8> {
        let output = self.context.output;
        if self.arguments.target.as_os_str() == "-" {
            return Ok(0);
        }
        if output.is_json() {
            output.message("summary", &self.summary(restored))?;
            return Ok(0);
        }
        let (verb, equal) = if self.arguments.dry_run {
            ("would write", "would leave")
        } else {
            ("wrote", "left")
        };
        let mut text = format!(
            "{verb} {} of data and {} of zeros",
            ByteCount(restored.written),
            ByteCount(restored.zeros)
        );
        if restored.equal > 0 {
            text.push_str(&format!(
                ", {equal} {} that were equal",
                ByteCount(restored.equal)
            ));
        }
        if !self.arguments.dry_run {
            text.push_str(&format!(", in {}", span(restored.duration)));
        }
        output.tell(text)?;
        if restored.is_verified {
            output.tell("read it back: every byte is as in the snapshot")?;
        }
        let (id, place) = (self.snapshot.id.short(), self.arguments.target.display());
        if self.arguments.dry_run {
            output.result(format!(
                "dry run: nothing of snapshot {id} was written to {place}"
            ))?;
        } else {
            output.result(format!("snapshot {id} restored to {place}"))?;
        }
        Ok(0)
    }

    fn summary(&self, restored: &Restored) -> SummaryLine {
        SummaryLine {
            snapshot_id: self.snapshot.id.to_string(),
            dry_run: self.arguments.dry_run,
            bytes_written: restored.written,
            bytes_zero: restored.zeros,
            bytes_equal: restored.equal,
            bytes_read: restored.read,
            total_duration: restored.duration.as_secs_f64(),
            verified: restored.is_verified,
        }
    }
}

fn no_disk(disk: &str, names: &[&str]) -> Error {
    let message = format!(
        "the machine has no disk \"{disk}\": it has {}",
        names.join(", ")
    );
    Error::new(ErrorKind::NotFound, message)
}
