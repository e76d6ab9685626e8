//! Whatever changes in any file of a repository, check and verify see it and name the file.
//!
//! Random places come from a seed; `LIFEBOAT_FLIP_SEED` takes another one.

use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Memory};
use lifeboat_chunker::ChunkSizes;
use lifeboat_engine::backup::Change;
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_format::{BlobId, BlobKind, PackEntry, PackId, ScryptCost};
use lifeboat_model::{Id, Secret};
use lifeboat_repository::{
    BlobWriter, Finding, Index, Lock, LockMode, LockWait, Repository, check, keys, lock, write,
};
use lifeboat_testkit::crash::restic_reads;
use lifeboat_testkit::{
    ChangeRule, DiskPattern, Effort, ManualClock, MappedDisk, Mapping, PatternDisk, SeededEntropy,
    figure,
};

use crate::world::{World, environment, password};

/// A repository with two backups, two keys and a lock.
struct Sound {
    clock: Arc<ManualClock>,
    memory: Arc<Memory>,
    files: Vec<(FileHandle, Arc<[u8]>)>,
    /// Packs and their blobs.
    packs: Vec<(Id, Vec<PackEntry>)>,
}

/// What somebody sees who opens, locks, checks and verifies.
#[derive(Default)]
struct Seen {
    /// What check says, then what verify says; or why it could not begin.
    check: Vec<String>,
    verify: Vec<String>,
    notes: Vec<String>,
}

impl Seen {
    fn is_found(&self) -> bool {
        !self.check.is_empty() || !self.verify.is_empty()
    }

    fn names(&self, file: FileHandle) -> bool {
        let name = match file.kind {
            FileKind::Config => "config".to_owned(),
            _ => file.id.short(),
        };
        self.check
            .iter()
            .chain(&self.verify)
            .any(|told| told.contains(&name))
    }
}

impl Sound {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let sizes = ChunkSizes::new(4 << 10, 4 << 10, 16 << 10).unwrap();
        let mut world = World::on(memory.clone(), 5, sizes);
        world.write.pack_bytes = 48 << 10;
        let mut disk = DiskPattern::new(3, 300 << 10).disk();
        world.backup(reader(&disk), Change::Unknown).unwrap();
        let rule = ChangeRule {
            area_count: 3,
            area_bytes_max: 9000,
            grain: 512,
        };
        disk.change(&SeededEntropy::new(8), rule);
        world.backup(reader(&disk), Change::Unknown).unwrap();
        let cost = ScryptCost { n: 2, r: 8, p: 1 };
        keys::add(&world.repository, &Secret::new(b"second".to_vec()), cost).unwrap();
        let index = world.repository.load_index().unwrap();
        let packs = index
            .packs()
            .iter()
            .map(|pack| pack.id.id())
            .zip(index.by_pack());
        let packs = packs.collect();
        let held = lock::acquire(&world.repository, LockMode::Shared, LockWait::default());
        let files = memory.files();
        drop(held);
        let memory = Memory::new();
        memory.create().unwrap();
        files
            .iter()
            .for_each(|(file, content)| memory.overwrite(*file, content));
        Self {
            clock: world.clock,
            memory: Arc::new(memory),
            files,
            packs,
        }
    }

    fn of_kind(&self, kind: FileKind) -> Vec<(FileHandle, Arc<[u8]>)> {
        self.files
            .iter()
            .filter(|(file, _)| file.kind == kind)
            .cloned()
            .collect()
    }

    /// The largest file of data, or of trees.
    fn pack(&self, kind: BlobKind) -> (FileHandle, Arc<[u8]>, Vec<PackEntry>) {
        let packs = self.packs.iter().filter(|(_, blobs)| blobs[0].kind == kind);
        let (id, blobs) = packs.max_by_key(|(_, blobs)| blobs.len()).unwrap();
        let file = FileHandle::new(FileKind::Pack, *id);
        let content = self.files.iter().find(|(other, _)| *other == file).unwrap();
        (file, content.1.clone(), blobs.clone())
    }

    fn with(&self, changes: &[(FileHandle, Option<&[u8]>)]) -> Seen {
        let place = Arc::new(self.memory.duplicate());
        for (file, content) in changes {
            match content {
                Some(content) => place.overwrite(*file, content),
                None => place.remove(*file).unwrap(),
            }
        }
        look(&place, &self.clock, &password())
    }

    fn assert_found(&self, file: FileHandle, content: &[u8], what: &str) {
        let seen = self.with(&[(file, Some(content))]);
        assert!(
            seen.names(file),
            "{file} {what}: {:?} {:?}",
            seen.check,
            seen.verify
        );
    }
}

