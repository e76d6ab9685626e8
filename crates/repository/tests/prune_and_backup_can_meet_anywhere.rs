//! One process works while another is stopped between any two of its calls to the place.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backend::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Memory, Result};
use lifeboat_format::SnapshotId;
use lifeboat_model::ErrorKind;
use lifeboat_repository::prune::{self};
use lifeboat_repository::{LockMode, LockWait, Repository, Snapshot, adopt, lock, snapshots};
use lifeboat_testkit::crash::restic_reads;
use lifeboat_testkit::{Effort, figure};

use crate::world::{
    Expected, Run, World, assert_whole, backup, bytes_of, prune as prune_all, prune_options, read,
    read_by,
};

type Act = Box<dyn FnOnce() + Send>;

/// Lets something else happen before one call.
struct Interrupted {
    inner: Arc<Memory>,
    calls: AtomicU64,
    at: u64,
    act: Mutex<Option<Act>>,
    /// Whether the caller is killed right after that call.
    is_deadly: bool,
    /// What a kill after each later effect would leave.
    left: Mutex<Vec<Arc<Memory>>>,
}

impl std::fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted before call {}", self.at)
    }
}

impl Interrupted {
    fn new(inner: &Arc<Memory>, at: u64, act: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            calls: AtomicU64::new(0),
            at,
            act: Mutex::new(Some(Box::new(act))),
            is_deadly: false,
            left: Mutex::default(),
        })
    }

    /// The same, and the caller makes no call after that one.
    fn deadly(inner: &Arc<Memory>, at: u64, act: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let mut place = Self::new(inner, at, act);
        Arc::get_mut(&mut place).unwrap().is_deadly = true;
        place
    }

    fn call<T>(&self, make: impl FnOnce(&Memory) -> Result<T>) -> Result<T> {
        let number = self.calls.fetch_add(1, Relaxed) + 1;
        if number == self.at {
            let act = self.act.lock().unwrap().take();
            act.into_iter().for_each(|act| act());
            self.leave();
        }
        if self.is_deadly && number > self.at {
            let (kind, doing) = (ErrorKind::Cancelled, Doing::Call(Call::List));
            return Err(Error::new(kind, doing, self.location()));
        }
        make(&self.inner)
    }

    fn effect(&self, make: impl FnOnce(&Memory) -> Result<()>) -> Result<()> {
        let result = self.call(make);
        if self.has_happened() {
            self.leave();
        }
        result
    }

    fn leave(&self) {
        let left = Arc::new(self.inner.duplicate());
        self.left.lock().unwrap().push(left);
    }

    /// Whether the other one has had its turn.
    fn has_happened(&self) -> bool {
        self.act.lock().unwrap().is_none()
    }
}

impl Backend for Interrupted {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn create(&self) -> Result<()> {
        self.effect(|inner| inner.create())
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.call(|inner| inner.list(kind))
    }
    fn size(&self, file: FileHandle) -> Result<u64> {
        self.call(|inner| inner.size(file))
    }
    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        self.call(|inner| inner.load(file))
    }
    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.call(|inner| inner.read(file, offset, buffer))
    }
    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        self.effect(|inner| inner.save(file, content))
    }
    fn remove(&self, file: FileHandle) -> Result<()> {
        self.effect(|inner| inner.remove(file))
    }
}

const OLD: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const KEPT: [u64; 4] = [1, 3, 50, 51];

/// One snapshot that stays and shares packs with one that was forgotten; some packs are marked.
fn world() -> (World, Expected) {
    let world = World::new();
    let marked = world.backup(&[30, 31, 32, 33]);
    world.forget(marked);
    prune_all(&world.repository, prune_options(24)).unwrap();
    world.hours(30);
    let gone = world.backup(&OLD);
    let kept = world.backup(&KEPT);
    world.forget(gone);
    world.hours(30);
    (world, Expected::from([(kept, KEPT.to_vec())]))
}

/// Needs blobs of the forgotten snapshot, of the marked packs, and new ones.
const WANTED: [u64; 8] = [2, 5, 9, 12, 30, 33, 70, 71];

