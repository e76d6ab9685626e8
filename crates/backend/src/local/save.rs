//! Stores a file so that it is complete or absent after any crash.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::{Local, layout, writer};
use crate::{FileHandle, FileKind};

/// Ends the name of every work file.
pub(super) const WORK_ENDING: &str = ".lifeboat-part";

/// Names tried for one work file; others are taken only by writers on other machines.
const WORK_NAMES_MAX: u32 = 1000;

impl Local {
    /// Writes, syncs, renames, syncs the directory; a failure leaves no work file.
    pub(super) fn save_file(&self, file: FileHandle, content: &[u8]) -> io::Result<()> {
        let path = layout::path(&self.root, file);
        if file.kind != FileKind::Config && self.settle_existing(&path, content.len())? {
            return Ok(());
        }
        let (work, target) = match self.begin_work(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.restore_directory(file.kind, layout::parent(&path))?;
                self.begin_work(&path)?
            }
            begun => begun?,
        };
        let filled = self.fill(&target, content);
        // Order: network file systems report late write errors at sync, never after the rename.
        drop(target);
        if let Err(e) = filled.and_then(|()| self.calls.rename(&work, &path)) {
            // The failure is what counts; a work file that cannot be removed is swept later.
            let _ = self.calls.unlink(&work);
            return Err(e);
        }
        self.calls.sync_directory(layout::parent(&path))
    }

    /// Makes a file of that size that is there already durable; says whether there is one.
    fn settle_existing(&self, path: &Path, length: usize) -> io::Result<bool> {
        let found = match std::fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
        if !found.is_file() || found.len() != length as u64 {
            return Ok(false);
        }
        self.calls.sync(&File::open(path)?)?;
        self.calls.sync_directory(layout::parent(path))?;
        Ok(true)
    }

    /// Makes an empty work file beside `path`, under a name nobody has.
    pub(super) fn begin_work(&self, path: &Path) -> io::Result<(PathBuf, File)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let writer = writer::this();
        for _ in 0..WORK_NAMES_MAX {
            let number = self.work_count.fetch_add(1, Relaxed);
            let work = path.with_file_name(format!(".{name}.{writer}-{number:x}{WORK_ENDING}"));
            match self.calls.create_new(&work, self.modes.work) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((work, made?)),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn fill(&self, target: &File, content: &[u8]) -> io::Result<()> {
        self.calls.write_all(target, content)?;
        self.calls.set_mode(target, self.modes.complete)?;
        self.calls.sync(target)
    }

    /// Makes a missing directory of a repository that exists.
    ///
    /// Never makes the repository itself: its file system may just not be mounted.
    fn restore_directory(&self, kind: FileKind, directory: &Path) -> io::Result<()> {
        if !layout::has_config(&self.root) && !self.root.join("data").is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let above = self.root.join(layout::directory(kind));
        for path in [&above, directory] {
            layout::ensure(path, self.modes, self.calls.as_ref())?;
            self.calls.sync_directory(layout::parent(path))?;
        }
        Ok(())
    }
}
