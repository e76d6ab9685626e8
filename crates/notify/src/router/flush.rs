//! Makes one notice of all that a lane carries at a moment.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Router;
use super::state::{Episode, Lane, State, Thread, Told, Wait};
use crate::notice::{Content, Event, Item, Notice};
use crate::outbox::after;
use crate::{Condition, Severity};

/// How many items a notice has at most, beside critical and resolved ones.
const ITEMS_MAX: usize = 20;

/// A route, a level, a target.
type LaneName = (String, usize, String);

/// What a lane carries, and where it is remembered: episode and thread by index.
struct Load {
    episode: usize,
    thread: usize,
    event: Event,
}

impl Router {
    /// Makes the notices that are due and that the limits let through.
    pub(super) fn flush(&self, state: &mut State, now: Timestamp) {
        count_missed(state);
        for name in lanes(state, now) {
            let (severity, load) = load(state, &name, now);
            if self.opens_at(state, &name, now, severity) <= now {
                self.flush_lane(state, &name, now, &load);
            }
        }
    }

    /// When lanes that are full open again.
    pub(super) fn held(&self, state: &State, now: Timestamp) -> Vec<Timestamp> {
        let names = lanes(state, now).into_iter();
        let opens = names.map(|name| {
            let (severity, _) = load(state, &name, now);
            self.opens_at(state, &name, now, severity)
        });
        opens.collect()
    }

    fn opens_at(
        &self,
        state: &State,
        (route, level, target): &LaneName,
        now: Timestamp,
        severity: Severity,
    ) -> Timestamp {
        let limit = self.rules.route(route).and_then(|route| route.per_hour);
        let mut lanes = state.lanes.iter();
        let lane =
            lanes.find(|it| it.route == *route && it.level == *level && it.target == *target);
        lane.map_or(now, |lane| lane.opens_at(now, limit, severity))
    }

    fn flush_lane(&self, state: &mut State, name: &LaneName, now: Timestamp, loads: &[Load]) {
        let (route, level, target) = name;
        let mut items: Vec<Item> = loads.iter().map(|load| item(state, load)).collect();
        let listed = listed(&items);
        for (at, load) in loads.iter().enumerate() {
            let episode = &mut state.episodes[load.episode];
            self.note_told(episode, load, name, now, listed.contains(&at));
        }
        let more = items.len() - listed.len();
        let mut at = 0;
        items.retain(|_| {
            at += 1;
            listed.contains(&(at - 1))
        });
        items.sort_by_key(|it| {
            let condition = &it.condition;
            let is_over = condition.cleared.is_some();
            (
                is_over,
                std::cmp::Reverse(condition.severity),
                it.event,
                condition.since,
            )
        });
        let id = state.next_id(now);
        let lane: &mut Lane = state.lane(route, *level, target);
        lane.recent.push(now);
        let missed = std::mem::take(&mut lane.missed);
        let notice = Notice {
            id,
            at: now,
            label: self.rules.label.clone(),
            target: target.clone(),
            severity: worst(&items),
            route: route.clone(),
            level: *level,
            link: self.rules.link.clone(),
            content: Content::Conditions {
                items,
                more,
                missed,
            },
        };
        state.outbox.put(notice, now);
    }

    /// Remembers that a target was told, and starts the clock of the escalation.
    fn note_told(
        &self,
        episode: &mut Episode,
        load: &Load,
        (route, level, target): &LaneName,
        now: Timestamp,
        is_listed: bool,
    ) {
        let holds = episode.condition.cleared.is_none();
        let is_acknowledged = episode.acknowledged.is_some();
        let thread = &mut episode.threads[load.thread];
        let is_this = |it: &Wait| it.target == *target && it.level == *level;
        thread.waits.retain(|it| !is_this(it));
        let was_told = thread.told.contains_key(target);
        if !holds || !(is_listed || was_told) {
            return;
        }
        let told = Told {
            level: *level,
            at: now,
        };
        thread.told.insert(target.clone(), told);
        let route = self.rules.route(route);
        let levels = route.map_or(&[][..], |route| self.rules.levels(route));
        if let (0, Some(first), false) = (thread.level, levels.first(), is_acknowledged) {
            thread.level = 1;
            let has_more = levels.len() > 1;
            thread.next_level = has_more.then(|| after(now, first.respond_within));
        }
    }
}

