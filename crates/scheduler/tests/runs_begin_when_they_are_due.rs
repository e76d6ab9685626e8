//! Each planned moment has one run, however many nodes look.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Cause, RunState, TaskEnd};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{JobSettings, PlannedDay, Request, upcoming, upcoming_days};

use crate::world::{World, daily, job, settings, start};

fn badly() -> TaskEnd {
    TaskEnd::Failed(ErrorKind::Unreachable, "nobody answers".to_owned())
}

#[test]
fn each_planned_moment_has_one_run_of_however_many_nodes() {
    let world = World::new(settings(&[("web", job())]), &[("web01", "web")]);
    let nodes = ["a", "b", "c"].map(|name| world.node(name));
    for _ in 0..5 * 48 {
        world.pass(1800);
        // All look before any carries something out.
        let begun: Vec<_> = nodes
            .iter()
            .flat_map(|node| world.tick(node).into_iter().map(move |it| (node, it)))
            .collect();
        for (node, lease) in begun {
            world.end(node, lease);
        }
        nodes.iter().for_each(|node| world.drain(node));
    }
    let planned: Vec<_> = world.runs("web").iter().map(|run| run.planned).collect();
    let wanted = (2..7).map(|day| format!("2026-03-{day:02}T02:00:00Z").parse().ok());
    assert_eq!(planned, wanted.collect::<Vec<Option<Timestamp>>>());
    assert_eq!(world.play.look().held("main").len(), 5);
}

#[test]
fn missed_moments_are_caught_up_by_one_run() {
    let world = World::new(settings(&[("web", job())]), &[("web01", "web")]);
    let node = world.node("a");
    world.live(&node, 1);
    world.go("2026-03-06T12:00:00Z");
    world.drain(&node);
    let runs = world.runs("web");
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[1].cause, Cause::CatchUp);
    assert_eq!(runs[1].planned, "2026-03-06T02:00:00Z".parse().ok());
}

#[test]
fn missed_moments_are_left_out_where_they_are_not_to_be_caught_up() {
    let mut web = job();
    web.timing.as_mut().unwrap().is_caught_up = false;
    let world = World::new(settings(&[("web", web)]), &[("web01", "web")]);
    let node = world.node("a");
    world.live(&node, 1);
    world.go("2026-03-06T12:00:00Z");
    world.drain(&node);
    assert_eq!(world.runs("web").len(), 1);
    world.go("2026-03-07T02:00:01Z");
    world.drain(&node);
    let last = world.runs("web").pop().unwrap();
    assert_eq!(last.planned, "2026-03-07T02:00:00Z".parse().ok());
    assert_eq!(last.cause, Cause::Schedule);
}

/// `alpha` comes first by name and begins after `web`, both at 02:00.
fn two(is_caught_up: bool) -> World {
    let mut alpha = JobSettings {
        after: vec!["web".to_owned()],
        ..job()
    };
    alpha.timing.as_mut().unwrap().is_caught_up = is_caught_up;
    let machines = [("web01", "web"), ("alpha01", "alpha")];
    World::new(settings(&[("alpha", alpha), ("web", job())]), &machines)
}

#[test]
fn a_job_waits_for_the_run_of_the_same_day_and_not_for_yesterdays() {
    let world = two(true);
    let node = world.node("a");
    world.live(&node, 1);
    assert_eq!(world.runs("alpha").len(), 1);
    world.go("2026-03-03T02:00:01Z");
    let leases = world.tick(&node);
    assert_eq!(leases.len(), 1, "web alone");
    assert_eq!(world.runs("alpha").len(), 1);
    leases.into_iter().for_each(|it| world.end(&node, it));
    world.drain(&node);
    assert_eq!(world.runs("web").len(), 2);
    world.pass(31);
    world.drain(&node);
    assert_eq!(world.runs("alpha").len(), 2);
}

#[test]
fn a_job_that_waits_for_another_is_not_left_out_as_late() {
    let world = two(false);
    let node = world.node("a");
    world.live(&node, 1);
    world.go("2026-03-03T02:00:01Z");
    let leases = world.tick(&node);
    // The other takes two hours.
    for _ in 0..120 {
        world.pass(60);
        let mut held = leases.clone();
        for lease in &mut held {
            let hold = std::time::Duration::from_secs(60);
            node.catalog().renew(lease, hold).unwrap();
        }
        world.tick(&node);
    }
    assert_eq!(world.runs("alpha").len(), 1);
    assert_eq!(world.alerts(), Vec::<String>::new(), "not overdue either");
    leases.into_iter().for_each(|it| world.end(&node, it));
    world.drain(&node);
    world.pass(31);
    world.drain(&node);
    let runs = world.runs("alpha");
    assert_eq!(runs[1].planned, "2026-03-03T02:00:00Z".parse().ok());
    assert_eq!(runs[1].state, RunState::Succeeded);
    assert_eq!(runs[1].cause, Cause::Schedule);
}

