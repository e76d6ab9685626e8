//! Decides who is told what, and when.
//!
//! Each condition goes by every route that takes it; on a route it is told to the targets, then
//! by the levels of the escalation, then again, and at its end to whoever was told. All that is
//! to be told at one moment by one route on one level to one target (a lane) is one notice.
//!
//! A lane never carries more than the route's limit within 60 minutes. What is held back is told
//! in the next notice: each critical condition by name, even when it is over by then.

mod escalate;
mod flush;
mod state;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::notice::{Content, Digest, Notice, Run};
use crate::outbox::{Delivery, after};
use crate::pattern::selects;
use crate::rules::{DigestRule, Route, Rules, When};
use crate::{Acknowledgement, Condition, Outcome, Result, Severity};

pub use state::State;
use state::{Episode, Thread, Wait};

/// The rules, ready to be followed.
#[derive(Clone, Debug)]
pub struct Router {
    rules: Rules,
}

/// What a step decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What to remember; make it durable before anything is sent.
    pub state: State,
    /// What to send now; tell the outcome of each to [`State::outbox`].
    pub send: Vec<Delivery>,
    /// When the next step is due, if nothing happens before.
    pub next_wake: Option<Timestamp>,
}

impl Router {
    /// Takes the rules.
    ///
    /// Errors: `Invalid` for routes without a name of their own, without targets, or with limits
    /// that let nothing through.
    pub fn new(rules: Rules) -> Result<Self> {
        rules.check()?;
        Ok(Self { rules })
    }

    /// Its rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Looks at what holds now, and decides what is to be told.
    ///
    /// `conditions` are all that hold; one that is missing or has `cleared` is over. A step is
    /// due whenever conditions or acknowledgements change, after deliveries were reported, and
    /// at [`Step::next_wake`]; steps in between change nothing.
    ///
    /// Cost: in proportion to the conditions that hold and the lanes.
    pub fn step(
        &self,
        mut state: State,
        now: Timestamp,
        conditions: &[Condition],
        acknowledgements: &[Acknowledgement],
    ) -> Step {
        state.outbox.clean(&self.rules.targets(), now);
        let own = state.outbox.conditions(now);
        let unreachable: BTreeMap<String, String> = own
            .iter()
            .map(|(target, condition)| (condition.key.clone(), target.clone()))
            .collect();
        let own = own.into_iter().map(|(_, condition)| condition);
        let all: Vec<Condition> = conditions.iter().cloned().chain(own).collect();
        state.take_in(now, &all);
        state.acknowledge(acknowledgements);
        for episode in &mut state.episodes {
            self.open(episode, unreachable.get(&episode.condition.key), now);
            self.advance(episode, now);
        }
        self.flush(&mut state, now);
        state.forget(now);
        for rule in &self.rules.digests {
            state.digests.entry(rule.name.clone()).or_insert(now);
        }
        let send = state.outbox.take_due(now);
        let next_wake = self.next_wake(&state, now);
        Step {
            state,
            send,
            next_wake,
        }
    }

    /// Puts notices about a run that begins or has ended into the outbox.
    ///
    /// A step hands them out.
    pub fn run(&self, mut state: State, now: Timestamp, run: &Run) -> State {
        if run.outcome.is_some() {
            // Told late, it would say that the run goes on.
            state.outbox.drop_beginning(&run.id);
        }
        for rule in &self.rules.runs {
            let is_told = match run.outcome {
                None => rule.beginnings,
                Some(outcome) => rule.when.takes(outcome),
            };
            let is_of_site = selects(&rule.sites, run.site.as_deref());
            if !is_told || !is_of_site || !selects(&rule.jobs, Some(&run.job)) {
                continue;
            }
            for target in &rule.targets {
                let content = match run.outcome {
                    None => Content::RunBegan(run.clone()),
                    Some(_) => Content::RunEnded(run.clone()),
                };
                let severity = run.severity();
                self.put(&mut state, now, (target, severity), content);
            }
        }
        state
    }

