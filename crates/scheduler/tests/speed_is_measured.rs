//! How long questions take that pages and the loop ask again and again. Nothing here is a limit.

use std::time::Instant;

use jiff::SignedDuration;
use lifeboat_catalog::{Machine, MachineKey, Point, PointKey};
use lifeboat_scheduler::{Settings, upcoming};
use lifeboat_testkit::{Effort, figure};

use crate::world::{World, daily, job, settings, start};

fn crowd(jobs: u32) -> Settings {
    let mut settings = settings(&[("web", job())]);
    let words = [
        "daily",
        "weekdays",
        "weekly sun",
        "monthly last fri",
        "biweekly sat",
    ];
    for number in 0..jobs {
        let mut one = job();
        let word = words[number as usize % words.len()];
        let (hour, minute) = (number % 24, number / 24 % 60);
        one.timing = Some(daily(&format!("{word} {hour:02}:{minute:02}")));
        settings.jobs.insert(format!("job{number:05}"), one);
    }
    settings
}

fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    let text = format!("{:.3} s", began.elapsed().as_secs_f64());
    figure("control plane", what, text);
    result
}

#[test]
fn the_next_runs_of_ten_thousand_jobs_are_known() {
    let jobs = Effort::current().pick(2_000, 10_000);
    let world = World::new(crowd(jobs), &[]);
    let node = measured(&format!("first look at {jobs} jobs"), || world.node("n"));
    assert!(node.next_due().is_some());
    measured(&format!("second look at {jobs} jobs"), || world.tick(&node));
    world.pass(60);
    let all = measured(&format!("first runs of {jobs} jobs in a day"), || {
        upcoming(
            &node.settings(),
            (start(), start() + SignedDuration::from_hours(24)),
            None,
            100_000,
        )
    });
    assert!(all.len() > jobs as usize / 5);
    let shown = measured(&format!("overview of {jobs} jobs"), || {
        node.overview().unwrap()
    });
    assert_eq!(shown.jobs.len(), jobs as usize + 1);
}

#[test]
fn an_overview_of_a_thousand_machines_is_shown() {
    let machines = Effort::current().pick(200, 1_000);
    let world = World::new(settings(&[("web", job())]), &[]);
    let node = world.node("n");
    let all: Vec<Machine> = (0..machines)
        .map(|number| Machine {
            key: MachineKey {
                platform: "local".to_owned(),
                id: number.to_string(),
            },
            name: format!("m{number:04}"),
            state: "running".to_owned(),
            bytes: 1 << 30,
            jobs: vec!["web".to_owned()],
            seen: start(),
            gone: None,
        })
        .collect();
    world.catalog.set_machines("local", &all).unwrap();
    let point = |number: usize, day: i64| Point {
        key: PointKey {
            repository: "main".to_owned(),
            snapshot: format!("{number:032x}{day:032x}"),
        },
        machine: format!("m{number:04}"),
        platform: None,
        job: Some("web".to_owned()),
        at: start() - SignedDuration::from_hours(24 * day),
        bytes: 1 << 30,
        bytes_read: 1 << 20,
        bytes_stored: 1 << 19,
        seconds: 60.0,
        consistency: None,
        is_full: false,
        tags: Vec::new(),
        pinned_until: None,
        verified: None,
    };
    let points: Vec<Point> = (0..machines)
        .flat_map(|number| (0..10).map(move |day| point(number, day)))
        .collect();
    world.catalog.set_points("main", &points).unwrap();
    let what = format!("overview of {machines} machines, {} points", points.len());
    let shown = measured(&what, || node.overview().unwrap());
    assert_eq!(shown.machines.len(), machines);
    assert!(shown.machines.iter().all(|it| it.points == 10));
}
