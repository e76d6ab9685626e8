//! Finds what does not belong into a repository, and removes what dead writers left.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lifeboat_model::{Clock, Id};

use super::{Local, RESERVE_NAME, explained, kind_of, layout, save::WORK_ENDING, writer};
use crate::{Backend, Doing, Error, FileKind, Result};

/// No save takes so long; older work files have no writer any more.
pub const LEFTOVER_AGE_MIN: Duration = Duration::from_secs(24 * 3600);

/// Something in a repository's directory that no list shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stray {
    /// Relative to the repository.
    pub path: PathBuf,
    /// Why it does not belong.
    pub kind: StrayKind,
    /// Its size in bytes.
    pub size: u64,
}

/// Why something does not belong into a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StrayKind {
    /// A file with a sound name in a directory where nobody looks for it.
    WrongPlace(Id),
    /// A work file of a writer of ours, alive or dead.
    Leftover,
    /// A name that no part of a repository has.
    UnknownName,
    /// A sound name, but no regular file.
    NotAFile,
}

impl Local {
    /// Everything that no list shows, sorted by path.
    ///
    /// Cost: reads all directories of the repository.
    pub fn strays(&self) -> Result<Vec<Stray>> {
        let found = self.find_strays();
        found.map_err(|e| self.failed(Doing::FindStrays, e))
    }

    /// Removes work files whose writers are dead, and those last written before `age_min`; gives
    /// their paths.
    pub fn sweep_leftovers(&self, clock: &dyn Clock, age_min: Duration) -> Result<Vec<PathBuf>> {
        let strays = self.find_strays();
        let swept = strays.and_then(|strays| self.sweep_strays(strays, clock, age_min));
        swept.map_err(|e| self.failed(Doing::SweepLeftovers, e))
    }

    /// Like [`Local::sweep_leftovers`] in the one directory that holds files of `kind`.
    pub(super) fn sweep_beside(&self, kind: FileKind, clock: &dyn Clock) -> Result<Vec<PathBuf>> {
        let mut strays = Vec::new();
        let directory = Path::new(layout::directory(kind));
        let found = self.visit(directory, &mut strays, |name, found| {
            stray_of(name, found, None)
        });
        let swept = found.and_then(|()| self.sweep_strays(strays, clock, LEFTOVER_AGE_MIN));
        swept.map_err(|e| self.failed(Doing::SweepLeftovers, e))
    }

    pub(super) fn failed(&self, doing: Doing, error: io::Error) -> Error {
        explained(Error::new(kind_of(&error), doing, self.location()), error)
    }

    fn sweep_strays(
        &self,
        strays: Vec<Stray>,
        clock: &dyn Clock,
        age_min: Duration,
    ) -> io::Result<Vec<PathBuf>> {
        let now = SystemTime::from(clock.now());
        let written_before = now.checked_sub(age_min).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut swept = Vec::new();
        for stray in strays {
            let path = self.root.join(&stray.path);
            if stray.kind != StrayKind::Leftover
                || !is_dead(&path) && !is_older(&path, written_before)?
            {
                continue;
            }
            match self.calls.unlink(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed?;
                    swept.push(stray.path);
                }
            }
        }
        Ok(swept)
    }

    fn find_strays(&self) -> io::Result<Vec<Stray>> {
        let mut strays = Vec::new();
        self.visit(Path::new(""), &mut strays, |name, found| {
            let part = FileKind::ALL[1..]
                .iter()
                .any(|k| name == layout::directory(*k));
            let is_file = name == "config" || name == RESERVE_NAME;
            let sound = is_file && found.is_file() || part && found.is_dir();
            (!sound).then(|| reason(name, part || name == "config"))
        })?;
        for kind in &FileKind::ALL[1..5] {
            let directory = Path::new(layout::directory(*kind));
            self.visit(directory, &mut strays, |name, found| {
                stray_of(name, found, None)
            })?;
        }
        let data = Path::new(layout::directory(FileKind::Pack));
        self.visit(data, &mut strays, |name, found| {
            let first = first_byte(name);
            (first.is_none() || !found.is_dir()).then(|| reason(name, first.is_some()))
        })?;
        for first in 0..=255u8 {
            let directory = data.join(format!("{first:02x}"));
            self.visit(&directory, &mut strays, |name, found| {
                stray_of(name, found, Some(first))
            })?;
        }
        strays.sort();
        Ok(strays)
    }

    /// Asks `judge` about every entry of a directory; one that is missing has none.
    fn visit(
        &self,
        directory: &Path,
        strays: &mut Vec<Stray>,
        judge: impl Fn(&str, &Metadata) -> Option<StrayKind>,
    ) -> io::Result<()> {
        let entries = match std::fs::read_dir(self.root.join(directory)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && layout::has_config(&self.root) => {
                return Ok(());
            }
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let found = match entry.metadata() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            let judged = judge(&entry.file_name().to_string_lossy(), &found);
            strays.extend(judged.map(|kind| Stray {
                path: directory.join(entry.file_name()),
                kind,
                size: found.len(),
            }));
        }
        Ok(())
    }
}

/// Says whether the name of a work file tells of a writer that is certainly gone.
fn is_dead(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let told = name.strip_suffix(WORK_ENDING);
    told.and_then(|told| told.rsplit('.').next())
        .is_some_and(writer::is_gone)
}

fn is_older(path: &Path, moment: SystemTime) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(found.modified()? < moment),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn first_byte(name: &str) -> Option<u8> {
    let lower = name.len() == 2 && name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| u8::from_str_radix(name, 16).ok()).flatten()
}

fn stray_of(name: &str, found: &Metadata, first: Option<u8>) -> Option<StrayKind> {
    match Id::from_hex(name.as_bytes()) {
        None => Some(reason(name, false)),
        Some(_) if !found.is_file() => Some(StrayKind::NotAFile),
        Some(id) if first.is_some_and(|first| id.0[0] != first) => Some(StrayKind::WrongPlace(id)),
        Some(_) => None,
    }
}

/// Why an entry that does not belong does not.
fn reason(name: &str, is_known: bool) -> StrayKind {
    match Id::from_hex(OsStr::new(name).as_encoded_bytes()) {
        _ if is_known => StrayKind::NotAFile,
        Some(id) => StrayKind::WrongPlace(id),
        None if name.starts_with('.') && name.ends_with(WORK_ENDING) => StrayKind::Leftover,
        None => StrayKind::UnknownName,
    }
}
