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
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts the monotonic count at zero.
    pub fn new() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
