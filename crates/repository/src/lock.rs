//! Locks: restic's lock files, taken, refreshed and respected.
//!
//! Takes a repository and a [`LockMode`] and gives a [`Lock`] that refreshes itself until dropped.
//! Does not protect lifeboat's writers from lifeboat's prune: marks and grace do (decision 0003).
//!
//! Our host name in a lock file is `NAME-lifeboat-INSTANCE-START`: no other program takes it for
//! its own host, so nobody but us judges our process by its number.
//!
//! Source: restic-format 5.7; decision 0003.

mod holder;
mod refresh;

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_backend::{FileHandle, FileKind, Upkeep};
use lifeboat_format::{LockFile, LockId};
use lifeboat_model::ErrorKind;

pub use holder::Holder;
pub use refresh::Lock;

use crate::error::{Cause, Doing};
use crate::{Error, Repository, Result, reserve};

/// A lock that has not been refreshed for so long is void.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Clocks of those who share a repository may differ by so much.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(6 * 3600);

/// A list of locks is taken again so often while locks are being refreshed under it.
const LISTS_MAX: usize = 20;

/// restic's own pause between writing a lock and looking again.
const SETTLE: Duration = Duration::from_millis(200);

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Reads, or adds data: excluded only by an exclusive lock.
    ///
    /// lifeboat's own prune does not exclude it, whatever its lock file says to others.
    Shared,
    /// Removes data in two phases: excludes every program but lifeboat's readers and writers.
    Prune,
    /// Nobody else at all.
    Exclusive,
}

impl LockMode {
    fn verb(self) -> &'static str {
        match self {
            Self::Shared => "use",
            Self::Prune => "prune",
            Self::Exclusive => "lock exclusively",
        }
    }
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockWait(pub Duration);

/// A lock file of somebody, as lists show it.
#[derive(Clone, Debug)]
pub struct FoundLock {
    /// Its name.
    pub id: LockId,
    /// What it says, if it can be read.
    pub file: Option<LockFile>,
    /// Whether its holder is gone by restic's rule: dead, or silent for half an hour by its clock.
    pub is_stale: bool,
    /// Whether it is so even when its holder's clock is [`CLOCK_SKEW`] behind ours.
    is_certainly_stale: bool,
}

/// Lists all locks.
///
/// Starts over when one vanishes meanwhile: a holder that refreshes stores a new lock and removes
/// the old one, and would otherwise be missed between the two.
pub fn list(repository: &Repository) -> Result<Vec<FoundLock>> {
    for _ in 1..LISTS_MAX {
        if let (found, true) = list_once(repository)? {
            return Ok(found);
        }
    }
    Ok(list_once(repository)?.0)
}

