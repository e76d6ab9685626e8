//! One place, the processes at it, and what is known about every snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use lifeboat_backend::{Backend, FileHandle, Memory};
use lifeboat_format::{BlobId, ScryptCost, SnapshotId};
use lifeboat_model::Secret;
use lifeboat_repository::{InitOptions, LockMode, Repository};
use lifeboat_testkit::{ManualClock, SeededEntropy};

use super::chooser::Chooser;
use super::content;
use super::judge;
use super::process::environment_of;
use super::schedule::{Life, Schedule};

pub(crate) fn password() -> Secret {
    Secret::new(b"correct horse".to_vec())
}

/// What the place does that its contract does not allow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Laxity {
    /// Lists may be this much behind.
    pub(crate) list_lag: Duration,
    /// A new file may stay unreadable for others for so long.
    pub(crate) read_lag: Duration,
    /// Whether another program may lock exclusively.
    pub(crate) foreign_exclusive: bool,
}

/// Who holds what, as the holders believe.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) process: usize,
    /// Nothing for a lock of another program that is shared.
    pub(crate) mode: Option<LockMode>,
    pub(crate) refreshed: Duration,
    pub(crate) file: Option<FileHandle>,
    pub(crate) late_effects: u32,
    pub(crate) saved: Vec<FileHandle>,
}

#[derive(Default)]
pub(crate) struct Records {
    /// The content of every root tree that somebody may store.
    pub(crate) contents: HashMap<BlobId, Vec<u64>>,
    /// Snapshots whose run was told that they are there.
    pub(crate) committed: HashSet<SnapshotId>,
    /// Snapshots that somebody was asked to forget or has replaced.
    pub(crate) forgotten: HashSet<SnapshotId>,
    /// Runs in their last step, by host name in their record.
    pub(crate) recording: HashSet<String>,
    /// Runs that were killed there after their lock was void.
    pub(crate) late_deaths: HashSet<String>,
    pub(crate) holds: Vec<Hold>,
    /// Those who are still asking for a lock.
    pub(crate) pending: Vec<Hold>,
    pub(crate) pids: HashSet<u32>,
    pub(crate) born: HashMap<FileHandle, (Duration, usize)>,
    pub(crate) gone: HashMap<FileHandle, (Duration, u64)>,
    /// What was done, for the figures.
    pub(crate) counts: HashMap<&'static str, u64>,
}

pub(crate) struct World {
    pub(crate) memory: Arc<Memory>,
    pub(crate) schedule: Schedule,
    pub(crate) laxity: Laxity,
    pub(crate) seed: u64,
    /// For the order of lists and the like; drawn by whoever runs.
    pub(crate) entropy: SeededEntropy,
    records: Mutex<Records>,
}

fn look(world: Weak<World>) -> impl Fn() + Send + Sync {
    move || {
        if let Some(world) = world.upgrade() {
            judge::look(&world);
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, lives: Vec<Life>, chooser: Chooser, laxity: Laxity) -> Arc<Self> {
        let memory = Arc::new(Memory::new());
        let options = InitOptions {
            cost: ScryptCost { n: 2, r: 8, p: 1 },
            ..InitOptions::default()
        };
        let clock = Arc::new(ManualClock::default());
        let environment = environment_of(clock, seed, 1);
        let backend = Arc::clone(&memory) as Arc<dyn Backend>;
        Repository::init(backend, &password(), &options, environment).expect("an empty place");
        Arc::new_cyclic(|world: &Weak<Self>| Self {
            memory,
            schedule: Schedule::new(lives, chooser, Box::new(look(world.clone()))),
            laxity,
            seed,
            entropy: SeededEntropy::new(seed ^ 0x0fed_cba9),
            records: Mutex::default(),
        })
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// Says that a snapshot of these blobs may appear.
    pub(crate) fn expect(&self, seeds: &[u64]) {
        let root = content::trees(seeds)[1].0;
        self.records().contents.insert(root, seeds.to_vec());
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.records().counts.entry(what).or_default() += 1;
    }

    /// The repository as somebody sees it who takes no turns, at the moment it is.
    pub(crate) fn outside(&self, pid: u32) -> (Repository, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        clock.advance(self.schedule.time());
        let environment = environment_of(clock.clone(), self.seed ^ 0x5151, pid);
        let backend = Arc::clone(&self.memory) as Arc<dyn Backend>;
        let opened = Repository::open(backend, &password(), environment);
        (opened.expect("keys and configuration stay"), clock)
    }
}
