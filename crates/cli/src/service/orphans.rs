//! What is locked while somebody works with a state, and children that outlive whoever began them:
//! a killed one leaves them for a moment.
//!
//! Each child locks a file, shared, for as long as it lives; the system lets go of it, however the
//! child ends. So it does with the file that a service locks alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lifeboat_model::{CancelToken, ErrorKind};
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Whoever waits for longer is told why.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// More than anybody writes into a file that is locked.
const NOTE_BYTES_MAX: u64 = 4 << 10;

/// A file that is locked until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
}

impl Held {
    /// Writes down what the holder says of itself.
    pub(crate) fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(text.as_bytes())
    }
}

/// Opens the file that children lock.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

/// Makes a folder that nobody else reads, if it is not there.
pub(super) fn make(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

/// Locks a file for this process alone; nothing if somebody else has it.
fn try_lock(path: &Path) -> std::io::Result<Option<Held>> {
    attempt(path, FlockOperation::NonBlockingLockExclusive)
}

/// Locks a file beside others that only look; nothing if somebody has it alone.
pub(super) fn try_share(path: &Path) -> std::io::Result<Option<Held>> {
    attempt(path, FlockOperation::NonBlockingLockShared)
}

fn attempt(path: &Path, operation: FlockOperation) -> std::io::Result<Option<Held>> {
    let file = open(path)?;
    match flock(&file, operation) {
        Ok(()) => Ok(Some(Held { file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Locks a file for this process alone, after those that only look who has it.
pub(super) fn lock(path: &Path) -> std::io::Result<Held> {
    let file = open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(Held { file })
}

/// What the holder of a file says of itself.
pub(super) fn note(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(NOTE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Locks a state for the service that works with it.
///
/// Errors: `Busy` if there is one already.
pub(super) fn lock_state(state: &Path) -> Result<Held> {
    let path = state.join("service.lock");
    let failed = |error: std::io::Error| failed(&path, &error);
    make(state).map_err(failed)?;
    let Some(mut held) = try_lock(&path).map_err(failed)? else {
        let pid = note(&path).unwrap_or_default();
        let pid = if pid.is_empty() { "unknown" } else { &pid };
        let text = format!(
            "a service of the state {} runs already (pid {pid}): end it first, or give this one \
             another configuration with a state of its own ([server] state)",
            state.display()
        );
        return Err(Error::new(ErrorKind::Busy, text));
    };
    let pid = format!("{}\n", std::process::id());
    held.say(&pid).map_err(failed)?;
    Ok(held)
}

/// Waits until no child lives that locks this file. They end by themselves within the time of a
/// lease. `tell` hears once that there is something to wait for.
///
/// Errors: `Busy` if they do not; `Cancelled`.
pub(super) fn wait(
    path: &Path,
    lease: Duration,
    stop: &CancelToken,
    tell: &dyn Fn(&str),
) -> Result<PathBuf> {
    let failed = |error: std::io::Error| failed(path, &error);
    path.parent().map(make).transpose().map_err(failed)?;
    let began = Instant::now();
    let mut is_told = false;
    while try_lock(path).map_err(failed)?.is_none() {
        let what = format!(
            "commands that were begun before still run; 'fuser -v {}' shows them",
            path.display()
        );
        if stop.is_cancelled() {
            let text = format!("stopped before it began: {what}");
            return Err(Error::new(ErrorKind::Cancelled, text));
        }
        if began.elapsed() > lease * 2 {
            let text = format!("{what}: end them, or wait for their end");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        if began.elapsed() > SILENCE_MAX && !std::mem::replace(&mut is_told, true) {
            tell(&format!(
                "waits for at most {} s: {what}",
                (lease * 2).as_secs()
            ));
        }
        thread::sleep(PAUSE);
    }
    Ok(path.to_owned())
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    let text = format!("cannot lock {}: {error}", path.display());
    Error::new(ErrorKind::of_io(error), text)
}
