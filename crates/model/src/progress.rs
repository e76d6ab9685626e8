//! How far a run has come, for whoever shows it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a run is doing at the moment; shown beside its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing has been started.
    #[default]
    Idle,
    /// Opening the repository and deriving keys.
    Open,
    /// Loading index files.
    LoadIndex,
    /// Reading trees to learn what is referenced.
    Walk,
    /// Reading a source and storing it.
    Transfer,
    /// Reading stored data and writing a target.
    Restore,
    /// Reading stored data to compare it with its names.
    Verify,
    /// Moving live data out of sparsely used packs.
    Repack,
    /// Making the result durable and visible.
    Record,
    /// Removing what is no longer referenced.
    Remove,
}

/// Counters that the data plane raises and a surface reads; all in bytes unless said.
///
/// Readers may see a state between two updates; only sums at the end are exact.
#[derive(Debug, Default)]
pub struct Progress {
    phase: Mutex<Phase>,
    /// Bytes of work known so far; grows while it is being learnt.
    pub total: AtomicU64,
    /// Bytes of work done, zeros and reused parts included.
    pub done: AtomicU64,
    /// Bytes really read from sources or stored files.
    pub read: AtomicU64,
    /// Bytes written to the repository or the target.
    pub written: AtomicU64,
    /// Things found wrong so far (count).
    pub findings: AtomicU64,
}

impl Progress {
    /// All counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names what the run does from now on and starts its counters `total` and `done` anew.
    pub fn begin(&self, phase: Phase, total: u64) {
        *self
            .phase
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = phase;
        self.done.store(0, Relaxed);
        self.total.store(total, Relaxed);
    }

    /// What the run does now.
    pub fn phase(&self) -> Phase {
        *self
            .phase
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds to the work done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
    }
}
