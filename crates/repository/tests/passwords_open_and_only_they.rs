//! Every password opens, no other does, and damage is told apart from a wrong password.

use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Memory};
use lifeboat_format::BlobId;
use lifeboat_model::{ErrorKind, Id, Secret};
use lifeboat_repository::{Cause, Error, Repository, keys};
use lifeboat_testkit::Effort;

use crate::world::{COST, World, environment, init_options, password};

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn open(world: &World, text: &str) -> Result<Repository, Error> {
    let backend = world.memory.clone();
    Repository::open(backend, &secret(text), environment(&world.clock, 2))
}

fn refused(world: &World, text: &str) -> Cause {
    open(world, text).unwrap_err().cause()
}

#[test]
fn keys_are_added_changed_and_removed() {
    let world = World::new();
    let second = keys::add(&world.repository, &secret("two"), COST).unwrap();
    let third = keys::add(&world.repository, &secret("drei"), COST).unwrap();
    assert_eq!(keys::list(&world.repository).unwrap().len(), 3);
    for text in ["correct horse", "two", "drei"] {
        assert_eq!(
            open(&world, text).unwrap().config().id,
            world.repository.config().id
        );
    }
    assert_eq!(refused(&world, "four"), Cause::WrongPassword);
    assert_eq!(refused(&world, ""), Cause::WrongPassword);
    keys::remove(&world.repository, third).unwrap();
    assert_eq!(refused(&world, "drei"), Cause::WrongPassword);
    let in_use = keys::remove(&world.repository, world.repository.key());
    assert_eq!(in_use.unwrap_err().kind(), ErrorKind::Invalid);
    let by_second = open(&world, "two").unwrap();
    assert_eq!(by_second.key(), second);
    keys::change(&by_second, &secret("deux"), COST).unwrap();
    let now = open(&world, "deux").unwrap().key();
    assert_ne!(now, second);
    assert_eq!(by_second.key(), now, "the key in use is the one that opens");
    let listed = keys::list(&by_second).unwrap();
    let current: Vec<_> = listed.iter().filter(|key| key.is_current).collect();
    assert!(current.len() == 1 && current[0].id == now);
    let in_use = keys::remove(&by_second, now);
    assert_eq!(in_use.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(refused(&world, "two"), Cause::WrongPassword);
    assert!(open(&world, "deux").is_ok() && open(&world, "correct horse").is_ok());
}

#[test]
fn a_place_without_a_repository_is_told() {
    let memory = Arc::new(Memory::new());
    let environment = environment(&Arc::default(), 1);
    let nothing = Repository::open(memory, &password(), environment).unwrap_err();
    assert_eq!(nothing.cause(), Cause::NoRepository);
}

#[test]
fn a_broken_key_beside_a_good_one_changes_nothing() {
    let world = World::new();
    for first in [0, 255] {
        let file = FileHandle::new(FileKind::Key, Id([first; 32]));
        world.memory.overwrite(file, b"{\"created\":");
    }
    assert!(open(&world, "correct horse").is_ok());
    assert_eq!(refused(&world, "wrong"), Cause::WrongPassword);
}

#[test]
fn a_key_cut_short_or_turned_by_a_bit_is_damage_and_not_a_wrong_password() {
    let world = World::new();
    let file = FileHandle::new(FileKind::Key, world.repository.key().into());
    let whole = world.memory.load(file).unwrap();
    for length in 0..whole.len() {
        world.memory.overwrite(file, &whole[..length]);
        let error = open(&world, "correct horse").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes");
    }
    for at in 0..whole.len() {
        let mut turned = whole.clone();
        turned[at] ^= 1;
        world.memory.overwrite(file, &turned);
        let Err(error) = open(&world, "correct horse") else {
            continue;
        };
        assert_ne!(error.cause(), Cause::WrongPassword, "byte {at}: {error}");
    }
}

#[test]
fn an_unfinished_init_is_finished_by_the_same_password_only() {
    let memory = Arc::new(Memory::new());
    let clock = Arc::default();
    let init = |text: &str, seed| {
        let backend = memory.clone();
        Repository::init(
            backend,
            &secret(text),
            &init_options(),
            environment(&clock, seed),
        )
    };
    init("one", 1).unwrap();
    assert_eq!(init("one", 2).unwrap_err().kind(), ErrorKind::Exists);
    memory.remove(FileHandle::CONFIG).unwrap();
    assert_eq!(init("two", 3).unwrap_err().kind(), ErrorKind::Exists);
    for seed in 4..12 {
        init("one", seed).unwrap();
        let backend = memory.clone();
        let opened = Repository::open(backend, &secret("one"), environment(&clock, 99)).unwrap();
        assert_eq!(keys::list(&opened).unwrap().len(), 1);
        memory.remove(FileHandle::CONFIG).unwrap();
    }
    let pack = FileHandle::new(FileKind::Pack, Id([1; 32]));
    memory.overwrite(pack, b"data");
    assert_eq!(init("one", 13).unwrap_err().kind(), ErrorKind::Exists);
}

/// Puts key files at the place that each ask for so many GiB of work, and open with no password.
fn add_costly_keys(world: &World, count: u8, gibibytes: u32) {
    let file = FileHandle::new(FileKind::Key, world.repository.key().into());
    let json = world.memory.load(file).unwrap();
    let mut key: serde_json::Value = serde_json::from_slice(&json).unwrap();
    // 128 MiB in each round.
    key["N"] = (1 << 17).into();
    key["r"] = 8.into();
    key["p"] = (8 * gibibytes).into();
    for number in 0..count {
        key["username"] = format!("{number}").into();
        let json = serde_json::to_vec(&key).unwrap();
        let id = Id::from(BlobId::of(&json));
        world
            .memory
            .overwrite(FileHandle::new(FileKind::Key, id), &json);
    }
}

#[test]
fn costly_keys_keep_no_other_key_waiting() {
    let world = World::new();
    // Eighteen of them would take minutes.
    add_costly_keys(&world, 18, 4);
    let opened = open(&world, "correct horse").unwrap();
    assert_eq!(opened.key(), world.repository.key());
}

#[test]
fn a_wrong_password_costs_no_more_than_all_keys_together_may() {
    let world = World::new();
    // What is beyond the bounds of one key is refused without a try.
    add_costly_keys(&world, 18, 5);
    let refused = open(&world, "wrong").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    if Effort::current() == Effort::Long {
        let world = World::new();
        add_costly_keys(&world, 18, 3);
        let refused = open(&world, "wrong").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
        assert!(refused.to_string().contains("was not tried"), "{refused}");
    }
}
