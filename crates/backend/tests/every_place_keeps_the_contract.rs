//! Memory, a directory, and every wrapper around them pass the conformance suite.

use std::num::NonZeroU64;
use std::sync::Arc;

use lifeboat_backend::{
    Backend, Counted, Faulty, Limited, Local, Location, Memory, Rates, Recording, RetryRule,
    Retrying, open,
};
use lifeboat_model::CancelToken;
use lifeboat_testkit::{ManualClock, SeededEntropy, conformance};

#[test]
fn memory() {
    conformance::backend(|| Arc::new(Memory::new()));
}

#[test]
fn directory() {
    let place = tempfile::tempdir().unwrap();
    let mut number = 0;
    let next = std::cell::RefCell::new(|| {
        number += 1;
        place.path().join(format!("{number}/deep/er"))
    });
    conformance::backend(|| {
        let path = next.borrow_mut()();
        open(&Location::Local(path)).unwrap()
    });
}

#[test]
fn directory_opened_by_a_second_writer() {
    let place = tempfile::tempdir().unwrap();
    let first = Local::open(place.path()).unwrap();
    first.create().unwrap();
    let file = crate::pack(1);
    first.save(file, b"seen by both").unwrap();
    let second = Local::open(place.path()).unwrap();
    assert_eq!(second.load(file).unwrap(), b"seen by both");
}

#[test]
fn wrappers() {
    let inner = || Arc::new(Memory::new());
    conformance::backend(|| Arc::new(Recording::new(inner())));
    conformance::backend(|| Arc::new(Counted::new(inner())));
    conformance::backend(|| Arc::new(Faulty::new(inner())));
    conformance::backend(|| {
        let rates = Rates {
            up: NonZeroU64::new(1000),
            down: NonZeroU64::new(1000),
        };
        let clock = Arc::new(ManualClock::default());
        Arc::new(Limited::new(inner(), rates, clock, CancelToken::new()))
    });
    conformance::backend(|| {
        let clock = Arc::new(ManualClock::default());
        let entropy = Arc::new(SeededEntropy::new(1));
        let (rule, cancel) = (RetryRule::default(), CancelToken::new());
        Arc::new(Retrying::new(inner(), rule, clock, entropy, cancel))
    });
}