/// Lists all locks, and says whether none has vanished meanwhile.
fn list_once(repository: &Repository) -> Result<(Vec<FoundLock>, bool)> {
    let (mut found, mut is_complete) = (Vec::new(), true);
    for listed in repository.list(FileKind::Lock)? {
        let handle = FileHandle {
            kind: FileKind::Lock,
            id: listed.id,
        };
        match repository.load_unpacked(handle) {
            Ok(json) => {
                let file = LockFile::decode(&json).ok();
                let is_older = |age| {
                    file.as_ref()
                        .is_some_and(|file| is_stale(repository, file, age))
                };
                let is_stale = is_older(STALE_AFTER);
                let is_certainly_stale = is_older(STALE_AFTER + CLOCK_SKEW);
                found.push(FoundLock {
                    id: listed.id.into(),
                    file,
                    is_stale,
                    is_certainly_stale,
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => is_complete = false,
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                found.push(FoundLock {
                    id: listed.id.into(),
                    file: None,
                    is_stale: false,
                    is_certainly_stale: false,
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((found, is_complete))
}

/// Which locks to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// Those whose holder is certainly gone.
    Stale,
    /// All of them, garbage included.
    All,
}

/// Removes locks; gives how many.
pub fn unlock(repository: &Repository, which: Unlock) -> Result<usize> {
    let mut removed = 0;
    for lock in list(repository)? {
        if which == Unlock::All || lock.is_stale {
            repository.remove(FileKind::Lock, lock.id.into())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Takes a lock, waiting for at most `wait` while others hold theirs.
///
/// Stale locks of dead processes of this very host are removed on the way.
///
/// A lock that nobody can read may be that of a newer program at work: it keeps out who removes
/// data. Who only adds or reads goes on; [`Lock::unreadable`] names it.
///
/// Errors: [`Cause::Locked`], with the holder's name and age, or the lock that cannot be read.
pub fn acquire(repository: &Repository, mode: LockMode, wait: LockWait) -> Result<Lock<'_>> {
    let clock = &repository.environment().clock;
    let deadline = clock.monotonic() + wait.0;
    let mut pause = Duration::from_secs(1);
    loop {
        match try_acquire(repository, mode) {
            Err(error) if error.cause() == Cause::Locked && clock.monotonic() < deadline => {
                repository.environment().check_cancelled()?;
                clock.sleep(pause.min(deadline.saturating_sub(clock.monotonic())));
                pause = (pause * 2).min(Duration::from_secs(30));
            }
            result => return result,
        }
    }
}

fn try_acquire(repository: &Repository, mode: LockMode) -> Result<Lock<'_>> {
    clear_own_dead(repository)?;
    check_conflicts(repository, mode, None)?;
    let mut lock = Lock::write(repository, mode)?;
    let is_coherent = |upkeep: &dyn Upkeep| upkeep.is_coherent();
    // Who saves first and lists then cannot be overlooked by one who does the same, where lists
    // do not lag.
    if !repository.backend().upkeep().is_some_and(is_coherent) {
        repository.environment().clock.sleep(SETTLE);
    }
    lock.unreadable = check_conflicts(repository, mode, Some(lock.id()))?;
    lock.start_refreshing();
    Ok(lock)
}

/// Removes what processes of this instance left behind when they died: unfinished files, locks.
///
/// Order: their locks go last, so that a run that is killed here leaves the word for the next one.
fn clear_own_dead(repository: &Repository) -> Result<()> {
    let owner = &repository.environment().owner;
    let mut dead = list(repository)?;
    dead.retain(|lock| {
        let holder = lock.file.as_ref().and_then(Holder::of);
        holder.is_some_and(|holder| holder.is_dead(owner))
    });
    // Without a dead lock the only thing that can have been left is half of one.
    let where_left = dead.is_empty().then_some(FileKind::Lock);
    reserve::sweep(repository, where_left);
    for lock in dead {
        repository.remove(FileKind::Lock, lock.id.into())?;
    }
    Ok(())
}

/// Gives the locks that nobody can read and that do not exclude one of `mode`.
fn check_conflicts(
    repository: &Repository,
    mode: LockMode,
    own: Option<LockId>,
) -> Result<Vec<LockId>> {
    let mut unreadable = Vec::new();
    for lock in list(repository)? {
        // Beside an exclusive lock of ours data goes at once, so its holder's clock may be wrong.
        let is_ours = lock.file.as_ref().and_then(Holder::of).is_some();
        let is_void = match mode {
            LockMode::Shared if !is_ours => lock.is_stale,
            _ => lock.is_certainly_stale,
        };
        match &lock.file {
            _ if Some(lock.id) == own || is_void => {}
            Some(file) if excludes(mode, file) => return Err(locked(repository, mode, file)),
            Some(_) => {}
            None if mode == LockMode::Shared => unreadable.push(lock.id),
            None => return Err(in_the_dark(mode, lock.id)),
        }
    }
    Ok(unreadable)
}

fn in_the_dark(mode: LockMode, lock: LockId) -> Error {
    let doing = format!(
        "cannot {} the repository: lock {lock} cannot be read, it may be that of a newer program \
         at work; make sure that nothing works on the repository, then run \
         'lifeboat unlock --remove-all'",
        mode.verb()
    );
    Error::new(ErrorKind::Busy, doing).with_cause(Cause::Locked)
}

/// Says whether somebody's `lock` keeps us from taking one of `mode`.
fn excludes(mode: LockMode, lock: &LockFile) -> bool {
    let is_ours = Holder::of(lock).is_some();
    let is_prune = Holder::of(lock).is_some_and(|holder| holder.is_prune);
    match mode {
        LockMode::Shared => lock.exclusive && !is_prune,
        LockMode::Prune => lock.exclusive || !is_ours,
        LockMode::Exclusive => true,
    }
}

fn locked(repository: &Repository, mode: LockMode, lock: &LockFile) -> Error {
    let age = repository
        .environment()
        .now()
        .duration_since(lock.time.timestamp());
    let how = if lock.exclusive {
        "exclusively"
    } else {
        "for reading or writing"
    };
    let wanted = mode.verb();
    let doing = format!(
        "cannot {wanted} the repository: process {} of {} on {} holds it {how}, seen {} s ago; \
         wait with '--retry-lock 10m', or run 'lifeboat unlock' if that process is gone",
        lock.pid,
        lock.username,
        lock.hostname,
        age.as_secs()
    );
    Error::new(ErrorKind::Busy, doing).with_cause(Cause::Locked)
}

/// restic's rule, and ours for processes that we can see.
fn is_stale(repository: &Repository, lock: &LockFile, void_after: Duration) -> bool {
    let age = repository
        .environment()
        .now()
        .duration_since(lock.time.timestamp());
    let is_old = age > jiff::SignedDuration::try_from(void_after).unwrap_or_default();
    let owner = &repository.environment().owner;
    is_old || Holder::of(lock).is_some_and(|holder| holder.is_dead(owner))
}

/// When the oldest of the living lifeboat processes took its lock; our own not counted.
pub(crate) fn oldest_start(repository: &Repository, own: &Lock<'_>) -> Result<Option<Timestamp>> {
    let locks = list(repository)?;
    let living = locks
        .iter()
        .filter(|lock| lock.id != own.id() && !lock.is_certainly_stale);
    Ok(living
        .filter_map(|lock| Holder::of(lock.file.as_ref()?))
        .map(|holder| holder.start)
        .min())
}

pub(crate) fn save(repository: &Repository, file: &LockFile) -> Result<LockId> {
    let json = file.encode();
    repository
        .save_or_remove(FileKind::Lock, &json)
        .map(LockId::from)
}

pub(crate) fn still_exists(repository: &Repository, id: LockId) -> Result<bool> {
    let handle = FileHandle {
        kind: FileKind::Lock,
        id: id.into(),
    };
    match repository.backend().size(handle) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).doing(|| format!("cannot look for our {handle}")),
    }
}