fn reader(disk: &PatternDisk) -> Arc<MappedDisk> {
    Arc::new(MappedDisk::new(disk.clone(), Mapping::AllData))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn look(place: &Arc<Memory>, clock: &Arc<ManualClock>, password: &Secret) -> Seen {
    let mut seen = Seen::default();
    let mut environment = environment(clock, 7);
    environment.threads = 1;
    let repository = match Repository::open(place.clone(), password, environment) {
        Ok(repository) => repository,
        Err(error) => {
            seen.check.push(chain(&error));
            return seen;
        }
    };
    let locked: Lock<'_> =
        lock::acquire(&repository, LockMode::Shared, LockWait::default()).unwrap();
    seen.check
        .extend(locked.unreadable().iter().map(|id| format!("lock {id}")));
    let (checked, index) = match check(&repository) {
        Ok(found) => found,
        Err(error) => {
            seen.check.push(chain(&error));
            return seen;
        }
    };
    let verified = verify(&repository, &index, Subset::All).unwrap();
    let told = |findings: &[Finding]| -> Vec<String> {
        let errors = findings.iter().filter(|finding| !finding.is_note());
        errors.map(ToString::to_string).collect()
    };
    seen.check.extend(told(&checked.findings));
    seen.verify = told(&verified.findings);
    let notes = checked.findings.iter().filter(|finding| finding.is_note());
    seen.notes = notes.map(ToString::to_string).collect();
    seen
}

fn seed() -> u64 {
    let seed = std::env::var("LIFEBOAT_FLIP_SEED").ok();
    seed.map_or(20_261_121, |seed| seed.parse().unwrap())
}

#[test]
fn a_sound_repository_has_nothing_to_tell() {
    let sound = Sound::new();
    let seen = sound.with(&[]);
    assert!(
        !seen.is_found() && seen.notes.is_empty(),
        "{:?} {:?}",
        seen.check,
        seen.verify
    );
    let kinds = FileKind::ALL.map(|kind| sound.of_kind(kind).len());
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    assert!(sound.pack(BlobKind::Tree).2.len() > 1 && sound.pack(BlobKind::Data).2.len() > 1);
}

#[test]
fn every_bit_of_small_files() {
    let sound = Sound::new();
    let step = Effort::current().pick(7, 1);
    let mut flips = 0;
    for kind in [
        FileKind::Config,
        FileKind::Key,
        FileKind::Lock,
        FileKind::Snapshot,
    ] {
        let (file, content) = sound.of_kind(kind).swap_remove(0);
        for bit in (0..content.len() * 8).step_by(step) {
            let mut turned = content.to_vec();
            turned[bit / 8] ^= 1 << (bit % 8);
            sound.assert_found(file, &turned, &format!("bit {bit}"));
            flips += 1;
        }
    }
    figure(
        "flips",
        "bits of config, key, lock and snapshot files: turned, all found",
        flips,
    );
}

#[test]
fn random_places_of_large_files() {
    let sound = Sound::new();
    let entropy = SeededEntropy::new(seed());
    let places = Effort::current().pick(200, 2000);
    let data = sound.pack(BlobKind::Data);
    let tree = sound.pack(BlobKind::Tree);
    let index = sound.of_kind(FileKind::Index).swap_remove(0);
    for (file, content) in [(data.0, data.1), (tree.0, tree.1), index] {
        for _ in 0..places {
            let bit = entropy.below(content.len() as u64 * 8) as usize;
            let mut turned = content.to_vec();
            turned[bit / 8] ^= 1 << (bit % 8);
            sound.assert_found(file, &turned, &format!("bit {bit}, seed {}", seed()));
        }
    }
    figure(
        "flips",
        "random bits of data pack, tree pack and index: turned, all found",
        places * 3,
    );
}

/// Where something ends and something else begins in a file.
fn boundaries(sound: &Sound, file: FileHandle, length: usize) -> Vec<usize> {
    let mut ends = vec![0, 16, length / 2, length.saturating_sub(16), length];
    if let Some((_, blobs)) = sound.packs.iter().find(|(id, _)| *id == file.id) {
        for blob in blobs {
            let (start, end) = (blob.offset as usize, blob.end() as usize);
            ends.extend([start, start + 16, end - 16, end]);
        }
        ends.extend([length - 4, length - 20]);
    }
    let mut near: Vec<usize> = ends
        .into_iter()
        .flat_map(|end| [end.saturating_sub(1), end, end + 1])
        .filter(|end| *end < length)
        .collect();
    near.sort_unstable();
    near.dedup();
    near
}

#[test]
fn every_file_cut_at_every_boundary_is_seen_by_check_alone() {
    let sound = Sound::new();
    let step = Effort::current().pick(5, 1);
    let mut cuts = 0;
    for (file, content) in &sound.files {
        let ends = boundaries(&sound, *file, content.len());
        let step = if file.kind == FileKind::Pack { step } else { 1 };
        for end in ends.into_iter().step_by(step) {
            let seen = sound.with(&[(*file, Some(&content[..end]))]);
            let is_named = seen.names(*file) && !seen.check.is_empty();
            assert!(is_named, "{file} cut to {end}: {:?}", seen.check);
            cuts += 1;
        }
        let mut longer = content.to_vec();
        longer.push(0);
        sound.assert_found(*file, &longer, "with a byte more");
    }
    figure(
        "flips",
        "files cut at a structural boundary: seen by check alone",
        cuts,
    );
}

#[test]
fn zeroed_pages_are_found() {
    let sound = Sound::new();
    let mut pages = 0;
    for (file, content) in &sound.files {
        for start in (0..content.len()).step_by(4096) {
            let mut zeroed = content.to_vec();
            let end = (start + 4096).min(zeroed.len());
            zeroed[start..end].fill(0);
            sound.assert_found(*file, &zeroed, &format!("zeroed from {start}"));
            pages += 1;
        }
    }
    figure("flips", "pages of 4 KiB zeroed: all found", pages);
}

#[test]
fn files_in_the_place_of_others_are_found() {
    let sound = Sound::new();
    let mut swaps = 0;
    for (number, (file, content)) in sound.files.iter().enumerate() {
        for (other, theirs) in &sound.files[number + 1..] {
            let seen = sound.with(&[(*file, Some(theirs)), (*other, Some(content))]);
            assert!(seen.is_found(), "{file} and {other}");
            let is_named = seen.names(*file) || seen.names(*other);
            assert!(
                is_named,
                "{file} and {other}: {:?} {:?}",
                seen.check, seen.verify
            );
            swaps += 1;
        }
    }
    figure("flips", "pairs of files exchanged: all found", swaps);
}

/// Two packs of the same blobs, each sealed by itself; gives the place and the packs.
fn twins() -> (World, Arc<Memory>, [PackId; 2]) {
    let memory = Arc::new(Memory::new());
    let sizes = ChunkSizes::new(4 << 10, 4 << 10, 16 << 10).unwrap();
    let world = World::on(memory.clone(), 5, sizes);
    let held = lock::acquire(&world.repository, LockMode::Shared, LockWait::default()).unwrap();
    for _ in 0..2 {
        // Who knows nothing of the other stores all of it again.
        let nothing = Index::default();
        let put = |writer: &BlobWriter<'_>| {
            let mut bench = writer.bench();
            (0..5).try_for_each(|seed| {
                let bytes = SeededEntropy::new(seed).bytes(3000);
                let put = writer.put(BlobKind::Data, &BlobId::of(&bytes), &bytes, &mut bench);
                put.map(drop)
            })
        };
        write::<_, lifeboat_repository::Error>(
            &world.repository,
            &nothing,
            &held,
            world.write,
            put,
        )
        .unwrap();
    }
    drop(held);
    let index = world.repository.load_index().unwrap();
    let packs: Vec<PackId> = index.packs().iter().map(|pack| pack.id).collect();
    let lists: Vec<_> = index.by_pack().collect();
    assert_eq!(lists[0], lists[1]);
    (world, memory, packs.try_into().unwrap())
}

