//! One process works while another is stopped between any two of its calls to the place.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backend::{Backend, FileHandle, FileKind, Listed, Memory, Result};
use lifeboat_format::SnapshotId;
use lifeboat_model::ErrorKind;
use lifeboat_repository::prune::{self};
use lifeboat_repository::{LockMode, LockWait, lock};

use crate::world::{Expected, Run, World, assert_whole, backup, prune as prune_all, prune_options};

type Act = Box<dyn FnOnce() + Send>;

/// Lets something else happen before one call.
struct Interrupted {
    inner: Arc<Memory>,
    calls: AtomicU64,
    at: u64,
    act: Mutex<Option<Act>>,
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
        })
    }

    fn call(&self) -> &Memory {
        if self.calls.fetch_add(1, Relaxed) + 1 == self.at {
            let act = self.act.lock().unwrap().take();
            act.into_iter().for_each(|act| act());
        }
        &self.inner
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
        self.call().create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.call().list(kind)
    }
    fn size(&self, file: FileHandle) -> Result<u64> {
        self.call().size(file)
    }
    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        self.call().load(file)
    }
    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.call().read(file, offset, buffer)
    }
    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        self.call().save(file, content)
    }
    fn remove(&self, file: FileHandle) -> Result<()> {
        self.call().remove(file)
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

#[test]
fn the_end_of_a_long_backup_at_any_moment_of_a_prune() {
    for at in 1.. {
        let (world, mut expected) = world();
        let (other, saved) = (world.other(7), Arc::new(Mutex::new(None)));
        let told = Arc::clone(&saved);
        // The run has loaded its index before the prune begins, and ends in the middle of it.
        let (started, has_started) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let long = std::thread::spawn(move || {
            let run = Run::begin(&other).unwrap();
            let stored = run.store(&WANTED[..6]).unwrap();
            started.send(()).unwrap();
            if wait.recv().is_ok() {
                let more = run.store(&WANTED).unwrap();
                let mut stored = stored;
                stored.file = more.file;
                stored.seen.extend(more.seen);
                *told.lock().unwrap() = Some(run.commit(&stored));
            }
        });
        has_started.recv().unwrap();
        let long = Mutex::new(Some(long));
        let place = Interrupted::new(&world.memory, at, move || {
            go.send(()).unwrap();
            long.lock().unwrap().take().unwrap().join().unwrap();
        });
        let pruning = world.through(place.clone(), 8);
        prune_all(&pruning, prune_options(24)).unwrap();
        if !place.has_happened() {
            assert!(at > 30, "a prune makes more than {at} calls");
            return;
        }
        let result = saved.lock().unwrap().take().unwrap();
        let snapshot = result.unwrap_or_else(|error| panic!("call {at}: {error}"));
        expected.insert(snapshot, WANTED.to_vec());
        assert_whole(&world.repository, &expected, &format!("call {at}"));
    }
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
