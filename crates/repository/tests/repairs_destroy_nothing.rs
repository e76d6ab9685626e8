//! Whatever has happened to a repository, no repair removes or forgets what is sound.
//!
//! A failing case names its seed; `LIFEBOAT_REPAIR_SEED` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lifeboat_backend::{Backend, Effect, FileHandle, FileKind, Memory, Recording};
use lifeboat_format::{BlobId, BlobKind, IndexFile, PackEntry, PackId, Sealed, SnapshotId};
use lifeboat_model::{Extent, ExtentSet, Id};
use lifeboat_repository::repair::{
    LostRanges, SnapshotRepairPlan, apply_index, apply_snapshots, plan_index, plan_snapshots,
    repair_packs,
};
use lifeboat_repository::{
    BlobOpener, BlobReader, Finding, LockMode, LockWait, Repository, Result, check, lock,
    read_header, snapshots, verify_pack, with_marked,
};
use lifeboat_testkit::{Effort, SeededEntropy, figure};

use crate::world::{
    Expected, World, blob, bytes_of, environment, owner, password, prune, prune_options, random,
    read, small_packs,
};

type Files = Vec<(FileHandle, Arc<[u8]>)>;

/// A repository that was whole, and what was done to it.
struct Case {
    world: World,
    expected: Expected,
    /// All packs there ever were, listed or marked.
    packs: BTreeMap<PackId, Vec<PackEntry>>,
    /// What may be there and may not.
    hurt: Arc<Memory>,
    harms: Vec<String>,
}

impl Case {
    /// Several backups, one of them forgotten and marked; then one to four harms.
    fn new(seed: u64) -> Self {
        let world = World::new();
        let entropy = SeededEntropy::new(seed);
        let gone = world.backup(&(200..210).collect::<Vec<u64>>());
        world.forget(gone);
        prune(&world.repository, prune_options(24)).unwrap();
        let mut expected = Expected::new();
        for _ in 0..3 {
            let first = entropy.below(40);
            let seeds: Vec<u64> = (first..first + 6 + entropy.below(20)).collect();
            world.hours(1);
            expected.insert(world.backup(&seeds), seeds);
        }
        let index = with_marked(&world.repository.load_index().unwrap());
        let packs = index
            .packs()
            .iter()
            .map(|pack| pack.id)
            .zip(index.by_pack());
        let mut case = Self {
            packs: packs.collect(),
            hurt: Arc::new(world.memory.duplicate()),
            world,
            expected,
            harms: Vec::new(),
        };
        for _ in 0..1 + entropy.below(4) {
            case.harm(&entropy);
        }
        case
    }

