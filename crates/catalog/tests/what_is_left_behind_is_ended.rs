//! Runs whose command was killed, what stands behind mistakes, and runs of which only the looks
//! went well.

use lifeboat_catalog::{
    Action, Catalog, NewTask, RunId, RunState, Task, TaskEnd, TaskFilter, TaskState,
};
use lifeboat_model::ErrorKind;
use serde_json::Value;

use crate::beds::{leased, on_both, run, subjects, task};

fn begin(catalog: &Catalog, tasks: Vec<NewTask>) -> RunId {
    let new = run("web", None, tasks);
    catalog.begin_run(&new).unwrap().unwrap()
}

fn of(action: Action, new: NewTask) -> NewTask {
    NewTask { action, ..new }
}

/// Tasks of a run, oldest first.
fn tasks(catalog: &Catalog, id: RunId) -> Vec<Task> {
    let filter = TaskFilter {
        run: Some(id),
        ..TaskFilter::default()
    };
    let mut tasks = catalog.tasks(&filter).unwrap();
    tasks.reverse();
    tasks
}

fn states(catalog: &Catalog, id: RunId) -> Vec<TaskState> {
    tasks(catalog, id).iter().map(|it| it.state).collect()
}

fn well() -> TaskEnd {
    TaskEnd::Succeeded(Value::Null)
}

/// Ends tasks in order, each as it is said.
fn end_all(catalog: &Catalog, ends: &[TaskEnd]) {
    for end in ends {
        let lease = leased(catalog, "n", 1).remove(0);
        catalog.end_task(&lease, end).unwrap();
    }
}

#[test]
fn a_run_whose_command_is_gone_is_ended() {
    on_both(|bed| {
        let catalog = bed.open();
        let stubborn = |name: &str, stage| NewTask {
            attempts_max: 4,
            ..task(name, stage)
        };
        let more = [stubborn("web01", 1), stubborn("web02", 2)];
        let look = of(Action::Resolve, task("here", 0));
        let id = begin(&catalog, [vec![look], more.to_vec()].concat());
        assert!(!catalog.end_abandoned(id, "host run 7").unwrap());
        let first = leased(&catalog, "host run 7", 1).remove(0);
        catalog.end_task(&first, &well()).unwrap();
        let second = leased(&catalog, "host run 7", 1).remove(0);
        assert!(!catalog.end_abandoned(id, "host run 8").unwrap());
        assert!(catalog.end_abandoned(id, "host run 7").unwrap());
        let right = [
            TaskState::Succeeded,
            TaskState::Failed,
            TaskState::Cancelled,
        ];
        assert_eq!(states(&catalog, id), right);
        let told = tasks(&catalog, id)[1].message.clone().unwrap();
        assert_eq!(told, "host run 7 ended in the middle of it");
        assert_eq!(catalog.run(id).unwrap().state, RunState::Failed);
        // It comes back from a long sleep, and has nothing to say any more.
        let late = catalog.end_task(&second, &well()).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Denied);
        assert!(!catalog.end_abandoned(id, "host run 7").unwrap());
    });
}

#[test]
fn a_run_that_somebody_else_goes_on_with_is_left_to_them() {
    on_both(|bed| {
        let catalog = bed.open();
        let id = begin(&catalog, vec![task("web01", 0), task("web02", 1)]);
        let first = leased(&catalog, "host run 7", 1).remove(0);
        assert!(catalog.lapsed().unwrap().is_empty());
        bed.pass(31);
        assert_eq!(catalog.lapsed().unwrap(), [first.task.id].into());
        catalog.take_over().unwrap();
        leased(&catalog, "host", 1).remove(0);
        assert!(!catalog.end_abandoned(id, "host run 7").unwrap());
        assert_eq!(catalog.run(id).unwrap().state, RunState::Open);
    });
}

#[test]
fn behind_backups_that_fail_by_mistake_nothing_is_tried() {
    on_both(|bed| {
        let catalog = bed.open();
        let copy = || of(Action::Copy, task("far", 2));
        let look = || of(Action::Look, task("main", 4));
        let denied = || TaskEnd::Hopeless(ErrorKind::Denied, "wrong password".into());
        let id = begin(&catalog, vec![task("a", 1), task("b", 1), copy(), look()]);
        end_all(&catalog, &[denied()]);
        assert_eq!(subjects(&leased(&catalog, "n", 9)), ["b"]);
        bed.pass(31);
        catalog.take_over().unwrap();
        let after = tasks(&catalog, id);
        assert_eq!(
            after[2].state,
            TaskState::Queued,
            "the other was no mistake"
        );
        let id = begin(&catalog, vec![task("a", 1), copy(), look()]);
        for lease in leased(&catalog, "n", 9) {
            let end = if lease.task.run == id {
                denied()
            } else {
                well()
            };
            catalog.end_task(&lease, &end).unwrap();
        }
        let right = [
            TaskState::Failed,
            TaskState::PassedOver,
            TaskState::PassedOver,
        ];
        assert_eq!(states(&catalog, id), right);
        assert_eq!(catalog.run(id).unwrap().state, RunState::Failed);
    });
}

#[test]
fn what_is_missing_or_refused_is_tried_once_more_or_never() {
    on_both(|bed| {
        let catalog = bed.open();
        let stubborn = |name: &str| NewTask {
            attempts_max: 9,
            retry_seconds: 0,
            ..task(name, 0)
        };
        for kind in [ErrorKind::NotFound, ErrorKind::Denied] {
            let id = begin(&catalog, vec![stubborn("a")]);
            let end = TaskEnd::Failed(kind, "it is not there".into());
            end_all(&catalog, &[end.clone(), end]);
            assert_eq!(catalog.run(id).unwrap().state, RunState::Failed);
            let id = begin(&catalog, vec![stubborn("a")]);
            let end = TaskEnd::Hopeless(kind, "it is not there".into());
            end_all(&catalog, &[end]);
            assert_eq!(catalog.run(id).unwrap().state, RunState::Failed);
        }
    });
}

#[test]
fn looks_that_go_well_make_no_run_that_went_well() {
    on_both(|bed| {
        let catalog = bed.open();
        let badly = || TaskEnd::Failed(ErrorKind::Io, "a disk failed".into());
        let resolve = || of(Action::Resolve, task("here", 0));
        let look = || of(Action::Look, task("main", 4));
        let check = || of(Action::Check, task("main", 1));
        let forget = || of(Action::Forget, task("main", 3));
        let cases = [
            (
                vec![resolve(), task("a", 1), forget(), look()],
                vec![well(), badly(), well(), well()],
                RunState::Failed,
            ),
            (
                vec![resolve(), task("a", 1), forget(), look()],
                vec![well(), well(), badly(), well()],
                RunState::Partial,
            ),
            (
                vec![resolve(), task("a", 1), task("b", 1), look()],
                vec![well(), well(), badly(), well()],
                RunState::Partial,
            ),
            (
                vec![check(), look()],
                vec![badly(), well()],
                RunState::Failed,
            ),
            (
                vec![check(), look()],
                vec![well(), badly()],
                RunState::Partial,
            ),
        ];
        for (tasks, ends, state) in cases {
            let id = begin(&catalog, tasks);
            end_all(&catalog, &ends);
            assert_eq!(catalog.run(id).unwrap().state, state, "{ends:?}");
        }
    });
}
