//! Children that outlive their service: a killed one leaves them for a moment.
//!
//! Each locks a file, shared, for as long as it lives; the system lets go of it, however the
//! child ends.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lifeboat_model::{CancelToken, ErrorKind};
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens the file that children lock.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

/// Waits until no child of an earlier service with this state lives; gives the file that the
/// next ones lock. They end by themselves within the time of a lease.
///
/// Errors: `Busy` if they do not; `Cancelled`.
pub(crate) fn wait(state: &Path, lease: Duration, stop: &CancelToken) -> Result<PathBuf> {
    let path = state.join("children.lock");
    let failed = |error: std::io::Error| {
        let text = format!("cannot lock {}: {error}", path.display());
        Error::new(ErrorKind::of_io(&error), text)
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(state).map_err(failed)?;
    let file = open(&path).map_err(failed)?;
    let began = Instant::now();
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        if stop.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "stopped before it began"));
        }
        if began.elapsed() > lease * 2 {
            let text = format!(
                "commands of the service before still run: 'fuser -v {}' shows them; end them, or \
                 wait for their end",
                path.display()
            );
            return Err(Error::new(ErrorKind::Busy, text));
        }
        thread::sleep(PAUSE);
    }
    Ok(path)
}