#[test]
fn a_job_does_not_begin_after_one_that_failed() {
    let world = two(true);
    let node = world.node("a");
    let ends = vec![badly(); 3];
    world.play.look().script("backup", "web01", ends);
    world.live(&node, 1);
    assert_eq!(world.runs("web")[0].state, RunState::Failed);
    assert!(world.runs("alpha").is_empty());
    assert!(world.alerts().contains(&"overdue alpha".to_owned()));
    let waits = || node.overview().unwrap().jobs[0].comes_after.clone();
    assert_eq!(waits().as_deref(), Some("web"));
    let alerts = node.catalog().open_alerts().unwrap();
    let why = "it begins after web, which has not ended well";
    assert!(alerts.iter().any(|it| it.text.ends_with(why)), "{alerts:?}");
    world.live(&node, 1);
    assert_eq!(waits(), None);
    assert_eq!(world.runs("alpha").len(), 1);
    assert!(!world.alerts().contains(&"overdue alpha".to_owned()));
}

#[test]
fn jitter_and_blackouts_move_the_begin_and_not_the_name() {
    let mut web = job();
    let timing = web.timing.as_mut().unwrap();
    timing.jitter = std::time::Duration::from_secs(1200);
    timing.blackouts = vec!["01:00-03:30".parse().unwrap()];
    let world = World::new(settings(&[("web", web)]), &[("web01", "web")]);
    let node = world.node("a");
    world.go("2026-03-02T03:29:00Z");
    world.drain(&node);
    assert!(world.runs("web").is_empty());
    world.go("2026-03-02T03:30:00Z");
    world.drain(&node);
    let runs = world.runs("web");
    assert_eq!(runs[0].planned, "2026-03-02T02:00:00Z".parse().ok());
    assert_eq!(runs[0].cause, Cause::Schedule);
}

