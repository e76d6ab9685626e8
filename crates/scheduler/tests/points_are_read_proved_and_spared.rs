//! Which backups read everything, which points are read back, and which are never removed.

use std::time::Duration;

use lifeboat_catalog::{Point, ProofKind, TaskEnd, TaskState};
use lifeboat_config::Objectives;
use lifeboat_policy::{FullRule, KeepCount, Retention};
use lifeboat_scheduler::{JobSettings, Request, RestoreRequest};
use serde_json::json;

use crate::world::{World, daily, job, settings};

/// Of each day's backup whether it read everything, over a number of days.
fn full_reads(full: FullRule, keep: u32, days: u64) -> Vec<bool> {
    let web = JobSettings {
        full,
        copies_to: vec!["far".to_owned()],
        retention: Some(Retention {
            last: KeepCount::newest(keep),
            ..Retention::default()
        }),
        ..job()
    };
    let world = World::new(settings(&[("web", web)]), &[("web01", "web")]);
    let node = world.node("n");
    world.live(&node, days);
    let done = &world.play.look().done;
    let backups = done.iter().filter(|words| words[1] == "backup");
    backups
        .map(|words| words.contains(&"--force".to_owned()))
        .collect()
}

#[test]
fn everything_is_read_once_and_changes_from_then_on() {
    let reads = full_reads(FullRule::default(), 9, 4);
    assert_eq!(reads, [true, false, false, false]);
}

#[test]
fn everything_is_read_after_so_many_increments_also_when_few_points_are_kept() {
    let rule = FullRule {
        increments_max: Some(3),
        ..FullRule::default()
    };
    for keep in [1, 2, 30] {
        let reads = full_reads(rule.clone(), keep, 9);
        let wanted = [true, false, false, false, true, false, false, false, true];
        assert_eq!(reads, wanted, "{keep} kept");
    }
}

#[test]
fn everything_is_read_after_so_many_days_and_on_weekdays() {
    let days = FullRule {
        days_max: Some(3),
        ..FullRule::default()
    };
    let reads = full_reads(days, 2, 7);
    assert_eq!(reads, [true, false, false, true, false, false, true]);
    // Monday is the first day; Thursday is bit 3.
    let weekdays = FullRule {
        weekdays: 1 << 3,
        ..FullRule::default()
    };
    let reads = full_reads(weekdays, 2, 7);
    assert_eq!(reads, [true, false, false, true, false, false, false]);
    let always = FullRule {
        is_incremental: false,
        ..FullRule::default()
    };
    assert_eq!(full_reads(always, 2, 3), [true; 3]);
}

