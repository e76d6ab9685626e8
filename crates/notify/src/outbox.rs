//! Notices on their way: kept until they are delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::notice::Content;
use crate::{Condition, Notice, Remedy, Severity, Subject};

/// The first wait after a failure; each further one doubles it.
const BACKOFF_FIRST: Duration = Duration::from_secs(30);
/// The longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);
/// An attempt of which nothing is heard for this time is made again: who made it is gone.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);
/// After so many failures the others are told.
const FAILURES_TOLD: u32 = 3;
/// What could not be delivered for so long is dropped; the others know since long.
const KEPT: Duration = Duration::from_secs(3 * 86_400);

/// Notices on their way to their targets, and how the targets take them.
///
/// A target that refuses is asked again after 30 s, 1 min, 2 min and so on up to an hour, with
/// one notice; when it takes that, it gets the others.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbox {
    deliveries: Vec<Delivery>,
    failing: BTreeMap<String, Failing>,
    undeliverable: BTreeMap<String, Timestamp>,
    dropped: u64,
}

/// One notice on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What is delivered, to whom.
    pub notice: Notice,
    /// How often it was tried in vain.
    pub attempts: u32,
    next: Timestamp,
    /// It was handed out, and nothing was heard of it.
    #[serde(default)]
    is_out: bool,
}

/// A target that did not take the last notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failing {
    failures: u32,
    next: Timestamp,
    /// An attempt is under way that was begun since the last failure.
    is_probed: bool,
    error: String,
}

