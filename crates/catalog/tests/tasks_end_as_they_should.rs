//! Stages, lanes, retries, cancels, and what becomes of runs.

use lifeboat_catalog::{
    Catalog, LeaseOffer, NewTask, RunId, RunState, StepState, Task, TaskEnd, TaskFilter, TaskState,
};
use lifeboat_model::ErrorKind;
use serde_json::json;
use std::time::Duration;

use crate::beds::{Bed, lane, leased, on_both, run, subjects, task};

fn well() -> TaskEnd {
    TaskEnd::Succeeded(json!({"snapshot": "abc"}))
}

fn badly() -> TaskEnd {
    TaskEnd::Failed(ErrorKind::Io, "a disk failed".into())
}

fn begin(catalog: &Catalog, tasks: Vec<NewTask>) -> RunId {
    catalog
        .begin_run(&run("web", None, tasks))
        .unwrap()
        .unwrap()
}

fn only_task(catalog: &Catalog, id: RunId) -> Task {
    let filter = TaskFilter {
        run: Some(id),
        ..TaskFilter::default()
    };
    catalog.tasks(&filter).unwrap().remove(0)
}

#[test]
fn stages_wait_for_all_that_come_before() {
    on_both(|bed| {
        let catalog = bed.open();
        let tasks = ["a", "b"].map(|it| task(it, 0)).to_vec();
        let later = [task("c", 1), task("d", 2)];
        let id = begin(&catalog, [tasks, later.to_vec()].concat());
        let first = leased(&catalog, "n", 9);
        assert_eq!(subjects(&first), ["a", "b"]);
        catalog.end_task(&first[0], &well()).unwrap();
        assert!(leased(&catalog, "n", 9).is_empty());
        catalog.end_task(&first[1], &badly()).unwrap();
        let second = leased(&catalog, "n", 9);
        assert_eq!(subjects(&second), ["c"]);
        let passed = TaskEnd::PassedOver("nothing new".into());
        catalog.end_task(&second[0], &passed).unwrap();
        let third = leased(&catalog, "n", 9);
        assert_eq!(subjects(&third), ["d"]);
        assert_eq!(catalog.run(id).unwrap().state, RunState::Open);
        catalog.end_task(&third[0], &well()).unwrap();
        let run = catalog.run(id).unwrap();
        assert_eq!((run.state, run.ended), (RunState::Partial, Some(bed.now())));
        assert!(catalog.queue().unwrap().is_empty());
    });
}

#[test]
fn lanes_hold_for_all_nodes_together() {
    on_both(|bed| {
        let nodes = [bed.open(), bed.open(), bed.open()];
        let with_lanes = |number: u32| NewTask {
            lanes: vec![lane("job web", 3), lane(&format!("host {}", number % 2), 2)],
            ..task(&format!("m{number}"), 0)
        };
        begin(&nodes[0], (0..40).map(with_lanes).collect());
        let mut done = 0;
        while done < 40 {
            let leases: Vec<_> = std::thread::scope(|scope| {
                let lease = |node| scope.spawn(move || leased(node, "n", 5));
                let all: Vec<_> = nodes.iter().map(lease).collect();
                all.into_iter().flat_map(|it| it.join().unwrap()).collect()
            });
            assert_eq!(leases.len(), 3.min(40 - done), "after {done}");
            for host in ["host 0", "host 1"] {
                let mine = |it: &&lifeboat_catalog::Lease| it.task.lanes[1].name == host;
                assert!(leases.iter().filter(mine).count() <= 2);
            }
            for lease in &leases {
                nodes[done % 3].end_task(lease, &well()).unwrap();
                done += 1;
            }
        }
    });
}

#[test]
fn tasks_that_wait_for_a_turn_do_not_stand_before_others() {
    on_both(|bed| {
        let catalog = bed.open();
        let narrow = |number: u32| NewTask {
            lanes: vec![lane("repository main", 1)],
            ..task(&format!("m{number}"), 0)
        };
        begin(&catalog, (0..1_100).map(narrow).collect());
        begin(&catalog, vec![task("free", 0)]);
        assert_eq!(subjects(&leased(&catalog, "n", 9)), ["m0", "free"]);
        assert!(leased(&catalog, "n", 0).is_empty());
    });
}

#[test]
fn a_node_may_ask_for_the_tasks_of_one_run_only() {
    on_both(|bed| {
        let catalog = bed.open();
        begin(&catalog, vec![task("a", 0), task("b", 0)]);
        let wanted = begin(&catalog, vec![task("c", 0)]);
        let offer = LeaseOffer {
            node: "n",
            hold: Duration::from_secs(30),
            count: 9,
            run: Some(wanted),
        };
        assert_eq!(subjects(&catalog.lease(&offer).unwrap()), ["c"]);
        assert_eq!(subjects(&leased(&catalog, "n", 9)), ["a", "b"]);
    });
}

