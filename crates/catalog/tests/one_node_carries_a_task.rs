//! At any time one node carries a task, and whoever lost it changes nothing.

use std::time::Duration;

use lifeboat_catalog::{
    Catalog, Lease, LogLevel, NewTask, Progress, RunState, TaskEnd, TaskFilter, TaskId, TaskState,
};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::{Effort, SeededEntropy, figure};

use crate::beds::{Bed, leased, on_both, run, task};

const HOLD: Duration = Duration::from_secs(30);

#[test]
fn a_node_that_slept_changes_nothing() {
    on_both(|bed| {
        let (sleeper, other) = (bed.open(), bed.open());
        let stubborn = NewTask {
            attempts_max: 3,
            ..task("web01", 0)
        };
        sleeper
            .begin_run(&run("web", None, vec![stubborn]))
            .unwrap();
        let mut old = leased(&sleeper, "sleeper", 1).remove(0);
        bed.pass(31);
        let taken = other.take_over().unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].node.as_deref(), Some("sleeper"));
        bed.pass(60);
        let new = leased(&other, "other", 1).remove(0);
        assert!(new.fence > old.fence);
        let before = other.task(new.task.id).unwrap();
        let lost = [
            sleeper.renew(&mut old, HOLD).map(drop),
            sleeper.report(&old, &Progress::default()),
            sleeper.begin_step(&old, "transfer"),
            sleeper.write_log(&old, LogLevel::Note, "still here"),
            sleeper.end_task(&old, &TaskEnd::Cancelled).map(drop),
        ];
        for error in lost.map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Denied);
        }
        assert_eq!(other.task(new.task.id).unwrap(), before);
        assert!(other.steps(new.task.id).unwrap().is_empty());
        let log = other.log_after(new.task.id, 0, 9).unwrap();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].line.contains("sleeper"));
        let end = TaskEnd::PassedOver("done".into());
        assert_eq!(other.end_task(&new, &end).unwrap(), TaskState::PassedOver);
    });
}

#[test]
fn a_node_that_starts_again_takes_its_own_back() {
    on_both(|bed| {
        let catalog = bed.open();
        let tasks = ["a", "b"].map(|name| NewTask {
            attempts_max: 2,
            ..task(name, 0)
        });
        catalog
            .begin_run(&run("web", None, tasks.to_vec()))
            .unwrap();
        let (mine, theirs) = (leased(&catalog, "me", 1), leased(&catalog, "they", 1));
        let taken = catalog.take_over_own("me").unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].id, mine[0].task.id);
        assert!(catalog.take_over().unwrap().is_empty());
        let progress = Progress::default();
        catalog.report(&theirs[0], &progress).unwrap();
        assert!(catalog.report(&mine[0], &progress).is_err());
    });
}

/// What the catalog must agree with.
struct Play<'a> {
    bed: &'a Bed,
    nodes: Vec<Catalog>,
    chance: SeededEntropy,
    /// Every lease that was ever given, by which node, and whether it is the task's.
    leases: Vec<(usize, Lease, bool)>,
    ended: Vec<TaskId>,
}

