//! What a build has changed so far, written down for the time after a crash.
//!
//! The file `building-NAME.json` lies where scratch files do, and is locked as long as the build
//! lives. Order: the old machine is noted before it is stopped, a disk right after it was made
//! under its work name. A disk is told from others' files by its number in its file system.
//! A machine that was defined has all its disks: it stays, and only the note goes.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{Error, Finding, Result, VmId};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::binding::Failure;
use crate::capture::usual_base;

/// Ends the name under which a disk is written until it is complete.
const WORK_ENDING: &str = ".lifeboat-part";

/// What must be taken back if the build dies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// The new machine's UUID.
    pub(crate) uuid: String,
    pub(crate) aside: Option<AsideChange>,
    pub(crate) files: Vec<MadeFile>,
}

/// The machine that made room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AsideChange {
    pub(crate) id: String,
    pub(crate) aside: String,
    pub(crate) was_running: bool,
}

/// A file of the new machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeFile {
    pub(crate) path: PathBuf,
    device: u64,
    number: u64,
}

impl MadeFile {
    /// The file as it is now, under its work name or its own; nothing if there is none.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let found = [work_name(path)?, path.to_owned()];
        let meta = found.iter().find_map(|it| fs::symlink_metadata(it).ok())?;
        Some(Self {
            path: path.to_owned(),
            device: meta.dev(),
            number: meta.ino(),
        })
    }

    /// Removes it, under both names, if it is still the same file.
    fn remove(&self) -> Result<()> {
        let names = work_name(&self.path).into_iter();
        for name in names.chain([self.path.clone()]) {
            let meta = fs::symlink_metadata(&name);
            let is_ours = |it: &fs::Metadata| (it.dev(), it.ino()) == (self.device, self.number);
            if meta.as_ref().is_ok_and(is_ours) {
                remove_file(&name)?;
            }
        }
        Ok(())
    }
}

fn work_name(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    Some(path.with_file_name(format!(".{name}{WORK_ENDING}")))
}

/// The note of a build that lives.
pub(crate) struct Record {
    path: PathBuf,
    file: File,
    pub(crate) changes: Changes,
}

fn place(access: &Access, name: &VmName) -> Result<PathBuf> {
    Ok(usual_base(access)?.join(format!("building-{name}.json")))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("removing", path)(e)),
        _ => Ok(()),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| Error::io(doing, path.clone(), e)
}

/// Errors: `Busy` if another process has it.
fn lock(file: &File, name: &VmName) -> Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Error::new(ErrorKind::Busy, "building", name.as_str())
            .seen("another process builds a machine of this name; wait for it")
    })
}

impl Record {
    /// Errors: `Busy` if another build of the name lives.
    pub(crate) fn begin(access: &Access, name: &VmName, uuid: &str) -> Result<Self> {
        let path = place(access, name)?;
        let base = path.parent().unwrap_or(&path);
        let mut folder = DirBuilder::new();
        let made = folder.recursive(true).mode(0o711).create(base);
        made.map_err(failed("making the folder", base))?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed("opening", &path))?;
        lock(&file, name)?;
        let changes = Changes {
            uuid: uuid.to_owned(),
            ..Changes::default()
        };
        Ok(Self {
            path,
            file,
            changes,
        })
    }

    /// Writes what has changed; durable when it returns.
    pub(crate) fn save(&mut self) -> Result<()> {
        let json = serde_json::to_vec(&self.changes).unwrap_or_default();
        let mut write = || {
            std::io::Seek::rewind(&mut self.file)?;
            self.file.set_len(0)?;
            self.file.write_all(&json)?;
            self.file.sync_all()
        };
        write().map_err(failed("writing", &self.path))
    }

    /// Nothing needs to be taken back any more.
    pub(crate) fn remove(&self) -> Result<()> {
        remove_file(&self.path)
    }
}

/// Takes back what a build that died has changed.
pub(crate) fn clear(access: &Access, name: &VmName) -> Result<Vec<Finding>> {
    if !access.is_local() {
        return Ok(Vec::new());
    }
    let path = place(access, name)?;
    let file = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed("opening", &path))?,
    };
    lock(&file, name)?;
    let json = fs::read(&path).map_err(failed("reading", &path))?;
    // A note that was cut off was never acted upon.
    let Ok(changes) = serde_json::from_slice::<Changes>(&json) else {
        remove_file(&path)?;
        return Ok(Vec::new());
    };
    let connection = access.connection()?;
    let mut findings = Vec::new();
    if connection.domain_by_uuid(&changes.uuid).is_ok() {
        let aside = changes.aside;
        let aside = aside.filter(|it| connection.domain_by_uuid(&it.id).is_ok());
        let kept = aside.map(|it| {
            let aside = it.aside;
            Finding::warning(format!(
                "an earlier recovery was ended when its machine was made; the old one is kept as \
                 {aside}: remove it when it is not needed"
            ))
        });
        findings.extend(kept);
    } else {
        for file in &changes.files {
            file.remove()?;
        }
        if let Some(aside) = &changes.aside {
            put_back(access, name, aside)?;
        }
        findings.push(Finding::note(format!(
            "what an earlier recovery of {name} left was removed"
        )));
    }
    remove_file(&path)?;
    Ok(findings)
}

fn put_back(access: &Access, name: &VmName, aside: &AsideChange) -> Result<()> {
    let old = access.domain(&VmId::new(aside.id.as_str()))?;
    let failed = |failure: Failure| failure.of("putting back", name.as_str());
    if old.name() == aside.aside {
        old.rename(name.as_str()).map_err(failed)?;
    }
    if aside.was_running && old.number().is_none() {
        old.start().map_err(failed)?;
    }
    Ok(())
}
