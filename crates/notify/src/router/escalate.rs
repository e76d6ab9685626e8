//! One episode over time: repeats, levels, its end.

use jiff::Timestamp;

use super::Router;
use super::state::{Episode, State, Thread, Wait};
use crate::Event;
use crate::outbox::after;
use crate::rules::{Level, Route};

impl Router {
    /// Turns what time has brought into waits.
    pub(super) fn advance(&self, episode: &mut Episode, now: Timestamp) {
        let rules = &self.rules;
        episode
            .threads
            .retain(|thread| rules.route(&thread.route).is_some());
        if let Some(cleared) = episode.condition.cleared {
            if !std::mem::replace(&mut episode.is_closed, true) {
                for thread in &mut episode.threads {
                    let route = rules.route(&thread.route);
                    let tells_end = route.is_none_or(|route| !route.is_end_quiet);
                    close(thread, (cleared, tells_end), now);
                }
            }
            return;
        }
        let is_worse = std::mem::take(&mut episode.is_worse);
        let is_acknowledged = episode.acknowledged.is_some();
        for thread in &mut episode.threads {
            let Some(route) = rules.route(&thread.route) else {
                continue;
            };
            if is_worse {
                tell_again(thread, now);
            }
            if is_acknowledged {
                thread.next_level = None;
                thread.waits.retain(|wait| wait.event == Event::Began);
            } else {
                repeat(thread, route, now);
                escalate(thread, rules.levels(route), now);
            }
        }
    }

    /// When something happens by the passing of time alone.
    pub(super) fn next_wake(&self, state: &State, now: Timestamp) -> Option<Timestamp> {
        let mut next: Vec<Timestamp> = state.outbox.next().into_iter().collect();
        for rule in &self.rules.digests {
            let last = state.digests.get(&rule.name);
            next.extend(last.and_then(|last| rule.after(*last)));
        }
        for episode in &state.episodes {
            for thread in &episode.threads {
                let Some(route) = self.rules.route(&thread.route) else {
                    continue;
                };
                next.extend(thread.next_level);
                next.extend(
                    thread
                        .waits
                        .iter()
                        .map(|wait| wait.due)
                        .filter(|it| *it > now),
                );
                let repeats = episode.condition.cleared.is_none() && episode.acknowledged.is_none();
                let every = route.repeat_every.filter(|_| repeats);
                let told = thread.told.iter();
                let told = told.filter(|(target, _)| !thread.waits_for(target));
                next.extend(told.filter_map(|(_, told)| Some(after(told.at, every?))));
            }
        }
        next.extend(self.held(state, now));
        // A moment that has passed is now: the caller has not taken the digest yet.
        next.into_iter().min().map(|next| next.max(now))
    }
}

/// The end of an episode on one route.
fn close(thread: &mut Thread, (cleared, tells_end): (Timestamp, bool), now: Timestamp) {
    thread.next_level = None;
    let is_quiet = cleared < thread.due;
    let told = std::mem::take(&mut thread.told);
    thread.waits.retain(|wait| {
        let is_new = wait.event == Event::Began && !told.contains_key(&wait.target);
        is_new && !is_quiet
    });
    if !tells_end {
        return;
    }
    let ends = told.into_iter().map(|(target, told)| Wait {
        target,
        level: told.level,
        event: Event::Resolved,
        due: now,
    });
    thread.waits.extend(ends);
}

/// A condition that became worse is news for everybody who is told at once.
fn tell_again(thread: &mut Thread, now: Timestamp) {
    for wait in thread
        .waits
        .iter_mut()
        .filter(|it| it.event == Event::Continues)
    {
        wait.event = Event::Began;
    }
    let begins = thread.begins.iter();
    let again = begins.filter(|(target, _)| !thread.waits_for(target));
    let again: Vec<Wait> = again
        .map(|(target, level)| Wait::began(target, *level, now))
        .collect();
    thread.waits.extend(again);
}

fn repeat(thread: &mut Thread, route: &Route, now: Timestamp) {
    let Some(every) = route.repeat_every else {
        return;
    };
    let told = thread.told.iter();
    let due =
        told.filter(|(target, told)| after(told.at, every) <= now && !thread.waits_for(target));
    let due: Vec<Wait> = due
        .map(|(target, told)| Wait {
            target: target.clone(),
            level: told.level,
            event: Event::Continues,
            due: now,
        })
        .collect();
    thread.waits.extend(due);
}

/// Gives the next level its turn; each has its whole time, even when a step came late.
fn escalate(thread: &mut Thread, levels: &[Level], now: Timestamp) {
    if thread.next_level.is_none_or(|at| at > now) {
        return;
    }
    let Some(level) = levels.get(thread.level) else {
        thread.next_level = None;
        return;
    };
    thread.level += 1;
    let has_more = thread.level < levels.len();
    thread.next_level = has_more.then(|| after(now, level.respond_within));
    for target in &level.targets {
        // Whoever has it before them already hears of it on this level only once.
        thread.waits.retain(|wait| wait.target != *target);
        thread.waits.push(Wait {
            target: target.clone(),
            level: thread.level,
            event: Event::Escalated,
            due: now,
        });
    }
}