impl Outbox {
    /// What waits for its delivery, the oldest first.
    pub fn waiting(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// How many were dropped: after three days of attempts, or because no rule names the target
    /// any more.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The target took the notice.
    pub fn delivered(&mut self, id: &str, now: Timestamp) {
        let Some(at) = self.position(id) else {
            return;
        };
        let target = self.deliveries.remove(at).notice.target;
        if self.failing.remove(&target).is_some() {
            let soon = after(now, BACKOFF_FIRST);
            let others = self.deliveries.iter_mut();
            for other in others.filter(|other| other.notice.target == target) {
                other.next = other.next.min(soon);
            }
        }
    }

    /// The target did not take the notice; `error` says why.
    pub fn failed(&mut self, id: &str, now: Timestamp, error: &str) {
        let Some(at) = self.position(id) else {
            return;
        };
        let delivery = &mut self.deliveries[at];
        delivery.is_out = false;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.next = after(now, backoff(delivery.attempts));
        let target = delivery.notice.target.clone();
        let failing = self.failing.entry(target).or_insert_with(|| Failing {
            failures: 0,
            next: now,
            is_probed: true,
            error: String::new(),
        });
        error.clone_into(&mut failing.error);
        // Several that went out together and failed together are one failure of the target.
        if std::mem::take(&mut failing.is_probed) {
            failing.failures = failing.failures.saturating_add(1);
            failing.next = after(now, backoff(failing.failures));
        }
    }

    /// The notice was handed out and not tried.
    pub fn returned(&mut self, id: &str, now: Timestamp) {
        if let Some(at) = self.position(id) {
            self.give_back(at, now);
        }
    }

    /// Whoever was sending is gone: what was handed out is handed out again.
    pub fn resume(&mut self, now: Timestamp) {
        for at in 0..self.deliveries.len() {
            if self.deliveries[at].is_out {
                self.give_back(at, now);
            }
        }
    }

    fn give_back(&mut self, at: usize, now: Timestamp) {
        let delivery = &mut self.deliveries[at];
        delivery.is_out = false;
        delivery.next = now;
        if let Some(failing) = self.failing.get_mut(&delivery.notice.target)
            && std::mem::take(&mut failing.is_probed)
        {
            failing.next = now;
        }
    }

    /// A run has ended: nobody is told any more that it begins.
    pub(crate) fn drop_beginning(&mut self, run: &str) {
        self.deliveries.retain(|delivery| {
            let began = match &delivery.notice.content {
                Content::RunBegan(run) => Some(run.id.as_str()),
                _ => None,
            };
            began != Some(run)
        });
    }

    pub(crate) fn put(&mut self, notice: Notice, now: Timestamp) {
        self.deliveries.push(Delivery {
            notice,
            attempts: 0,
            next: now,
            is_out: false,
        });
    }

    /// Forgets targets that no rule names any more, and what is too old.
    pub(crate) fn clean(&mut self, targets: &BTreeSet<&str>, now: Timestamp) {
        let before = self.deliveries.len();
        self.deliveries.retain(|delivery| {
            let is_old = delivery.attempts > 0 && after(delivery.notice.at, KEPT) <= now;
            !is_old && targets.contains(delivery.notice.target.as_str())
        });
        self.dropped += (before - self.deliveries.len()) as u64;
        let deliveries = &self.deliveries;
        self.failing
            .retain(|target, _| deliveries.iter().any(|it| it.notice.target == *target));
    }

    /// What is to be sent now; each is handed out again when nothing is heard of it.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<Delivery> {
        let mut due: Vec<usize> = Vec::new();
        let mut probes: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, delivery) in self.deliveries.iter().enumerate() {
            let target = delivery.notice.target.as_str();
            match self.failing.get(target) {
                _ if delivery.next > now => {}
                None => due.push(at),
                Some(failing) if failing.next > now => {}
                Some(_) => {
                    let probe = probes.entry(target).or_insert(at);
                    if self.deliveries[*probe].attempts > delivery.attempts {
                        *probe = at;
                    }
                }
            }
        }
        due.extend(probes.into_values());
        due.sort_unstable();
        let lease = after(now, ATTEMPT_MAX);
        for target in due.iter().map(|&at| &self.deliveries[at].notice.target) {
            if let Some(failing) = self.failing.get_mut(target) {
                failing.next = lease;
                failing.is_probed = true;
            }
        }
        let take = |at: usize| {
            self.deliveries[at].next = lease;
            self.deliveries[at].is_out = true;
            self.deliveries[at].clone()
        };
        due.into_iter().map(take).collect()
    }

    /// When the next attempt is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let at = |delivery: &Delivery| {
            let failing = self.failing.get(&delivery.notice.target);
            failing.map_or(delivery.next, |failing| failing.next.max(delivery.next))
        };
        self.deliveries.iter().map(at).min()
    }

    /// Conditions about targets that do not take their notices, with the target of each.
    pub(crate) fn conditions(&mut self, now: Timestamp) -> Vec<(String, Condition)> {
        let of_targets = self.failing.iter();
        let failing = of_targets.filter(|(_, failing)| failing.failures >= FAILURES_TOLD);
        let stuck = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.attempts >= FAILURES_TOLD);
        let stuck = stuck.map(|delivery| &delivery.notice.target);
        let targets: BTreeSet<String> = failing
            .map(|(target, _)| target)
            .chain(stuck)
            .cloned()
            .collect();
        self.undeliverable
            .retain(|target, _| targets.contains(target));
        for target in targets {
            self.undeliverable.entry(target).or_insert(now);
        }
        let told = self.undeliverable.iter();
        told.map(|(target, since)| (target.clone(), self.condition(target, *since)))
            .collect()
    }

    /// What the last step found: targets that do not take their notices, and why.
    ///
    /// The router tells of them by itself, as `notices TARGET`; this is for lists and
    /// acknowledgements.
    pub fn undeliverable(&self) -> BTreeMap<String, String> {
        let known = self.undeliverable.iter();
        known
            .map(|(target, since)| (target.clone(), self.condition(target, *since).text))
            .collect()
    }

    fn condition(&self, target: &str, since: Timestamp) -> Condition {
        let failing = self.failing.get(target);
        let error = failing.map_or(String::new(), |failing| format!(": {}", failing.error));
        Condition {
            key: format!("notices {target}"),
            severity: Severity::Critical,
            subject: Subject::default(),
            text: format!("notices to \"{target}\" cannot be delivered{error}"),
            details: String::new(),
            remedies: vec![Remedy {
                text: "try it".to_owned(),
                command: format!("lifeboat notify test {target}"),
            }],
            since,
            cleared: None,
            link: None,
        }
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.deliveries.iter().position(|it| it.notice.id == id)
    }
}

/// The wait after so many failures.
fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(BACKOFF_MAX)
}

/// A moment later, at most the end of time.
pub(crate) fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}
