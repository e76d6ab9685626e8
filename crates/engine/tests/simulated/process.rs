//! A process of the simulation: its threads, its clock, its locks, its deaths.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_backend::Backend;
use lifeboat_model::{CancelToken, Clock, Entropy, ErrorKind, Progress};
use lifeboat_repository::{Environment, Lock, LockMode, LockWait, Owner, Repository, lock};
use lifeboat_testkit::SeededEntropy;

use super::place::Place;
use super::schedule::Verdict;
use super::world::{Hold, World, password};

thread_local! {
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
    static HERE: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// The lane of this thread; none for the threads that upload, which share their process's.
pub(crate) fn current_lane() -> Option<usize> {
    LANE.get()
}

/// The thread by which a lock refreshes itself in the background.
///
/// Here a lane does it that takes turns; the thread sees time stand still.
fn is_real_refresher() -> bool {
    std::thread::current().name() == Some("lock refresh")
}

/// Why an operation ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

impl From<lifeboat_repository::Error> for Failure {
    fn from(error: lifeboat_repository::Error) -> Self {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Self {
            kind: error.kind(),
            text: format!("{error}: {}", cause.unwrap_or_default()),
        }
    }
}

impl From<lifeboat_engine::Error> for Failure {
    fn from(error: lifeboat_engine::Error) -> Self {
        Self {
            kind: error.kind(),
            text: format!("{error}: {:?}", error.repository()),
        }
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;

struct ProcessClock {
    world: Arc<World>,
    process: usize,
}

impl fmt::Debug for ProcessClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock of process {}", self.process)
    }
}

/// When simulated time begins: 2026-02-28T23:59:58Z, as tests' clocks do.
fn start() -> Timestamp {
    Timestamp::new(1_772_323_198, 123_456_789).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let state = self.world.schedule.state();
        let skew = SignedDuration::from_secs(state.lives[self.process].skew);
        let elapsed = SignedDuration::try_from(state.time).unwrap_or_default();
        start()
            .checked_add(elapsed + skew)
            .unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        if is_real_refresher() {
            return Duration::ZERO;
        }
        self.world.schedule.time()
    }

    fn sleep(&self, duration: Duration) {
        if let Some(lane) = current_lane() {
            self.world.schedule.sleep(lane, duration);
        }
    }
}

/// One stream for each kind of thread, so that they do not disturb each other.
#[derive(Debug)]
struct ProcessEntropy([SeededEntropy; 3]);

impl Entropy for ProcessEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let is_refresher = std::thread::current().name() == Some("refresher");
        let stream = match (current_lane(), is_refresher) {
            (None, _) => 0,
            (Some(_), false) => 1,
            (Some(_), true) => 2,
        };
        self.0[stream].fill(buffer);
    }
}

/// An environment for somebody who takes no turns.
pub(crate) fn environment_of(clock: Arc<dyn Clock>, seed: u64, pid: u32) -> Environment {
    Environment {
        clock,
        entropy: Arc::new(SeededEntropy::new(seed)),
        cancel: CancelToken::new(),
        progress: Arc::new(Progress::new()),
        owner: owner(pid, 99),
        threads: 1,
    }
}

fn owner(pid: u32, host: usize) -> Owner {
    Owner {
        hostname: format!("host{host}"),
        username: "root".to_owned(),
        pid,
        uid: 0,
        gid: 0,
        instance: format!("{host:04x}"),
        is_alive: |pid| {
            HERE.with_borrow(|world| {
                let world = world.as_ref();
                world.is_some_and(|world| world.records().pids.contains(&pid))
            })
        },
    }
}

pub(crate) struct Process {
    pub(crate) world: Arc<World>,
    pub(crate) number: usize,
    pub(crate) lane: usize,
    /// What this process decides for itself.
    pub(crate) entropy: SeededEntropy,
    runs: AtomicU32,
}

impl Process {
    pub(crate) fn new(world: &Arc<World>, number: usize) -> Self {
        Self {
            world: Arc::clone(world),
            number,
            lane: world.schedule.add_lane(number),
            entropy: SeededEntropy::new(world.seed.wrapping_mul(31) + number as u64),
            runs: AtomicU32::new(0),
        }
    }

