//! `lifeboat export`

pub(crate) mod bare;

use std::path::Path;
use std::sync::Arc;

use lifeboat_backend::{ArchiveWriter, Backend};
use lifeboat_engine::copy::{CopyEnds, CopyItem, copy_items};
use lifeboat_model::{ByteCount, ErrorKind, Secret};
use lifeboat_repository::{
    BlobReader, Index, InitOptions, LockMode, LockWait, Repository, Snapshot, WriteTotals, lock,
};
use serde::Serialize;

use crate::args::ArchiveExportArguments;
use crate::context::{Context, Password};
use crate::error::{Error, Result};
use crate::select;

#[derive(Serialize)]
struct ExportedLine {
    snapshot_id: String,
    archive_snapshot_id: Option<String>,
    time: String,
    machine: String,
}

#[derive(Serialize)]
struct SummaryLine {
    archive: String,
    archive_bytes: u64,
    repository_id: String,
    snapshots: usize,
    data_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
    with_metadata: bool,
}

/// Writes snapshots into a new archive.
pub(crate) fn run(context: &Context, arguments: &ArchiveExportArguments) -> Result<u8> {
    let target = &arguments.target;
    refuse_existing(target)?;
    let password = context.password()?;
    let repository = context.open_at(&context.place()?, &password)?;
    let archive_password = match &arguments.archive_password_file {
        Some(path) => Password::in_file(path.clone()).get_new()?,
        None => password.get()?,
    };
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let chosen = select::many(&repository, &arguments.ids, &arguments.filter)?;
    if chosen.is_empty() {
        let message = "no snapshot matches: 'lifeboat snapshots' lists them";
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let index = context.load_index_to_read(&repository)?;
    let items = items(context, arguments, (&repository, &index), &chosen)?;
    if arguments.dry_run {
        let records: Vec<_> = items.iter().map(|item| &item.record).collect();
        return super::copy::dry_run(context, "export", &records);
    }
    let writer = ArchiveWriter::create(target, &*context.environment.clock)?;
    let archive = Archive {
        context,
        writer: Arc::new(writer),
        password: archive_password,
    };
    let (size, exported) = archive.fill((&repository, &index), &items)?;
    report(context, arguments, &chosen, (size, exported))
}

/// Told before a password is asked for.
fn refuse_existing(target: &Path) -> Result<()> {
    if target.symlink_metadata().is_err() {
        return Ok(());
    }
    let message = format!(
        "{} exists already: remove it first or choose another name",
        target.display()
    );
    Err(Error::new(ErrorKind::Exists, message))
}

fn items(
    context: &Context,
    arguments: &ArchiveExportArguments,
    (repository, index): (&Repository, &Index),
    chosen: &[Snapshot],
) -> Result<Vec<CopyItem>> {
    if !arguments.without_metadata {
        return Ok(chosen.iter().map(CopyItem::whole).collect());
    }
    let mut reader = BlobReader::new(repository, index);
    let mut items = Vec::with_capacity(chosen.len());
    for snapshot in chosen {
        match bare::strip(&mut reader, snapshot)? {
            Some(item) => items.push(item),
            None => context.output.warn(format!(
                "snapshot {} has no disks: it is left out",
                snapshot.id.short()
            )),
        }
    }
    if items.is_empty() {
        let message = "none of these snapshots has disks: export them with their metadata";
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(items)
}

struct Archive<'a> {
    context: &'a Context,
    writer: Arc<ArchiveWriter>,
    password: Secret,
}

struct Exported {
    repository_id: String,
    totals: WriteTotals,
    /// Names at the source and in the archive.
    pairs: Vec<(String, Option<String>)>,
}

impl Archive<'_> {
    /// Makes a repository in the archive, copies everything, completes it; gives its size.
    fn fill(
        &self,
        (source, source_index): (&Repository, &Index),
        items: &[CopyItem],
    ) -> Result<(u64, Exported)> {
        let options = InitOptions {
            settings: source.config().settings.clone(),
            polynomial: Some(source.config().chunker_polynomial),
            ..InitOptions::default()
        };
        let backend: Arc<dyn Backend> = self.writer.clone();
        let environment = self.context.environment.clone();
        let target = Repository::init(backend, &self.password, &options, environment)?;
        let exported = {
            let target_lock = lock::acquire(&target, LockMode::Shared, LockWait::default())?;
            let ends = CopyEnds {
                source,
                source_index,
                target: &target,
                target_lock: &target_lock,
            };
            let display = self.context.show_progress()?;
            let (copied, totals) = copy_items(ends, items, self.context.write_options(&target)?)?;
            drop(display);
            let pairs = copied.iter().map(|copied| {
                let new = copied.target.map(|id| id.to_string());
                (copied.source.to_string(), new)
            });
            Exported {
                repository_id: target.config().id.to_string(),
                totals,
                pairs: pairs.collect(),
            }
        };
        Ok((self.writer.finish()?, exported))
    }
}

fn report(
    context: &Context,
    arguments: &ArchiveExportArguments,
    chosen: &[Snapshot],
    (size, exported): (u64, Exported),
) -> Result<u8> {
    let (output, target) = (context.output, arguments.target.display());
    if output.is_json() {
        for (source, new) in &exported.pairs {
            let found = chosen.iter().find(|s| s.id.to_string() == *source);
            output.message(
                "exported",
                &ExportedLine {
                    snapshot_id: source.clone(),
                    archive_snapshot_id: new.clone(),
                    time: found.map(|s| s.file.time.to_string()).unwrap_or_default(),
                    machine: found.map(|s| s.file.hostname.clone()).unwrap_or_default(),
                },
            )?;
        }
        output.message(
            "summary",
            &SummaryLine {
                archive: target.to_string(),
                archive_bytes: size,
                repository_id: exported.repository_id,
                snapshots: exported.pairs.len(),
                data_blobs: exported.totals.data_blobs,
                data_added: exported.totals.added,
                data_added_packed: exported.totals.added_packed,
                with_metadata: !arguments.without_metadata,
            },
        )?;
        return Ok(0);
    }
    let count = exported.pairs.len();
    let noun = if count == 1 { "snapshot" } else { "snapshots" };
    output.tell(format!(
        "{} in {} chunks, {} in the archive",
        ByteCount(exported.totals.added),
        exported.totals.data_blobs,
        ByteCount(size)
    ))?;
    output.result(format!("exported {count} {noun} to {target}"))?;
    output
        .tell("it is a tar of a restic repository: read it with 'lifeboat import', or unpack it")?;
    Ok(0)
}
