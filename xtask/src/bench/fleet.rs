//! Repositories with very many snapshots, and with very many blobs.
//!
//! `cargo xtask fleet` makes them, once for all tools; each works on the same files, with caches
//! of its own.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::course::{Counts, Course};
use super::measure::{self, Call};
use crate::process;

const DISK_BYTES: usize = 64 << 10;

/// A repository that is made once.
struct Fleet {
    folder: &'static str,
    snapshots: u64,
    blobs: u64,
}

const MANY_SNAPSHOTS: Fleet = Fleet {
    folder: "fleet-of-snapshots",
    snapshots: 10_000,
    blobs: 100_000,
};
const MANY_BLOBS: Fleet = Fleet {
    folder: "fleet-of-blobs",
    snapshots: 10,
    blobs: 10_000_000,
};

/// Takes a tool through the rows of such repositories.
pub(crate) fn run(course: &mut Course<'_>) -> Result<()> {
    let mut disk = File::create(course.place.source()).context("creating a disk")?;
    disk.write_all(&[0x5a; DISK_BYTES])
        .context("writing a disk")?;
    if course.wants(&["15a"]) {
        MANY_SNAPSHOTS.enter(course)?;
        let calls = || course.tool.list(&course.place);
        let counts = [("snapshots".to_owned(), MANY_SNAPSHOTS.snapshots)];
        twice(course, "15a", (calls(), calls()), counts.into())?;
    }
    if course.wants(&["15b"]) {
        MANY_BLOBS.enter(course)?;
        let calls = || course.tool.trial(&course.place);
        let counts = [("blobs".to_owned(), MANY_BLOBS.blobs)];
        twice(course, "15b", (calls(), calls()), counts.into())?;
    }
    Ok(())
}

/// The first time fills the tool's cache; the second is measured.
fn twice(
    course: &mut Course<'_>,
    row: &str,
    calls: (Option<Vec<Call>>, Option<Vec<Call>>),
    counts: Counts,
) -> Result<()> {
    let (Some(first), Some(second)) = calls else {
        return Ok(());
    };
    course.step(first, "fleet")?;
    measure::warm(&course.place.repository())?;
    let (shown, measured) = course.step(second, "fleet")?;
    course.keep(row, shown, measured, counts)
}

impl Fleet {
    /// Makes the repository, if it is not there, and presents it as the place's.
    fn enter(&self, course: &Course<'_>) -> Result<()> {
        let work = course.work()?;
        let folder = work.join(self.folder);
        if !folder.exists() {
            self.make(&folder, &course.place.password_file())?;
        }
        let repository = course.place.repository();
        if repository.is_symlink() {
            fs::remove_file(&repository).context("leaving a repository")?;
        }
        symlink(&folder, &repository).context("entering a repository")
    }

    fn make(&self, folder: &Path, password: &Path) -> Result<()> {
        let part: PathBuf = folder.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part).context("removing what was left half made")?;
        }
        let mut command = Command::new(env::current_exe().context("looking for this program")?);
        command.arg("fleet").arg("--password-file").arg(password);
        command.arg("--snapshots").arg(self.snapshots.to_string());
        command
            .arg("--blobs")
            .arg(self.blobs.to_string())
            .arg(&part);
        process::quiet(&mut command)
            .context("no large repository: `cargo xtask fleet` is not there yet, or failed")?;
        fs::rename(&part, folder).context("naming what was made")
    }
}