    /// Anything but to the one key and the configuration, without which nothing opens.
    fn harm(&mut self, entropy: &SeededEntropy) {
        let files: Files = self
            .hurt
            .files()
            .into_iter()
            .filter(|(file, _)| !matches!(file.kind, FileKind::Config | FileKind::Key))
            .collect();
        let (file, content) = &files[entropy.below(files.len() as u64) as usize];
        let at = entropy.below(content.len().max(1) as u64) as usize;
        let mut bytes = content.to_vec();
        let what = match entropy.below(9) {
            0 => {
                self.hurt.remove(*file).unwrap();
                return self.harms.push(format!("{file} removed"));
            }
            1 => {
                bytes.truncate(at);
                "cut"
            }
            2 => {
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0);
                "zeroed"
            }
            3 => {
                bytes = random(entropy.number(), 100);
                "rubbish"
            }
            4 => {
                let (other, theirs) = &files[entropy.below(files.len() as u64) as usize];
                self.hurt.overwrite(*other, content);
                bytes = theirs.to_vec();
                "exchanged"
            }
            5 => {
                let stranger = FileHandle::new(file.kind, Id([entropy.number() as u8; 32]));
                self.hurt.overwrite(stranger, content);
                "also under another name"
            }
            6 => {
                // The length of a pack's header: nobody can read the header then.
                if let Some(last) = bytes.last_mut() {
                    *last ^= 0x80;
                }
                "headless"
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << entropy.below(8);
                }
                "turned"
            }
        };
        self.harms.push(format!("{file} {what} at {at}"));
        self.hurt.overwrite(*file, &bytes);
    }

    /// As a process sees it that dies at some point.
    fn doomed(&self, backend: Arc<dyn Backend>) -> Repository {
        let mut environment = environment(&self.world.clock, 50);
        environment.owner = owner(10_050);
        Repository::open(backend, &password(), environment).unwrap()
    }

    fn open(&self, place: &Arc<Memory>) -> Repository {
        self.world.through(place.clone(), 60)
    }

    /// Blobs whose bytes are all there and that an index file or their pack's header tells of.
    fn sound(&self) -> BTreeSet<(BlobKind, BlobId)> {
        let repository = self.open(&self.hurt);
        let listed = listed(&repository);
        let mut sound = BTreeSet::new();
        let mut opener = BlobOpener::new(&repository);
        let mut plaintext = Vec::new();
        for (pack, blobs) in &self.packs {
            let file = FileHandle::new(FileKind::Pack, (*pack).into());
            let Ok(bytes) = self.hurt.load(file) else {
                continue;
            };
            let header = read_header(&repository, *pack, bytes.len() as u64);
            if !listed.contains(pack) && header.is_err() {
                continue;
            }
            for blob in blobs {
                let (start, end) = (blob.offset as usize, blob.end() as usize);
                let Some(sealed) = bytes.get(start..end) else {
                    continue;
                };
                let mut copy = sealed.to_vec();
                let opened = Sealed {
                    bytes: &mut copy,
                    kind: blob.kind,
                    uncompressed_length: blob.uncompressed_length,
                };
                if opener.open(opened, &blob.id, &mut plaintext).is_ok() {
                    sound.insert((blob.kind, blob.id));
                }
            }
        }
        sound
    }

    /// Snapshots whose record and content are all there.
    fn unaffected(&self, sound: &BTreeSet<(BlobKind, BlobId)>) -> Expected {
        let whole = &self.world.repository;
        let index = whole.load_index().unwrap();
        let mut reader = BlobReader::new(whole, &index);
        let repository = self.open(&self.hurt);
        let mut unaffected = self.expected.clone();
        unaffected.retain(|id, seeds| {
            let Ok(snapshot) = snapshots::load(&repository, *id) else {
                return false;
            };
            let root = snapshot.file.tree;
            let folder = reader.tree(&root).unwrap().nodes[0].subtree.unwrap();
            let trees = [(BlobKind::Tree, root), (BlobKind::Tree, folder)];
            let data = seeds
                .iter()
                .map(|seed| (BlobKind::Data, BlobId::of(&blob(*seed))));
            trees
                .into_iter()
                .chain(data)
                .all(|name| sound.contains(&name))
        });
        unaffected
    }
}

/// Packs that a readable index file tells of.
fn listed(repository: &Repository) -> BTreeSet<PackId> {
    let mut listed = BTreeSet::new();
    for file in repository.list(FileKind::Index).unwrap() {
        let handle = FileHandle::new(FileKind::Index, file.id);
        let read = repository.load_unpacked(handle).ok();
        let Some(file) = read.and_then(|json| IndexFile::decode(&json).ok()) else {
            continue;
        };
        listed.extend(file.packs.iter().map(|pack| pack.id));
        listed.extend(file.packs_to_delete.iter().map(|mark| mark.id));
    }
    listed
}

fn clear_locks(place: &Memory) {
    for (file, _) in place.files() {
        if file.kind == FileKind::Lock {
            place.remove(file).unwrap();
        }
    }
}

fn repair_index_step(repository: &Repository, is_thorough: bool) -> Result<()> {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    apply_index(repository, &lock, &plan_index(repository, is_thorough)?)
}

fn repair_packs_step(repository: &Repository) -> Result<()> {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    let (_, index) = check(repository)?;
    let mut damaged = Vec::new();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        if !verify_pack(repository, pack.id, &blobs)?.is_empty() {
            damaged.push(pack.id);
        }
    }
    if !damaged.is_empty() {
        repair_packs(repository, &lock, &damaged, small_packs())?;
    }
    Ok(())
}

fn repair_snapshots_step(repository: &Repository) -> Result<SnapshotRepairPlan> {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    let plan = plan_snapshots(repository)?;
    apply_snapshots(repository, &lock, &plan, false, small_packs())?;
    Ok(plan)
}

