//! Which files of a folder are points in time.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lifeboat_model::{ErrorKind, VmName};

use super::checkpoints::{self, Checkpoint};
use crate::error::{Error, Result};

/// A file that holds a point in time.
#[derive(Clone, Debug)]
pub(super) struct PointFile {
    /// After all symbolic links; inside the folder.
    pub(super) path: PathBuf,
    pub(super) time: Timestamp,
    /// Whether somebody said that it needs another file below it.
    pub(super) is_incremental: bool,
}

/// The files of a folder and whose they are.
pub(super) struct Found {
    pub(super) machine: VmName,
    pub(super) files: Vec<PointFile>,
    /// Entries that are passed over, and why.
    pub(super) notes: Vec<String>,
}

/// Looks at a folder; `folder` is canonical.
///
/// Errors: `NotFound` for files that are listed and missing, or if there are none; `Denied` for
/// files outside; `Corrupt` for files of another size than is listed.
pub(super) fn find(folder: &Path, machine: Option<VmName>) -> Result<Found> {
    let (list, mut notes) = (checkpoints::read(folder)?, Vec::new());
    let Some(list) = list else {
        let machine = machine.ok_or_else(|| {
            let message = "there is no checkpoints.json: name the machine with --machine NAME";
            Error::usage(message)
        })?;
        let files = every_image(folder)?;
        return Ok(Found {
            machine,
            files,
            notes,
        });
    };
    let (machine, list) = choose(machine, list)?;
    let mut files: Vec<PointFile> = Vec::with_capacity(list.len());
    for checkpoint in &list {
        if !checkpoint.is_complete() {
            let status = checkpoint.status.as_deref().unwrap_or_default();
            let status = crate::tables::shown(status);
            notes.push(format!("{} is passed over: {status}", checkpoint.shown()));
            continue;
        }
        let file = listed(folder, checkpoint)?;
        if files.iter().any(|known| known.path == file.path) {
            let message = format!("{} is listed twice", file.path.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        files.push(file);
    }
    if files.is_empty() {
        let message = format!("{} lists no complete file", checkpoints::CHECKPOINTS_NAME);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(Found {
        machine,
        files,
        notes,
    })
}

/// The machine, and its entries where the list names several machines.
fn choose(machine: Option<VmName>, list: Vec<Checkpoint>) -> Result<(VmName, Vec<Checkpoint>)> {
    let mut names: Vec<&str> = list.iter().filter_map(|c| c.vm_name.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    match (machine, names.as_slice()) {
        (Some(machine), [] | [_]) => Ok((machine, list)),
        (Some(machine), several) if several.contains(&machine.as_str()) => {
            let is_its = |c: &Checkpoint| c.vm_name.as_deref() == Some(machine.as_str());
            let list = list.into_iter().filter(is_its).collect();
            Ok((machine, list))
        }
        (None, [one]) => Ok((one.parse()?, list)),
        (_, several) => {
            let named: Vec<String> = several.iter().map(|n| crate::tables::shown(n)).collect();
            Err(Error::usage(format!(
                "the checkpoints are of {} machines ({}): choose one with --machine NAME",
                named.len(),
                named.join(", ")
            )))
        }
    }
}

/// The file of an entry.
fn listed(folder: &Path, checkpoint: &Checkpoint) -> Result<PointFile> {
    let stated = checkpoint.backup_file_path.as_deref().unwrap_or_default();
    let path = resolve(folder, Path::new(stated)).map_err(|(kind, seen)| {
        let stated = crate::tables::shown(stated);
        Error::new(kind, format!("{}: \"{stated}\" {seen}", checkpoint.shown()))
    })?;
    let metadata = metadata(&path)?;
    if let Some(size) = checkpoint.file_size.filter(|size| *size != metadata.len()) {
        let message = format!(
            "{} has {} bytes, {} says {size}: it is not complete or not the one that was written",
            path.display(),
            metadata.len(),
            checkpoints::CHECKPOINTS_NAME
        );
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(PointFile {
        time: match checkpoint.time()? {
            Some(time) => time,
            None => modified(&metadata),
        },
        path,
        is_incremental: checkpoint.is_incremental(),
    })
}

/// The place of a stated file inside the folder; scripts note absolute paths of their own host.
fn resolve(folder: &Path, stated: &Path) -> std::result::Result<PathBuf, (ErrorKind, String)> {
    let Some(name) = stated.file_name() else {
        return Err((ErrorKind::Invalid, "names no file".to_owned()));
    };
    let path = match stated.is_absolute() && !stated.starts_with(folder) {
        true => folder.join(name),
        false => folder.join(stated),
    };
    let inside = path.canonicalize().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            format!("is not in {}", folder.display()),
        ),
        _ => (ErrorKind::of_io(&e), format!("cannot be found: {e}")),
    })?;
    if inside.starts_with(folder) {
        Ok(inside)
    } else {
        let seen = format!("leads out of {}", folder.display());
        Err((ErrorKind::Denied, seen))
    }
}

/// All files that are named as qcow2 images.
fn every_image(folder: &Path) -> Result<Vec<PointFile>> {
    let failed = |e: std::io::Error| {
        let message = format!("cannot list {}: {e}", folder.display());
        Error::new(ErrorKind::of_io(&e), message)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_image = path.extension().is_some_and(|ending| ending == "qcow2");
        let is_work = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !is_image || is_work || path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
            continue;
        }
        files.push(PointFile {
            time: modified(&metadata(&path)?),
            path,
            is_incremental: false,
        });
    }
    if files.is_empty() {
        let message = format!("there is no *.qcow2 file in {}", folder.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn metadata(path: &Path) -> Result<std::fs::Metadata> {
    let found = std::fs::metadata(path).map_err(|e| {
        let message = format!("cannot look at {}: {e}", path.display());
        Error::new(ErrorKind::of_io(&e), message)
    })?;
    if found.is_file() {
        return Ok(found);
    }
    let message = format!("{} is no regular file", path.display());
    Err(Error::new(ErrorKind::Invalid, message))
}

fn modified(metadata: &std::fs::Metadata) -> Timestamp {
    let seconds = metadata.mtime();
    let nanoseconds = i32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
