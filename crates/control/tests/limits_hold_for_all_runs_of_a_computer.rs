//! However many runs there are, no more machines are under way than each of them allows.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use lifeboat_control::Turns;
use lifeboat_model::{CancelToken, ErrorKind, SystemClock};

fn turns(folder: &tempfile::TempDir, cancel: &CancelToken) -> Turns {
    let below = folder.path().join("turns");
    Turns::new(below, Arc::new(SystemClock::new()), cancel.clone())
}

#[test]
fn and_whoever_waits_goes_on_when_another_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancelToken::new();
    let (under_way, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                // Each as a run of its own: no state is shared but the folder.
                let turn = turns(&folder, &cancel).take("qemu:///system", 2, || ());
                most.fetch_max(under_way.fetch_add(1, SeqCst) + 1, SeqCst);
                std::thread::yield_now();
                under_way.fetch_sub(1, SeqCst);
                drop(turn.unwrap());
            });
        }
    });
    assert!((1..=2).contains(&most.load(SeqCst)), "{most:?}");
}

#[test]
fn and_names_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let turns = turns(&folder, &CancelToken::new());
    let refuse = || panic!("nobody has it");
    let _one = turns.take("qemu:///system", 1, refuse).unwrap();
    let _other = turns
        .take("repository 0123456789abcdef", 1, refuse)
        .unwrap();
}

#[test]
fn and_a_run_that_waits_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancelToken::new();
    let turns = turns(&folder, &cancel);
    let _taken = turns.take("host", 1, || ()).unwrap();
    let (told, is_waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| turns.take("host", 1, || told.send(()).unwrap()));
        is_waiting.recv().unwrap();
        cancel.cancel();
        let stopped = waiting.join().unwrap().unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Cancelled);
    });
}