    /// Takes the calling thread for the process's own, until `work` is done.
    pub(crate) fn live(&self, work: impl FnOnce(&Self)) {
        LANE.set(Some(self.lane));
        HERE.set(Some(Arc::clone(&self.world)));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.panicked(&panic);
        }
        self.world.schedule.end(self.lane);
    }

    fn panicked(&self, panic: &Box<dyn std::any::Any + Send>) {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
        self.world.schedule.violated(format!("a panic: {text:?}"));
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.world.schedule.state().lives[self.number].is_dead
    }

    /// Whether the simulation has found what it looks for and only winds down.
    pub(crate) fn is_over(&self) -> bool {
        self.world.schedule.state().violation.is_some()
    }

    pub(crate) fn sleep(&self, duration: Duration) -> bool {
        self.world.schedule.sleep(self.lane, duration) == Verdict::Go
    }

    /// Opens the repository as a new program would.
    pub(crate) fn open(&self) -> Repository {
        let run = self.runs.fetch_add(1, SeqCst);
        let pid = (self.number as u32 + 1) * 1000 + run;
        self.world.records().pids.insert(pid);
        let seed = self.world.seed.wrapping_mul(1_000_003) + u64::from(pid) * 7;
        let environment = Environment {
            clock: Arc::new(ProcessClock {
                world: Arc::clone(&self.world),
                process: self.number,
            }),
            entropy: Arc::new(ProcessEntropy(
                [0, 1, 2].map(|stream| SeededEntropy::new(seed + stream)),
            )),
            owner: owner(pid, self.number % 3),
            ..environment_of(Arc::new(lifeboat_testkit::ManualClock::default()), 0, pid)
        };
        let place = Place {
            world: Arc::clone(&self.world),
            process: self.number,
            main_lane: self.lane,
        };
        let opened = Repository::open(
            Arc::new(place) as Arc<dyn Backend>,
            &password(),
            environment,
        );
        opened.expect("keys and configuration stay")
    }

    /// Runs one operation; starts anew after a death. Gives what became of it.
    pub(crate) fn run<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Repository) -> Outcome<T>,
    ) -> Option<Outcome<T>> {
        if self.is_over() {
            return None;
        }
        self.world.schedule.state().lives[self.number].longest_stop = Duration::ZERO;
        let repository = self.open();
        self.world.schedule.note(self.number, &format!("== {name}"));
        let outcome = work(&repository);
        self.world
            .records()
            .pids
            .remove(&repository.environment().owner.pid);
        let told = match &outcome {
            Ok(_) => format!("== {name}: done"),
            Err(failure) => format!("== {name}: {:?}: {}", failure.kind, failure.text),
        };
        self.world.schedule.note(self.number, &told);
        if self.is_dead() {
            self.world.count("kills");
            self.revive();
            return None;
        }
        Some(outcome)
    }

    fn revive(&self) {
        if !self.is_over() {
            self.world.schedule.state().lives[self.number].is_dead = false;
        }
    }

    pub(crate) fn longest_stop(&self) -> Duration {
        self.world.schedule.state().lives[self.number].longest_stop
    }

    /// Works under a lock that a lane of its own refreshes.
    pub(crate) fn locked<T>(
        &self,
        repository: &Repository,
        mode: LockMode,
        work: impl FnOnce(&Lock<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        self.hold(Some(mode));
        let taken = lock::acquire(repository, mode, LockWait(Duration::from_secs(200)));
        let result = match taken {
            Ok(lock) => {
                self.holds_now();
                let result = self.beside_refresher(&lock, work);
                self.release();
                drop(lock);
                result
            }
            Err(error) => Err(error.into()),
        };
        self.release();
        result
    }

    /// Counts as holding from the moment the lock is taken, not while it is being asked for.
    pub(crate) fn hold(&self, mode: Option<LockMode>) {
        let hold = Hold {
            process: self.number,
            mode,
            refreshed: Duration::ZERO,
            file: None,
            late_effects: 0,
            saved: Vec::new(),
        };
        let mut records = self.world.records();
        records.pending.retain(|hold| hold.process != self.number);
        records.pending.push(hold);
    }

    pub(crate) fn holds_now(&self) {
        let mut records = self.world.records();
        let at = records
            .pending
            .iter()
            .position(|h| h.process == self.number);
        if let Some(at) = at {
            let hold = records.pending.remove(at);
            records.holds.push(hold);
        }
    }

    pub(crate) fn release(&self) {
        let mut records = self.world.records();
        records.pending.retain(|hold| hold.process != self.number);
        records.holds.retain(|hold| hold.process != self.number);
    }

    fn beside_refresher<T>(
        &self,
        lock: &Lock<'_>,
        work: impl FnOnce(&Lock<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        let schedule = &self.world.schedule;
        let lane = schedule.add_lane(self.number);
        let is_over = AtomicBool::new(false);
        let refresh = || {
            LANE.set(Some(lane));
            HERE.set(Some(Arc::clone(&self.world)));
            while !is_over.load(SeqCst) && !self.is_dead() {
                schedule.sleep(lane, Duration::from_secs(301));
                if !is_over.load(SeqCst) && !self.is_dead() {
                    lock.refresh_if_due();
                }
            }
            schedule.end(lane);
        };
        std::thread::scope(|scope| {
            let named = std::thread::Builder::new().name("refresher".to_owned());
            let spawned = named.spawn_scoped(scope, refresh);
            spawned.expect("the machine has threads");
            let worked = catch_unwind(AssertUnwindSafe(|| work(lock)));
            is_over.store(true, SeqCst);
            schedule.join(self.lane, lane);
            worked.unwrap_or_else(|panic| {
                self.panicked(&panic);
                Err(Failure {
                    kind: ErrorKind::Cancelled,
                    text: "a panic".to_owned(),
                })
            })
        })
    }
}
