//! Only what may succeed later is tried again, a bounded number of times.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::{
    Backend, Call, Counted, Fault, FaultRule, Faulty, FileKind, RetryRule, Retrying,
};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_testkit::{ManualClock, SeededEntropy};

use crate::pack;

struct World {
    faulty: Arc<Faulty>,
    counted: Arc<Counted>,
    clock: Arc<ManualClock>,
    cancel: CancelToken,
    retrying: Retrying,
}

fn world(attempts_max: u32) -> World {
    let faulty = Arc::new(Faulty::new(crate::memory()));
    let counted = Arc::new(Counted::new(faulty.clone()));
    let clock = Arc::new(ManualClock::default());
    let cancel = CancelToken::new();
    let rule = RetryRule {
        attempts_max,
        pause_first: Duration::from_secs(1),
        pause_max: Duration::from_secs(8),
    };
    let entropy = Arc::new(SeededEntropy::new(2));
    let retrying = Retrying::new(
        counted.clone(),
        rule,
        clock.clone(),
        entropy,
        cancel.clone(),
    );
    World {
        faulty,
        counted,
        clock,
        cancel,
        retrying,
    }
}

fn failing(call: Call, count: u64, fault: Fault) -> FaultRule {
    FaultRule {
        fail: count,
        ..FaultRule::every(call, fault)
    }
}

#[test]
fn until_the_call_succeeds() {
    let world = world(5);
    let fault = Fault::ShortWrite(2);
    world.faulty.add(failing(Call::Save, 4, fault));
    world.retrying.save(pack(1), b"content").unwrap();
    assert_eq!(world.retrying.load(pack(1)).unwrap(), b"content");
    assert_eq!(world.retrying.repeats(), 4);
    let slept = world.clock.slept().as_secs_f64();
    assert!(
        (7.5..=15.0).contains(&slept),
        "half to all of 1+2+4+8, not {slept}"
    );
}

#[test]
fn no_more_often_than_allowed() {
    let world = world(3);
    let fault = Fault::Error(ErrorKind::Busy);
    world.faulty.add(FaultRule::every(Call::List, fault));
    let error = world.retrying.list(FileKind::Index).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(world.counted.all_calls(Call::List), 3);
}

#[test]
fn never_what_cannot_succeed() {
    for kind in [
        ErrorKind::Full,
        ErrorKind::Denied,
        ErrorKind::Corrupt,
        ErrorKind::Invalid,
        ErrorKind::Cancelled,
    ] {
        let world = world(5);
        world
            .faulty
            .add(FaultRule::every(Call::Save, Fault::Error(kind)));
        assert_eq!(world.retrying.save(pack(1), b"x").unwrap_err().kind(), kind);
        assert_eq!(world.counted.all_calls(Call::Save), 1);
        assert_eq!(world.clock.slept(), Duration::ZERO);
    }
}

#[test]
fn a_removal_whose_answer_was_lost_is_done() {
    let world = world(5);
    world.retrying.save(pack(1), b"x").unwrap();
    let fault = Fault::AnswerLost(ErrorKind::Unreachable);
    world.faulty.add(FaultRule::nth(Call::Remove, 1, fault));
    world.retrying.remove(pack(1)).unwrap();
    let error = world.retrying.remove(pack(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "the first attempt knows");
}

#[test]
fn not_after_the_run_was_cancelled() {
    let world = world(5);
    let fault = Fault::Error(ErrorKind::Unreachable);
    world.faulty.add(FaultRule::every(Call::Load, fault));
    world.cancel.cancel();
    let error = world.retrying.load(pack(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(world.counted.all_calls(Call::Load), 1);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("pack 01070707"), "{cause}");
}
