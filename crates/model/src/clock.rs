//! The door by which time enters.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;

/// Tells the time and waits.
///
/// Everything in rows 1 to 3 takes its time from here, so that tests and the simulation own it.
pub trait Clock: Send + Sync + Debug {
    /// Now, on the wall.
    fn now(&self) -> Timestamp;

    /// A duration since some fixed moment; never goes backwards, not even in standby.
    fn monotonic(&self) -> Duration;

    /// Waits at least `duration`.
    fn sleep(&self, duration: Duration);
}

/// The machine's own clock.
///
/// Its monotonic count goes on while the machine sleeps: a lock grows old then too.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The only one.
    pub fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            time.tv_sec.unsigned_abs(),
            time.tv_nsec.unsigned_abs() as u32,
        )
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
