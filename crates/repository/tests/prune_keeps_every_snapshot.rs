//! After any history of backups, forgets and prunes every remaining snapshot gives its bytes.

use lifeboat_backend::FileKind;
use lifeboat_model::ErrorKind;
use lifeboat_repository::prune::{self, PruneOptions, UnusedLimit};
use lifeboat_repository::{LockMode, LockWait, check, lock};
use lifeboat_testkit::SeededEntropy;
use proptest::prelude::*;

use crate::world::{
    Expected, Run, World, assert_whole, bytes_of, cases, prune, prune_options, read, read_by,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A backup of so many blobs out of a small space, so that snapshots share them.
    Backup {
        first: u64,
        count: u64,
    },
    /// A run that stores blobs and never records a snapshot.
    Abandon {
        first: u64,
        count: u64,
    },
    Forget(u64),
    Prune {
        grace: u64,
        is_instant: bool,
        share: u32,
    },
    Hours(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..60, 0u64..25).prop_map(|(first, count)| Step::Backup { first, count }),
        1 => (0u64..90, 1u64..25).prop_map(|(first, count)| Step::Abandon { first, count }),
        3 => any::<u64>().prop_map(Step::Forget),
        4 => (0u64..40, prop::bool::weighted(0.3), 0u32..30)
            .prop_map(|(grace, is_instant, share)| Step::Prune { grace, is_instant, share }),
        2 => (1u64..60).prop_map(Step::Hours),
    ]
}

/// Blobs in no special order, some twice.
fn seeds(first: u64, count: u64) -> Vec<u64> {
    let entropy = SeededEntropy::new(first);
    (0..count)
        .map(|step| first + entropy.below(step + 10))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(60), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happened_before(history in prop::collection::vec(steps(), 1..25)) {
        let world = World::new();
        let mut expected = Expected::new();
        for (number, step) in history.iter().enumerate() {
            let when = format!("step {number}: {step:?}");
            match *step {
                Step::Backup { first, count } => {
                    let seeds = seeds(first, count);
                    expected.insert(world.backup(&seeds), seeds);
                }
                Step::Abandon { first, count } => {
                    let run = Run::begin(&world.repository).unwrap();
                    run.store(&seeds(first, count)).unwrap();
                }
                Step::Forget(number) => {
                    let number = number as usize % expected.len().max(1);
                    if let Some(id) = expected.keys().nth(number).copied() {
                        expected.remove(&id);
                        world.forget(id);
                    }
                }
                Step::Prune { grace, is_instant, share } => {
                    let options = PruneOptions {
                        is_instant,
                        unused: UnusedLimit::Share(f64::from(share) / 100.0),
                        ..prune_options(grace)
                    };
                    prune(&world.repository, options).unwrap();
                }
                Step::Hours(hours) => world.hours(hours),
            }
            assert_whole(&world.repository, &expected, &when);
        }
        let instant = PruneOptions { is_instant: true, ..prune_options(0) };
        prune(&world.repository, instant).unwrap();
        assert_whole(&world.repository, &expected, "at the end");
        assert_nothing_is_left_to_do(&world, instant);
    }
}

/// A second prune has nothing to do, and no pack is there that no snapshot needs.
fn assert_nothing_is_left_to_do(world: &World, options: PruneOptions) {
    let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default()).unwrap();
    let plan = prune::plan(&world.repository, &lock, options).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let (checked, _) = check(&world.repository).unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    // Headers and seals of small blobs in small packs are outside of the rule.
    assert!(plan.dead_bytes as f64 <= plan.live_bytes as f64 * 0.05);
}

#[test]
fn a_marked_pack_goes_after_its_grace_and_its_mark_with_the_next_prune() {
    let world = World::new();
    let (kept, gone) = (
        world.backup(&[1, 2, 3]),
        world.backup(&[10, 11, 12, 13, 14]),
    );
    let expected = Expected::from([(kept, vec![1, 2, 3])]);
    world.forget(gone);
    let before = world.pack_bytes();
    let first = prune(&world.repository, prune_options(24)).unwrap();
    assert!(first.marked_packs > 0 && first.removed_packs == 0);
    assert!(world.pack_bytes() >= before, "marked packs stay");
    world.hours(23);
    assert_eq!(
        prune(&world.repository, prune_options(24))
            .unwrap()
            .removed_packs,
        0
    );
    world.hours(1);
    let second = prune(&world.repository, prune_options(24)).unwrap();
    assert_eq!(second.removed_packs, first.marked_packs);
    assert_whole(&world.repository, &expected, "after the removal");
    prune(&world.repository, prune_options(24)).unwrap();
    assert!(world.repository.load_index().unwrap().marked().is_empty());
    let lock = lock::acquire(&world.repository, LockMode::Prune, LockWait::default()).unwrap();
    let plan = prune::plan(&world.repository, &lock, prune_options(24)).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
}

