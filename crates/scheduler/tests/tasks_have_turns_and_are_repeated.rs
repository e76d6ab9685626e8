//! Limits hold over all nodes; what failed is repeated, alone, and the rest of the run goes on.

use std::collections::BTreeMap;

use lifeboat_catalog::{Action, RunState, TaskEnd, TaskState};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{JobSettings, Request};

use crate::world::{World, job, settings, subjects};

fn badly() -> TaskEnd {
    TaskEnd::Failed(ErrorKind::Unreachable, "nobody answers".to_owned())
}

/// Looks with all nodes in turn, ends one task at a time, and gives the most that ran at once.
fn most_at_once(world: &World, nodes: &[std::sync::Arc<lifeboat_scheduler::Node>]) -> usize {
    let mut running = Vec::new();
    let mut most = 0;
    loop {
        for node in nodes {
            let leases = world.tick(node);
            running.extend(leases.into_iter().map(|lease| (node, lease)));
        }
        let backups = running
            .iter()
            .filter(|(_, it)| it.task.action == Action::Backup);
        most = most.max(backups.count());
        if running.is_empty() {
            return most;
        }
        let (node, lease) = running.remove(0);
        world.end(node, lease);
    }
}

fn crowd(job: JobSettings, machines: usize) -> World {
    let names: Vec<String> = (0..machines)
        .map(|number| format!("m{number:02}"))
        .collect();
    let shown: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "web")).collect();
    World::new(settings(&[("web", job)]), &shown)
}

#[test]
fn limits_hold_over_all_nodes() {
    let wide = JobSettings {
        parallel: 9,
        ..job()
    };
    let cases = [
        (
            JobSettings {
                parallel: 3,
                ..job()
            },
            3,
        ),
        (
            JobSettings {
                per_host: Some(2),
                ..wide.clone()
            },
            2,
        ),
        (
            JobSettings {
                per_repository: Some(1),
                ..wide.clone()
            },
            1,
        ),
        (wide, 9),
    ];
    for (job, limit) in cases {
        let world = crowd(job, 12);
        let nodes = ["a", "b", "c"].map(|name| world.node(name));
        world.go("2026-03-02T02:00:00Z");
        assert_eq!(most_at_once(&world, &nodes), limit);
        assert_eq!(world.play.look().held("main").len(), 12);
    }
}

#[test]
fn a_node_takes_no_more_than_it_carries() {
    let mut settings = settings(&[(
        "web",
        JobSettings {
            parallel: 9,
            ..job()
        },
    )]);
    settings.parallel = 2;
    let world = World::new(settings, &[("a", "web"), ("b", "web"), ("c", "web")]);
    let node = world.node("n");
    world.go("2026-03-02T02:00:00Z");
    world
        .tick(&node)
        .into_iter()
        .for_each(|it| world.end(&node, it));
    let leases = world.tick(&node);
    assert_eq!(subjects(&leases), ["a", "b"]);
    assert!(world.tick(&node).is_empty());
    leases.into_iter().for_each(|it| world.end(&node, it));
    assert_eq!(subjects(&world.tick(&node)), ["c"]);
}

#[test]
fn one_machine_of_two_jobs_is_backed_up_by_one_at_a_time() {
    let world = World::new(settings(&[("day", job()), ("web", job())]), &[]);
    world.play.look().show("local", &[("web01", "web")]);
    let both = vec!["day".to_owned(), "web".to_owned()];
    world.play.look().platforms.get_mut("local").unwrap()[0].jobs = both;
    let nodes = ["a", "b"].map(|name| world.node(name));
    world.go("2026-03-02T02:00:00Z");
    assert_eq!(most_at_once(&world, &nodes), 1);
    assert_eq!(world.play.look().held("main").len(), 2);
}

#[test]
fn only_the_machine_that_failed_is_repeated_after_pauses_that_double() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web"), ("b", "web")]);
    let node = world.node("n");
    world
        .play
        .look()
        .script("backup", "b", vec![badly(), badly()]);
    world.go("2026-03-02T02:00:00Z");
    world.drain(&node);
    for pause in [60, 120] {
        world.pass(pause - 1);
        world.drain(&node);
        assert_eq!(world.runs("web")[0].state, RunState::Open);
        world.pass(1);
        world.drain(&node);
    }
    assert_eq!(world.runs("web")[0].state, RunState::Succeeded);
    let attempts: BTreeMap<String, u32> = world
        .tasks()
        .into_iter()
        .filter(|task| task.action == Action::Backup)
        .map(|task| (task.subject, task.attempt))
        .collect();
    assert_eq!(attempts, [("a".to_owned(), 1), ("b".to_owned(), 3)].into());
}