impl Play<'_> {
    fn lease(&mut self, node: usize) {
        let count = 1 + self.chance.below(3) as u32;
        for lease in leased(&self.nodes[node], &format!("node{node}"), count) {
            for (_, other, is_valid) in &self.leases {
                assert!(lease.fence > other.fence);
                assert!(!is_valid || other.task.id != lease.task.id, "two carry it");
            }
            assert!(!self.ended.contains(&lease.task.id), "it is over");
            self.leases.push((node, lease, true));
        }
    }

    /// Somebody writes with a lease that it has or had.
    fn write(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let chosen = self.chance.below(self.leases.len() as u64) as usize;
        let what = self.chance.below(6);
        let (node, lease, is_valid) = &mut self.leases[chosen];
        let catalog = &self.nodes[*node];
        let end = match self.chance.below(3) {
            0 => TaskEnd::Succeeded(serde_json::Value::Null),
            1 => TaskEnd::Failed(ErrorKind::Io, "no luck".into()),
            _ => TaskEnd::GivenBack,
        };
        let done = match what {
            0 | 1 => catalog.renew(lease, HOLD).map(drop),
            2 => catalog.report(lease, &Progress::default()),
            3 => catalog.begin_step(lease, "transfer"),
            4 => catalog.write_log(lease, LogLevel::Note, "a line"),
            _ => catalog.end_task(lease, &end).map(|state| {
                if state.is_over() {
                    self.ended.push(lease.task.id);
                }
            }),
        };
        assert_eq!(done.is_ok(), *is_valid, "{what}: {done:?}");
        *is_valid &= what < 5;
    }

    fn take_over(&mut self, node: usize, is_own: bool) {
        let now = self.bed.now();
        let name = format!("node{node}");
        let taken = match is_own {
            true => self.nodes[node].take_over_own(&name).unwrap(),
            false => self.nodes[node].take_over().unwrap(),
        };
        let mut right = Vec::new();
        for (holder, lease, is_valid) in &mut self.leases {
            let is_lost = if is_own {
                *holder == node
            } else {
                lease.until < now
            };
            if *is_valid && is_lost {
                *is_valid = false;
                right.push(lease.task.id);
            }
        }
        right.sort();
        let ids: Vec<_> = taken.iter().map(|task| task.id).collect();
        assert_eq!(ids, right);
        for id in ids {
            if self.nodes[node].task(id).unwrap().state.is_over() {
                self.ended.push(id);
            }
        }
    }

    fn step(&mut self) {
        let node = self.chance.below(self.nodes.len() as u64) as usize;
        match self.chance.below(12) {
            0 | 1 => self.bed.pass(self.chance.below(45)),
            2..=4 => self.lease(node),
            5 => self.take_over(node, false),
            6 => {
                // It was killed and starts again.
                self.nodes[node] = self.bed.open();
                self.take_over(node, true);
            }
            _ => self.write(),
        }
        let running = TaskFilter {
            state: Some(TaskState::Running),
            ..TaskFilter::default()
        };
        let running = self.nodes[node].tasks(&running).unwrap().len();
        let valid = self.leases.iter().filter(|it| it.2).count();
        assert_eq!(running, valid);
    }

    /// One node does all that is left.
    fn finish(&mut self) {
        while !self.nodes[0].queue().unwrap().is_empty() {
            self.bed.pass(3600);
            self.take_over(0, false);
            self.lease(0);
            for (_, lease, is_valid) in self.leases.iter_mut().filter(|it| it.2) {
                let end = TaskEnd::PassedOver("the end".into());
                self.nodes[0].end_task(lease, &end).unwrap();
                self.ended.push(lease.task.id);
                *is_valid = false;
            }
        }
    }
}

fn play(bed: &Bed, seed: u64) {
    let mut play = Play {
        bed,
        nodes: (0..3).map(|_| bed.open()).collect(),
        chance: SeededEntropy::new(seed),
        leases: Vec::new(),
        ended: Vec::new(),
    };
    let stubborn = |name: usize| NewTask {
        attempts_max: 4,
        ..task(&name.to_string(), name as u32 / 6)
    };
    let new = run(&seed.to_string(), None, (0..12).map(stubborn).collect());
    let id = play.nodes[0].begin_run(&new).unwrap().unwrap();
    for _ in 0..Effort::current().pick(120, 400) {
        play.step();
    }
    play.finish();
    play.ended.sort();
    let once = play.ended.len();
    play.ended.dedup();
    assert_eq!((once, play.ended.len()), (12, 12));
    assert_ne!(play.nodes[0].run(id).unwrap().state, RunState::Open);
}

#[test]
fn nobody_disturbs_whoever_carries_a_task() {
    let given = std::env::var("LIFEBOAT_SEED").ok();
    let given: Option<u64> = given.map(|text| text.parse().expect("LIFEBOAT_SEED is a number"));
    let count = Effort::current().pick(2, 60);
    let seeds = given.map_or(1..=count, |seed| seed..=seed);
    for seed in seeds.clone() {
        println!("LIFEBOAT_SEED={seed}");
        on_both(|bed| play(bed, seed));
    }
    figure(
        "catalog",
        "leases: seeds of random nodes, two databases",
        seeds.count(),
    );
}
