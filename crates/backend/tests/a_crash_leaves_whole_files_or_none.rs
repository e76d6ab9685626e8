//! Whatever of the last system calls a loss of power undoes, a name leads to a whole file.

use std::path::Path;

use lifeboat_backend::{Backend, FileHandle, FileKind, Journal, Local, SystemCall};
use lifeboat_model::Id;
use lifeboat_testkit::crash::{Crashes, Image};
use lifeboat_testkit::figure;

use crate::pack;

/// An empty repository, and what was done to it by `work`.
struct Recorded {
    place: tempfile::TempDir,
    before: Image,
    calls: Vec<SystemCall>,
}

fn recorded(work: impl Fn(&Local)) -> Recorded {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("repository");
    Local::open(&root).unwrap().create().unwrap();
    let before = Image::of(place.path());
    let journal = Journal::new();
    work(&Local::recorded(&root, &journal).unwrap());
    let calls = journal.calls();
    Recorded {
        place,
        before,
        calls,
    }
}

fn content(seed: u8) -> Vec<u8> {
    vec![seed; 1000 + usize::from(seed)]
}

fn snapshot(seed: u8) -> FileHandle {
    FileHandle::new(FileKind::Snapshot, Id([seed; 32]))
}

/// Every file under a sound name is whole; work files may be anything.
fn assert_whole(image: &Image, contents: &[Vec<u8>], when: &str) {
    for (path, found) in image.files() {
        let name = path.file_name().unwrap().to_string_lossy();
        let is_whole = contents.iter().any(|content| content == found);
        let is_work_file = name.starts_with('.');
        assert!(is_work_file || is_whole, "{when}: {name} is torn");
    }
}

fn holds(image: &Image, content: &[u8]) -> bool {
    let mut named = image.files().filter(|(path, _)| !is_work_file(path));
    named.any(|(_, found)| found == content)
}

fn is_work_file(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with('.')
}

#[test]
fn when_files_are_stored_replaced_and_removed_in_turn() {
    let done = recorded(|local| {
        local.save(FileHandle::CONFIG, &content(1)).unwrap();
        local.save(pack(3), &content(2)).unwrap();
        local.save(FileHandle::CONFIG, &content(3)).unwrap();
        local.save(snapshot(4), &content(4)).unwrap();
        local.remove(pack(3)).unwrap();
    });
    let contents: Vec<Vec<u8>> = (1..=4).map(content).collect();
    let mut count = 0;
    for state in Crashes::new(&done.before, done.place.path(), &done.calls) {
        assert_whole(&state.image, &contents, &state.when);
        count += 1;
    }
    assert!(count > 25, "{count}");
    figure("crash points", "saves one after the other: states", count);
}

#[test]
fn and_what_has_returned_is_durable() {
    let steps: [&dyn Fn(&Local); 4] = [
        &|local| local.create().unwrap(),
        &|local| local.save(FileHandle::CONFIG, &content(1)).unwrap(),
        &|local| local.save(pack(3), &content(2)).unwrap(),
        &|local| local.remove(pack(3)).unwrap(),
    ];
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("above/repository");
    let journal = Journal::new();
    let local = Local::recorded(&root, &journal).unwrap();
    for step in steps {
        step(&local);
        let base = place.path();
        let states = Crashes::at_the_end(&Image::default(), base, &journal.calls());
        assert_eq!(states.len(), 1, "{:?}", journal.calls().last());
        assert!(states[0].image == Image::of(base));
    }
}

/// All orders in which two threads may make their calls.
fn interleaved(one: &[SystemCall], other: &[SystemCall]) -> Vec<Vec<SystemCall>> {
    let rest = |first: &SystemCall, one: &[SystemCall], other: &[SystemCall]| {
        let with_first = |rest: Vec<SystemCall>| [vec![first.clone()], rest].concat();
        interleaved(one, other)
            .into_iter()
            .map(with_first)
            .collect()
    };
    match (one, other) {
        ([], calls) | (calls, []) => vec![calls.to_vec()],
        ([first, one_rest @ ..], [second, other_rest @ ..]) => {
            let mut all: Vec<Vec<SystemCall>> = rest(first, one_rest, other);
            all.extend::<Vec<_>>(rest(second, one, other_rest));
            all
        }
    }
}

/// Two files in one directory, stored by two threads at once.
#[test]
fn when_two_files_are_stored_at_once() {
    let done = recorded(|local| {
        local.save(snapshot(1), &content(1)).unwrap();
        local.save(snapshot(2), &content(2)).unwrap();
    });
    let contents = [content(1), content(2)];
    let (one, other) = done.calls.split_at(done.calls.len() / 2);
    assert_eq!(one.last(), other.last(), "both sync the directory");
    let (before, base) = (
        Image::default(),
        done.place.path().join("repository/snapshots"),
    );
    let orders = interleaved(one, other);
    for calls in &orders {
        for state in Crashes::new(&before, &base, calls) {
            assert_whole(&state.image, &contents, &state.when);
        }
        for state in Crashes::at_the_end(&before, &base, calls) {
            assert!(contents.iter().all(|content| holds(&state.image, content)));
        }
    }
    figure(
        "crash points",
        "two saves at once: orders of their calls",
        orders.len(),
    );
}

/// The model finds what the order of calls protects from.
#[test]
fn which_they_would_not_without_the_syncs() {
    let done = recorded(|local| local.save(snapshot(1), &content(1)).unwrap());
    let without = |is_dropped: &dyn Fn(&SystemCall) -> bool| {
        let mut calls = done.calls.clone();
        calls.retain(|call| !is_dropped(call));
        calls
    };
    let torn = without(&|call| matches!(call, SystemCall::SyncFile { .. }));
    let mut states = Crashes::new(&done.before, done.place.path(), &torn);
    let is_torn = |image: &Image| {
        let mut named = image.files().filter(|(path, _)| !is_work_file(path));
        named.any(|(_, found)| found != content(1))
    };
    assert!(states.any(|state| is_torn(&state.image)));
    let lost = without(&|call| matches!(call, SystemCall::SyncDirectory { .. }));
    let states = Crashes::at_the_end(&done.before, done.place.path(), &lost);
    assert!(states.iter().any(|state| !holds(&state.image, &content(1))));
}
