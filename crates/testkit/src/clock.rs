//! Clocks that tests own.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_model::Clock;

/// Always shows the same moment; waiting takes no time.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

/// Moves only when somebody moves it or sleeps on it.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    now: Timestamp,
    monotonic: Duration,
    slept: Duration,
}

impl ManualClock {
    /// Shows `now` until it is moved.
    pub fn new(now: Timestamp) -> Self {
        let state = State {
            now,
            monotonic: Duration::ZERO,
            slept: Duration::ZERO,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Sets the wall clock, as an administrator may; the monotonic count goes on as before.
    pub fn set(&self, now: Timestamp) {
        self.with(|state| state.now = now);
    }

    /// Lets time pass.
    pub fn advance(&self, duration: Duration) {
        self.with(|state| state.pass(duration));
    }

    /// How long everybody has slept on it.
    pub fn slept(&self) -> Duration {
        self.with(|state| state.slept)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(|p| p.into_inner()))
    }
}

impl Default for ManualClock {
    /// Starts at an odd moment of an odd day: 2026-02-28T23:59:58.123456789Z.
    fn default() -> Self {
        let start = Timestamp::new(1_772_323_198, 123_456_789);
        Self::new(start.expect("a moment of our time is in range"))
    }
}

impl State {
    fn pass(&mut self, duration: Duration) {
        self.now = self.now.checked_add(duration).unwrap_or(Timestamp::MAX);
        self.monotonic += duration;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.with(|state| state.now)
    }

    fn monotonic(&self) -> Duration {
        self.with(|state| state.monotonic)
    }

    fn sleep(&self, duration: Duration) {
        self.with(|state| {
            state.pass(duration);
            state.slept += duration;
        });
    }
}
