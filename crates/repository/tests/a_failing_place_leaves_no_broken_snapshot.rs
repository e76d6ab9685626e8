//! Whichever call to the place fails: success or a clear error, and every snapshot restores.

use std::sync::Arc;

use lifeboat_backend::{Backend, Call, Fault, FaultRule, Faulty, FileKind};
use lifeboat_model::ErrorKind;
use lifeboat_repository::prune::PruneOptions;
use lifeboat_repository::{Cause, Repository, Result, snapshots};

use crate::world::{Expected, World, assert_whole, backup, prune, prune_options, read};

/// A place in which some snapshots are whole, one was forgotten, and some packs are marked.
fn world() -> (World, Expected) {
    let world = World::new();
    let marked = world.backup(&(100..110).collect::<Vec<u64>>());
    world.forget(marked);
    prune(&world.repository, prune_options(24)).unwrap();
    world.hours(30);
    let gone = world.backup(&(0..40).collect::<Vec<u64>>());
    let kept: Vec<u64> = (0..40).step_by(3).collect();
    let expected = Expected::from([(world.backup(&kept), kept)]);
    world.forget(gone);
    world.hours(30);
    (world, expected)
}

/// Fails the n-th call for every n, once and for all calls from there on.
fn fail_anywhere(fault: Fault, work: &dyn Fn(&Repository) -> Result<()>) {
    for fail in [1, u64::MAX] {
        for pass in 0.. {
            let (world, expected) = world();
            let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
            let repository = world.through(faulty.clone(), 2);
            faulty.add(FaultRule {
                call: None,
                kind: None,
                pass,
                fail,
                fault,
            });
            let result = work(&repository);
            let fired = faulty.fired();
            faulty.heal();
            let when = format!("{fault:?}, {fail} calls from {pass} on");
            if let Err(error) = &result {
                let is_told = matches!(error.kind(), ErrorKind::Io | ErrorKind::Corrupt);
                // What was removed by a call whose answer got lost is missed later.
                assert!(
                    is_told || error.kind() == ErrorKind::NotFound,
                    "{when}: {error}"
                );
                assert_eq!(error.cause(), Cause::Other, "{when}");
            }
            assert_whole(&world.repository, &expected, &when);
            for snapshot in snapshots::list(&world.repository).unwrap() {
                read(&world.repository, snapshot.id).unwrap_or_else(|e| panic!("{when}: {e}"));
            }
            let again = world.other(3);
            lifeboat_repository::lock::unlock(&again, lifeboat_repository::lock::Unlock::All)
                .unwrap();
            work(&again).unwrap_or_else(|e| panic!("{when}, done again: {e}"));
            assert_whole(&again, &expected, &when);
            if fired == 0 {
                assert!(result.is_ok() && pass > 10, "{when}");
                break;
            }
        }
    }
}

const FAULTS: [Fault; 2] = [
    Fault::Error(ErrorKind::Io),
    Fault::AnswerLost(ErrorKind::Io),
];

#[test]
fn during_a_backup() {
    for fault in FAULTS {
        fail_anywhere(fault, &|repository| {
            backup(repository, &[3, 4, 5, 105, 200, 201, 202]).map(|_| ())
        });
    }
}

#[test]
fn during_a_prune() {
    for fault in FAULTS {
        fail_anywhere(fault, &|repository| {
            prune(repository, prune_options(24)).map(|_| ())
        });
    }
}

#[test]
fn during_an_instant_prune() {
    let options = PruneOptions {
        is_instant: true,
        ..prune_options(0)
    };
    for fault in FAULTS {
        fail_anywhere(fault, &|repository| prune(repository, options).map(|_| ()));
    }
}

/// A transfer that turns a bit is repeated once; then nothing wrong is taken for right.
#[test]
fn reads_that_turn_bits_do_not_get_through() {
    for call in [Call::Load, Call::Read] {
        for kind in [FileKind::Index, FileKind::Snapshot, FileKind::Pack] {
            for nth in 1..30 {
                let (world, expected) = world();
                let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
                let repository = world.through(faulty.clone(), 2);
                faulty.add(FaultRule::nth(call, nth, Fault::BitFlip(nth as usize * 77)).of(kind));
                for (snapshot, seeds) in &expected {
                    if let Ok(bytes) = read(&repository, *snapshot) {
                        assert!(bytes == crate::world::bytes_of(seeds));
                    }
                }
                let _ = prune(&repository, prune_options(24));
                assert_whole(
                    &world.repository,
                    &expected,
                    &format!("{call:?} {kind} {nth}"),
                );
            }
        }
    }
}