#[test]
fn a_marked_pack_stays_while_a_writer_of_its_time_lives() {
    let world = World::new();
    let other = world.other(2);
    let gone = world.backup(&[10, 11, 12]);
    let long = Run::begin(&other).unwrap();
    world.forget(gone);
    world.hours(7);
    long.lock.refresh_if_due();
    assert!(
        long.lock.check().is_err(),
        "the machine slept for seven hours"
    );
    drop(long);
    let long = Run::begin(&other).unwrap();
    assert!(
        prune(&world.repository, prune_options(1))
            .unwrap()
            .marked_packs
            > 0
    );
    for _ in 0..10 {
        for _ in 0..12 {
            world.clock.advance(std::time::Duration::from_secs(300));
            long.lock.refresh_if_due();
        }
        assert_eq!(
            prune(&world.repository, prune_options(1))
                .unwrap()
                .removed_packs,
            0
        );
    }
    let stored = long.store(&[10, 11, 12]).unwrap();
    let saved = long.commit(&stored).unwrap();
    drop(long);
    world.hours(100);
    prune(&world.repository, prune_options(1)).unwrap();
    let expected = Expected::from([(saved, vec![10, 11, 12])]);
    assert_whole(&world.repository, &expected, "saved by the long run");
}

#[test]
fn a_snapshot_that_appears_again_brings_marked_packs_back() {
    let world = World::new();
    let gone = world.backup(&[1, 2, 3, 4, 5]);
    let file = lifeboat_backend::FileHandle::new(FileKind::Snapshot, gone.into());
    let record = lifeboat_backend::Backend::load(&*world.memory, file).unwrap();
    world.forget(gone);
    prune(&world.repository, prune_options(24)).unwrap();
    lifeboat_backend::Backend::save(&*world.memory, file, &record).unwrap();
    // Who only reads need not wait for the next prune.
    assert!(read(&world.repository, gone).is_err());
    let index = world.repository.load_index_to_read().unwrap();
    let bytes = read_by(&world.repository, &index, gone).unwrap();
    assert!(bytes == bytes_of(&[1, 2, 3, 4, 5]));
    prune(&world.repository, prune_options(24)).unwrap();
    let expected = Expected::from([(gone, vec![1, 2, 3, 4, 5])]);
    assert_whole(&world.repository, &expected, "listed again");
    world.hours(100);
    prune(&world.repository, prune_options(24)).unwrap();
    assert_whole(&world.repository, &expected, "and stays so");
}

#[test]
fn nothing_is_repacked_beyond_the_limit() {
    let unused_after = |unused: UnusedLimit| {
        let world = World::new();
        let all: Vec<u64> = (0..80).collect();
        let half: Vec<u64> = (0..80).step_by(2).collect();
        let gone = world.backup(&all);
        let kept = world.backup(&half);
        world.forget(gone);
        let options = PruneOptions {
            is_instant: true,
            unused,
            ..prune_options(0)
        };
        let pruned = prune(&world.repository, options).unwrap();
        assert_whole(&world.repository, &Expected::from([(kept, half)]), "pruned");
        let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default());
        let plan = prune::plan(&world.repository, &lock.unwrap(), options).unwrap();
        (
            pruned.repacked_bytes,
            plan.dead_bytes,
            plan.live_bytes,
            world.pack_bytes(),
        )
    };
    let (repacked, dead, ..) = unused_after(UnusedLimit::Unlimited);
    assert!(repacked == 0 && dead > 20_000, "{repacked} {dead}");
    let (repacked, dead, ..) = unused_after(UnusedLimit::Bytes(10_000));
    assert!(repacked > 0 && dead <= 10_000, "{repacked} {dead}");
    let (_, dead, live, stored) = unused_after(UnusedLimit::Share(0.0));
    assert_eq!(dead, 0);
    assert!(
        stored as f64 <= live as f64 * 1.05,
        "{stored} bytes for {live}"
    );
}

#[test]
fn an_instant_prune_insists_on_being_alone() {
    let world = World::new();
    let lock = lock::acquire(&world.repository, LockMode::Prune, LockWait::default()).unwrap();
    let options = PruneOptions {
        is_instant: true,
        ..prune_options(0)
    };
    let refused = prune::plan(&world.repository, &lock, options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[test]
fn nothing_is_removed_from_a_damaged_repository() {
    let world = World::new();
    world.backup(&[1, 2, 3]);
    let gone = world.backup(&[20, 21, 22]);
    world.forget(gone);
    let packs = world.repository.list(FileKind::Pack).unwrap();
    for pack in packs {
        let world_files = world.memory.duplicate();
        let place = std::sync::Arc::new(world_files);
        let file = lifeboat_backend::FileHandle::new(FileKind::Pack, pack.id);
        lifeboat_backend::Backend::remove(&*place, file).unwrap();
        let repository = world.through(place.clone(), 5);
        let before = place.files().len();
        match prune(&repository, prune_options(0)) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert_eq!(place.files().len(), before);
            }
            Ok(_) => assert!(check(&repository).unwrap().0.is_whole()),
        }
    }
}
