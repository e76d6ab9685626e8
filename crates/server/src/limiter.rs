//! So many in so long, for each of many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names that are counted apart; the rest share one count.
const NAMES_MAX: usize = 10_000;

/// Counts what happens under names, in windows of time.
#[derive(Debug)]
pub(crate) struct Limiter(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    most: u32,
    window: Duration,
    /// When the window of each name began, and what was counted in it.
    names: HashMap<String, (Duration, u32)>,
}

/// What one more does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is within the limit.
    Fine,
    /// It is the first beyond.
    First,
    /// It is beyond.
    Beyond,
}

impl Limiter {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self(Mutex::new(Counts {
            most,
            window,
            names: HashMap::new(),
        }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by another limit from now on; what was counted stays.
    pub(crate) fn set(&self, most: u32, window: Duration) {
        let mut counts = self.counts();
        (counts.most, counts.window) = (most, window);
    }

    /// Counts one more at `now`.
    pub(crate) fn count(&self, name: &str, now: Duration) -> Verdict {
        let mut counts = self.counts();
        let (most, window) = (counts.most, counts.window);
        let names = &mut counts.names;
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            names.retain(|_, (began, _)| now.saturating_sub(*began) < window);
        }
        let is_counted_apart = names.len() < NAMES_MAX || names.contains_key(name);
        let name = if is_counted_apart { name } else { "" };
        let entry = names.entry(name.to_owned()).or_insert((now, 0));
        if now.saturating_sub(entry.0) >= window {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
        match entry.1 {
            count if count <= most => Verdict::Fine,
            count if count == most.saturating_add(1) => Verdict::First,
            _ => Verdict::Beyond,
        }
    }

    /// Takes back one that was counted.
    pub(crate) fn forgive(&self, name: &str) {
        let mut counts = self.counts();
        let name = if counts.names.contains_key(name) {
            name
        } else {
            ""
        };
        if let Some((_, count)) = counts.names.get_mut(name) {
            *count = count.saturating_sub(1);
        }
    }

    /// How long it is until the window of a name ends.
    pub(crate) fn pause(&self, name: &str, now: Duration) -> Duration {
        let counts = self.counts();
        let names = &counts.names;
        let began = names.get(name).or_else(|| names.get(""));
        let passed = began.map_or(Duration::MAX, |(began, _)| now.saturating_sub(*began));
        counts.window.saturating_sub(passed)
    }

    /// Whether one more would be beyond; counts nothing.
    pub(crate) fn is_full(&self, name: &str, now: Duration) -> bool {
        let counts = self.counts();
        let found = counts.names.get(name);
        found.is_some_and(|(began, count)| {
            now.saturating_sub(*began) < counts.window && *count >= counts.most
        })
    }
}

/// Whom an address belongs to: one host of IPv4, one network of IPv6.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
