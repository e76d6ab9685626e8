//! Two platforms may each have a machine of one name: nothing that is asked of, or done to, one of
//! them concerns the other.

use lifeboat_catalog::{Machine, MachineKey, Task, TaskFilter};
use lifeboat_model::ErrorKind;
use lifeboat_policy::{KeepCount, Retention};
use lifeboat_scheduler::{JobSettings, Node, PlatformSettings, Request};

use crate::play::after;
use crate::world::{World, daily, job, settings};

/// The machine `a` of `local` and of `far`, both in one repository, backed up at 02:00 and 03:00,
/// proved each Tuesday; one point is kept.
fn namesakes() -> World {
    let proved = || JobSettings {
        verify: Some(daily("weekly tue 12:00")),
        retention: Some(Retention {
            last: KeepCount::newest(1),
            ..Retention::default()
        }),
        ..job()
    };
    let far = JobSettings {
        platform: "far".to_owned(),
        timing: Some(daily("daily 03:00")),
        ..proved()
    };
    let mut settings = settings(&[("web", proved()), ("far-web", far)]);
    let platform = PlatformSettings::default();
    settings.platforms.insert("far".to_owned(), platform);
    let world = World::new(settings, &[("a", "web")]);
    world.play.look().show("far", &[("a", "far-web")]);
    world
}

fn verify(node: &Node, platform: Option<&str>) -> lifeboat_scheduler::Result<()> {
    let request = Request::Verify {
        machine: "a".to_owned(),
        platform: platform.map(str::to_owned),
    };
    node.begin(&request, "anna").map(drop)
}

/// The job of the point that a task reads.
fn job_read(world: &World, task: &Task) -> String {
    let snapshot = after(&task.words, "--snapshot").unwrap();
    let outside = world.play.look();
    let held = outside.held("main").iter().find(|it| it.id == snapshot);
    held.unwrap().job.clone()
}

#[test]
fn each_is_proved_and_its_proved_point_is_spared() {
    let world = namesakes();
    let node = world.node("n");
    world.live(&node, 6);
    let days = |job: &str| -> Vec<i8> {
        let outside = world.play.look();
        let own = outside.held("main").iter().filter(|it| it.job == job);
        own.map(|it| it.at.to_zoned(jiff::tz::TimeZone::UTC).day())
            .collect()
    };
    // Tuesday the 3rd was proved; the rules alone keep one.
    assert_eq!(days("web"), [3, 7]);
    assert_eq!(days("far-web"), [3, 7]);
    let overview = node.overview().unwrap();
    let names = overview.machines.iter().map(|it| it.distinct_name());
    assert_eq!(names.collect::<Vec<_>>(), ["far/a", "local/a"]);
    assert!(overview.machines.iter().all(|it| it.proved.is_some()));
}

#[test]
fn whoever_asks_for_one_by_its_name_alone_is_asked_which() {
    let world = namesakes();
    let node = world.node("n");
    world.live(&node, 1);
    let error = verify(&node, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().ends_with("far or local"), "{error}");
    for (platform, job) in [("local", "web"), ("far", "far-web")] {
        verify(&node, Some(platform)).unwrap();
        world.drain(&node);
        let task = world.tasks().pop().unwrap();
        assert_eq!(task.job, format!("verify {platform}/a"));
        assert_eq!(job_read(&world, &task), job);
        // Once more is of the same machine, too.
        node.retry(&task, "anna").unwrap();
        world.drain(&node);
        assert_eq!(job_read(&world, &world.tasks().pop().unwrap()), job);
        let filter = TaskFilter {
            subject: Some("a".to_owned()),
            count: 100,
            ..TaskFilter::default()
        };
        let tasks = node.tasks(&filter, Some(platform)).unwrap();
        assert_eq!(tasks.len(), 3, "a backup and two proofs");
        assert_eq!(tasks[2].job, job);
        let points = node.points_of("a", Some(platform), 9).unwrap();
        assert_eq!(points.len(), 1);
        assert_eq!(points[0].platform.as_deref(), Some(platform));
    }
    let error = verify(&node, Some("moon")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn one_that_came_back_under_its_name_is_told_once() {
    let world = World::new(settings(&[("web", job())]), &[]);
    let node = world.node("n");
    let machine = |id: &str, name: &str| Machine {
        key: MachineKey {
            platform: "local".to_owned(),
            id: id.to_owned(),
        },
        name: name.to_owned(),
        state: "running".to_owned(),
        bytes: 1,
        jobs: vec!["web".to_owned()],
        seen: world.now(),
        gone: None,
    };
    for machines in [
        vec![machine("1", "a"), machine("2", "b")],
        vec![machine("3", "a")],
        vec![machine("4", "a")],
    ] {
        world.pass(60);
        world.catalog.set_machines("local", &machines).unwrap();
    }
    let overview = node.overview().unwrap();
    let seen = overview.machines.iter();
    let seen: Vec<_> = seen.map(|it| (&*it.id, &*it.state)).collect();
    assert_eq!(seen, [("4", "running"), ("2", "gone")]);
    assert!(!overview.machines[0].has_namesake);
}