#[test]
fn what_a_backup_told_of_its_point_stays_when_the_repository_is_listed() {
    let world = World::new(settings(&[("web", job())]), &[("web01", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    let point = world.catalog.points_of("main").unwrap().remove(0);
    assert!(point.is_full);
    assert_eq!(point.bytes_read, 1 << 20);
    assert_eq!(point.consistency.as_deref(), Some("filesystem"));
    assert_eq!(point.job.as_deref(), Some("web"));
}

#[test]
fn an_age_alone_removes_what_is_older() {
    let mut web = job();
    web.guard.age_max = Some(Duration::from_secs(3 * 86_400));
    let world = World::new(settings(&[("web", web)]), &[("web01", "web")]);
    let node = world.node("n");
    world.live(&node, 8);
    let points = world.catalog.points_of("main").unwrap();
    let oldest = points.iter().map(|point| point.at).min().unwrap();
    assert_eq!(points.len(), 4);
    assert_eq!(oldest, "2026-03-06T02:00:00Z".parse().unwrap());
}

/// A job that is backed up each day at 02:00, and proved each Tuesday at 12:00.
fn proved(keep: u32) -> World {
    let web = JobSettings {
        verify: Some(daily("weekly tue 12:00")),
        retention: Some(Retention {
            last: KeepCount::newest(keep),
            ..Retention::default()
        }),
        ..job()
    };
    World::new(settings(&[("web", web)]), &[("a", "web"), ("b", "web")])
}

#[test]
fn verify_reads_the_newest_points_that_were_not_read_yet() {
    let world = proved(9);
    let node = world.node("n");
    world.live(&node, 2);
    let points = world.catalog.points_of("main").unwrap();
    let read: Vec<(&str, i8)> = points
        .iter()
        .filter(|it| it.verified.is_some())
        .map(|it| {
            (
                it.machine.as_str(),
                it.at.to_zoned(jiff::tz::TimeZone::UTC).day(),
            )
        })
        .collect();
    let mut read = read;
    read.sort_unstable();
    assert_eq!(read, [("a", 3), ("b", 3)]);
    assert_eq!(world.runs("verify web").len(), 1);
    // Nothing new: nothing is read again.
    let mut paused = (*node.settings()).clone();
    paused.jobs.get_mut("web").unwrap().timing = None;
    node.replace_settings(paused);
    world.live(&node, 7);
    assert_eq!(world.runs("verify web").len(), 2);
    let proofs = world.catalog.proofs(None, 100).unwrap();
    assert_eq!(proofs.len(), 2);
}

#[test]
fn the_newest_proved_point_of_each_machine_is_never_removed() {
    let world = proved(2);
    let node = world.node("n");
    world.live(&node, 7);
    let days = |machine: &str| -> Vec<i8> {
        let outside = world.play.look();
        let own = outside
            .held("main")
            .iter()
            .filter(|it| it.machine == machine);
        own.map(|it| it.at.to_zoned(jiff::tz::TimeZone::UTC).day())
            .collect()
    };
    // Tuesday the 3rd was proved; the rules alone keep two.
    assert_eq!(days("a"), [3, 7, 8]);
    assert_eq!(days("b"), [3, 7, 8]);
    world.live(&node, 4);
    assert_eq!(days("a"), [10, 11, 12]);
}

#[test]
fn a_point_that_is_proved_while_a_run_goes_on_is_spared_by_it() {
    let world = proved(1);
    let node = world.node("n");
    world.live(&node, 1);
    world.go("2026-03-03T02:00:00Z");
    world
        .tick(&node)
        .into_iter()
        .for_each(|it| world.end(&node, it));
    let backups = world.tick(&node);
    // While machines are backed up, somebody proves the older point of one.
    let request = Request::Verify {
        machine: "a".to_owned(),
        platform: None,
    };
    node.begin(&request, "anna").unwrap();
    let verify = world.tick(&node);
    let older = world.catalog.points(Some("a"), 9).unwrap().remove(0);
    verify.into_iter().for_each(|it| world.end(&node, it));
    backups.into_iter().for_each(|it| world.end(&node, it));
    world.drain(&node);
    let outside = world.play.look();
    let kept = |machine: &str| {
        outside
            .held("main")
            .iter()
            .filter(|it| it.machine == machine)
            .count()
    };
    assert!(
        outside
            .held("main")
            .iter()
            .any(|it| it.id == older.key.snapshot)
    );
    assert_eq!((kept("a"), kept("b")), (2, 1));
}

#[test]
fn a_restore_proves_its_point_and_measures_the_time() {
    let mut web = job();
    web.objectives = Objectives {
        recovery_time: Some(Duration::from_secs(600)),
        ..Objectives::default()
    };
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    let point = world.catalog.points_of("main").unwrap().remove(0);
    let request = Request::Restore(RestoreRequest {
        repository: "main".to_owned(),
        snapshot: point.key.snapshot[..12].to_owned(),
        platform: "local".to_owned(),
        name: Some("b".to_owned()),
        to: Some("pool:ssd".to_owned()),
        ..RestoreRequest::default()
    });
    node.begin(&request, "anna").unwrap();
    let lease = world.tick(&node).remove(0);
    // As `machine recover` takes it.
    let place = format!("a@{}", point.key.snapshot);
    let words = ["--as=b", "--to=pool:ssd", "--", &place];
    assert!(lease.task.words.ends_with(&words.map(str::to_owned)));
    world.pass(50);
    world.end(&node, lease);
    let proof = world.catalog.proofs(Some("a"), 9).unwrap().remove(0);
    assert_eq!((proof.kind, proof.seconds), (ProofKind::Restore, 50.0));
    assert_eq!(proof.point, point.key);
    let overview = node.overview().unwrap();
    assert_eq!(overview.machines[0].objectives[0].measured, Some(50));
    assert_eq!(world.tasks().last().unwrap().state, TaskState::Succeeded);
}

#[test]
fn what_a_list_does_not_say_of_a_point_is_its_originals_or_not_known() {
    let web = JobSettings {
        copies_to: vec!["far".to_owned()],
        ..job()
    };
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    let full = Request::Backup {
        job: "web".to_owned(),
        machines: Vec::new(),
        is_forced: true,
    };
    node.begin(&full, "anna").unwrap();
    world.drain(&node);
    let first = world.catalog.points_of("main").unwrap().remove(0);
    assert!(first.is_full);
    let listed = json!([[
        {"id": "c".repeat(64), "time": first.at, "machine": "a", "original": first.key.snapshot},
        {"id": "d".repeat(64), "time": first.at, "machine": "a", "original": "e".repeat(64),
         "summary": {"total_bytes_processed": 7, "backup_start": "2026-03-02T02:00:00Z",
                     "backup_end": "2026-03-02T02:01:30Z"}}
    ]]);
    let mut outside = world.play.look();
    outside.script("look", "far", vec![TaskEnd::Succeeded(listed)]);
    // A platform that does not know how large its disks are.
    let found = json!([{"id": "id-a", "name": "a", "state": "running", "jobs": ["web"],
                        "disks": [{}]}]);
    outside.script("resolve", "local", vec![TaskEnd::Succeeded(found)]);
    drop(outside);
    let look = Request::Look {
        repository: "far".to_owned(),
    };
    node.begin(&look, "anna").unwrap();
    world.drain(&node);
    let mut far = world.catalog.points_of("far").unwrap();
    far.sort_by(|a, b| a.key.snapshot.cmp(&b.key.snapshot));
    let made = |point: &Point| {
        let consistency = point.consistency.clone();
        (point.is_full, point.bytes_read, point.seconds, consistency)
    };
    assert_eq!(made(&far[0]), made(&first));
    assert_eq!((far[1].tells_how(), far[1].seconds), (false, 90.0));
    world.live(&node, 1);
    assert_eq!(node.overview().unwrap().machines[0].bytes, first.bytes);
}
