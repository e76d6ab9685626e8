//! Of all who begin the run of one moment exactly one does.

use std::sync::Barrier;

use lifeboat_catalog::{RunFilter, RunState, TaskFilter, TaskState};
use lifeboat_model::ErrorKind;

use crate::beds::{on_both, run, task};

#[test]
fn of_many_who_begin_the_same_run_one_wins() {
    on_both(|bed| {
        let nodes = [bed.open(), bed.open()];
        for threads in [2, 8] {
            bed.pass(60);
            let new = run("web", Some(bed.now()), vec![task("web01", 0)]);
            let barrier = Barrier::new(threads);
            let won = std::thread::scope(|scope| {
                let begin = |number: usize| {
                    let (node, new, barrier) = (&nodes[number % 2], &new, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        node.begin_run(new).unwrap()
                    })
                };
                let all: Vec<_> = (0..threads).map(begin).collect();
                let won = all.into_iter().map(|it| it.join().unwrap());
                won.flatten().count()
            });
            assert_eq!(won, 1, "{threads} threads");
        }
        assert_eq!(nodes[0].runs(&RunFilter::default()).unwrap().len(), 2);
        assert_eq!(nodes[0].tasks(&TaskFilter::default()).unwrap().len(), 2);
        assert_eq!(nodes[1].last_planned("web").unwrap(), Some(bed.now()));
        assert_eq!(nodes[1].last_planned("db").unwrap(), None);
        let all = nodes[1].all_last_planned().unwrap();
        assert_eq!(all, [("web".to_owned(), bed.now())]);
    });
}

#[test]
fn requests_have_no_moment_and_each_is_a_run() {
    on_both(|bed| {
        let catalog = bed.open();
        let new = run("web", None, vec![task("web01", 0)]);
        let (one, other) = (catalog.begin_run(&new), catalog.begin_run(&new));
        let (one, other) = (one.unwrap().unwrap(), other.unwrap().unwrap());
        assert!(one < other);
        assert_eq!(catalog.run(one).unwrap().state, RunState::Open);
        assert_eq!(catalog.last_planned("web").unwrap(), None);
    });
}

#[test]
fn tasks_join_open_runs_once_and_ended_runs_never() {
    on_both(|bed| {
        let catalog = bed.open();
        let new = run("web", None, vec![task("first", 0)]);
        let id = catalog.begin_run(&new).unwrap().unwrap();
        let more = [task("web01", 1), task("web02", 1), task("web01", 1)];
        catalog.add_tasks(id, &more).unwrap();
        // As after an answer that was lost.
        catalog.add_tasks(id, &more).unwrap();
        let filter = TaskFilter {
            run: Some(id),
            ..TaskFilter::default()
        };
        assert_eq!(catalog.tasks(&filter).unwrap().len(), 3);
        catalog.cancel_run(id, "ann").unwrap();
        let late = catalog.add_tasks(id, &[task("web03", 1)]).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Invalid);
        assert_eq!(catalog.tasks(&filter).unwrap().len(), 3);
    });
}

#[test]
fn filters_choose_what_they_say() {
    on_both(|bed| {
        let catalog = bed.open();
        let mut ids = Vec::new();
        for number in 0..6 {
            bed.pass(60);
            let job = ["web", "db"][number % 2];
            let tasks = vec![task(&format!("m{number}"), 0)];
            let begun = catalog.begin_run(&run(job, Some(bed.now()), tasks));
            ids.push(begun.unwrap().unwrap());
        }
        catalog.cancel_run(ids[1], "ann").unwrap();
        let chosen = |filter: RunFilter| -> Vec<_> {
            let runs = catalog.runs(&filter).unwrap();
            runs.into_iter().map(|run| run.id).collect()
        };
        let all = RunFilter::default;
        let job = Some("db".to_owned());
        assert_eq!(chosen(RunFilter { job, ..all() }), [ids[5], ids[3], ids[1]]);
        let state = Some(RunState::Cancelled);
        assert_eq!(chosen(RunFilter { state, ..all() }), [ids[1]]);
        let (before, count) = (Some(ids[4]), 2);
        let page = RunFilter {
            before,
            count,
            ..all()
        };
        assert_eq!(chosen(page), [ids[3], ids[2]]);
        let since = Some(bed.now());
        assert_eq!(chosen(RunFilter { since, ..all() }), [ids[5]]);
        let ended = TaskFilter {
            ended_since: Some(bed.now()),
            state: Some(TaskState::Cancelled),
            ..TaskFilter::default()
        };
        assert_eq!(catalog.tasks(&ended).unwrap()[0].subject, "m1");
        let of_subject = TaskFilter {
            subject: Some("m4".into()),
            ..TaskFilter::default()
        };
        assert_eq!(catalog.tasks(&of_subject).unwrap()[0].run, ids[4]);
        let totals = catalog.run_totals().unwrap();
        let ended = catalog.runs(&all()).unwrap();
        let ended = ended.iter().filter(|run| run.ended.is_some()).count();
        assert_eq!(
            totals.iter().map(|(.., count)| count).sum::<i64>(),
            ended as i64
        );
    });
}

#[test]
fn old_runs_are_forgotten_with_all_that_is_theirs() {
    on_both(|bed| {
        let catalog = bed.open();
        let old = catalog.begin_run(&run("web", None, vec![task("web01", 0)]));
        let old = old.unwrap().unwrap();
        let lease = crate::beds::leased(&catalog, "a", 1).remove(0);
        catalog.begin_step(&lease, "capture").unwrap();
        let level = lifeboat_catalog::LogLevel::Note;
        catalog.write_log(&lease, level, "a line").unwrap();
        catalog.cancel_run(old, "ann").unwrap();
        let end = lifeboat_catalog::TaskEnd::Cancelled;
        catalog.end_task(&lease, &end).unwrap();
        let open = catalog.begin_run(&run("web", None, vec![task("web02", 0)]));
        let open = open.unwrap().unwrap();
        assert_eq!(catalog.forget_runs(bed.now()).unwrap(), 0);
        bed.pass(60);
        let totals = catalog.run_totals().unwrap();
        assert_eq!(totals, [("web".to_owned(), RunState::Cancelled, 1)]);
        assert_eq!(catalog.forget_runs(bed.now()).unwrap(), 1);
        // What is counted of all time does not fall.
        assert_eq!(catalog.run_totals().unwrap(), totals);
        assert_eq!(catalog.run(old).unwrap_err().kind(), ErrorKind::NotFound);
        let task = catalog.task(lease.task.id).unwrap_err();
        assert_eq!(task.kind(), ErrorKind::NotFound);
        assert!(catalog.steps(lease.task.id).unwrap().is_empty());
        assert!(catalog.log_after(lease.task.id, 0, 9).unwrap().is_empty());
        assert_eq!(catalog.run(open).unwrap().state, RunState::Open);
    });
}
