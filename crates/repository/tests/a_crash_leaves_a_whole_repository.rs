//! After a crash between any two effects every snapshot restores and the work can be done again.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Memory, Recording};
use lifeboat_format::PackId;
use lifeboat_model::Secret;
use lifeboat_repository::prune::{PruneOptions, UnusedLimit};
use lifeboat_repository::repair::{
    apply_index, apply_snapshots, plan_index, plan_snapshots, repair_packs,
};
use lifeboat_repository::{
    Cause, LockMode, LockWait, Repository, Result, check, keys, lock, snapshots,
};

use crate::world::{
    COST, Expected, World, assert_whole, backup, environment, init_options, owner, password, prune,
    prune_options, read, small_packs,
};

/// The repository as a process sees it that will be killed: others know it is dead.
fn doomed(world: &World, backend: Arc<dyn Backend>) -> Repository {
    let mut environment = environment(&world.clock, 50);
    environment.owner = owner(10_050);
    Repository::open(backend, &password(), environment).unwrap()
}

/// Runs `work`, kills it after each of its effects, and looks at what is left.
///
/// `expected` are the snapshots that were there before and must stay whole. Gives the number of
/// effects.
fn crash_anywhere(
    world: &World,
    expected: &Expected,
    work: &dyn Fn(&Repository) -> Result<()>,
) -> usize {
    let start = world.memory.duplicate();
    let recording = Arc::new(Recording::new(Arc::new(world.memory.duplicate())));
    work(&doomed(world, recording.clone())).unwrap();
    let effects = recording.effects();
    for count in 0..=effects.len() {
        let place = Arc::new(start.duplicate());
        place.replay(&effects[..count]).unwrap();
        let when = format!("after {count} of {} effects", effects.len());
        let survivor = world.through(place.clone(), 60);
        assert_whole(&survivor, expected, &when);
        for snapshot in snapshots::list(&survivor).unwrap() {
            read(&survivor, snapshot.id).unwrap_or_else(|e| panic!("{when}: {e}"));
        }
        work(&survivor).unwrap_or_else(|error| panic!("{when}, done again: {error}"));
        assert_whole(&survivor, expected, &format!("{when}, done again"));
    }
    effects.len()
}

fn two_snapshots() -> (World, Expected) {
    let world = World::new();
    let (first, second) = (
        (0..20).collect::<Vec<u64>>(),
        (10..40).collect::<Vec<u64>>(),
    );
    let expected = [
        (world.backup(&first), first),
        (world.backup(&second), second),
    ];
    (world, Expected::from(expected))
}

/// A world in which a prune has packs to mark, to repack and to remove.
fn to_be_pruned() -> (World, Expected) {
    let world = World::new();
    let marked = world.backup(&(100..120).collect::<Vec<u64>>());
    world.forget(marked);
    prune(&world.repository, prune_options(24)).unwrap();
    world.hours(30);
    let gone = world.backup(&(0..60).collect::<Vec<u64>>());
    let half: Vec<u64> = (0..60).step_by(3).collect();
    let kept = world.backup(&half);
    world.forget(gone);
    world.hours(30);
    (world, Expected::from([(kept, half)]))
}

#[test]
fn of_an_init() {
    let clock = Arc::default();
    let recording = Arc::new(Recording::new(Arc::new(Memory::new())));
    let init = |backend: Arc<dyn Backend>, seed| {
        Repository::init(
            backend,
            &password(),
            &init_options(),
            environment(&clock, seed),
        )
    };
    init(recording.clone(), 1).unwrap();
    let effects = recording.effects();
    for count in 0..effects.len() {
        let place = Arc::new(Memory::new());
        place.replay(&effects[..count]).unwrap();
        let open = |seed| Repository::open(place.clone(), &password(), environment(&clock, seed));
        assert_eq!(open(2).unwrap_err().cause(), Cause::NoRepository);
        init(place.clone(), 3).unwrap();
        backup(&open(4).unwrap(), &[1, 2, 3]).unwrap();
    }
}

#[test]
fn of_a_first_backup() {
    let work = |repository: &Repository| backup(repository, &[1, 2, 3, 4, 5, 6, 7]).map(|_| ());
    assert!(crash_anywhere(&World::new(), &Expected::new(), &work) > 4);
}

#[test]
fn of_a_later_backup() {
    let (world, expected) = two_snapshots();
    let seeds: Vec<u64> = (5..60).collect();
    let work = |repository: &Repository| backup(repository, &seeds).map(|_| ());
    assert!(crash_anywhere(&world, &expected, &work) > 6);
}

#[test]
fn of_a_forget_and_a_change_of_tags() {
    let (world, mut expected) = two_snapshots();
    let (gone, _) = expected.pop_first().unwrap();
    let work = |repository: &Repository| snapshots::remove(repository, gone);
    assert_eq!(crash_anywhere(&world, &expected, &work), 1);
    let (changed, seeds) = expected.pop_first().unwrap();
    let work = |repository: &Repository| {
        let all = snapshots::list(repository)?;
        for old in all.iter().filter(|snapshot| snapshot.id == changed) {
            let mut file = old.file.clone();
            file.tags.push("new".to_owned());
            let new = snapshots::replace(repository, old, file)?;
            assert!(read(repository, new)? == crate::world::bytes_of(&seeds));
        }
        assert!(!snapshots::list(repository)?.is_empty());
        Ok(())
    };
    assert_eq!(crash_anywhere(&world, &expected, &work), 2);
}