#[test]
fn later_stages_begin_after_the_backups_whatever_these_ended_with() {
    let web = JobSettings {
        copies_to: vec!["far".to_owned()],
        retention: Some(lifeboat_policy::Retention {
            last: lifeboat_policy::KeepCount::newest(5),
            ..Default::default()
        }),
        ..job()
    };
    let world = World::new(settings(&[("web", web)]), &[("a", "web"), ("b", "web")]);
    let node = world.node("n");
    world.play.look().script("backup", "b", vec![badly(); 3]);
    world.go("2026-03-02T02:00:00Z");
    world.drain(&node);
    let later = |world: &World| {
        let tasks = world.tasks().into_iter().filter(|it| it.stage > 1);
        tasks.filter(|it| it.state != TaskState::Queued).count()
    };
    assert_eq!(later(&world), 0);
    world.pass(60);
    world.drain(&node);
    assert_eq!(later(&world), 0);
    world.pass(120);
    world.drain(&node);
    let done = world.play.look().done.clone();
    let last: Vec<&str> = done.iter().rev().take(7).map(|it| it[0].as_str()).collect();
    let wanted = [
        "stats",
        "snapshots",
        "stats",
        "snapshots",
        "forget",
        "forget",
        "copy",
    ];
    assert_eq!(last, wanted);
    assert_eq!(world.runs("web")[0].state, RunState::Partial);
    assert_eq!(world.catalog.points_of("far").unwrap().len(), 1);
}

#[test]
fn a_run_that_waits_is_cancelled_at_once() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let node = world.node("n");
    world.go("2026-03-02T02:00:00Z");
    let lease = world.tick(&node).remove(0);
    world.end(&node, lease);
    let run = world.runs("web")[0].id;
    world.catalog.cancel_run(run, "anna").unwrap();
    world.drain(&node);
    assert_eq!(world.runs("web")[0].state, RunState::Cancelled);
    assert!(world.play.look().held("main").is_empty());
}

#[test]
fn a_run_that_is_cancelled_while_machines_are_looked_for_begins_nothing() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let node = world.node("n");
    world.go("2026-03-02T02:00:00Z");
    let lease = world.tick(&node).remove(0);
    let run = world.runs("web")[0].id;
    world.catalog.cancel_run(run, "anna").unwrap();
    world.end(&node, lease);
    world.drain(&node);
    assert_eq!(world.runs("web")[0].state, RunState::Cancelled);
    assert!(world.play.look().held("main").is_empty());
}

#[test]
fn machines_that_were_found_twice_are_backed_up_once() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let (first, second) = (world.node("a"), world.node("b"));
    world.go("2026-03-02T02:00:00Z");
    let slept = world.tick(&first).remove(0);
    world.pass(61);
    world.tick(&second);
    world.pass(61);
    let taken = world.tick(&second);
    assert_eq!(subjects(&taken), ["local"]);
    // Both have found the same machine; who lost the lease adds nothing.
    world.end(&first, slept.clone());
    assert_eq!(world.tasks().len(), 1);
    taken.into_iter().for_each(|it| world.end(&second, it));
    world.end(&first, slept);
    world.drain(&second);
    assert_eq!(world.play.look().held("main").len(), 1);
    assert_eq!(world.runs("web")[0].state, RunState::Succeeded);
}

#[test]
fn what_failed_waits_for_the_end_of_a_blackout_unless_somebody_asked_for_it() {
    let mut web = job();
    let timing = web.timing.as_mut().unwrap();
    timing.schedule = "daily 01:59".parse().unwrap();
    timing.blackouts = vec!["02:00-06:00".parse().unwrap()];
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    let other = world.node("m");
    world
        .play
        .look()
        .script("backup", "a", vec![badly(), badly()]);
    world.go("2026-03-02T01:59:00Z");
    world.drain(&node);
    world.pass(60);
    world.drain(&other);
    let held = |world: &World| {
        world
            .tasks()
            .into_iter()
            .find(|it| it.action == Action::Backup)
    };
    let task = held(&world).unwrap();
    assert_eq!((task.state, task.attempt), (TaskState::Queued, 1));
    assert_eq!(task.not_before, "2026-03-02T06:00:00Z".parse().unwrap());
    let why = "a blackout of job web ends at Mon 06:00 UTC";
    assert_eq!(task.held_up.as_deref(), Some(why));
    let log = world.catalog.log_after(task.id, 0, 100).unwrap();
    assert!(log.last().unwrap().line.contains(why), "{log:?}");
    // Whoever asks now does not wait, also not for a second attempt.
    world.pass(1800);
    let request = Request::Backup {
        job: "web".to_owned(),
        machines: Vec::new(),
        is_forced: false,
    };
    let asked = node.begin(&request, "anna").unwrap();
    world.drain(&node);
    world.pass(61);
    world.drain(&node);
    assert_eq!(world.catalog.run(asked).unwrap().state, RunState::Succeeded);
    world.go("2026-03-02T05:59:59Z");
    world.drain(&node);
    assert_eq!(held(&world).unwrap(), task, "it waits still");
    world.pass(1);
    world.drain(&node);
    let task = held(&world).unwrap();
    assert_eq!((task.state, task.attempt), (TaskState::Succeeded, 2));
    assert_eq!(task.held_up, None);
}