/// The three in their order; gives what is lost.
fn repair_all(repository: &Repository) -> Result<Vec<LostRanges>> {
    repair_index_step(repository, false)?;
    repair_packs_step(repository)?;
    Ok(repair_snapshots_step(repository)?.lost)
}

/// What stands in the way of a clean check and only a person may remove: named records.
fn forget_unreadable(repository: &Repository) {
    for (id, _) in snapshots::list_tolerant(repository).unwrap().1 {
        snapshots::remove(repository, id).unwrap();
    }
}

/// Packs and records that are sound stay, and so do all keys and the configuration.
fn assert_kept(before: &Files, repository: &Repository, place: &Memory, when: &str) {
    let after: BTreeMap<FileHandle, Arc<[u8]>> = place.files().into_iter().collect();
    let originals: BTreeSet<SnapshotId> = snapshots::list_tolerant(repository)
        .unwrap()
        .0
        .iter()
        .filter_map(|snapshot| snapshot.file.original)
        .collect();
    for (file, content) in before {
        let is_named = Id::from(BlobId::of(content)) == file.id;
        let may_go = match file.kind {
            FileKind::Lock | FileKind::Index => true,
            FileKind::Snapshot => !is_named || originals.contains(&file.id.into()),
            FileKind::Config | FileKind::Key | FileKind::Pack => false,
        };
        let is_there = after.get(file) == Some(content);
        assert!(is_there || may_go, "{when}: {file} is gone or changed");
    }
}

fn assert_readable(repository: &Repository, sound: &BTreeSet<(BlobKind, BlobId)>, when: &str) {
    let index = with_marked(&repository.load_index().unwrap());
    let mut reader = BlobReader::new(repository, &index);
    for (kind, id) in sound {
        let read = reader.get(*kind, id);
        assert!(
            read.is_ok(),
            "{when}: sound {kind} blob {id}: {:?}",
            read.err()
        );
    }
}

fn assert_clean(repository: &Repository, when: &str) {
    let (checked, index) = check(repository).unwrap();
    let mut findings = checked.findings;
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        findings.extend(verify_pack(repository, pack.id, &blobs).unwrap());
    }
    let errors: Vec<&Finding> = findings.iter().filter(|found| !found.is_note()).collect();
    assert!(errors.is_empty(), "{when}: {errors:?}");
    assert!(
        plan_snapshots(repository).unwrap().is_empty(),
        "{when}: nothing is left to repair"
    );
}

/// The report names exactly the ranges that are not as they were, and the blobs that lay there.
fn assert_exact(case: &Case, lost: &[LostRanges], repository: &Repository) -> usize {
    let list = snapshots::list(repository).unwrap();
    let mut exact = 0;
    for told in lost.iter().filter(|told| told.path == "/folder/file") {
        let now = list
            .iter()
            .find(|now| now.file.original == Some(told.snapshot));
        let Some((seeds, now)) = case.expected.get(&told.snapshot).zip(now) else {
            continue;
        };
        let bytes = read(repository, now.id).unwrap();
        assert_eq!(bytes.len(), bytes_of(seeds).len(), "{:?}", case.harms);
        let (mut ranges, mut blobs, mut offset) = (ExtentSet::new(), Vec::new(), 0);
        for seed in seeds {
            let was = blob(*seed);
            let is = &bytes[offset..offset + was.len()];
            if is != was {
                assert!(
                    is.iter().all(|byte| *byte == 0),
                    "what is lost reads as zeros"
                );
                ranges.insert(Extent::at(offset as u64, was.len() as u64).unwrap());
                blobs.push(BlobId::of(&was));
            }
            offset += was.len();
        }
        assert_eq!(told.ranges, ranges, "{:?}", case.harms);
        assert_eq!(told.blobs, blobs, "{:?}", case.harms);
        exact += 1;
    }
    exact
}

fn seeds(sample: u64, long: u64) -> Vec<u64> {
    match std::env::var("LIFEBOAT_REPAIR_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..Effort::current().pick(sample, long)).collect(),
    }
}