#[test]
fn of_a_prune_that_marks_repacks_and_removes() {
    let (world, expected) = to_be_pruned();
    let work = |repository: &Repository| prune(repository, prune_options(24)).map(|_| ());
    assert!(crash_anywhere(&world, &expected, &work) > 8);
}

#[test]
fn of_an_instant_prune() {
    let (world, expected) = to_be_pruned();
    let options = PruneOptions {
        is_instant: true,
        unused: UnusedLimit::Share(0.0),
        ..prune_options(0)
    };
    let work = |repository: &Repository| prune(repository, options).map(|_| ());
    assert!(crash_anywhere(&world, &expected, &work) > 8);
}

#[test]
fn of_a_prune_that_brings_packs_back() {
    let (world, mut expected) = two_snapshots();
    let (gone, seeds) = expected.pop_first().unwrap();
    let file = FileHandle::new(FileKind::Snapshot, gone.into());
    let record = world.memory.load(file).unwrap();
    world.forget(gone);
    prune(&world.repository, prune_options(24)).unwrap();
    let place = Arc::new(world.memory.duplicate());
    place.save(file, &record).unwrap();
    let recording = Arc::new(Recording::new(place));
    prune(&doomed(&world, recording.clone()), prune_options(24)).unwrap();
    let start = Arc::new(world.memory.duplicate());
    start.save(file, &record).unwrap();
    let effects = recording.effects();
    for count in 0..=effects.len() {
        let place = Arc::new(start.duplicate());
        place.replay(&effects[..count]).unwrap();
        let survivor = world.through(place, 60);
        prune(&survivor, prune_options(24)).unwrap();
        let all = Expected::from([(gone, seeds.clone())]);
        assert_whole(&survivor, &all, &format!("after {count} effects"));
        assert_whole(&survivor, &expected, &format!("after {count} effects"));
    }
}

#[test]
fn of_a_change_of_the_password() {
    let world = World::new();
    let recording = Arc::new(Recording::new(Arc::new(world.memory.duplicate())));
    let new = Secret::new(b"new".to_vec());
    keys::change(&doomed(&world, recording.clone()), &new, COST).unwrap();
    let effects = recording.effects();
    let mut opened = Vec::new();
    for count in 0..=effects.len() {
        let place = Arc::new(world.memory.duplicate());
        place.replay(&effects[..count]).unwrap();
        let opens = |password: &Secret| {
            let environment = environment(&world.clock, 9);
            Repository::open(place.clone(), password, environment).is_ok()
        };
        opened.push((opens(&password()), opens(&new)));
    }
    assert_eq!(opened, [(true, false), (true, true), (false, true)]);
}

/// Index, packs and snapshots, one after the other.
fn repair_all(repository: &Repository) -> Result<()> {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    apply_index(repository, &lock, &plan_index(repository, false)?)?;
    let index = repository.load_index()?;
    let mut damaged = Vec::new();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        if !lifeboat_repository::verify_pack(repository, pack.id, &blobs)?.is_empty() {
            damaged.push(pack.id);
        }
    }
    repair_packs(repository, &lock, &damaged, small_packs())?;
    let plan = plan_snapshots(repository)?;
    apply_snapshots(repository, &lock, &plan, false, small_packs())?;
    Ok(())
}

#[test]
fn of_the_repairs() {
    let (world, expected) = two_snapshots();
    let sound = world.backup(&[200, 201]);
    let index = world.repository.load_index().unwrap();
    let packs: BTreeSet<PackId> = [0u64, 12]
        .iter()
        .map(|seed| {
            let id = lifeboat_format::BlobId::of(&crate::world::blob(*seed));
            index
                .find(lifeboat_format::BlobKind::Data, &id)
                .unwrap()
                .pack
        })
        .collect();
    for (number, pack) in packs.iter().enumerate() {
        let file = FileHandle::new(FileKind::Pack, (*pack).into());
        let mut bytes = world.memory.load(file).unwrap();
        match number {
            0 => world.memory.remove(file).unwrap(),
            _ => {
                bytes[10] ^= 1;
                world.memory.overwrite(file, &bytes);
            }
        }
    }
    let recording = Arc::new(Recording::new(Arc::new(world.memory.duplicate())));
    repair_all(&doomed(&world, recording.clone())).unwrap();
    let effects = recording.effects();
    assert!(effects.len() > 8, "{}", effects.len());
    let lengths: BTreeSet<usize> = expected
        .values()
        .map(|seeds| crate::world::bytes_of(seeds).len())
        .collect();
    let whole = Expected::from([(sound, vec![200, 201])]);
    let mut ends = BTreeSet::new();
    for count in 0..=effects.len() {
        let place = Arc::new(world.memory.duplicate());
        place.replay(&effects[..count]).unwrap();
        let survivor = world.through(place, 60);
        assert!(read(&survivor, sound).unwrap() == crate::world::bytes_of(&[200, 201]));
        repair_all(&survivor).unwrap();
        assert_whole(&survivor, &whole, &format!("after {count} effects"));
        assert!(check(&survivor).unwrap().0.is_whole());
        let contents = snapshots::list(&survivor).unwrap().into_iter();
        let contents: BTreeSet<Vec<u8>> =
            contents.map(|s| read(&survivor, s.id).unwrap()).collect();
        let seen: BTreeSet<usize> = contents.iter().map(Vec::len).collect();
        assert!(lengths.is_subset(&seen), "after {count} effects: {seen:?}");
        ends.insert(contents);
    }
    assert_eq!(
        ends.len(),
        1,
        "wherever it was interrupted, the same is saved"
    );
}