#[test]
fn a_whole_backup_at_any_moment_of_a_prune() {
    for at in 1.. {
        let (world, mut expected) = world();
        let other = world.other(7);
        let saved = Arc::new(Mutex::new(None));
        let told = Arc::clone(&saved);
        let place = Interrupted::new(&world.memory, at, move || {
            *told.lock().unwrap() = Some(backup(&other, &WANTED).unwrap());
        });
        let pruning = world.through(place.clone(), 8);
        prune_all(&pruning, prune_options(24)).unwrap();
        if !place.has_happened() {
            assert!(at > 30, "a prune makes more than {at} calls");
            return;
        }
        let snapshot: SnapshotId = saved.lock().unwrap().take().unwrap();
        expected.insert(snapshot, WANTED.to_vec());
        assert_whole(&world.repository, &expected, &format!("call {at}"));
        world.hours(60);
        prune_all(&world.repository, prune_options(24)).unwrap();
        assert_whole(
            &world.repository,
            &expected,
            &format!("call {at}, a prune later"),
        );
    }
}

#[test]
fn a_whole_prune_at_any_moment_of_a_backup() {
    for at in 1.. {
        let (world, mut expected) = world();
        let other = world.other(7);
        let place = Interrupted::new(&world.memory, at, move || {
            prune_all(&other, prune_options(24)).unwrap();
        });
        let writing = world.through(place.clone(), 8);
        let snapshot = match backup(&writing, &WANTED) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "call {at}: {error}");
                backup(&world.repository, &WANTED).unwrap()
            }
        };
        if !place.has_happened() {
            assert!(at > 15, "a backup makes more than {at} calls");
            return;
        }
        expected.insert(snapshot, WANTED.to_vec());
        assert_whole(&world.repository, &expected, &format!("call {at}"));
        world.hours(60);
        prune_all(&world.repository, prune_options(24)).unwrap();
        assert_whole(
            &world.repository,
            &expected,
            &format!("call {at}, a prune later"),
        );
    }
}

/// A backup that has loaded its index and stored data, and ends when it is told to.
struct Long {
    go: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<lifeboat_repository::Result<SnapshotId>>,
}

impl Long {
    fn begin(repository: Repository) -> Self {
        let (started, has_started) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let run = Run::begin(&repository)?;
            let mut stored = run.store(&WANTED[..6])?;
            started.send(()).unwrap();
            wait.recv().unwrap_or_default();
            let more = run.store(&WANTED)?;
            stored.file = more.file;
            stored.seen.extend(more.seen);
            run.commit(&stored)
        });
        has_started.recv().unwrap();
        Self { go, thread }
    }

    fn end(self) -> SnapshotId {
        self.go.send(()).unwrap();
        self.thread.join().unwrap().unwrap()
    }
}

#[test]
fn the_end_of_a_long_backup_at_any_moment_of_a_prune() {
    for at in 1.. {
        let (world, mut expected) = world();
        let saved = Arc::new(Mutex::new(None));
        let told = Arc::clone(&saved);
        // The run has loaded its index before the prune begins, and ends in the middle of it.
        let long = Long::begin(world.other(7));
        let place = Interrupted::new(&world.memory, at, move || {
            *told.lock().unwrap() = Some(long.end());
        });
        let pruning = world.through(place.clone(), 8);
        prune_all(&pruning, prune_options(24)).unwrap();
        if !place.has_happened() {
            assert!(at > 30, "a prune makes more than {at} calls");
            return;
        }
        let snapshot = saved.lock().unwrap().take().unwrap();
        expected.insert(snapshot, WANTED.to_vec());
        assert_whole(&world.repository, &expected, &format!("call {at}"));
    }
}

/// Every listed snapshot reads whole, here and, if it is its turn, with the stock restic.
fn assert_all_read(world: &World, left: &Arc<Memory>, count: usize, when: &str) {
    let repository = world.through(Arc::clone(left) as Arc<dyn Backend>, 9);
    let listed = snapshots::list(&repository).unwrap();
    assert_eq!(listed.len(), count, "{when}");
    for snapshot in &listed {
        let bytes = read(&repository, snapshot.id);
        let bytes = bytes.unwrap_or_else(|error| panic!("{when}: {}: {error}", snapshot.id));
        let is_known = bytes == bytes_of(&KEPT) || bytes == bytes_of(&WANTED);
        assert!(is_known, "{when}: {} gives other bytes", snapshot.id);
    }
}

