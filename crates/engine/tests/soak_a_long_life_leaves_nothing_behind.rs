//! Thousands of backups with prunes and restores beside them: no error, no growth, nothing left.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use lifeboat_backend::{Backend, Local};
use lifeboat_engine::backup::{Change, ParentDisk};
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_engine::{dump, place};
use lifeboat_format::{BlobId, SnapshotId};
use lifeboat_model::{Extent, ExtentSet};
use lifeboat_repository::prune::{self, PruneOptions};
use lifeboat_repository::{BlobReader, LockMode, LockWait, Repository, check, lock, snapshots};
use lifeboat_testkit::{
    ChangeRule, DiskPattern, Effort, ManualClock, MappedDisk, Mapping, PatternDisk, SeededEntropy,
    figure, tool,
};

use crate::world::{World, environment, init_options, password, small_sizes};

const MACHINES: usize = 4;
const READERS: u64 = 4;
const PRUNE_EVERY: u64 = 50;
/// Snapshots kept of each machine.
const KEPT: usize = 7;
/// Memory may grow so much after the warm-up, over the whole run.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

/// A machine's disk as it is, and the snapshots of it that are kept, oldest first.
struct Machine {
    disk: PatternDisk,
    kept: VecDeque<Kept>,
}

#[derive(Clone, Copy)]
struct Kept {
    snapshot: SnapshotId,
    /// Hash of the disk's bytes.
    content: BlobId,
}

/// What all threads share.
struct Soak {
    world: World,
    machines: Mutex<Vec<Machine>>,
    /// Held for reading by whoever restores: days pass only between restores.
    days: RwLock<()>,
    is_over: AtomicBool,
    restores: AtomicU64,
}

/// What the kernel says about this process.
#[derive(Clone, Copy, Debug)]
struct Usage {
    bytes: u64,
    files: u64,
    threads: u64,
}

fn usage() -> Usage {
    let count = |path: &str| fs::read_dir(path).unwrap().count() as u64;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kibibytes = resident.and_then(|line| line.split_whitespace().nth(1));
    Usage {
        bytes: kibibytes.unwrap().parse::<u64>().unwrap() * 1024,
        files: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
    }
}

impl Soak {
    fn new(folder: &Path) -> Self {
        let backend: Arc<dyn Backend> = Arc::new(Local::open(folder).unwrap());
        let clock = Arc::new(ManualClock::default());
        let environment = environment(&clock, 1);
        let made = Repository::init(backend, &password(), &init_options(), environment);
        let machines = (0..MACHINES as u64).map(|seed| Machine {
            disk: DiskPattern::new(seed, 2 << 20).disk(),
            kept: VecDeque::new(),
        });
        Self {
            world: World::of(made.unwrap(), clock, small_sizes()),
            machines: Mutex::new(machines.collect()),
            days: RwLock::new(()),
            is_over: AtomicBool::new(false),
            restores: AtomicU64::new(0),
        }
    }

    /// The disk of one machine changes and is stored; what is over the limit is forgotten.
    fn back_up(&self, number: u64, entropy: &SeededEntropy) {
        let at = number as usize % MACHINES;
        let rule = ChangeRule {
            area_count: 4,
            area_bytes_max: 60_000,
            grain: 512,
        };
        let (disk, changed, parent) = {
            let machine = &mut self.machines.lock().unwrap()[at];
            let changed = machine.disk.change(entropy, rule);
            let parent = machine.kept.back().copied();
            (machine.disk.clone(), changed, parent)
        };
        let change = parent.map_or(Change::Unknown, |kept| self.since(kept, changed));
        let source = Arc::new(MappedDisk::new(disk.clone(), Mapping::Holes));
        let result = self.world.backup(source, change).unwrap();
        let kept = Kept {
            snapshot: result.snapshot.unwrap(),
            content: BlobId::of(&disk.bytes()),
        };
        let machine = &mut self.machines.lock().unwrap()[at];
        machine.kept.push_back(kept);
        if machine.kept.len() > KEPT {
            let oldest = machine.kept.pop_front().unwrap();
            snapshots::remove(&self.world.repository, oldest.snapshot).unwrap();
        }
    }

    fn since(&self, parent: Kept, changed: ExtentSet) -> Change {
        let index = self.world.repository.load_index().unwrap();
        let node = self.world.node(parent.snapshot);
        let parent = ParentDisk::new(&node, &index).unwrap();
        Change::Since { parent, changed }
    }

    /// Restores and hashes until it is over.
    fn read(&self, seed: u64) {
        let entropy = SeededEntropy::new(seed);
        while !self.is_over.load(Relaxed) {
            let _day = self.days.read().unwrap();
            let kept: Vec<Kept> = {
                let machines = self.machines.lock().unwrap();
                machines
                    .iter()
                    .flat_map(|machine| &machine.kept)
                    .copied()
                    .collect()
            };
            if kept.is_empty() {
                continue;
            }
            let one = kept[entropy.below(kept.len() as u64) as usize];
            let restored = self.restored(one.snapshot);
            let is_kept = {
                let machines = self.machines.lock().unwrap();
                let mut all = machines.iter().flat_map(|machine| &machine.kept);
                all.any(|kept| kept.snapshot == one.snapshot)
            };
            match restored {
                Ok(content) => assert_eq!(content, one.content, "{}", one.snapshot),
                // Forgotten since it was chosen.
                Err(error) => assert!(!is_kept, "{}: {error}", one.snapshot),
            }
            self.restores.fetch_add(1, Relaxed);
        }
    }