    /// The digests whose time has come, by name: for each, give its content to
    /// [`Router::digest`].
    pub fn digests_due(&self, state: &State, now: Timestamp) -> Vec<&str> {
        let is_due = |rule: &&DigestRule| {
            let last = state.digests.get(&rule.name);
            last.and_then(|last| rule.after(*last))
                .is_some_and(|next| next <= now)
        };
        let due = self.rules.digests.iter().filter(is_due);
        due.map(|rule| rule.name.as_str()).collect()
    }

    /// Puts a digest into the outbox for the targets of its rule.
    ///
    /// A step hands it out.
    pub fn digest(&self, mut state: State, now: Timestamp, name: &str, digest: &Digest) -> State {
        let rules = self.rules.digests.iter().filter(|rule| rule.name == name);
        for rule in rules {
            state.digests.insert(rule.name.clone(), now);
            for target in &rule.targets {
                let content = Content::Digest(digest.clone());
                self.put(&mut state, now, (target, digest.severity), content);
            }
        }
        state
    }

    fn put(
        &self,
        state: &mut State,
        now: Timestamp,
        (target, severity): (&str, Severity),
        content: Content,
    ) {
        let notice = Notice {
            id: state.next_id(now),
            at: now,
            label: self.rules.label.clone(),
            target: target.to_owned(),
            severity,
            route: String::new(),
            level: 0,
            link: self.rules.link.clone(),
            content,
        };
        state.outbox.put(notice, now);
    }

    /// Lets an episode begin on the routes that take it and do not know it yet.
    fn open(&self, episode: &mut Episode, unreachable: Option<&String>, now: Timestamp) {
        if episode.condition.cleared.is_some() {
            return;
        }
        for route in self.routes_of(&episode.condition, unreachable) {
            if episode.threads.iter().any(|it| it.route == route.name) {
                continue;
            }
            let known: Vec<&Thread> = episode.threads.iter().collect();
            let others = known.iter().filter_map(|it| self.rules.route(&it.route));
            let taken: Vec<&str> = others.flat_map(|it| self.rules.begin_targets(it)).collect();
            let is_free = |target: &&String| {
                !taken.contains(&target.as_str()) && Some(*target) != unreachable
            };
            let due = after(episode.condition.since.min(now), route.group_wait);
            let own = route.targets.iter().filter(is_free);
            let mut waits: Vec<Wait> = own.map(|it| Wait::began(it, 0, due)).collect();
            let first = self.rules.levels(route).first();
            for target in first.into_iter().flat_map(|level| &level.targets) {
                if !route.targets.contains(target) && Some(target) != unreachable {
                    waits.push(Wait::began(target, 1, due));
                }
            }
            episode.threads.push(Thread::new(&route.name, due, waits));
        }
    }

    /// The routes of a condition; about an unreachable target at least one other is told.
    fn routes_of(&self, condition: &Condition, unreachable: Option<&String>) -> Vec<&Route> {
        let reaches_others = |route: &&Route| {
            let mut targets = self.rules.begin_targets(route).into_iter();
            targets.any(|target| unreachable.is_none_or(|it| it != target))
        };
        let routes = self.rules.routes.iter().filter(reaches_others);
        let taking: Vec<&Route> = routes.clone().filter(|it| it.takes(condition)).collect();
        if taking.is_empty() && unreachable.is_some() {
            return routes.collect();
        }
        taking
    }
}

impl When {
    fn takes(self, outcome: Outcome) -> bool {
        match self {
            Self::Always => true,
            Self::Warning => outcome != Outcome::Success,
            Self::Failure => outcome == Outcome::Failure,
            Self::Never => false,
        }
    }
}

impl DigestRule {
    /// The first moment of the digest after another moment.
    fn after(&self, last: Timestamp) -> Option<Timestamp> {
        let at = self.at?;
        let on = |date: Date| {
            let moment = date.to_datetime(at).to_zoned(self.zone.clone()).ok()?;
            Some(moment.timestamp()).filter(|moment| *moment > last)
        };
        let today = last.to_zoned(self.zone.clone()).date();
        on(today).or_else(|| on(today.tomorrow().ok()?))
    }
}
