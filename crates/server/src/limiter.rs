//! So many in so long, for each of many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Names that are counted apart; the rest share one count.
const NAMES_MAX: usize = 10_000;

/// Counts what happens under names, in windows of time.
#[derive(Debug)]
pub(crate) struct Limiter {
    most: u32,
    window: Duration,
    counts: Mutex<HashMap<String, (Duration, u32)>>,
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
        let counts = Mutex::new(HashMap::new());
        Self {
            most,
            window,
            counts,
        }
    }

    /// Counts one more at `now`.
    pub(crate) fn count(&self, name: &str, now: Duration) -> Verdict {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= NAMES_MAX && !counts.contains_key(name) {
            counts.retain(|_, (began, _)| now.saturating_sub(*began) < self.window);
        }
        let is_counted_apart = counts.len() < NAMES_MAX || counts.contains_key(name);
        let name = if is_counted_apart { name } else { "" };
        let entry = counts.entry(name.to_owned()).or_insert((now, 0));
        if now.saturating_sub(entry.0) >= self.window {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
        match entry.1 {
            count if count <= self.most => Verdict::Fine,
            count if count == self.most + 1 => Verdict::First,
            _ => Verdict::Beyond,
        }
    }

    /// Whether one more would be beyond; counts nothing.
    pub(crate) fn is_full(&self, name: &str, now: Duration) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let found = counts.get(name);
        found.is_some_and(|(began, count)| {
            now.saturating_sub(*began) < self.window && *count >= self.most
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