#[test]
fn packs_of_the_same_blobs_in_each_others_place_are_found() {
    let (world, memory, packs) = twins();
    let files = packs.map(|id| FileHandle::new(FileKind::Pack, id.id()));
    let [first, second] = files.map(|file| memory.load(file).unwrap());
    let sound = look(&memory, &world.clock, &password());
    assert!(!sound.is_found(), "{:?}", sound.verify);
    // The whole files, and the bytes of one blob.
    let part = |to: &[u8], from: &[u8]| [&from[..3000], &to[3000..]].concat();
    let exchanges = [
        (second.clone(), first.clone()),
        (part(&first, &second), part(&second, &first)),
    ];
    for (one, other) in exchanges {
        memory.overwrite(files[0], &one);
        memory.overwrite(files[1], &other);
        let seen = look(&memory, &world.clock, &password());
        for file in files {
            assert!(seen.names(file), "{file}: {:?}", seen.verify);
        }
        // The stock restic says the same.
        let words = restic_reads(&memory, "correct horse");
        assert!(words.is_none_or(|words| words.is_err()));
    }
}

#[test]
fn a_pack_in_whose_place_an_unlisted_one_lies_is_found() {
    let (world, memory, packs) = twins();
    let files = packs.map(|id| FileHandle::new(FileKind::Pack, id.id()));
    let [first, second] = files.map(|file| memory.load(file).unwrap());
    // Of the two index files the one that lists the second pack goes.
    for listed in world.repository.list(FileKind::Index).unwrap() {
        let file = FileHandle::new(FileKind::Index, listed.id);
        let content = memory.load(file).unwrap();
        memory.remove(file).unwrap();
        let index = world.repository.load_index().unwrap();
        if index.packs().iter().any(|pack| pack.id == packs[0]) {
            break;
        }
        memory.overwrite(file, &content);
    }
    memory.overwrite(files[0], &second);
    memory.overwrite(files[1], &first);
    let seen = look(&memory, &world.clock, &password());
    assert!(
        !seen.verify.is_empty() && seen.names(files[0]),
        "{:?}",
        seen.verify
    );
}