/// A prune that is killed at any moment after a backup has ended beside it.
fn kill_anywhere(name: &str, begin: impl Fn(&World) -> Act) {
    let (mut states, mut asked) = (0, 0);
    for at in 1.. {
        let (world, _) = world();
        let place = Interrupted::new(&world.memory, at, begin(&world));
        prune_all(&world.through(place.clone(), 8), prune_options(24)).unwrap();
        let left = std::mem::take(&mut *place.left.lock().unwrap());
        if !place.has_happened() {
            break;
        }
        for (number, left) in left.iter().enumerate() {
            let when = format!("{name}: a backup at call {at}, a kill {number} effects later");
            assert_all_read(&world, left, 2, &when);
            states += 1;
            if states % Effort::current().pick(300, 10) == 0 {
                asked += 1;
                let words = restic_reads(left, "correct horse").unwrap_or(Ok(()));
                words.unwrap_or_else(|words| panic!("{when}: restic: {words}"));
            }
        }
    }
    assert!(states > 100, "{states}");
    figure("kills beside others", &format!("{name}: states"), states);
    figure(
        "kills beside others",
        &format!("{name}: shown to restic"),
        asked,
    );
}

#[test]
fn a_prune_that_is_killed_after_a_whole_backup_beside_it() {
    kill_anywhere("prune, beside a backup", |world| {
        let other = world.other(7);
        Box::new(move || {
            backup(&other, &WANTED).unwrap();
        })
    });
}

#[test]
fn a_prune_that_is_killed_after_the_end_of_a_long_backup_beside_it() {
    kill_anywhere("prune, beside a long backup", |world| {
        let long = Long::begin(world.other(7));
        Box::new(move || {
            long.end();
        })
    });
}

/// A place that lets two prunes and days pass before call `at`.
fn days_pass(world: &World, at: u64) -> Arc<Interrupted> {
    let (other, clock) = (world.other(7), Arc::clone(&world.clock));
    Interrupted::new(&world.memory, at, move || {
        for _ in 0..3 {
            clock.advance(Duration::from_secs(30 * 3600));
            prune_all(&other, prune_options(24)).unwrap();
        }
    })
}

#[test]
fn days_with_prunes_at_any_moment_of_a_backup() {
    for at in 1.. {
        let (world, mut expected) = world();
        let place = days_pass(&world, at);
        let writing = world.through(place.clone(), 8);
        match backup(&writing, &WANTED) {
            Ok(snapshot) => drop(expected.insert(snapshot, WANTED.to_vec())),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "call {at}: {error}"),
        }
        if !place.has_happened() {
            assert!(at > 15, "a backup makes more than {at} calls");
            return;
        }
        // Nothing that the stopped run leaves may mislead the next one.
        let again = backup(&world.repository, &WANTED).unwrap();
        expected.insert(again, WANTED.to_vec());
        assert_whole(&world.repository, &expected, &format!("call {at}"));
    }
}

/// The one case that two phases without waiting leave, see decision 3: the call is the record.
#[test]
fn a_prune_right_before_a_record_and_a_kill_right_after_it_hide_a_snapshot_until_the_next_prune() {
    let mut hidden = 0;
    for at in 4.. {
        let (world, expected) = world();
        let other = world.other(7);
        let place = Interrupted::deadly(&world.memory, at, move || {
            prune_all(&other, prune_options(24)).unwrap();
        });
        let writing = world.through(place.clone(), 8);
        drop(backup(&writing, &WANTED));
        if !place.has_happened() {
            assert!(at > 15 && hidden == 1, "{hidden} of {at}");
            return;
        }
        let listed = snapshots::list(&world.repository).unwrap();
        let is_hidden = |one: &&Snapshot| read(&world.repository, one.id).is_err();
        hidden += listed.iter().filter(is_hidden).count();
        // Who only reads finds what is marked too, and need not wait.
        let index = world.repository.load_index_to_read().unwrap();
        for one in &listed {
            read_by(&world.repository, &index, one.id).unwrap();
        }
        world.hours(30);
        prune_all(&world.repository, prune_options(24)).unwrap();
        assert_whole(&world.repository, &expected, &format!("call {at}"));
        for one in &listed {
            let bytes = read(&world.repository, one.id).unwrap();
            assert!(
                bytes == bytes_of(&KEPT) || bytes == bytes_of(&WANTED),
                "call {at}"
            );
        }
    }
}

