//! A fleet over months: nodes that die and come back, repositories that are full, machines that
//! fail, come and go, a catalog that nobody reaches. One thread, one seed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Action, Catalog, CatalogPlace, Lease, RunId, TaskEnd};
use lifeboat_model::{CancelToken, Clock, ErrorKind};
use lifeboat_scheduler::{Node, NodeOptions, Settings};
use lifeboat_testkit::{ManualClock, SeededEntropy};

use crate::oracle::kept;
use crate::play::{Outside, Play, after};

/// A computer that runs a node, or is down until a moment.
struct Computer {
    name: String,
    node: Option<Node>,
    back: Timestamp,
}

/// A task that a computer carries out.
struct Running {
    computer: usize,
    lease: Lease,
    settings: Arc<Settings>,
    ends: Timestamp,
    renewed: Timestamp,
}

pub(crate) struct Fleet {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) outside: Outside,
    /// Machines that fail this share of their attempts, in percent.
    pub(crate) flaky: BTreeMap<String, u64>,
    /// Machines that take so many minutes.
    pub(crate) slow: BTreeMap<String, u64>,
    /// Nobody reaches the catalog in this time.
    pub(crate) unreachable: (Timestamp, Timestamp),
    /// Kills a day, all computers together.
    pub(crate) kills_a_day: u64,
    /// What was found in each run, in order of its resolves.
    pub(crate) found: BTreeMap<RunId, BTreeSet<String>>,
    pub(crate) kills: u64,
    pub(crate) forgets: u64,
    pub(crate) attempts: u64,
    settings: Settings,
    place: CatalogPlace,
    computers: Vec<Computer>,
    running: Vec<Running>,
    entropy: SeededEntropy,
}

const HOLD: Duration = Duration::from_secs(3600);

