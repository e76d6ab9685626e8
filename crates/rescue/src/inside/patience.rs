//! Waiting with an end.
//!
//! Counted in steps, not by the clock: the whole rescue VM may stand still for a while.

use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

const STEP: Duration = Duration::from_millis(10);

/// How long a mount or a program may take; replaying a large journal takes some seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);

/// Calls `look` until it gives something, or the time is over.
pub(super) fn wait_for<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if waited >= patience {
            return None;
        }
        thread::sleep(STEP);
        waited += STEP;
    }
}

/// Does something that may never end: it is left behind then.
pub(super) fn attempt<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        match receiver.recv_timeout(STEP) {
            Ok(done) => return Some(done),
            Err(RecvTimeoutError::Timeout) => waited += STEP,
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    None
}

/// Runs a program; gives its complaints if it fails or does not end.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let said = |error: std::io::Error| format!("{name}: {error}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(said)?;
    let complaints = child.stderr.take();
    let reader = thread::spawn(move || {
        let read = complaints.map(std::io::read_to_string);
        read.and_then(Result::ok).unwrap_or_default()
    });
    let ended = wait_for(PATIENCE, || child.try_wait().transpose());
    let Some(status) = ended else {
        let _ = child.kill();
        return Err(format!("{name} did not end"));
    };
    if status.map_err(said)?.success() {
        return Ok(());
    }
    let complaints = reader.join().unwrap_or_default();
    let last = complaints.lines().rfind(|line| !line.trim().is_empty());
    Err(last.unwrap_or("it failed without a word").trim().to_owned())
}
