//! Cut off while keys come and go.

use lifeboat_repository::{Repository, keys};
use lifeboat_testkit::crash::Crashed;

use super::records::snapshots_of;
use super::{doomed, open, restic, secret, survivor};
use crate::world::{COST, assert_whole, password};

/// Adds a key, removes it, adds another.
#[test]
fn of_keys_that_are_added_and_removed() {
    let (world, expected) = snapshots_of(&[(0, 5)]);
    let (crashed, place) = Crashed::begin("key add and remove", Some(&world.memory));
    let repository = Repository::open(place, &password(), doomed(&world.clock)).unwrap();
    let work = |repository: &Repository| {
        let second = keys::add(repository, &secret("second"), COST)?;
        keys::remove(repository, second)?;
        keys::add(repository, &secret("third"), COST)
    };
    work(&repository).unwrap();
    crashed.judge(100, |state, look| {
        let when = format!("key add and remove: {}", state.when);
        let repository = open(look, survivor(&world.clock, state));
        assert_whole(&repository, &expected, &when);
        keys::list(&repository).unwrap();
        restic(look, &when);
        work(&repository).unwrap();
        let opened = Repository::open(
            look.place(),
            &secret("third"),
            survivor(&world.clock, state),
        );
        assert_whole(&opened.unwrap(), &expected, &when);
        restic(look, &format!("{when}, done again"));
    });
}

#[test]
fn of_changes_of_the_password() {
    let (world, expected) = snapshots_of(&[(0, 5)]);
    let (crashed, place) = Crashed::begin("key change", Some(&world.memory));
    let words = [
        "correct horse",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "last",
    ];
    for pair in words.windows(2) {
        let (old, new) = (secret(pair[0]), secret(pair[1]));
        let environment = doomed(&world.clock);
        let repository = Repository::open(place.clone(), &old, environment).unwrap();
        keys::change(&repository, &new, COST).unwrap();
    }
    crashed.judge(100, |state, look| {
        let opened = |word: &&&str| {
            let environment = survivor(&world.clock, state);
            Repository::open(look.place(), &secret(word), environment).is_ok()
        };
        let opening: Vec<&&str> = words.iter().filter(opened).collect();
        assert!(!opening.is_empty(), "{}: no password opens", state.when);
        assert!(opening.len() <= 2, "{}: {opening:?} open", state.when);
        let old = secret(opening[0]);
        let repository =
            Repository::open(look.place(), &old, survivor(&world.clock, state)).unwrap();
        assert_whole(&repository, &expected, &state.when);
        keys::change(&repository, &secret("correct horse"), COST).unwrap();
        let opened = open(look, survivor(&world.clock, state));
        assert_whole(&opened, &expected, &state.when);
        restic(look, &state.when);
    });
}
