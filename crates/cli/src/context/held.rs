//! A command that a node has begun works for as long as the node holds its task, and no longer.
//!
//! The node says by a variable, and after each renewal of its lease by a line of standard input,
//! until when nobody else may take the task. Near that moment the command is asked to end; at
//! that moment the process ends, whatever it does. So a node that was killed, or stands still,
//! leaves nothing that works beside the one that takes over.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use lifeboat_model::{CancelToken, Clock, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::service::{CHILDREN_LOCK, HELD_UNTIL, lock_of_children};

/// A command whose node is gone ends after this at the latest.
const ORPHAN_GRACE: u64 = 30_000;
/// The longest pause between two looks at the clock.
const PAUSE_MAX: u64 = 200;
/// What a command says by its exit code that was ended from outside.
const EXIT_ENDED: i32 = 130;

/// Ties this process to the node that began it, if one did.
///
/// Errors: `Invalid` for a moment that is none; those of the file that is locked.
pub(crate) fn tie(cancel: &CancelToken) -> Result<()> {
    let Some(text) = std::env::var_os(HELD_UNTIL) else {
        return Ok(());
    };
    let until = text.to_str().and_then(|text| text.parse().ok());
    let wrong = || Error::usage(format!("{HELD_UNTIL} is set by the service: leave it out"));
    let until = Arc::new(AtomicU64::new(until.ok_or_else(wrong)?));
    if let Some(path) = std::env::var_os(CHILDREN_LOCK) {
        share_lock(Path::new(&path))?;
    }
    // Whoever waited for our end before we had the lock has begun the work anew.
    if is_alone() {
        std::process::exit(EXIT_ENDED);
    }
    let (heard, token) = (Arc::clone(&until), cancel.clone());
    thread::spawn(move || listen(&heard, &token));
    let token = cancel.clone();
    thread::spawn(move || watch(&until, &token));
    Ok(())
}

/// Locks a file until the process ends.
fn share_lock(path: &Path) -> Result<()> {
    let locked = lock_of_children(path).and_then(|file| {
        flock(&file, FlockOperation::LockShared)?;
        std::mem::forget(file);
        Ok(())
    });
    locked.map_err(|error| Error::usage(format!("cannot lock {}: {error}", path.display())))
}

/// Whether standard input has ended.
fn is_alone() -> bool {
    let stdin = std::io::stdin();
    let mut places = [PollFd::new(&stdin, PollFlags::HUP)];
    let now = Timespec::default();
    poll(&mut places, Some(&now)).is_ok()
        && places
            .iter()
            .any(|it| it.revents().contains(PollFlags::HUP))
}

/// Milliseconds since the boot of this computer, those asleep too.
fn now() -> u64 {
    let count = SystemClock::new().monotonic().as_millis();
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Hears of renewals until the node is gone.
fn listen(until: &AtomicU64, cancel: &CancelToken) {
    let lines = std::io::stdin().lock().lines();
    for line in lines.map_while(std::io::Result::ok) {
        if let Ok(moment) = line.trim().parse() {
            until.fetch_max(moment, SeqCst);
        }
    }
    cancel.cancel();
    until.fetch_min(now() + ORPHAN_GRACE, SeqCst);
}

/// Ends the process when nobody holds its task; asks for it when three quarters of the longest
/// time are over.
fn watch(until: &AtomicU64, cancel: &CancelToken) {
    let mut longest = 0;
    loop {
        let left = until.load(SeqCst).saturating_sub(now());
        longest = longest.max(left);
        if left == 0 {
            std::process::exit(EXIT_ENDED);
        }
        if left < longest / 4 {
            cancel.cancel();
        }
        thread::sleep(Duration::from_millis(left.min(PAUSE_MAX)));
    }
}
