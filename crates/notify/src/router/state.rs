//! What the router remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::outbox::after;
use crate::{Acknowledgement, Condition, Event, Outbox, Severity};

/// The window of the limits.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// What is remembered between steps; kept as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Notices on their way.
    pub outbox: Outbox,
    pub(super) episodes: Vec<Episode>,
    pub(super) lanes: Vec<Lane>,
    pub(super) digests: BTreeMap<String, Timestamp>,
    sequence: u64,
}

/// One time that a condition holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Episode {
    pub(super) condition: Condition,
    pub(super) acknowledged: Option<Acknowledgement>,
    pub(super) threads: Vec<Thread>,
    /// Whether its end was seen to.
    pub(super) is_closed: bool,
    /// It became worse since the last step.
    pub(super) is_worse: bool,
}

/// One time that a condition holds, on one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Thread {
    pub(super) route: String,
    /// The end of the wait for the group.
    pub(super) due: Timestamp,
    /// Who is told at once, on which level.
    pub(super) begins: BTreeMap<String, usize>,
    pub(super) waits: Vec<Wait>,
    pub(super) told: BTreeMap<String, Told>,
    /// The level that was told last, and when the next has its turn.
    pub(super) level: usize,
    pub(super) next_level: Option<Timestamp>,
}

/// Something that a target is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wait {
    pub(super) target: String,
    pub(super) level: usize,
    pub(super) event: Event,
    pub(super) due: Timestamp,
}

/// A target that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) level: usize,
    pub(super) at: Timestamp,
}

/// What one target gets by one route on one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lane {
    pub(super) route: String,
    pub(super) level: usize,
    pub(super) target: String,
    /// When notices were made in the last hour, ascending.
    pub(super) recent: Vec<Timestamp>,
    /// Conditions that came and went while notices were held back.
    pub(super) missed: usize,
}

impl Wait {
    pub(super) fn began(target: &str, level: usize, due: Timestamp) -> Self {
        Self {
            target: target.to_owned(),
            level,
            event: Event::Began,
            due,
        }
    }
}

impl Thread {
    pub(super) fn new(route: &str, due: Timestamp, waits: Vec<Wait>) -> Self {
        Self {
            route: route.to_owned(),
            due,
            begins: waits
                .iter()
                .map(|it| (it.target.clone(), it.level))
                .collect(),
            waits,
            told: BTreeMap::new(),
            level: 0,
            next_level: None,
        }
    }

    pub(super) fn waits_for(&self, target: &str) -> bool {
        self.waits.iter().any(|wait| wait.target == target)
    }
}

impl Lane {
    fn is_of(&self, route: &str, level: usize, target: &str) -> bool {
        self.route == route && self.level == level && self.target == target
    }

    /// When the next notice may be made, if not at once.
    pub(super) fn opens_at(
        &self,
        now: Timestamp,
        limit: Option<u32>,
        severity: Severity,
    ) -> Timestamp {
        let Some(limit) = limit else {
            return now;
        };
        let reserve = match limit {
            ..2 => 0,
            limit => (limit / 4).max(1),
        };
        let room = match severity {
            Severity::Critical => limit,
            _ => limit - reserve,
        };
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let recent = self.recent.iter().filter(|at| after(**at, HOUR) > now);
        let recent: Vec<&Timestamp> = recent.collect();
        match recent.len().checked_sub(room) {
            Some(at) => after(*recent[at], HOUR),
            None => now,
        }
    }
}

impl State {
    /// A state of nothing told.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the digest of a rule was last made; its first step counts as one.
    pub fn last_digest(&self, name: &str) -> Option<Timestamp> {
        self.digests.get(name).copied()
    }

    pub(super) fn next_id(&mut self, now: Timestamp) -> String {
        self.sequence += 1;
        format!("{:x}-{:x}", now.as_millisecond(), self.sequence)
    }

    /// Compares what holds with what is known.
    pub(super) fn take_in(&mut self, now: Timestamp, conditions: &[Condition]) {
        let holding = conditions.iter().filter(|it| it.cleared.is_none());
        let mut holding: BTreeMap<&str, &Condition> =
            holding.map(|it| (it.key.as_str(), it)).collect();
        for episode in &mut self.episodes {
            let known = &mut episode.condition;
            if known.cleared.is_some() {
                continue;
            }
            match holding.get(known.key.as_str()).copied() {
                Some(condition) if condition.since == known.since => {
                    episode.is_worse |= condition.severity > known.severity;
                    holding.remove(condition.key.as_str());
                    known.clone_from(condition);
                }
                _ => {
                    let is_this = |it: &&Condition| it.key == known.key && it.since == known.since;
                    let ended = conditions.iter().find(is_this).and_then(|it| it.cleared);
                    known.cleared = Some(ended.unwrap_or(now).max(known.since));
                }
            }
        }
        // In the order in which they began; the map was ordered by key.
        let mut new: Vec<&Condition> = holding.into_values().collect();
        new.sort_by_key(|condition| condition.since);
        self.episodes
            .extend(new.into_iter().map(|condition| Episode {
                condition: condition.clone(),
                acknowledged: None,
                threads: Vec::new(),
                is_closed: false,
                is_worse: false,
            }));
    }

    pub(super) fn acknowledge(&mut self, acknowledgements: &[Acknowledgement]) {
        let open = self.episodes.iter_mut();
        for episode in open.filter(|episode| episode.acknowledged.is_none()) {
            let condition = &episode.condition;
            let of_this = |it: &&Acknowledgement| {
                let is_after = condition.cleared.is_none_or(|cleared| it.at <= cleared);
                it.key == condition.key && it.at >= condition.since && is_after
            };
            episode.acknowledged = acknowledgements.iter().find(of_this).cloned();
        }
    }

    pub(super) fn lane(&mut self, route: &str, level: usize, target: &str) -> &mut Lane {
        let found = self
            .lanes
            .iter()
            .position(|it| it.is_of(route, level, target));
        let at = found.unwrap_or_else(|| {
            self.lanes.push(Lane {
                route: route.to_owned(),
                level,
                target: target.to_owned(),
                recent: Vec::new(),
                missed: 0,
            });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    /// Drops what is over and told.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.episodes.retain(|episode| {
            let is_told = episode.threads.iter().all(|thread| thread.waits.is_empty());
            episode.condition.cleared.is_none() || !is_told
        });
        for lane in &mut self.lanes {
            lane.recent.retain(|at| after(*at, HOUR) > now);
        }
        self.lanes
            .retain(|lane| !lane.recent.is_empty() || lane.missed > 0);
    }
}
