//! Limits that several runs of this computer share: machines at the same time on one host, and
//! into one repository.
//!
//! A turn is a file that is kept locked; the kernel gives it back when a run dies.
//! Runs that allow different numbers each keep their own: one that allows three begins nothing
//! while three others of the first three turns are taken.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::{CancelToken, Clock, ErrorKind};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::{Error, Result};

/// Pause between two looks whether a turn is free.
const PAUSE: Duration = Duration::from_millis(200);
/// Characters of a name in a file's name.
const NAME_CHARACTERS_MAX: usize = 100;

/// Where turns are kept, and how to wait for one.
pub struct Turns {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    cancel: CancelToken,
}

/// A turn; it is given back when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _locked: File,
}

impl Turns {
    /// Turns below `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf, clock: Arc<dyn Clock>, cancel: CancelToken) -> Self {
        Self {
            folder,
            clock,
            cancel,
        }
    }

    /// Takes one of `count` turns of what `name` names, and waits for it; `waits` is told once.
    ///
    /// Errors: `Cancelled` if the run was asked to stop meanwhile; `Denied`, `Io` of the folder.
    pub fn take(&self, name: &str, count: u32, waits: impl FnOnce()) -> Result<Turn> {
        if let Some(turn) = self.free(name, count)? {
            return Ok(turn);
        }
        waits();
        loop {
            if self.cancel.is_cancelled() {
                let message = "stopped on request while waiting for other backups";
                return Err(Error::new(ErrorKind::Cancelled, message));
            }
            self.clock.sleep(PAUSE);
            if let Some(turn) = self.free(name, count)? {
                return Ok(turn);
            }
        }
    }

    fn free(&self, name: &str, count: u32) -> Result<Option<Turn>> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| self.failed("make", e))?;
        for number in 0..count {
            let path = self.folder.join(format!("{}.{number}", file_name(name)));
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(|e| self.failed("write to", e))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Turn { _locked: file })),
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(self.failed("lock files of", error.into())),
            }
        }
        Ok(None)
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        let message = format!(
            "cannot {doing} {}, where parallel_per_host and parallel_per_repository are counted",
            self.folder.display()
        );
        Error::new(ErrorKind::of_io(&error), message).with_source(error)
    }
}

/// A name for a file; two names that fall together only wait for each other.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.chars().take(NAME_CHARACTERS_MAX).map(plain).collect()
}
