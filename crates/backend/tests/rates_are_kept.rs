//! Transfers stay below their rate, by the clock that was given.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::{Backend, FileHandle, FileKind, Limited, Rates};
use lifeboat_model::{CancelToken, Clock, ErrorKind, Id};
use lifeboat_testkit::ManualClock;

use crate::pack;

fn limited(cancel: CancelToken) -> (Arc<ManualClock>, Limited) {
    let clock = Arc::new(ManualClock::default());
    let rates = Rates {
        up: NonZeroU64::new(100),
        down: NonZeroU64::new(1000),
    };
    let limited = Limited::new(crate::memory(), rates, clock.clone(), cancel);
    (clock, limited)
}

#[test]
fn each_transfer_waits_for_those_before() {
    let (clock, limited) = limited(CancelToken::new());
    for first in 0..10 {
        limited.save(pack(first), &[1; 500]).unwrap();
    }
    assert_eq!(
        clock.monotonic(),
        Duration::from_secs(45),
        "the tenth is not yet paid"
    );
    clock.advance(Duration::from_secs(5));
    for first in 0..10 {
        limited.load(pack(first)).unwrap();
        limited.read(pack(first), 0, &mut [0; 500]).unwrap();
    }
    assert_eq!(clock.monotonic(), Duration::from_millis(50_000 + 9_500));
    clock.advance(Duration::from_secs(3600));
    limited.save(pack(99), &[1; 500]).unwrap();
    let paid_long_ago = Duration::from_millis(3_659_500);
    assert_eq!(
        clock.monotonic(),
        paid_long_ago,
        "an idle hour saves nothing up"
    );
}

#[test]
fn locks_and_questions_are_free() {
    let (clock, limited) = limited(CancelToken::new());
    limited.save(pack(1), &[1; 5000]).unwrap();
    let lock = FileHandle::new(FileKind::Lock, Id([1; 32]));
    limited.save(lock, &[1; 300]).unwrap();
    limited.load(lock).unwrap();
    limited.list(FileKind::Pack).unwrap();
    limited.remove(lock).unwrap();
    assert_eq!(clock.monotonic(), Duration::ZERO);
}

#[test]
fn a_cancelled_run_does_not_wait() {
    let cancel = CancelToken::new();
    let (clock, limited) = limited(cancel.clone());
    limited.save(pack(1), &[1; 100_000]).unwrap();
    cancel.cancel();
    let error = limited.save(pack(2), b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(clock.slept(), Duration::ZERO);
}
