//! A lock that is held.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use lifeboat_backend::FileKind;
use lifeboat_format::{LockFile, LockId};
use lifeboat_model::ErrorKind;

use super::{Holder, STALE_AFTER};
use crate::{Error, LockMode, Repository, Result};

/// restic's own interval.
const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);

/// Without a refresh for so long the holder stops: others may take the lock for stale soon.
///
/// Source: restic: 30 minutes less one and a half refresh intervals.
const STOP_AFTER: Duration = Duration::from_millis(22 * 60_000 + 30_000);

/// Name of the thread that refreshes, as lists of threads show it.
const REFRESHER: &str = "lock refresh";

/// A lock file of ours; refreshed in the background, removed when dropped.
pub struct Lock<'a> {
    repository: &'a Repository,
    held: Arc<Held>,
    pub(super) unreadable: Vec<LockId>,
    refresher: Mutex<Option<JoinHandle<()>>>,
}

struct Held {
    repository: Repository,
    mode: LockMode,
    start: Timestamp,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    id: LockId,
    refreshed: Duration,
    lost: Option<String>,
    is_over: bool,
}

impl<'a> Lock<'a> {
    pub(super) fn write(repository: &'a Repository, mode: LockMode) -> Result<Self> {
        let clock = &repository.environment().clock;
        let (start, refreshed) = (clock.now(), clock.monotonic());
        let id = super::save(repository, &lock_file(repository, mode, start))?;
        let held = Arc::new(Held {
            repository: repository.clone(),
            mode,
            start,
            state: Mutex::new(State {
                id,
                refreshed,
                lost: None,
                is_over: false,
            }),
            wake: Condvar::new(),
        });
        Ok(Self {
            repository,
            held,
            unreadable: Vec::new(),
            refresher: Mutex::new(None),
        })
    }

    pub(super) fn start_refreshing(&self) {
        let held = Arc::clone(&self.held);
        let named = std::thread::Builder::new().name(REFRESHER.to_owned());
        // Without the thread the lock is void after 22.5 minutes, as after any failed refresh.
        let thread = named.spawn(move || held.refresh_until_over()).ok();
        *self
            .refresher
            .lock()
            .unwrap_or_else(|poison| poison.into_inner()) = thread;
    }

    /// What it was taken for.
    pub fn mode(&self) -> LockMode {
        self.held.mode
    }

    /// Locks beside it that nobody could read when it was taken.
    pub fn unreadable(&self) -> &[LockId] {
        &self.unreadable
    }

    /// The lock file's name; changes with every refresh.
    pub fn id(&self) -> LockId {
        self.held.state().id
    }

    /// When it was first taken, by our clock; other processes read it in the lock file.
    pub(crate) fn start(&self) -> Timestamp {
        self.held.start
    }

    /// Says whether the lock is still ours; asked before every effect on the repository.
    ///
    /// Errors: `Busy` when it could not be refreshed for 22.5 minutes, the machine slept for so
    /// long, or somebody removed it. Then nothing may be written any more.
    pub fn check(&self) -> Result<()> {
        self.held.check()
    }

    /// Like [`Lock::check`], and looks whether the lock file is really still there.
    pub fn check_thoroughly(&self) -> Result<()> {
        self.held.check()?;
        if super::still_exists(self.repository, self.id())? {
            return Ok(());
        }
        self.held.lose("somebody removed our lock file");
        self.held.check()
    }

    /// Refreshes now if it is due.
    pub fn refresh_if_due(&self) {
        self.held.refresh_if_due();
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.held.state().is_over = true;
        self.held.wake.notify_all();
        let thread = self
            .refresher
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        // A lock file that stays is void after 30 minutes, and at once for us.
        let _ = self.repository.remove(FileKind::Lock, self.id().into());
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn lose(&self, why: &str) {
        self.state().lost.get_or_insert_with(|| why.to_owned());
    }

    fn check(&self) -> Result<()> {
        let age = {
            let state = self.state();
            if let Some(why) = &state.lost {
                return Err(lost(why));
            }
            self.repository
                .environment()
                .clock
                .monotonic()
                .saturating_sub(state.refreshed)
        };
        if age < STOP_AFTER {
            return Ok(());
        }
        self.lose("it could not be refreshed for 22 minutes");
        self.check()
    }

    fn refresh_until_over(&self) {
        let mut state = self.state();
        while !state.is_over {
            let (woken, _) = self
                .wake
                .wait_timeout(state, Duration::from_secs(1))
                .unwrap_or_else(|poison| poison.into_inner());
            drop(woken);
            self.refresh_if_due();
            state = self.state();
        }
    }

    fn refresh_if_due(&self) {
        let clock = &self.repository.environment().clock;
        let (old, refreshed) = {
            let state = self.state();
            (state.id, state.refreshed)
        };
        let now = clock.monotonic();
        if now.saturating_sub(refreshed) < REFRESH_EVERY || self.check().is_err() {
            return;
        }
        // A failed refresh is tried again a second later, until `check` gives up.
        if let Ok(false) = super::still_exists(&self.repository, old) {
            return self.lose("somebody removed our lock file");
        }
        if let Ok(id) = super::save(&self.repository, &self.lock_file()) {
            let mut state = self.state();
            (state.id, state.refreshed) = (id, now);
            drop(state);
            let _ = self.repository.remove(FileKind::Lock, old.into());
        }
    }

    fn lock_file(&self) -> LockFile {
        lock_file(&self.repository, self.mode, self.start)
    }
}

fn lock_file(repository: &Repository, mode: LockMode, start: Timestamp) -> LockFile {
    let environment = repository.environment();
    let owner = &environment.owner;
    LockFile {
        time: Zoned::new(environment.now(), jiff::tz::TimeZone::UTC).into(),
        exclusive: mode != LockMode::Shared,
        hostname: Holder::hostname(owner, mode, start),
        username: owner.username.clone(),
        pid: owner.pid,
        uid: owner.uid,
        gid: owner.gid,
    }
}

fn lost(why: &str) -> Error {
    debug_assert!(
        STOP_AFTER < STALE_AFTER,
        "a holder stops before others take its lock away"
    );
    Error::new(
        ErrorKind::Busy,
        format!("our lock is no longer valid: {why}; nothing more was written, run it again"),
    )
}
