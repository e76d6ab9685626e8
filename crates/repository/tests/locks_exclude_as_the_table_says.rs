//! Locks keep out whom they must, age, and are never written past.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::{Backend, Call, Fault, FaultRule, Faulty, FileHandle, FileKind};
use lifeboat_format::LockFile;
use lifeboat_model::{Clock, ErrorKind, Id};
use lifeboat_repository::lock::{Unlock, acquire, list, unlock};
use lifeboat_repository::{Cause, LockMode, LockWait, Repository};
use lifeboat_testkit::ManualClock;

use crate::world::{World, environment, owner, password};

const MODES: [LockMode; 3] = [LockMode::Shared, LockMode::Prune, LockMode::Exclusive];

fn minutes(clock: &ManualClock, minutes: u64) {
    clock.advance(Duration::from_secs(minutes * 60));
}

fn is_locked(repository: &Repository, mode: LockMode) -> bool {
    match acquire(repository, mode, LockWait::default()) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(
                (error.kind(), error.cause()),
                (ErrorKind::Busy, Cause::Locked)
            );
            true
        }
    }
}

/// A lock file of a program that is not ours.
fn foreign(world: &World, exclusive: bool) -> Id {
    let file = LockFile {
        time: world.clock.now().into(),
        exclusive,
        hostname: "elsewhere".to_owned(),
        username: "root".to_owned(),
        pid: 20_000,
        uid: 0,
        gid: 0,
    };
    let repository = &world.repository;
    repository
        .save_unpacked(FileKind::Lock, &file.encode())
        .unwrap()
}

#[test]
fn ours_beside_ours() {
    let world = World::new();
    let other = world.other(2);
    let table = [
        // Held: shared, prune, exclusive. Wanted in the same order.
        [false, false, true],
        [false, true, true],
        [true, true, true],
    ];
    for (held, row) in MODES.into_iter().zip(table) {
        let lock = acquire(&world.repository, held, LockWait::default()).unwrap();
        for (wanted, expected) in MODES.into_iter().zip(row) {
            assert_eq!(
                is_locked(&other, wanted),
                expected,
                "{wanted:?} beside {held:?}"
            );
        }
        assert_eq!(
            list(&other).unwrap().len(),
            1,
            "refused locks leave nothing"
        );
        drop(lock);
        assert!(list(&other).unwrap().is_empty());
    }
}

#[test]
fn theirs_are_respected_until_they_are_stale() {
    for (exclusive, row) in [(false, [false, true, true]), (true, [true, true, true])] {
        let world = World::new();
        foreign(&world, exclusive);
        for (wanted, expected) in MODES.into_iter().zip(row) {
            assert_eq!(is_locked(&world.repository, wanted), expected, "{wanted:?}");
        }
        minutes(&world.clock, 31);
        for (wanted, expected) in MODES.into_iter().zip([false, true, true]) {
            assert_eq!(
                is_locked(&world.repository, wanted),
                expected,
                "{wanted:?} after half an hour: who removes data allows for wrong clocks"
            );
        }
        minutes(&world.clock, 6 * 60);
        for wanted in MODES {
            assert!(!is_locked(&world.repository, wanted), "{wanted:?} later");
        }
        assert_eq!(unlock(&world.repository, Unlock::Stale).unwrap(), 1);
    }
}

#[test]
fn a_holder_whose_clock_is_hours_behind_is_still_a_holder() {
    for (held, row) in [
        (LockMode::Shared, [false, false, true]),
        (LockMode::Prune, [false, true, true]),
        (LockMode::Exclusive, [true, true, true]),
    ] {
        let world = World::new();
        let late = Arc::new(ManualClock::default());
        world.hours(5);
        let mut environment = environment(&late, 2);
        environment.owner.instance = "0123".to_owned();
        let other = Repository::open(world.memory.clone(), &password(), environment).unwrap();
        let _lock = acquire(&other, held, LockWait::default()).unwrap();
        for (wanted, expected) in MODES.into_iter().zip(row) {
            let seen = is_locked(&world.repository, wanted);
            assert_eq!(seen, expected, "{wanted:?} beside {held:?}");
        }
    }
}

#[test]
fn our_lock_shows_a_stock_program_what_it_must_see() {
    let world = World::new();
    for (mode, exclusive) in [(LockMode::Shared, false), (LockMode::Prune, true)] {
        let lock = acquire(&world.repository, mode, LockWait::default()).unwrap();
        let file = FileHandle::new(FileKind::Lock, lock.id().into());
        let json = world.repository.load_unpacked(file).unwrap();
        let shown = LockFile::decode(&json).unwrap();
        assert_eq!(shown.exclusive, exclusive);
        assert_ne!(
            shown.hostname, "host",
            "nobody may judge our process by its number"
        );
    }
}

#[test]
fn a_dead_process_of_this_host_does_not_hold_anybody_up() {
    let world = World::new();
    let mut environment = environment(&world.clock, 2);
    environment.owner = owner(10_001);
    let dead = Repository::open(world.memory.clone(), &password(), environment).unwrap();
    let lock = acquire(&dead, LockMode::Exclusive, LockWait::default()).unwrap();
    std::mem::forget(lock);
    assert!(!is_locked(&world.repository, LockMode::Exclusive));
    assert!(list(&world.repository).unwrap().is_empty());
}