#[test]
fn failures_are_tried_again_after_pauses_that_double() {
    on_both(|bed| {
        let catalog = bed.open();
        let stubborn = NewTask {
            attempts_max: 4,
            ..task("web01", 0)
        };
        let id = begin(&catalog, vec![stubborn]);
        for (attempt, pause) in [(1, 60), (2, 120), (3, 240)] {
            let lease = leased(&catalog, "n", 1).remove(0);
            assert_eq!(lease.task.attempt, attempt);
            let state = catalog.end_task(&lease, &badly()).unwrap();
            assert_eq!(state, TaskState::Queued);
            bed.pass(pause - 1);
            assert!(leased(&catalog, "n", 1).is_empty());
            bed.pass(1);
        }
        let last = leased(&catalog, "n", 1).remove(0);
        let state = catalog.end_task(&last, &badly()).unwrap();
        assert_eq!(state, TaskState::Failed);
        assert_eq!(catalog.run(id).unwrap().state, RunState::Failed);
        let failures = catalog.failures().unwrap();
        assert_eq!(failures, [("backup io".to_owned(), 1)]);
        let attempts = catalog.failed_attempts().unwrap();
        assert_eq!(attempts, [("backup io".to_owned(), 4)]);
        let ended = only_task(&catalog, id);
        assert_eq!(ended.message.as_deref(), Some("a disk failed"));
    });
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    on_both(|bed| {
        let catalog = bed.open();
        let stubborn = |name: &str| NewTask {
            attempts_max: 4,
            ..task(name, 0)
        };
        let id = begin(&catalog, vec![stubborn("a")]);
        let lease = leased(&catalog, "n", 1).remove(0);
        let end = TaskEnd::Failed(ErrorKind::Invalid, "no such machine".into());
        assert_eq!(catalog.end_task(&lease, &end).unwrap(), TaskState::Failed);
        assert_eq!(catalog.run(id).unwrap().state, RunState::Failed);
        // A far pause ends before the end of time.
        let far = NewTask {
            retry_seconds: u64::MAX,
            ..stubborn("b")
        };
        begin(&catalog, vec![far]);
        let lease = leased(&catalog, "n", 1).remove(0);
        catalog.end_task(&lease, &badly()).unwrap();
        bed.pass(6 * 3600);
        assert_eq!(leased(&catalog, "n", 1).len(), 1);
    });
}

#[test]
fn what_is_given_back_is_no_attempt() {
    on_both(|bed| {
        let catalog = bed.open();
        let id = begin(&catalog, vec![task("web01", 0)]);
        for _ in 0..3 {
            let lease = leased(&catalog, "n", 1).remove(0);
            assert_eq!(lease.task.attempt, 1);
            let state = catalog.end_task(&lease, &TaskEnd::GivenBack).unwrap();
            assert_eq!(state, TaskState::Queued);
        }
        assert_eq!(only_task(&catalog, id).attempt, 0);
        assert_eq!(catalog.run(id).unwrap().state, RunState::Open);
    });
}

/// Cancels one that waits and one that runs; gives how the one that ran ended with `end`.
fn cancelled(bed: &Bed, end: &TaskEnd) -> (TaskState, RunState) {
    let catalog = bed.open();
    let stubborn = |name: &str| NewTask {
        attempts_max: 9,
        ..task(name, 0)
    };
    let id = begin(&catalog, vec![stubborn("a"), stubborn("b")]);
    let mut lease = leased(&catalog, "n", 1).remove(0);
    let hold = Duration::from_secs(30);
    assert_eq!(catalog.renew(&mut lease, hold).unwrap(), None);
    catalog.cancel_run(id, "ann").unwrap();
    let who = catalog.renew(&mut lease, hold).unwrap();
    assert_eq!(who.as_deref(), Some("ann"));
    assert_eq!(catalog.run(id).unwrap().state, RunState::Open);
    let state = catalog.end_task(&lease, end).unwrap();
    assert!(leased(&catalog, "n", 9).is_empty());
    (state, catalog.run(id).unwrap().state)
}

#[test]
fn a_cancelled_task_is_over_however_it_stops() {
    on_both(|bed| {
        let over = (TaskState::Cancelled, RunState::Cancelled);
        assert_eq!(cancelled(bed, &TaskEnd::Cancelled), over);
        assert_eq!(cancelled(bed, &TaskEnd::GivenBack), over);
        assert_eq!(cancelled(bed, &badly()), over);
        let (state, _) = cancelled(bed, &well());
        assert_eq!(state, TaskState::Succeeded);
    });
}

