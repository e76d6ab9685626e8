//! Clocks move only when told; randomness is a function of its seed.

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_model::{Clock, Entropy};
use lifeboat_testkit::{FixedClock, ManualClock, SeededEntropy};

#[test]
fn sleeping_moves_a_manual_clock() {
    let clock = ManualClock::default();
    let start = clock.now();
    clock.sleep(Duration::from_secs(3));
    clock.advance(Duration::from_secs(4));
    assert_eq!(clock.now(), start + Duration::from_secs(7));
    clock.set(Timestamp::UNIX_EPOCH);
    assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    assert_eq!(
        clock.monotonic(),
        Duration::from_secs(7),
        "it never goes backwards"
    );
    assert_eq!(clock.slept(), Duration::from_secs(3));
}

#[test]
fn a_fixed_clock_stands() {
    let clock = FixedClock(Timestamp::UNIX_EPOCH);
    clock.sleep(Duration::from_secs(9));
    assert_eq!(
        (clock.now(), clock.monotonic()),
        (Timestamp::UNIX_EPOCH, Duration::ZERO)
    );
}

#[test]
fn seeds_decide() {
    let bytes = |seed| SeededEntropy::new(seed).bytes(1001);
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
    let entropy = SeededEntropy::new(1);
    let mut buffer = [0; 1001];
    entropy.fill(&mut buffer);
    assert_eq!(buffer.to_vec(), bytes(1));
    let mut seen = [false; 256];
    bytes(3)
        .iter()
        .for_each(|byte| seen[usize::from(*byte)] = true);
    assert!(seen.iter().filter(|seen| **seen).count() > 240);
    assert!((0..1000).all(|_| entropy.below(7) < 7));
}
