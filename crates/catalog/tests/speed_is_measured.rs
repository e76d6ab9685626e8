//! How long it takes; printed, for people.

use std::time::{Duration, Instant};

use lifeboat_catalog::{
    Catalog, Machine, MachineKey, Point, PointKey, Progress, RunState, TaskEnd,
};
use lifeboat_testkit::Effort;

use crate::beds::{Bed, leased, run, task};

fn measured<T>(bed: &Bed, what: &str, act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = act();
    let database = bed.words();
    let database = database.split(':').next().unwrap_or_default();
    println!("{database}: {what}: {:?}", began.elapsed());
    result
}

/// All that a node does for `count` tasks of one run.
fn carry_out(catalog: &Catalog, count: usize) {
    let mut left = count;
    let progress = Progress::default();
    while left > 0 {
        let leases = leased(catalog, "n", 50);
        left -= leases.len();
        for lease in &leases {
            catalog.report(lease, &progress).unwrap();
            let end = TaskEnd::Succeeded(serde_json::Value::Null);
            catalog.end_task(lease, &end).unwrap();
        }
    }
}

fn point(machine: usize, number: usize, bed: &Bed) -> Point {
    Point {
        key: PointKey {
            repository: "main".into(),
            snapshot: format!("{machine:032x}{number:032x}"),
        },
        machine: format!("web{machine}"),
        platform: Some("local".into()),
        job: Some("web".into()),
        at: bed.now() + Duration::from_secs(3600 * number as u64),
        bytes: 1 << 36,
        bytes_read: 1 << 30,
        bytes_stored: 1 << 28,
        seconds: 63.5,
        consistency: Some("crash".into()),
        is_full: false,
        tags: vec!["daily".into()],
        pinned_until: None,
        verified: None,
    }
}

fn machine(number: usize, bed: &Bed) -> Machine {
    Machine {
        key: MachineKey {
            platform: "local".into(),
            id: number.to_string(),
        },
        name: format!("web{number}"),
        state: "running".into(),
        bytes: 1 << 36,
        jobs: vec!["web".into()],
        seen: bed.now(),
        gone: None,
    }
}

#[test]
fn the_speed_of_queues_and_overviews() {
    let effort = Effort::current();
    let tasks = effort.pick(200, 10_000);
    let (machines, each) = (effort.pick(100, 1_000), 100 / effort.pick(10, 1));
    let measure = |bed: &Bed| {
        let catalog = bed.open();
        let list = (0..tasks).map(|number| task(&number.to_string(), number as u32 % 2));
        let new = run("web", None, list.collect());
        let id = measured(bed, &format!("begin a run of {tasks} tasks"), || {
            catalog.begin_run(&new).unwrap().unwrap()
        });
        let what = format!("lease, report and end {tasks} tasks");
        measured(bed, &what, || carry_out(&catalog, tasks));
        assert_eq!(catalog.run(id).unwrap().state, RunState::Succeeded);
        let points = (0..machines).flat_map(|it| (0..each).map(move |number| (it, number)));
        let points: Vec<_> = points.map(|(it, number)| point(it, number, bed)).collect();
        let what = format!("write {} points", points.len());
        measured(bed, &what, || catalog.set_points("main", &points).unwrap());
        let all: Vec<_> = (0..machines).map(|number| machine(number, bed)).collect();
        measured(bed, "write machines", || {
            catalog.set_machines("local", &all).unwrap();
        });
        let newest = measured(bed, "newest_points", || catalog.newest_points().unwrap());
        let counts = measured(bed, "point_counts", || catalog.point_counts().unwrap());
        let seen = measured(bed, "machines", || catalog.machines().unwrap());
        assert_eq!(
            (newest.len(), counts.len(), seen.len()),
            (machines, machines, machines)
        );
        measured(bed, "points of one machine", || {
            assert_eq!(catalog.points(Some("web7"), 1_000).unwrap().len(), each);
        });
        measured(bed, "newest 100 points", || {
            catalog.points(None, 100).unwrap()
        });
    };
    measure(&match effort {
        Effort::Sample => Bed::sqlite(),
        Effort::Long => Bed::on_disk(),
    });
    if let Some(bed) = Bed::postgres() {
        measure(&bed);
    }
}