#[test]
fn runs_end_as_their_tasks_did() {
    on_both(|bed| {
        let catalog = bed.open();
        let ends = [
            (vec![well(), well()], RunState::Succeeded),
            (vec![well(), badly()], RunState::Partial),
            (vec![badly(), badly()], RunState::Failed),
            (vec![well(), TaskEnd::Cancelled], RunState::Cancelled),
            (vec![badly(), TaskEnd::Cancelled], RunState::Failed),
            (vec![TaskEnd::PassedOver("no".into())], RunState::Succeeded),
            (vec![], RunState::Succeeded),
        ];
        for (ends, state) in ends {
            let tasks = (0..ends.len()).map(|it| task(&it.to_string(), 0)).collect();
            let id = begin(&catalog, tasks);
            for (lease, end) in leased(&catalog, "n", 9).iter().zip(&ends) {
                catalog.end_task(lease, end).unwrap();
            }
            assert_eq!(catalog.run(id).unwrap().state, state, "{ends:?}");
        }
    });
}

#[test]
fn tasks_that_follow_come_with_the_end_or_not_at_all() {
    on_both(|bed| {
        let catalog = bed.open();
        let local = NewTask {
            attempts_max: 2,
            ..task("local", 0)
        };
        let id = begin(&catalog, vec![local]);
        let slept = leased(&catalog, "a", 1).remove(0);
        bed.pass(31);
        catalog.take_over().unwrap();
        let well = TaskEnd::Succeeded(serde_json::Value::Null);
        let more = [task("web01", 1)];
        let late = catalog.end_task_adding(&slept, &well, &more);
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Denied);
        let filter = TaskFilter {
            run: Some(id),
            ..TaskFilter::default()
        };
        assert_eq!(catalog.tasks(&filter).unwrap().len(), 1);
        bed.pass(60);
        let lease = leased(&catalog, "b", 1).remove(0);
        catalog.end_task_adding(&lease, &well, &more).unwrap();
        assert_eq!(subjects(&leased(&catalog, "b", 9)), ["web01"]);
    });
}

#[test]
fn a_read_is_counted_once_however_often_it_is_told() {
    on_both(|bed| {
        let catalog = bed.open();
        begin(&catalog, vec![task("web01", 0), task("web01", 1)]);
        let first = leased(&catalog, "n", 1).remove(0);
        catalog.add_read(&first.task, true).unwrap();
        catalog
            .end_task(&first, &TaskEnd::Succeeded(serde_json::Value::Null))
            .unwrap();
        let second = leased(&catalog, "n", 1).remove(0);
        for _ in 0..2 {
            catalog.add_read(&second.task, false).unwrap();
        }
        let reads = catalog.reads(&second.task.job).unwrap()["web01"];
        assert_eq!(reads.increments, 1);
        assert_eq!(reads.last_full, first.task.started);
    });
}

#[test]
fn steps_end_where_the_attempt_ended() {
    on_both(|bed| {
        let catalog = bed.open();
        let twice = NewTask {
            attempts_max: 2,
            ..task("web01", 0)
        };
        begin(&catalog, vec![twice]);
        let first = leased(&catalog, "n", 1).remove(0);
        catalog.begin_step(&first, "capture").unwrap();
        bed.pass(2);
        catalog.begin_step(&first, "transfer").unwrap();
        bed.pass(3);
        catalog.end_task(&first, &badly()).unwrap();
        bed.pass(60);
        let second = leased(&catalog, "n", 1).remove(0);
        catalog.begin_step(&second, "capture").unwrap();
        let steps = catalog.steps(first.task.id).unwrap();
        let shown: Vec<_> = steps
            .iter()
            .map(|step| (step.name.as_str(), step.attempt, step.state))
            .collect();
        let right = [
            ("capture", 1, StepState::Done),
            ("transfer", 1, StepState::Failed),
            ("capture", 2, StepState::Running),
        ];
        assert_eq!(shown, right);
        assert_eq!(steps[0].ended, Some(steps[1].began));
        let took = steps[1].ended.unwrap().duration_since(steps[1].began);
        assert_eq!(took.as_secs(), 3);
        assert_eq!(steps[1].message.as_deref(), Some("a disk failed"));
        assert_eq!((steps[2].ended, &steps[2].message), (None, &None));
        catalog.end_task(&second, &TaskEnd::GivenBack).unwrap();
        let steps = catalog.steps(first.task.id).unwrap();
        assert_eq!(steps[2].state, StepState::Stopped);
    });
}