#[test]
fn waiting_ends_when_the_lock_is_free_or_the_time_is_over() {
    let world = World::new();
    let held = foreign(&world, true);
    let wait = LockWait(Duration::from_secs(60));
    let before = world.clock.slept();
    let late = acquire(&world.repository, LockMode::Shared, wait);
    assert_eq!(late.err().unwrap().cause(), Cause::Locked);
    let waited = world.clock.slept() - before;
    assert!((60..62).contains(&waited.as_secs()), "{waited:?}");
    let file = FileHandle::new(FileKind::Lock, held);
    world.memory.remove(file).unwrap();
    assert!(acquire(&world.repository, LockMode::Shared, wait).is_ok());
}

#[test]
fn a_lock_that_vanished_is_noticed_before_something_is_made_visible() {
    let world = World::new();
    let lock = acquire(&world.repository, LockMode::Shared, LockWait::default()).unwrap();
    lock.check_thoroughly().unwrap();
    unlock(&world.other(2), Unlock::All).unwrap();
    lock.check().unwrap();
    assert_eq!(lock.check_thoroughly().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(lock.check().unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn a_lock_is_refreshed_and_keeps_its_start() {
    let world = World::new();
    let lock = acquire(&world.repository, LockMode::Prune, LockWait::default()).unwrap();
    for _ in 0..20 {
        minutes(&world.clock, 6);
        lock.refresh_if_due();
        lock.check_thoroughly().unwrap();
        assert!(is_locked(&world.other(2), LockMode::Prune));
    }
}

#[test]
fn who_cannot_refresh_stops_before_others_take_over() {
    let world = World::new();
    let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
    let repository = world.through(faulty.clone(), 2);
    let lock = acquire(&repository, LockMode::Shared, LockWait::default()).unwrap();
    let fault = Fault::Error(ErrorKind::Unreachable);
    faulty.add(FaultRule::every(Call::Save, fault).of(FileKind::Lock));
    minutes(&world.clock, 22);
    lock.refresh_if_due();
    lock.check().unwrap();
    minutes(&world.clock, 1);
    lock.refresh_if_due();
    assert_eq!(lock.check().unwrap_err().kind(), ErrorKind::Busy);
    assert!(
        is_locked(&world.repository, LockMode::Exclusive),
        "others still wait then"
    );
    faulty.heal();
    lock.refresh_if_due();
    assert!(lock.check().is_err(), "a lost lock stays lost");
}

/// Found by failing every call of a prune: it made room, tried again, and waited for itself.
#[test]
fn a_lock_that_was_stored_without_an_answer_keeps_nobody_out() {
    let world = World::new();
    let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
    let repository = world.through(faulty.clone(), 2);
    let lost = Fault::AnswerLost(ErrorKind::Full);
    faulty.add(FaultRule::nth(Call::Save, 1, lost).of(FileKind::Lock));
    for mode in [LockMode::Exclusive, LockMode::Shared] {
        let taken = acquire(&repository, mode, LockWait::default());
        assert_eq!(taken.is_err(), mode == LockMode::Exclusive);
        drop(taken);
        assert!(list(&world.repository).unwrap().is_empty());
    }
    let lock = acquire(&repository, LockMode::Exclusive, LockWait::default()).unwrap();
    faulty.add(FaultRule::nth(Call::Save, 1, lost).of(FileKind::Lock));
    minutes(&world.clock, 6);
    lock.refresh_if_due();
    lock.check_thoroughly().unwrap();
    assert_eq!(list(&world.repository).unwrap().len(), 1);
}

#[test]
fn garbage_among_the_locks_is_shown_and_removed_on_demand_only() {
    let world = World::new();
    let file = FileHandle::new(FileKind::Lock, Id([9; 32]));
    world.memory.overwrite(file, b"");
    let found = list(&world.repository).unwrap();
    assert!(found.len() == 1 && found[0].file.is_none() && !found[0].is_stale);
    assert_eq!(unlock(&world.repository, Unlock::Stale).unwrap(), 0);
    assert_eq!(unlock(&world.repository, Unlock::All).unwrap(), 1);
}

#[test]
fn a_lock_that_nobody_can_read_keeps_out_who_removes_and_lets_backups_through() {
    let world = World::new();
    let id = Id([9; 32]);
    let file = FileHandle::new(FileKind::Lock, id);
    let newer = {
        let json = br#"{"time":"soon","exclusive":"partly"}"#;
        let id = world
            .repository
            .save_unpacked(FileKind::Lock, json)
            .unwrap();
        let newer = FileHandle::new(FileKind::Lock, id);
        let sealed = world.memory.load(newer).unwrap();
        world.memory.remove(newer).unwrap();
        sealed
    };
    for content in [&b""[..], b"{", &[0; 200], &newer] {
        world.memory.overwrite(file, content);
        for mode in [LockMode::Prune, LockMode::Exclusive] {
            let error = acquire(&world.repository, mode, LockWait::default()).err();
            let error = error.unwrap();
            assert_eq!(
                (error.kind(), error.cause()),
                (ErrorKind::Busy, Cause::Locked)
            );
            let told = error.to_string();
            assert!(told.contains(&id.to_string()) && told.contains("unlock --remove-all"));
        }
        let lock = acquire(&world.repository, LockMode::Shared, LockWait::default()).unwrap();
        assert_eq!(lock.unreadable(), [id.into()]);
    }
    minutes(&world.clock, 24 * 60);
    assert!(
        is_locked(&world.repository, LockMode::Exclusive),
        "age does not make it stale"
    );
    unlock(&world.repository, Unlock::All).unwrap();
    assert!(!is_locked(&world.repository, LockMode::Exclusive));
}
