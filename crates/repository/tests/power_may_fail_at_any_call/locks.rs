//! Cut off while a lock is renewed.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::FileKind;
use lifeboat_model::Clock;
use lifeboat_repository::{Cause, LockMode, LockWait, Repository, lock};
use lifeboat_testkit::crash::{Crashed, Crashes};
use lifeboat_testkit::{ManualClock, figure};

use super::records::snapshots_of;
use super::{doomed, open, restic, survivor};
use crate::world::{assert_whole, environment, password};

/// A lock that is held for an hour never lets others in while it is renewed, whatever of the last
/// calls is lost; and it never keeps the next process out.
#[test]
fn of_a_lock_that_is_refreshed() {
    let (world, expected) = snapshots_of(&[(0, 5)]);
    let (before, place) = Crashed::begin("lock taken", Some(&world.memory));
    let start = world.clock.now();
    let repository = Repository::open(place, &password(), doomed(&world.clock)).unwrap();
    let held = lock::acquire(&repository, LockMode::Exclusive, LockWait::default()).unwrap();
    let image = before.image();
    let taken = before.calls().len();
    for _ in 0..6 {
        world.clock.advance(Duration::from_secs(6 * 60));
        held.refresh_if_due();
    }
    let renewed = before.calls().split_off(taken);
    drop(held);
    let locks = Crashes::new(&image, before.base(), &renewed);
    let mut count = 0;
    for state in locks {
        let named = state
            .image
            .files()
            .filter(|(path, _)| path.starts_with("repository/locks"));
        let is_lock = |name: &str| !name.starts_with('.');
        let names = named.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned());
        assert!(
            names.filter(|name| is_lock(name)).count() > 0,
            "{}",
            state.when
        );
        count += 1;
    }
    figure("crash points", "lock refresh: states", count);
    let end = world.clock.now();
    before.judge(100, |state, look| {
        // The machine is another one: it sees a lock as long as its time is not over.
        let clock = Arc::new(ManualClock::new(start));
        let mut other = environment(&clock, 61);
        other.owner.instance = "0abc".to_owned();
        let other = open(look, other);
        let has_lock = !other.list(FileKind::Lock).unwrap().is_empty();
        let taken = lock::acquire(&other, LockMode::Exclusive, LockWait::default());
        match taken {
            Err(error) => assert_eq!(error.cause(), Cause::Locked, "{}", state.when),
            Ok(_) => assert!(!has_lock, "{}", state.when),
        }
        // Until nobody's clock can be so wrong that the holder may still be there.
        let clock = Arc::new(ManualClock::new(end));
        clock.advance(Duration::from_secs(7 * 3600));
        let next = open(look, survivor(&clock, state));
        lock::acquire(&next, LockMode::Exclusive, LockWait::default()).unwrap();
        assert_whole(&next, &expected, &state.when);
        restic(look, &state.when);
    });
}
