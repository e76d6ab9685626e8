//! Who holds a lock: written into the lock file's host name, and read back.

use jiff::Timestamp;
use lifeboat_format::LockFile;

use crate::{LockMode, Owner};

const MARK: &str = "-lifeboat-";
const PRUNE: &str = "p";

/// A lifeboat process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// See [`Owner::instance`].
    pub instance: String,
    /// When the lock was first taken; survives refreshing.
    pub start: Timestamp,
    /// Whether it prunes: then it keeps out other programs, but not lifeboat.
    pub is_prune: bool,
    pid: u32,
}

impl Holder {
    /// The host name that says who holds the lock.
    pub(crate) fn hostname(owner: &Owner, mode: LockMode, start: Timestamp) -> String {
        let prune = if mode == LockMode::Prune { PRUNE } else { "" };
        let name = owner
            .hostname
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect::<String>();
        format!(
            "{name}{MARK}{}-{}{prune}",
            owner.instance,
            start.as_millisecond()
        )
    }

    /// Reads the holder back; nothing for locks of other programs.
    pub fn of(lock: &LockFile) -> Option<Self> {
        let (_, ours) = lock.hostname.rsplit_once(MARK)?;
        let (instance, start) = ours.split_once('-')?;
        let is_prune = start.ends_with(PRUNE);
        let start = start.trim_end_matches(PRUNE).parse().ok()?;
        let start = Timestamp::from_millisecond(start).ok()?;
        Some(Self {
            instance: instance.to_owned(),
            start,
            is_prune,
            pid: lock.pid,
        })
    }

    /// Says whether it is a process that we would see if it still ran, and do not see.
    pub(crate) fn is_dead(&self, owner: &Owner) -> bool {
        self.instance == owner.instance && self.pid != owner.pid && !(owner.is_alive)(self.pid)
    }
}