#[test]
fn no_combination_of_repairs_removes_what_is_sound() {
    let (mut exact, mut steps, mut told) = (0, 0, 0);
    let seeds = seeds(30, 500);
    for seed in &seeds {
        let case = Case::new(*seed);
        let sound = case.sound();
        let unaffected = case.unaffected(&sound);
        let when = |step: &str| format!("seed {seed}: {:?}: after {step}", case.harms);
        let place = Arc::new(case.hurt.duplicate());
        clear_locks(&place);
        let before = place.files();
        let repository = case.open(&place);
        let order = SeededEntropy::new(seed ^ 0xabcd);
        for _ in 0..order.below(4) {
            // One may refuse and name what comes first; none may do harm.
            let step = order.below(5);
            let _: Result<()> = match step {
                0 => repair_index_step(&repository, false),
                1 => repair_index_step(&repository, true),
                2 => repair_packs_step(&repository),
                3 => prune(&repository, prune_options(24)).map(drop),
                _ => repair_snapshots_step(&repository).map(drop),
            };
            assert_kept(&before, &repository, &place, &when(&format!("step {step}")));
            steps += 1;
        }
        let lost = repair_all(&repository).unwrap_or_else(|e| panic!("{}: {e}", when("repairs")));
        assert_kept(&before, &repository, &place, &when("all repairs"));
        assert_readable(&repository, &sound, &when("all repairs"));
        forget_unreadable(&repository);
        assert_clean(&repository, &when("all repairs"));
        for (snapshot, seeds) in &unaffected {
            let bytes = read(&repository, *snapshot);
            let bytes = bytes.unwrap_or_else(|e| panic!("{}: {e}", when("all repairs")));
            assert!(
                bytes == bytes_of(seeds),
                "{}: {snapshot} has changed",
                when("all repairs")
            );
        }
        told += lost.len();
        exact += assert_exact(&case, &lost, &repository);
        world_goes_on(&case, &repository, &when("a prune"));
    }
    figure("flips", "repairs: mutated repositories", seeds.len());
    figure(
        "flips",
        "repairs: steps in free order before the three",
        steps,
    );
    figure("flips", "repairs: losses told", told);
    figure(
        "flips",
        "repairs: losses told with exactly the ranges and blobs",
        exact,
    );
    figure("flips", "repairs: sound objects removed", 0);
}

/// A prune after the grace period, and all that could be read can be read.
fn world_goes_on(case: &Case, repository: &Repository, when: &str) {
    let list = snapshots::list(repository).unwrap();
    let before: Vec<_> = list
        .iter()
        .map(|s| read(repository, s.id).unwrap())
        .collect();
    for _ in 0..2 {
        case.world.hours(48);
        prune(repository, prune_options(24)).unwrap_or_else(|e| panic!("{when}: {e}"));
    }
    let after: Vec<_> = list
        .iter()
        .map(|s| read(repository, s.id).unwrap())
        .collect();
    assert!(before == after, "{when}");
    assert_clean(repository, when);
}

#[test]
fn repairs_that_are_interrupted_anywhere_lose_nothing() {
    let mut states = 0;
    let seeds = seeds(4, 60);
    for seed in &seeds {
        let case = Case::new(1_000_000 + seed);
        let sound = case.sound();
        let unaffected = case.unaffected(&sound);
        let start = Arc::new(case.hurt.duplicate());
        clear_locks(&start);
        let recording = Arc::new(Recording::new(Arc::new(start.duplicate())));
        repair_all(&case.doomed(recording.clone())).unwrap();
        let effects: Vec<Effect> = recording.effects();
        for count in 0..=effects.len() {
            let when = format!("seed {seed}: {:?}: after {count} effects", case.harms);
            let place = Arc::new(start.duplicate());
            place.replay(&effects[..count]).unwrap();
            let repository = case.open(&place);
            assert_kept(&start.files(), &repository, &place, &when);
            repair_all(&repository).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_kept(&start.files(), &repository, &place, &when);
            assert_readable(&repository, &sound, &when);
            forget_unreadable(&repository);
            assert_clean(&repository, &when);
            for (snapshot, seeds) in &unaffected {
                assert!(
                    read(&repository, *snapshot).unwrap() == bytes_of(seeds),
                    "{when}"
                );
            }
            states += 1;
        }
    }
    figure("flips", "repairs: states after an interruption", states);
}