/// What nothing else tells of: a record, one of several keys, a lock.
fn leaves_no_trace(file: FileHandle) -> bool {
    matches!(
        file.kind,
        FileKind::Snapshot | FileKind::Key | FileKind::Lock
    )
}

#[test]
fn missing_files_are_seen_by_check_alone() {
    let sound = Sound::new();
    let mut missing = 0;
    for (file, _) in &sound.files {
        let seen = sound.with(&[(*file, None)]);
        if leaves_no_trace(*file) {
            let told = [seen.check, seen.verify].concat();
            let is_key = file.kind == FileKind::Key;
            assert!(told.is_empty() || is_key, "{file}: {told:?}");
            continue;
        }
        assert!(!seen.check.is_empty(), "{file} is gone");
        let is_named = seen.names(*file) || file.kind != FileKind::Pack;
        assert!(is_named, "{file} is gone: {:?}", seen.check);
        missing += 1;
    }
    let keys = sound.of_kind(FileKind::Key);
    let gone: Vec<_> = keys.iter().map(|(file, _)| (*file, None)).collect();
    let seen = sound.with(&gone);
    assert!(seen.check[0].contains("no key file"), "{:?}", seen.check);
    figure("flips", "missing files: seen by check alone", missing + 1);
}

#[test]
fn foreign_and_doubled_files_are_found_and_strange_packs_are_notes() {
    let sound = Sound::new();
    let other = {
        let memory = Arc::new(Memory::new());
        let sizes = ChunkSizes::new(4 << 10, 4 << 10, 16 << 10).unwrap();
        let world = World::on(memory.clone(), 77, sizes);
        let disk = DiskPattern::new(9, 40 << 10).disk();
        world.backup(reader(&disk), Change::Unknown).unwrap();
        memory.files()
    };
    let name = |content: &[u8]| Id::from(BlobId::of(content));
    let rubbish = SeededEntropy::new(1).bytes(300);
    let mut strange: Vec<(FileHandle, &[u8], &str)> = Vec::new();
    for kind in [
        FileKind::Key,
        FileKind::Lock,
        FileKind::Snapshot,
        FileKind::Index,
    ] {
        strange.push((FileHandle::new(kind, Id([7; 32])), &rubbish, "rubbish"));
        strange.push((
            FileHandle::new(kind, name(&rubbish)),
            &rubbish,
            "well named rubbish",
        ));
        strange.push((FileHandle::new(kind, Id([8; 32])), b"", "empty"));
    }
    for (file, content) in other
        .iter()
        .filter(|(file, _)| file.kind != FileKind::Config)
    {
        strange.push((*file, content, "of another repository"));
    }
    for (file, content) in &sound.files {
        let double = FileHandle::new(file.kind, Id([9; 32]));
        strange.push((double, content, "a second time under another name"));
    }
    strange.retain(|(file, ..)| file.kind != FileKind::Config);
    for (file, content, what) in &strange {
        let seen = sound.with(&[(*file, Some(content))]);
        let told = [&seen.check[..], &seen.verify[..], &seen.notes[..]].concat();
        let is_note = file.kind == FileKind::Pack;
        // A key of another repository is a sound key file, of which nobody has the password.
        let is_fine = *what == "of another repository" && file.kind == FileKind::Key;
        assert!(
            is_fine || told.iter().any(|t| t.contains(&file.id.short())),
            "{file} {what}"
        );
        assert!(
            is_fine || seen.is_found() != is_note,
            "{file} {what}: {told:?}"
        );
    }
    let config = other
        .iter()
        .find(|(file, _)| file.kind == FileKind::Config)
        .unwrap();
    sound.assert_found(FileHandle::CONFIG, &config.1, "of another repository");
    figure(
        "flips",
        "foreign and doubled files: all told",
        strange.len() + 1,
    );
}

#[test]
fn other_keys_open_whatever_became_of_one() {
    let sound = Sound::new();
    let keys = sound.of_kind(FileKind::Key);
    let secrets = [password(), Secret::new(b"second".to_vec())];
    let mut opened = 0;
    for (file, content) in &keys {
        let mut forms: Vec<Vec<u8>> = (0..content.len()).map(|n| content[..n].to_vec()).collect();
        forms.push(SeededEntropy::new(2).bytes(500));
        forms.push(vec![0; content.len()]);
        for form in forms {
            let place = Arc::new(sound.memory.duplicate());
            place.overwrite(*file, &form);
            let seen: Vec<Seen> = secrets
                .iter()
                .map(|s| look(&place, &sound.clock, s))
                .collect();
            // The one whose key is whole gets in, and check names the other.
            let is_in = |seen: &&Seen| seen.check.iter().any(|told| told.starts_with("key "));
            assert_eq!(
                seen.iter().filter(is_in).count(),
                1,
                "{file} with {} bytes",
                form.len()
            );
            assert!(seen.iter().all(|seen| seen.names(*file)), "{file}");
            opened += 1;
        }
    }
    figure("flips", "keys beside a damaged one: open", opened);
}
