//! What is promised and not kept is an alert, for as long as it is so.

use std::time::Duration;

use lifeboat_catalog::{Alert, AlertSeverity, TaskEnd};
use lifeboat_config::Objectives;
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{
    Advice, JobSettings, MachineClass, MachineStatus, ObjectiveState, ObjectiveStatus, Remedy,
    advise,
};

use crate::world::{World, daily, job, settings};

const DAY: u64 = 86_400;

fn badly(kind: ErrorKind) -> TaskEnd {
    TaskEnd::Failed(kind, "pack 00aa is damaged".to_owned())
}

fn promising(objectives: Objectives) -> JobSettings {
    JobSettings {
        objectives,
        ..job()
    }
}

fn hours(hours: u64) -> Option<Duration> {
    Some(Duration::from_secs(hours * 3600))
}

fn holds(world: &World, subject: &str) -> bool {
    world.alerts().iter().any(|it| it == subject)
}

#[test]
fn the_age_of_the_newest_point_is_promised() {
    let web = promising(Objectives {
        recovery_point: hours(26),
        ..Objectives::default()
    });
    let world = World::new(settings(&[("web", web)]), &[("a", "web"), ("b", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
    world
        .play
        .look()
        .script("backup", "b", vec![badly(ErrorKind::Io); 6]);
    world.live(&node, 2);
    assert_eq!(
        world.alerts(),
        ["failure local/id-b", "rpo local/id-b"].map(|it| { it.replace("id-", "") })
    );
    let since = world.catalog.open_alerts().unwrap()[0].since;
    let text = world.catalog.open_alerts().unwrap()[0].text.clone();
    world.pass(3600);
    world.drain(&node);
    let alert = world.catalog.open_alerts().unwrap().remove(0);
    assert_eq!(
        (alert.since, alert.text),
        (since, text),
        "it says the same while it holds"
    );
    let alert = alert_of(&world, "rpo local/b");
    let told = advise(&world.catalog, &node.settings(), &alert).unwrap();
    // The alert itself says why, and it is not said twice.
    assert!(alert.text.contains("pack 00aa is damaged"), "{alert:?}");
    assert_eq!(told.why, None);
    let commands: Vec<&str> = told.remedies.iter().map(|it| it.command.as_str()).collect();
    assert_eq!(commands[..2], ["lifeboat doctor", "lifeboat run web -m b"]);
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

fn alert_of(world: &World, subject: &str) -> Alert {
    let mut alerts = world.catalog.open_alerts().unwrap();
    alerts.retain(|it| it.subject == subject);
    alerts.remove(0)
}

/// What is advised to a job whose platform failed in some way while it waits for its next attempt.
fn advised(kind: ErrorKind) -> Advice {
    let web = promising(Objectives {
        recovery_point: hours(26),
        ..Objectives::default()
    });
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world
        .play
        .look()
        .script("backup", "a", vec![badly(kind); 60]);
    world.live(&node, 2);
    advise(
        &world.catalog,
        &node.settings(),
        &alert_of(&world, "rpo local/a"),
    )
    .unwrap()
}

#[test]
fn what_is_advised_fits_the_sort_of_failure() {
    let full = advised(ErrorKind::Full);
    let task = full.task.unwrap();
    assert_eq!(task.message.as_deref(), Some("pack 00aa is damaged"));
    let check = |advice: &[Remedy], expected: &[&str]| {
        let commands: Vec<&str> = advice.iter().map(|it| it.command.as_str()).collect();
        assert_eq!(commands[..commands.len() - 1], *expected);
        assert!(commands[commands.len() - 1].starts_with("lifeboat alert acknowledge "));
    };
    let again = "lifeboat run web -m a";
    let space = [
        "lifeboat stats -r @main",
        "lifeboat prune --dry-run -r @main",
        again,
    ];
    check(&full.remedies, &space);
    // Only repeated, it would fail once more.
    check(
        &advised(ErrorKind::NotFound).remedies,
        &["lifeboat doctor", again],
    );
    let damage = ["lifeboat check -r @main", "lifeboat repair --help"];
    check(&advised(ErrorKind::Corrupt).remedies, &damage);
}

#[test]
fn machines_of_two_platforms_with_one_name_have_points_of_their_own() {
    let promised = Objectives {
        recovery_point: hours(26),
        ..Objectives::default()
    };
    let far = JobSettings {
        platform: "far".to_owned(),
        ..promising(promised)
    };
    let jobs = [("web", promising(promised)), ("far-web", far)];
    let mut settings = settings(&jobs);
    let platform = lifeboat_scheduler::PlatformSettings::default();
    settings.platforms.insert("far".to_owned(), platform);
    let world = World::new(settings, &[("a", "web")]);
    world.play.look().show("far", &[("a", "far-web")]);
    let node = world.node("n");
    world.live(&node, 1);
    let points = |node: &lifeboat_scheduler::Node| {
        let overview = node.overview().unwrap();
        let of = |it: &lifeboat_scheduler::MachineStatus| (it.platform.clone(), it.points);
        overview.machines.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(
        points(&node),
        [("far".to_owned(), 1), ("local".to_owned(), 1)]
    );
    // One goes on, the other is not backed up any more.
    let mut paused = (*node.settings()).clone();
    if let Some(job) = paused.jobs.get_mut("far-web") {
        job.timing = None;
    }
    node.replace_settings(paused);
    world.live(&node, 2);
    assert_eq!(
        points(&node),
        [("far".to_owned(), 1), ("local".to_owned(), 3)]
    );
    assert!(holds(&world, "rpo far/a"));
    assert!(!holds(&world, "rpo local/a"));
}

#[test]
fn a_machine_that_never_got_a_point_is_missed_too() {
    let web = promising(Objectives {
        recovery_point: hours(26),
        proof: hours(30 * 24),
        copies: Some(1),
        ..Objectives::default()
    });
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world
        .play
        .look()
        .script("backup", "a", vec![badly(ErrorKind::Io); 99]);
    world.live(&node, 1);
    let overview = node.overview().unwrap();
    let machine = &overview.machines[0];
    assert_eq!(machine.class(), MachineClass::NoPoint);
    assert_eq!(
        (overview.counts().no_point, overview.counts().all()),
        (1, 1)
    );
    let judged = |machine: &MachineStatus| {
        let one = |it: &ObjectiveStatus| (it.kind.as_str(), it.state, it.measured);
        machine.objectives.iter().map(one).collect::<Vec<_>>()
    };
    let (missed, unknown) = (ObjectiveState::Missed, ObjectiveState::Unknown);
    let soon = ObjectiveState::AtRisk;
    let nothing_yet = [
        ("rpo", soon, None),
        ("copies", soon, Some(0)),
        ("proof", unknown, None),
    ];
    assert_eq!(judged(machine), nothing_yet, "what is not there is not met");
    assert!(
        machine
            .objectives
            .iter()
            .all(|it| it.until > Some(world.now()))
    );
    world.live(&node, 1);
    assert!(holds(&world, "rpo local/a") && holds(&world, "copies local/a"));
    let machine = &node.overview().unwrap().machines[0];
    let nothing = [
        ("rpo", missed, None),
        ("copies", missed, Some(0)),
        ("proof", unknown, None),
    ];
    assert_eq!(judged(machine), nothing);
    assert_eq!(machine.class(), MachineClass::NoPoint);
    world.live(&node, 29);
    assert!(holds(&world, "proof local/a"));
}

#[test]
fn copies_are_promised_and_one_that_is_being_made_is_not_missed() {
    let web = JobSettings {
        copies_to: vec!["far".to_owned()],
        ..promising(Objectives {
            recovery_point: hours(26),
            copies: Some(2),
            ..Objectives::default()
        })
    };
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    // The backup of the second day is there, its copy is not.
    world.go("2026-03-03T02:00:00Z");
    for _ in 0..2 {
        world
            .tick(&node)
            .into_iter()
            .for_each(|it| world.end(&node, it));
    }
    world.pass(40);
    let copy = world.tick(&node);
    assert!(world.alerts().is_empty());
    copy.into_iter().for_each(|it| world.end(&node, it));
    world.drain(&node);
    world.play.look().full.insert("far".to_owned());
    world.live(&node, 3);
    assert!(holds(&world, "copies local/a"));
    assert!(holds(&world, "failure web copy far"));
    world.play.look().full.clear();
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

#[test]
fn proofs_and_times_of_recovery_are_promised() {
    let web = JobSettings {
        verify: Some(daily("monthly 10 12:00")),
        ..promising(Objectives {
            proof: hours(9 * 24),
            ..Objectives::default()
        })
    };
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world.live(&node, 8);
    assert!(world.alerts().is_empty());
    let states = node.overview().unwrap();
    assert_eq!(states.machines[0].worst, ObjectiveState::AtRisk);
    world.live(&node, 9);
    assert!(world.alerts().is_empty());
    world.live(&node, 9);
    assert!(holds(&world, "proof local/a"));
}

#[test]
fn machines_in_no_job_are_told_unless_they_are_excused_or_gone() {
    let mut settings = settings(&[("web", job())]);
    let local = settings.platforms.get_mut("local").unwrap();
    local.unprotected_ok = vec!["test-*".to_owned()];
    let machines = [("a", "web"), ("b", ""), ("test-1", "")];
    let world = World::new(settings, &machines);
    let node = world.node("n");
    world.live(&node, 1);
    assert_eq!(world.alerts(), ["unprotected local/b"]);
    world.play.look().show("local", &machines[..1]);
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

#[test]
fn the_failure_of_a_machine_that_is_gone_is_over() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web"), ("b", "web")]);
    let node = world.node("n");
    world
        .play
        .look()
        .script("backup", "b", vec![badly(ErrorKind::Io); 3]);
    world.live(&node, 1);
    assert_eq!(world.alerts(), ["failure local/b"]);
    world.play.look().show("local", &[("a", "web")]);
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

#[test]
fn a_platform_that_does_not_answer_is_told() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let node = world.node("n");
    world.play.look().platforms.clear();
    world.live(&node, 1);
    assert_eq!(world.alerts(), ["failure web resolve local"]);
    world.play.look().show("local", &[("a", "web")]);
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

#[test]
fn a_repository_that_nobody_finds_is_told_after_the_first_attempt() {
    let web = JobSettings {
        retry_seconds: 600,
        ..promising(Objectives {
            recovery_point: hours(26),
            ..Objectives::default()
        })
    };
    let world = World::new(settings(&[("web", web)]), &[("a", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    let lost = "there is no repository at /mnt/vault: is it mounted?";
    let gone = TaskEnd::Failed(ErrorKind::Unreachable, lost.to_owned());
    let mut outside = world.play.look();
    outside.script("backup", "a", vec![gone; 3]);
    drop(outside);
    world.go("2026-03-03T02:00:01Z");
    world.drain(&node);
    world.pass(31);
    world.drain(&node);
    assert_eq!(world.alerts(), ["unreachable main"]);
    let alert = world.catalog.open_alerts().unwrap().remove(0);
    let text = format!("repository main cannot be reached: {lost}");
    assert_eq!(
        (alert.severity, alert.text),
        (AlertSeverity::Critical, text)
    );
    // The look behind the last attempt finds it again.
    for _ in 0..12 {
        world.pass(1800);
        world.drain(&node);
    }
    assert_eq!(world.alerts(), ["failure local/a", "rpo local/a"]);
    let open = world.catalog.open_alerts().unwrap();
    assert!(open.iter().all(|it| it.severity == AlertSeverity::Critical));
    let rpo = open.iter().find(|it| it.condition == "rpo").unwrap();
    assert!(
        rpo.text.ends_with(&format!("; backup a failed: {lost}")),
        "{rpo:?}"
    );
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

#[test]
fn damage_and_size_of_repositories_are_told() {
    let mut settings = settings(&[("web", job())]);
    let main = settings.repositories.get_mut("main").unwrap();
    main.check = Some(daily("daily 12:00"));
    main.size_max = Some(1_000);
    let world = World::new(settings, &[("a", "web")]);
    let node = world.node("n");
    let damaged = vec![badly(ErrorKind::Corrupt); 3];
    world.play.look().script("check", "main", damaged);
    world.play.look().bytes = 1_001;
    world.live(&node, 1);
    assert!(holds(&world, "check main") && holds(&world, "size main"));
    world.play.look().bytes = 1_000;
    world.live(&node, 1);
    assert!(world.alerts().is_empty());
}

#[test]
fn a_silent_node_is_told_until_it_speaks_or_is_given_up() {
    let world = World::new(settings(&[]), &[]);
    let (a, b) = (world.node("a"), world.node("b"));
    for _ in 0..20 {
        world.pass(60);
        world.drain(&a);
        world.drain(&b);
    }
    assert!(world.alerts().is_empty());
    for _ in 0..10 {
        world.pass(60);
        world.drain(&b);
    }
    assert_eq!(world.alerts(), ["node a"]);
    world.drain(&a);
    world.pass(60);
    world.drain(&b);
    assert!(world.alerts().is_empty());
    world.live(&b, 7);
    assert_eq!(world.alerts(), ["node a"]);
    world.live(&b, 2);
    assert!(world.alerts().is_empty());
    assert_eq!(world.catalog.nodes().unwrap().len(), 1);
}

#[test]
fn an_overview_is_the_same_value_until_something_happens() {
    let world = World::new(settings(&[("web", job())]), &[("a", "web")]);
    let node = world.node("n");
    world.live(&node, 1);
    let first = node.overview().unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &node.overview().unwrap()));
    world.pass(9);
    assert!(std::sync::Arc::ptr_eq(&first, &node.overview().unwrap()));
    world.pass(2);
    assert!(!std::sync::Arc::ptr_eq(&first, &node.overview().unwrap()));
    let second = node.overview().unwrap();
    world
        .catalog
        .remove_point(&second.machines[0].newest.as_ref().unwrap().key)
        .unwrap();
    world.go("2026-03-03T02:00:00Z");
    world.drain(&node);
    let third = node.overview().unwrap();
    assert_eq!(third.machines[0].points, 2);
    assert!(third.jobs[0].last.as_ref().unwrap().id > second.jobs[0].last.as_ref().unwrap().id);
    let age = world
        .now()
        .duration_since(third.machines[0].newest.as_ref().unwrap().at);
    assert!(age.as_secs().unsigned_abs() < DAY);
}