/// As the program does it: what is listed and gone is stored again.
fn careful_backup(repository: &Repository, seeds: &[u64]) -> SnapshotId {
    let mut run = Run::begin(repository).unwrap();
    (run.index, _) = adopt(repository, &run.lock, run.index).unwrap();
    let stored = run.store(seeds).unwrap();
    run.commit(&stored).unwrap()
}

/// A call that was under way when its process was stopped for days, and its last one: what it
/// stores may list packs that others have removed meanwhile.
#[test]
fn a_kill_right_after_a_call_that_took_days_misleads_no_later_backup() {
    // Three calls open the repository.
    for at in 4.. {
        let (world, mut expected) = world();
        let (other, clock) = (world.other(7), Arc::clone(&world.clock));
        let place = Interrupted::deadly(&world.memory, at, move || {
            for _ in 0..3 {
                clock.advance(Duration::from_secs(30 * 3600));
                prune_all(&other, prune_options(24)).unwrap();
            }
        });
        let writing = world.through(place.clone(), 8);
        drop(backup(&writing, &WANTED));
        if !place.has_happened() {
            assert!(at > 15, "a backup makes more than {at} calls");
            return;
        }
        let again = careful_backup(&world.other(9), &WANTED);
        expected.insert(again, WANTED.to_vec());
        for (snapshot, seeds) in &expected {
            let bytes = read(&world.repository, *snapshot);
            assert!(bytes.unwrap() == bytes_of(seeds), "call {at}: {snapshot}");
        }
        world.hours(30);
        prune_all(&world.repository, prune_options(24)).unwrap();
        assert_whole(&world.repository, &expected, &format!("call {at}, pruned"));
    }
}

#[test]
fn a_refresh_at_any_moment_of_taking_an_exclusive_lock() {
    for at in 1.. {
        let (world, _) = world();
        let holder: &'static _ = Box::leak(Box::new(world.other(7)));
        let held = lock::acquire(holder, LockMode::Shared, LockWait::default()).unwrap();
        let held = Arc::new(held);
        let (refreshed, clock) = (Arc::clone(&held), Arc::clone(&world.clock));
        let place = Interrupted::new(&world.memory, at, move || {
            clock.advance(Duration::from_secs(301));
            refreshed.refresh_if_due();
        });
        let other = world.through(place.clone(), 8);
        let taken = lock::acquire(&other, LockMode::Exclusive, LockWait::default());
        if !place.has_happened() {
            return;
        }
        let told = taken.err().map(|error| error.kind());
        assert_eq!(told, Some(ErrorKind::Busy), "call {at}");
    }
}

#[test]
fn a_backup_between_plan_and_execution() {
    let (world, mut expected) = world();
    let other = world.other(7);
    let lock = lock::acquire(&world.repository, LockMode::Prune, LockWait::default()).unwrap();
    let plan = prune::plan(&world.repository, &lock, prune_options(24)).unwrap();
    assert!(!plan.mark.is_empty() && !plan.remove.is_empty(), "{plan:?}");
    expected.insert(backup(&other, &WANTED).unwrap(), WANTED.to_vec());
    let pruned = prune::apply(&world.repository, &lock, &plan).unwrap();
    assert!(pruned.rescued_packs > 0);
    drop(lock);
    assert_whole(&world.repository, &expected, "applied");
}

#[test]
fn a_backup_that_loaded_its_index_before_the_mark() {
    let (world, mut expected) = world();
    let other = world.other(7);
    let run = Run::begin(&other).unwrap();
    prune_all(&world.repository, prune_options(24)).unwrap();
    let stored = run.store(&WANTED).unwrap();
    let snapshot = run.commit(&stored).unwrap();
    drop(run);
    expected.insert(snapshot, WANTED.to_vec());
    assert_whole(&world.repository, &expected, "committed after the mark");
    for _ in 0..3 {
        world.hours(30);
        prune_all(&world.repository, prune_options(24)).unwrap();
        assert_whole(&world.repository, &expected, "and a prune later");
    }
}