    /// The hash of a restored disk.
    fn restored(&self, snapshot: SnapshotId) -> lifeboat_engine::Result<BlobId> {
        let repository = &self.world.repository;
        let root = snapshots::load(repository, snapshot)?.file.tree;
        let index = repository.load_index()?;
        let mut reader = BlobReader::new(repository, &index);
        let disks = reader.tree(&root)?;
        let disks = disks.find(b"disks").and_then(|node| node.subtree);
        let disks = reader.tree(&disks.expect("a folder of disks"))?;
        let node = disks.find(b"vda.raw").expect("a disk");
        let whole = Extent::at(0, node.size).expect("a disk that is not empty");
        let mut bytes = Vec::new();
        dump(repository, &index, &place(&index, node)?, whole, &mut bytes)?;
        Ok(BlobId::of(&bytes))
    }

    fn prune(&self) -> prune::PrunePlan {
        let repository = &self.world.repository;
        let options = PruneOptions {
            write: self.world.write,
            ..PruneOptions::default()
        };
        let lock = lock::acquire(repository, LockMode::Prune, LockWait::default()).unwrap();
        let plan = prune::plan(repository, &lock, options).unwrap();
        prune::apply(repository, &lock, &plan).unwrap();
        prune::plan(repository, &lock, options).unwrap()
    }

    /// A day passes while nobody restores.
    fn sleep(&self, hours: u64) {
        let _nobody = self.days.write().unwrap();
        self.world.clock.advance(Duration::from_secs(hours * 3600));
    }

    fn verify_all(&self) {
        let (checked, index) = check(&self.world.repository).unwrap();
        assert!(checked.is_whole(), "{:?}", checked.findings);
        let verified = verify(&self.world.repository, &index, Subset::All).unwrap();
        assert_eq!(verified.findings, []);
    }

    /// Prunes until nothing is marked; gives bytes there are and bytes that are used.
    fn settle(&self) -> (u64, u64) {
        let mut plan = self.prune();
        for _ in 0..4 {
            self.sleep(30);
            plan = self.prune();
        }
        assert!(
            plan.marked.is_empty(),
            "{} packs stay marked",
            plan.marked.len()
        );
        let packs = self.world.repository.list(lifeboat_backend::FileKind::Pack);
        let there = packs.unwrap().iter().map(|pack| pack.size).sum();
        (there, plan.live_bytes)
    }
}

/// Stock restic reads everything back.
fn stock_restic_is_content(folder: &Path) {
    let Some(restic) = tool("restic-new") else {
        return;
    };
    let checked = Command::new(restic)
        .args(["-q", "--no-cache", "check", "--read-data", "-r"])
        .arg(folder)
        .env("RESTIC_PASSWORD", "correct horse")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{told}");
}

/// No file is left that is not the repository's.
fn no_temporary_files(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let is_ours = name == "config" || name.len() == 64;
            assert!(is_ours, "{} is left", entry.path().display());
        }
    }
}

fn soak(folder: &Path, count: u64) {
    let soak = Soak::new(folder);
    let entropy = SeededEntropy::new(5);
    let mut usages = Vec::new();
    std::thread::scope(|scope| {
        let soak = &soak;
        for seed in 0..READERS {
            scope.spawn(move || soak.read(seed));
        }
        for number in 1..=count {
            soak.back_up(number, &entropy);
            soak.sleep(6);
            if number % PRUNE_EVERY == 0 {
                soak.prune();
                soak.verify_all();
            }
            if number % 500 == 0 {
                stock_restic_is_content(folder);
            }
            if number >= count / 4 {
                usages.push(usage());
            }
        }
        soak.is_over.store(true, Relaxed);
    });
    let (there, live) = soak.settle();
    soak.verify_all();
    stock_restic_is_content(folder);
    no_temporary_files(folder);
    assert!(
        there as f64 <= live as f64 * 1.05,
        "{there} bytes are stored, {live} are used"
    );
    let growth = assert_flat(&usages);
    let restores = soak.restores.load(Relaxed);
    assert!(restores > 0, "the readers read");
    figure("soak", "backups", count);
    figure("soak", "restores beside them, all equal", restores);
    figure("soak", "errors and mismatches", 0);
    figure("soak", "growth of memory after warm-up, KiB", growth / 1024);
    figure(
        "soak",
        "stored bytes for 1,000 used ones",
        there * 1000 / live,
    );
}

/// The last third of the run needs what the first third needed; gives the growth in bytes.
fn assert_flat(usages: &[Usage]) -> u64 {
    let third = usages.len() / 3;
    let most = |part: &[Usage], of: fn(&Usage) -> u64| part.iter().map(of).max().unwrap();
    let (first, last) = (&usages[..third], &usages[usages.len() - third..]);
    let growth = most(last, |u| u.bytes).saturating_sub(most(first, |u| u.bytes));
    assert!(growth <= GROWTH_BYTES_MAX, "memory grew by {growth} bytes");
    let least = |part: &[Usage], of: fn(&Usage) -> u64| part.iter().map(of).min().unwrap();
    for of in [|u: &Usage| u.files, |u: &Usage| u.threads] {
        // Readers have more of them for a moment, as many as happen to be busy; what is lost for
        // good raises the least.
        let (before, after) = (least(first, of), least(last, of));
        assert!(
            after <= before + 6,
            "{before} became {after}: {:?}",
            usages.last()
        );
    }
    growth
}

#[test]
fn of_many_machines() {
    // Memory and files are counted for the process: alone in it, whatever runs the tests.
    let name = "soak_a_long_life_leaves_nothing_behind::of_many_machines";
    if std::env::var_os("LIFEBOAT_ALONE").is_none() {
        let alone = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("LIFEBOAT_ALONE", "1")
            .status();
        assert!(alone.unwrap().success(), "the soak failed, see above");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    soak(
        &folder.path().join("repository"),
        Effort::current().pick(60, 2_000),
    );
}
