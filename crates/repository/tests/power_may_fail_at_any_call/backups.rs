//! Cut off while data comes in.

use std::sync::Arc;

use lifeboat_repository::{Cause, Repository, adopt};
use lifeboat_testkit::ManualClock;
use lifeboat_testkit::crash::Crashed;

use super::{Trial, doomed, open, restic, scaled, survivor};
use crate::world::{Expected, Run, World, assert_whole, backup, init_options, password};

#[test]
fn of_an_init() {
    let clock = Arc::new(ManualClock::default());
    let (crashed, place) = Crashed::begin("init", None);
    Repository::init(place, &password(), &init_options(), doomed(&clock)).unwrap();
    crashed.judge(320, |state, look| {
        let when = format!("init: {}", state.when);
        let environment = || survivor(&clock, state);
        if let Err(error) = Repository::open(look.place(), &password(), environment()) {
            assert_eq!(error.cause(), Cause::NoRepository, "{when}: {error}");
            Repository::init(look.place(), &password(), &init_options(), environment()).unwrap();
        }
        let repository = open(look, environment());
        let seeds = vec![1, 2, 3];
        let stored = backup(&repository, &seeds).unwrap();
        assert_whole(&repository, &Expected::from([(stored, seeds)]), &when);
        restic(look, &when);
    });
}

#[test]
fn of_a_first_backup() {
    Trial {
        name: "first backup",
        world: &World::new(),
        expected: &Expected::new(),
        work: &|repository| backup(repository, &(0..scaled(110)).collect::<Vec<_>>()).map(drop),
    }
    .run(250);
}

#[test]
fn of_an_increment() {
    let (world, expected) = super::records::snapshots_of(&[(0, 20), (10, 40)]);
    Trial {
        name: "increment",
        world: &world,
        expected: &expected,
        work: &|repository| backup(repository, &(15..scaled(160)).collect::<Vec<_>>()).map(drop),
    }
    .run(250);
}

/// A run that takes over what a killed one has stored before it stores the rest.
#[test]
fn of_a_backup_that_takes_over_packs() {
    let (world, expected) = super::records::snapshots_of(&[(0, 20)]);
    super::prunes::leave_unlisted_packs(&world, 1000..1000 + scaled(30));
    Trial {
        name: "backup after a killed one",
        world: &world,
        expected: &expected,
        work: &|repository| {
            let mut run = Run::begin(repository)?;
            (run.index, _) = adopt(repository, &run.lock, run.index)?;
            let stored = run.store(&(1000..1000 + scaled(100)).collect::<Vec<_>>())?;
            run.commit(&stored).map(drop)
        },
    }
    .run(250);
}
