//! People, conditions and a clock of our own.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_notify::{
    Acknowledgement, Condition, Escalation, Event, Level, Notice, Route, Router, Rules, Severity,
    State, Subject,
};

/// A simulated evening: what holds, who is reached, what they were told.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) acknowledgements: Vec<Acknowledgement>,
    /// Targets that do not take notices now.
    pub(crate) down: BTreeSet<String>,
    /// What arrived, when.
    pub(crate) arrived: Vec<(Timestamp, Notice)>,
    /// Whether the state goes through JSON before every step.
    pub(crate) restarts: bool,
}

pub(crate) fn start() -> Timestamp {
    "2026-03-01T18:00:00Z".parse().unwrap()
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn later(at: Timestamp, count: u64) -> Timestamp {
    at + SignedDuration::from_secs(i64::try_from(count).unwrap())
}

/// A route of this name for everything.
pub(crate) fn route(name: &str, targets: &[&str]) -> Route {
    Route {
        name: name.to_owned(),
        targets: targets.iter().map(|it| (*it).to_owned()).collect(),
        ..Route::default()
    }
}

pub(crate) fn escalation(name: &str, levels: &[(&[&str], u64)]) -> Escalation {
    let level = |(targets, within): &(&[&str], u64)| Level {
        targets: targets.iter().map(|it| (*it).to_owned()).collect(),
        respond_within: seconds(*within),
    };
    Escalation {
        name: name.to_owned(),
        levels: levels.iter().map(level).collect(),
    }
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            router: Router::new(rules).unwrap(),
            state: State::new(),
            now: start(),
            conditions: Vec::new(),
            acknowledgements: Vec::new(),
            down: BTreeSet::new(),
            arrived: Vec::new(),
            restarts: false,
        }
    }

    pub(crate) fn of_routes(routes: Vec<Route>) -> Self {
        Self::new(Rules {
            label: "lifeboat".to_owned(),
            routes,
            ..Rules::default()
        })
    }

    /// A condition about a machine begins now.
    pub(crate) fn begin(&mut self, key: &str, severity: Severity) {
        self.conditions.push(Condition {
            key: key.to_owned(),
            severity,
            subject: Subject {
                machine: Some(key.to_owned()),
                ..Subject::default()
            },
            text: format!("{key} is not well"),
            details: String::new(),
            remedies: Vec::new(),
            since: self.now,
            cleared: None,
            link: None,
        });
    }

    /// It ends now, and is heard of no more.
    pub(crate) fn clear(&mut self, key: &str) {
        self.conditions.retain(|condition| condition.key != key);
    }

    pub(crate) fn acknowledge(&mut self, key: &str) {
        self.acknowledgements.push(Acknowledgement {
            key: key.to_owned(),
            at: self.now,
            by: "Ada".to_owned(),
        });
    }

    /// One step and its deliveries; gives the next moment.
    pub(crate) fn step(&mut self) -> Option<Timestamp> {
        loop {
            if self.restarts {
                let kept = serde_json::to_string(&self.state).unwrap();
                self.state = serde_json::from_str(&kept).unwrap();
            }
            let state = std::mem::take(&mut self.state);
            let (conditions, known) = (&self.conditions, &self.acknowledgements);
            let step = self.router.step(state, self.now, conditions, known);
            self.state = step.state;
            if step.send.is_empty() {
                return step.next_wake;
            }
            for delivery in step.send {
                let notice = delivery.notice;
                if self.down.contains(&notice.target) {
                    self.state.outbox.failed(&notice.id, self.now, "it is down");
                } else {
                    self.state.outbox.delivered(&notice.id, self.now);
                    self.arrived.push((self.now, notice));
                }
            }
        }
    }

    /// Lets time pass, with a step at each moment that the router asked for.
    pub(crate) fn pass(&mut self, count: u64) {
        let end = later(self.now, count);
        let mut next = self.step();
        while let Some(at) = next.filter(|at| *at <= end) {
            assert!(at > self.now, "a step asks for itself again at {at}");
            self.now = at;
            next = self.step();
        }
        self.now = end;
        self.step();
    }

    /// What arrived: seconds since the start, target, then `event key` of each item.
    pub(crate) fn told(&self) -> Vec<(i64, String, Vec<String>)> {
        let tell = |(at, notice): &(Timestamp, Notice)| {
            let items = notice.items().iter();
            let items = items.map(|item| format!("{} {}", word(item.event), item.condition.key));
            let after = at.duration_since(start()).as_secs();
            (after, notice.target.clone(), items.collect())
        };
        self.arrived.iter().map(tell).collect()
    }
}

fn word(event: Event) -> &'static str {
    match event {
        Event::Began => "began",
        Event::Escalated => "escalated",
        Event::Continues => "continues",
        Event::Resolved => "resolved",
    }
}