/// The lanes in which something is due, in the order in which it came.
fn lanes(state: &State, now: Timestamp) -> Vec<LaneName> {
    let mut seen = BTreeSet::new();
    let mut lanes = Vec::new();
    for (thread, wait) in waits(state) {
        let name = (thread.route.clone(), wait.level, wait.target.clone());
        if wait.due <= now && seen.insert(name.clone()) {
            lanes.push(name);
        }
    }
    lanes
}

fn waits(state: &State) -> impl Iterator<Item = (&Thread, &Wait)> {
    let threads = state.episodes.iter().flat_map(|episode| &episode.threads);
    threads.flat_map(|thread| thread.waits.iter().map(move |wait| (thread, wait)))
}

/// What the next notice of a lane tells, and the worst of it.
///
/// When one that begins is due, all that have begun since go with it.
fn load(state: &State, (route, level, target): &LaneName, now: Timestamp) -> (Severity, Vec<Load>) {
    let is_here = |thread: &Thread, wait: &Wait| {
        thread.route == *route && wait.level == *level && wait.target == *target
    };
    let opens = waits(state).any(|(thread, wait)| {
        is_here(thread, wait) && wait.event == Event::Began && wait.due <= now
    });
    let mut severity = Severity::Info;
    let mut loads = Vec::new();
    for (at, episode) in state.episodes.iter().enumerate() {
        for (thread_at, thread) in episode.threads.iter().enumerate() {
            for wait in thread.waits.iter().filter(|wait| is_here(thread, wait)) {
                if wait.due <= now || opens && wait.event == Event::Began {
                    severity = severity.max(episode.condition.severity);
                    loads.push(Load {
                        episode: at,
                        thread: thread_at,
                        event: wait.event,
                    });
                }
            }
        }
    }
    (severity, loads)
}

/// Conditions that are over before they could be told, and not critical, are only counted.
fn count_missed(state: &mut State) {
    let mut missed: Vec<LaneName> = Vec::new();
    for episode in &mut state.episodes {
        let Condition {
            cleared, severity, ..
        } = &episode.condition;
        if cleared.is_none() || *severity == Severity::Critical {
            continue;
        }
        for thread in &mut episode.threads {
            let begun = thread.waits.iter().filter(|it| it.event == Event::Began);
            missed.extend(begun.map(|it| (thread.route.clone(), it.level, it.target.clone())));
            thread.waits.retain(|wait| wait.event != Event::Began);
        }
    }
    for (route, level, target) in missed {
        state.lane(&route, level, &target).missed += 1;
    }
}

fn item(state: &State, load: &Load) -> Item {
    let episode = &state.episodes[load.episode];
    let by = episode.acknowledged.as_ref();
    Item {
        event: load.event,
        condition: episode.condition.clone(),
        acknowledged_by: by.map(|it| it.by.clone()),
    }
}

/// Which items are told by name: all critical and resolved ones, and the first of the others.
fn listed(items: &[Item]) -> BTreeSet<usize> {
    let is_always = |item: &Item| {
        item.condition.severity == Severity::Critical || item.event == Event::Resolved
    };
    let always = items.iter().enumerate().filter(|(_, item)| is_always(item));
    let mut listed: BTreeSet<usize> = always.map(|(at, _)| at).collect();
    let mut others: Vec<usize> = (0..items.len()).filter(|at| !listed.contains(at)).collect();
    others.sort_by_key(|&at| std::cmp::Reverse(items[at].condition.severity));
    listed.extend(others.into_iter().take(ITEMS_MAX));
    listed
}

/// The worst that goes on; the worst of all when all is over.
fn worst(items: &[Item]) -> Severity {
    let holding = items.iter().filter(|it| it.condition.cleared.is_none());
    let holding = holding.map(|it| it.condition.severity).max();
    let all = items.iter().map(|it| it.condition.severity).max();
    holding.or(all).unwrap_or_default()
}