#[test]
fn disabled_jobs_begin_only_when_asked() {
    let web = JobSettings {
        is_enabled: false,
        ..job()
    };
    let world = World::new(settings(&[("web", web)]), &[("web01", "web")]);
    let node = world.node("a");
    world.live(&node, 2);
    assert!(world.runs("web").is_empty());
    let request = Request::Backup {
        job: "web".to_owned(),
        machines: Vec::new(),
        is_forced: false,
    };
    node.begin(&request, "anna").unwrap();
    world.drain(&node);
    let runs = world.runs("web");
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
    assert_eq!(runs[0].requested_by, "anna");
    let unknown = Request::Check {
        repository: "far".to_owned(),
    };
    let error = node.begin(&unknown, "anna").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn settings_are_replaced_while_tasks_run() {
    let world = World::new(settings(&[("web", job())]), &[("web01", "web")]);
    let node = world.node("a");
    world.go("2026-03-02T02:00:00Z");
    world
        .tick(&node)
        .into_iter()
        .for_each(|it| world.end(&node, it));
    let lease = world.tick(&node).remove(0);
    let before = node.settings();
    let moved = JobSettings {
        repository: "far".to_owned(),
        timing: Some(daily("daily 05:00")),
        ..job()
    };
    node.replace_settings(settings(&[("web", moved)]));
    // It began with the old settings, and its point is where they said.
    world.play.look().now = world.now();
    let end = world.play.look().perform(&lease.task);
    node.conclude(&before, &lease, end);
    assert_eq!(world.catalog.points_of("main").unwrap().len(), 1);
    assert!(world.catalog.points_of("far").unwrap().is_empty());
    world.drain(&node);
    world.play.look().settings = (*node.settings()).clone();
    world.go("2026-03-02T05:00:00Z");
    world.drain(&node);
    assert_eq!(world.runs("web").len(), 2);
    assert_eq!(world.catalog.points_of("far").unwrap().len(), 1);
}

#[test]
fn checks_read_each_part_whoever_begins_them() {
    let mut settings = settings(&[("web", job())]);
    let main = settings.repositories.get_mut("main").unwrap();
    main.check = Some(daily("daily 12:00"));
    main.check_data = Some("1/3".to_owned());
    let world = World::new(settings, &[]);
    let nodes = ["a", "b", "c"].map(|name| world.node(name));
    // One that fails leaves its part to the next.
    world.play.look().script("check", "main", vec![badly(); 3]);
    for _ in 0..5 * 48 {
        world.pass(1800);
        nodes.iter().for_each(|node| world.drain(node));
    }
    let parts: Vec<String> = world
        .tasks()
        .into_iter()
        .filter(|it| it.words[0] == "check")
        .map(|it| it.words.last().unwrap().clone())
        .collect();
    assert_eq!(parts, ["1/3", "1/3", "2/3", "3/3", "1/3"]);
}

#[test]
fn a_run_that_is_due_waits_for_the_open_one_of_its_job() {
    let web = JobSettings {
        timing: Some(daily("every 1h")),
        attempts: 4,
        retry_seconds: 3600,
        ..job()
    };
    let world = World::new(settings(&[("web", web)]), &[("web01", "web")]);
    let node = world.node("a");
    world
        .play
        .look()
        .script("backup", "web01", vec![badly(); 4]);
    let mut waited = 0;
    for _ in 0..48 {
        world.pass(1800);
        world.drain(&node);
        let runs = world.runs("web");
        let open = runs.iter().filter(|run| run.state == RunState::Open);
        assert!(open.count() <= 1, "{runs:?}");
        let overview = node.overview().unwrap();
        if let Some(run) = overview.jobs[0].waits_for {
            assert_eq!((run, overview.jobs[0].overdue), (runs[0].id, None));
            waited += 1;
        }
    }
    assert!(waited > 2, "{waited}");
    assert!(!world.alerts().iter().any(|it| it.starts_with("overdue")));
    let runs = world.runs("web");
    let (first, second) = (&runs[0], &runs[1]);
    assert!(first.ended.unwrap() <= second.created);
    let why = format!("schedule, after run {}, for ", first.id);
    assert!(second.requested_by.starts_with(&why), "{second:?}");
    assert!(
        runs[2..].iter().all(|run| run.requested_by == "schedule"),
        "{runs:?}"
    );
}

#[test]
fn every_run_to_come_is_in_one_part_and_every_day_is_counted() {
    let mut often = job();
    often.timing = Some(daily("every 5m"));
    often.timing.as_mut().unwrap().jitter = std::time::Duration::from_secs(900);
    let mut always = job();
    always.timing = Some(daily("cron * * * * * *"));
    let jobs = [("often", often), ("web", job())];
    let until = start() + SignedDuration::from_hours(35 * 24);
    let span = (start(), until);
    let fleet = settings(&jobs);
    let (mut runs, mut behind) = (Vec::new(), None);
    loop {
        let part = upcoming(&fleet, span, behind.as_ref(), 1_000);
        let is_last = part.len() < 1_000;
        behind = part
            .last()
            .map(|it| (it.begins, it.planned, it.job.clone()));
        runs.extend(part);
        if is_last {
            break;
        }
    }
    assert!(runs.is_sorted());
    assert_eq!(runs, upcoming(&fleet, span, None, 100_000));
    let count = |job: &str| runs.iter().filter(|run| run.job == job).count() as u64;
    assert!(count("often") > 34 * 288, "{}", count("often"));
    assert_eq!(count("web"), 35);

    let days = upcoming_days(&fleet, span, &TimeZone::UTC);
    let of = |job: &str| {
        days.iter()
            .filter(move |day| day.job == job)
            .collect::<Vec<_>>()
    };
    assert_eq!((of("web").len(), of("often").len()), (35, 35));
    assert_eq!(
        of("often").iter().map(|day| day.runs).sum::<u64>(),
        count("often")
    );
    let is_whole = |day: &&PlannedDay| !day.is_more && day.begins.len() <= 24;
    assert!(of("often").iter().all(is_whole));
    // What nobody would count goes on to the last day, too.
    let days = upcoming_days(&settings(&[("always", always)]), span, &TimeZone::UTC);
    assert!((35..=36).contains(&days.len()), "{}", days.len());
    assert!(
        days[..35]
            .iter()
            .all(|day| day.is_more && day.runs == 1_440)
    );
}