impl Fleet {
    pub(crate) fn new(
        place: CatalogPlace,
        (settings, outside): (Settings, Outside),
        (from, seed, computers): (Timestamp, u64, usize),
    ) -> Self {
        let clock = Arc::new(ManualClock::new(from));
        let catalog = Arc::new(Catalog::open_judged(&place, clock.clone(), clock.clone()).unwrap());
        let computers = (0..computers).map(|number| Computer {
            name: format!("node{number}"),
            node: None,
            back: from,
        });
        Self {
            clock,
            catalog,
            outside,
            flaky: BTreeMap::new(),
            slow: BTreeMap::new(),
            unreachable: (Timestamp::MAX, Timestamp::MAX),
            kills_a_day: 0,
            found: BTreeMap::new(),
            kills: 0,
            forgets: 0,
            attempts: 0,
            settings,
            place,
            computers: computers.collect(),
            running: Vec::new(),
            entropy: SeededEntropy::new(seed),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass until a moment; `each` is called after each step.
    pub(crate) fn live(&mut self, until: Timestamp, each: &mut dyn FnMut(&mut Self)) {
        while self.now() < until {
            self.step();
            self.outside.now = self.now();
            if self.is_reached() {
                self.chaos();
                self.end_due();
                self.look();
            }
            each(self);
        }
    }

    fn is_reached(&self) -> bool {
        let now = self.now();
        !(self.unreachable.0 <= now && now < self.unreachable.1)
    }

    /// Moves the clock to the next moment at which something may happen.
    fn step(&mut self) {
        let now = self.now();
        let nodes = self.computers.iter().filter_map(|it| it.node.as_ref());
        let next = nodes.filter_map(|node| node.next_due());
        let ends = self.running.iter().map(|it| it.ends);
        let back = self.computers.iter().filter(|it| it.node.is_none());
        let next = next.chain(ends).chain(back.map(|it| it.back));
        let is_idle = self.running.is_empty() && self.catalog.queue().unwrap().is_empty();
        let longest = SignedDuration::from_mins(if is_idle { 120 } else { 15 });
        let most = now.checked_add(longest).unwrap();
        let next = next.filter(|at| *at > now).min().unwrap_or(most).min(most);
        self.clock.advance(next.duration_since(now).unsigned_abs());
    }

    /// Kills a computer sometimes, and brings back those whose time has come.
    fn chaos(&mut self) {
        let now = self.now();
        for number in 0..self.computers.len() {
            let is_up = self.computers[number].node.is_some();
            if !is_up && self.computers[number].back <= now {
                let clock = self.clock.clone();
                let catalog = Catalog::open_judged(&self.place, clock.clone(), clock).unwrap();
                let options = NodeOptions {
                    hold: HOLD,
                    judge_every: Duration::from_secs(600),
                    ..NodeOptions::new(&self.computers[number].name, "1")
                };
                let (clock, settings) = (self.clock.clone(), self.settings.clone());
                let executor = Arc::new(Play::default());
                let node = Node::new(options, settings, Arc::new(catalog), executor, clock);
                self.computers[number].node = Some(node.unwrap());
            }
            // Those that are busy die more easily.
            let busy = self.running.iter().any(|it| it.computer == number);
            let chance = self.kills_a_day * if busy { 3 } else { 1 };
            if is_up && self.entropy.below(1000) < chance {
                self.kill(number);
            }
        }
    }

    /// Nothing of the computer does anything any more; what its children did remains.
    fn kill(&mut self, number: usize) {
        self.kills += 1;
        let minutes = 1 + self.entropy.below(180) as i64;
        let back = self.now().checked_add(SignedDuration::from_mins(minutes));
        self.computers[number].node = None;
        self.computers[number].back = back.unwrap();
        let lost = self.running.extract_if(.., |it| it.computer == number);
        let lost: Vec<Running> = lost.collect();
        for one in lost {
            match self.entropy.below(2) {
                0 => {
                    let before = self.outside.made.len();
                    self.perform(&one.lease);
                    let made = &mut self.outside.made[before..];
                    made.iter_mut().for_each(|it| it.is_told = false);
                }
                _ => {
                    let calls = self.entropy.below(40);
                    self.outside.perform_until_killed(&one.lease.task, calls);
                }
            }
        }
    }

    /// Ends what is over, and renews what is not.
    fn end_due(&mut self) {
        let now = self.now();
        let due: Vec<Running> = self.running.extract_if(.., |it| it.ends <= now).collect();
        for mut one in due {
            let is_late = now.duration_since(one.ends) > SignedDuration::from_mins(30);
            let node = self.computers[one.computer].node.take().unwrap();
            let end = match is_late {
                // The node stopped it while nobody reached the catalog.
                true => TaskEnd::GivenBack,
                false => {
                    node.make_ready(&one.settings, &mut one.lease).unwrap();
                    self.perform(&one.lease)
                }
            };
            node.conclude(&one.settings, &one.lease, end);
            self.computers[one.computer].node = Some(node);
        }
        for one in &mut self.running {
            if now.duration_since(one.renewed).unsigned_abs() > HOLD / 3 {
                one.renewed = now;
                // Who was away for too long hears that the lease is over at its end.
                let _ = self.catalog.renew(&mut one.lease, HOLD);
            }
        }
    }

    /// Every node looks once.
    fn look(&mut self) {
        for number in 0..self.computers.len() {
            let Some(node) = &self.computers[number].node else {
                continue;
            };
            let leases = RefCell::new(Vec::new());
            node.tick(&CancelToken::new(), &|lease| {
                leases.borrow_mut().push(lease);
            })
            .unwrap();
            let settings = node.settings();
            for lease in leases.into_inner() {
                self.begin(number, lease, settings.clone());
            }
        }
    }

    fn begin(&mut self, computer: usize, lease: Lease, settings: Arc<Settings>) {
        self.attempts += 1;
        let (task, now) = (&lease.task, self.now());
        let beside = self.running.iter().find(|it| {
            let other = &it.lease.task;
            let is_same = other.subject == task.subject && other.action == task.action;
            is_same && task.action == Action::Backup && other.id != task.id
        });
        assert!(beside.is_none(), "two backups of {} at once", task.subject);
        let twice = self.running.iter().any(|it| it.lease.task.id == task.id);
        assert!(!twice, "task {} runs twice", task.id);
        let minutes = match (task.action, self.slow.get(&task.subject)) {
            (Action::Backup, Some(minutes)) => *minutes,
            (Action::Backup | Action::Copy, None) => 2 + self.entropy.below(20),
            _ => 1,
        };
        let ends = now.checked_add(SignedDuration::from_mins(minutes as i64));
        self.running.push(Running {
            computer,
            lease,
            settings,
            ends: ends.unwrap(),
            renewed: now,
        });
    }

    /// What a task's child does, checked against the oracle.
    fn perform(&mut self, lease: &Lease) -> TaskEnd {
        let task = &lease.task;
        let share = self.flaky.get(&task.subject).copied().unwrap_or_default();
        if task.action == Action::Backup && self.entropy.below(100) < share {
            let text = "hook pre-freeze ended with 1".to_owned();
            return TaskEnd::Failed(ErrorKind::Io, text);
        }
        if self.entropy.below(100) < 8 && self.outside.is_real(task) {
            let calls = self.entropy.below(40);
            self.outside.perform_until_killed(task, calls);
            return TaskEnd::Failed(ErrorKind::Io, "it ended with signal: 9".to_owned());
        }
        if task.action == Action::Resolve {
            let shown = self.outside.platforms[&task.subject].iter();
            let meant = shown.filter(|it| it.jobs.contains(&task.job));
            let names = meant.map(|it| it.name.clone()).collect();
            self.found.insert(task.run, names);
        }
        if task.action != Action::Forget {
            return self.outside.perform(task);
        }
        self.forgets += 1;
        let repository = after(&task.words, "--repo").unwrap().to_owned();
        let before = self.outside.held(&repository).to_vec();
        let end = self.outside.perform(task);
        assert!(matches!(end, TaskEnd::Succeeded(_)), "{end:?}");
        let zone = self.settings.jobs[&task.job].timing.as_ref().unwrap();
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        let machines: BTreeSet<&String> = before.iter().map(|it| &it.machine).collect();
        for machine in machines {
            let own = before.iter().filter(|it| it.machine == *machine);
            let own: Vec<_> = own.filter(|it| it.job == task.job).collect();
            let times: Vec<Timestamp> = own.iter().map(|it| it.at).collect();
            let stay = kept(&times, self.outside.rules[&task.job], &zone.zone);
            let stays =
                |it: &&&crate::play::Held| stay.contains(&it.at) || task.words.contains(&it.id);
            wanted.extend(own.iter().filter(stays).map(|it| it.id.clone()));
        }
        let others = before.iter().filter(|it| it.job != task.job);
        wanted.extend(others.map(|it| it.id.clone()));
        let held = self.outside.held(&repository).iter();
        let held: BTreeSet<String> = held.map(|it| it.id.clone()).collect();
        assert_eq!(held, wanted, "forget of {} in {repository}", task.job);
        end
    }
}

/// The zone of all schedules here: its clocks change on 2025-03-30.
pub(crate) fn zone() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}
