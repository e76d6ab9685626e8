//! What is written is read as it was, whatever the texts are.

use std::time::Duration;

use jiff::Timestamp;
use lifeboat_catalog::{
    Alert, AlertSeverity, Catalog, LogLevel, Machine, MachineKey, Node, Point, PointFilter,
    PointKey, Progress, Proof, ProofKind, RepositorySize, Role, Session, TaskFilter, Token, User,
};
use lifeboat_model::ErrorKind;

use crate::beds::{Bed, leased, on_both, run, task};

/// Texts that somebody may give on purpose.
fn hostile() -> Vec<String> {
    let texts = [
        "'; DROP TABLE runs; --",
        "$1 ?1 %s \\ \" ' {}",
        "a\u{0}b",
        "\u{1f6df} \u{202e}\u{feff} e\u{301} \u{e000}",
        "line\nline\r\t\u{7f}\u{1b}[31m",
    ];
    let mut texts: Vec<_> = texts.map(str::to_owned).to_vec();
    texts.push("\u{1f6df}".repeat(20_000));
    texts
}

fn point(machine: &str, repository: &str, snapshot: &str, at: Timestamp) -> Point {
    Point {
        key: PointKey {
            repository: repository.into(),
            snapshot: snapshot.into(),
        },
        machine: machine.into(),
        platform: None,
        job: None,
        at,
        bytes: u64::MAX,
        bytes_read: 1,
        bytes_stored: 2,
        seconds: 1.25,
        consistency: Some("crash".into()),
        is_full: true,
        tags: vec!["daily".into()],
        pinned_until: None,
        verified: None,
    }
}

fn proof(point: &Point, at: Timestamp, is_ok: bool) -> Proof {
    Proof {
        point: point.key.clone(),
        machine: point.machine.clone(),
        kind: ProofKind::Verify,
        at,
        is_ok,
        seconds: 3.5,
        bytes: 7,
        message: "read".into(),
    }
}

#[test]
fn points_keep_what_only_the_catalog_knows() {
    on_both(|bed| {
        let catalog = bed.open();
        let now = bed.now();
        let known = Point {
            job: Some("web".into()),
            platform: Some("local".into()),
            ..point("web01", "main", "aa", now)
        };
        catalog.add_point(&known).unwrap();
        catalog.add_proof(&proof(&known, now, true)).unwrap();
        // An older proof that comes late does not hide the newer one.
        let earlier = now - Duration::from_secs(60);
        catalog.add_proof(&proof(&known, earlier, false)).unwrap();
        let listed = Point {
            tags: vec!["weekly".into()],
            ..point("web01", "main", "aa", now)
        };
        let other = point("web01", "main", "bb", now);
        catalog
            .add_point(&point("web01", "far", "aa", now))
            .unwrap();
        catalog
            .set_points("main", &[listed, other.clone()])
            .unwrap();
        let points = catalog.points(Some("web01"), 9).unwrap();
        assert_eq!(points.len(), 3);
        let right = Point {
            tags: vec!["weekly".into()],
            verified: Some((now, true)),
            ..known
        };
        assert!(points.contains(&right), "{points:?}");
        assert_eq!(catalog.proofs(Some("web01"), 9).unwrap().len(), 2);
        assert_eq!(catalog.proofs(None, 1).unwrap()[0].at, now);
        let listed = std::slice::from_ref(&other);
        catalog.set_points("main", listed).unwrap();
        assert_eq!(catalog.points(None, 9).unwrap().len(), 2);
        catalog.remove_point(&other.key).unwrap();
        assert_eq!(catalog.points(None, 9).unwrap()[0].key.repository, "far");
    });
}

#[test]
fn an_old_listing_drops_nothing_newer() {
    on_both(|bed| {
        let catalog = bed.open();
        let (now, a) = (bed.now(), point("web01", "main", "aa", bed.now()));
        catalog.add_point(&a).unwrap();
        let subjects = ["first", "second"].map(|subject| task(subject, 0));
        catalog
            .begin_run(&run("web", None, subjects.to_vec()))
            .unwrap();
        let first = leased(&catalog, "n", 1).remove(0);
        // Recorded while the first listing is read.
        let b = point("web01", "main", "bb", now);
        catalog.add_point(&b).unwrap();
        let second = leased(&catalog, "n", 1).remove(0);
        let held = || {
            let points = catalog.points_of("main").unwrap();
            let ids = points.into_iter().map(|point| point.key.snapshot);
            ids.collect::<Vec<_>>().join(" ")
        };
        let listed = |lease, points: &[&Point]| {
            let points: Vec<Point> = points.iter().map(|&point| point.clone()).collect();
            catalog.set_points_of(lease, "main", &points).unwrap();
        };
        listed(&first, &[]);
        assert_eq!(held(), "bb");
        let c = point("web01", "main", "cc", now);
        listed(&second, &[&b, &c]);
        assert_eq!(held(), "bb cc");
        // The first comes once more, after the second.
        listed(&first, &[&a, &b]);
        assert_eq!(held(), "bb cc");
        catalog.set_points("main", &[]).unwrap();
        assert_eq!(held(), "");
    });
}

#[test]
fn points_come_part_by_part_and_each_once() {
    on_both(|bed| {
        let catalog = bed.open();
        for (seconds, snapshot) in [(0, "a"), (1, "b"), (1, "c"), (1, "d"), (2, "e")] {
            let at = bed.now() + Duration::from_secs(seconds);
            for repository in ["main", "far"] {
                let point = point("web01", repository, snapshot, at);
                catalog.add_point(&point).unwrap();
            }
        }
        let (mut seen, mut behind) = (Vec::new(), None);
        loop {
            let part = catalog.points_by(&PointFilter {
                behind,
                count: 3,
                ..PointFilter::default()
            });
            let part = part.unwrap();
            behind = part.last().map(|point| (point.at, point.key.clone()));
            seen.extend(part.into_iter().map(|point| point.key));
            if behind.is_none() {
                break;
            }
        }
        let shown: Vec<_> = seen.iter().map(|key| key.snapshot.as_str()).collect();
        assert_eq!(shown.concat(), "eebbccddaa");
        seen.dedup();
        assert_eq!(seen.len(), 10);
        let of = |start| catalog.points_starting("main", start).unwrap().len();
        assert_eq!((of("a"), of(""), of("x")), (1, 2, 0));
    });
}

#[test]
fn the_newest_point_of_each_machine_in_each_repository() {
    on_both(|bed| {
        let catalog = bed.open();
        let first = bed.now();
        for hours in [0, 2, 1] {
            let at = first + Duration::from_secs(hours * 3600);
            for (machine, repository) in [("a", "main"), ("a", "far"), ("b", "main")] {
                for snapshot in ["x", "y"] {
                    let name = format!("{machine}{snapshot}{hours}");
                    let point = point(machine, repository, &name, at);
                    catalog.add_point(&point).unwrap();
                }
            }
        }
        let newest = catalog.newest_points().unwrap();
        let names: Vec<_> = newest
            .iter()
            .map(|it| [it.machine.as_str(), &it.key.repository, &it.key.snapshot])
            .collect();
        let right = [
            ["a", "far", "ay2"],
            ["a", "main", "ay2"],
            ["b", "main", "by2"],
        ];
        assert_eq!(names, right);
        let last = first + Duration::from_secs(7200);
        let counts = catalog.point_counts().unwrap();
        assert_eq!(counts.len(), 3);
        assert_eq!(counts[0], ("a".into(), "far".into(), 6, first, last));
        let page = catalog.points(None, 2).unwrap();
        assert!(page.iter().all(|point| point.at == last));
    });
}

fn machine(id: &str, name: &str) -> Machine {
    Machine {
        key: MachineKey {
            platform: "local".into(),
            id: id.into(),
        },
        name: name.into(),
        state: "running".into(),
        bytes: 1 << 40,
        jobs: vec!["web".into()],
        seen: Timestamp::UNIX_EPOCH,
        gone: None,
    }
}

#[test]
fn machines_go_and_come_back() {
    on_both(|bed| {
        let catalog = bed.open();
        let (one, other) = (machine("1", "web01"), machine("2", "web02"));
        let both = [one.clone(), other];
        catalog.set_machines("local", &both).unwrap();
        catalog.set_machines("far", &[]).unwrap();
        bed.pass(60);
        let gone = bed.now();
        catalog.set_machines("local", &both[..1]).unwrap();
        bed.pass(60);
        catalog.set_machines("local", &both[..1]).unwrap();
        let seen: Vec<_> = catalog.machines().unwrap();
        assert_eq!((seen[0].seen, seen[0].gone), (bed.now(), None));
        assert_eq!(seen[1].gone, Some(gone));
        assert_eq!(catalog.forget_machines(gone).unwrap(), 0);
        let renamed = machine("2", "web03");
        catalog.set_machines("local", &[one, renamed]).unwrap();
        let names: Vec<_> = catalog.machines().unwrap();
        assert_eq!(names[1].name, "web03");
        assert_eq!(names[1].gone, None);
        catalog.set_machines("local", &[]).unwrap();
        bed.pass(1);
        assert_eq!(catalog.forget_machines(bed.now()).unwrap(), 2);
    });
}

#[test]
fn repositories_have_a_history() {
    on_both(|bed| {
        let catalog = bed.open();
        let size = |bytes| RepositorySize {
            at: bed.now(),
            bytes,
            bytes_unpacked: 2 * bytes,
            bytes_restored: 3 * bytes,
            blobs: 4,
            snapshots: 5,
        };
        for bytes in [10, 20, 20, 30] {
            bed.pass(60);
            let size = size(bytes);
            let change = |it: &mut lifeboat_catalog::RepositoryFacts| it.size = Some(size);
            catalog.change_repository("main", change).unwrap();
        }
        let change = |it: &mut lifeboat_catalog::RepositoryFacts| it.is_ok = Some(true);
        catalog.change_repository("main", change).unwrap();
        let facts = catalog.repositories().unwrap().remove(0);
        assert_eq!((facts.is_ok, facts.size), (Some(true), Some(size(30))));
        let since = bed.now() - Duration::from_secs(120);
        let sizes = catalog.repository_sizes("main", since).unwrap();
        let bytes: Vec<_> = sizes.iter().map(|it| it.bytes).collect();
        assert_eq!(bytes, [20, 20, 30]);
    });
}

fn alert(subject: &str, severity: AlertSeverity, text: &str) -> Alert {
    Alert {
        id: 0,
        subject: subject.into(),
        condition: "rpo".into(),
        severity,
        text: text.into(),
        site: None,
        job: None,
        machine: Some("web01".into()),
        platform: None,
        repository: None,
        since: Timestamp::UNIX_EPOCH,
        cleared: None,
        acknowledged: None,
    }
}

#[test]
fn alerts_begin_change_are_seen_and_end() {
    on_both(|bed| {
        let catalog = bed.open();
        let begun = bed.now();
        let warning = alert("rpo web01", AlertSeverity::Warning, "late");
        let other = alert("rpo web02", AlertSeverity::Info, "late");
        let twice = [warning.clone(), other.clone(), warning.clone()];
        catalog.set_alerts(&twice).unwrap();
        assert_eq!(catalog.open_alerts().unwrap().len(), 2);
        let id = catalog.open_alerts().unwrap()[0].id;
        bed.pass(60);
        catalog.acknowledge(id, "ann").unwrap();
        catalog.acknowledge(id, "bob").unwrap();
        let worse = alert("rpo web01", AlertSeverity::Critical, "much too late");
        catalog.set_alerts(&[other.clone(), worse]).unwrap();
        let open = catalog.open_alerts().unwrap();
        assert_eq!((open[0].id, open[0].since), (id, begun));
        assert_eq!(open[0].severity, AlertSeverity::Critical);
        assert_eq!(open[0].acknowledged.as_ref().unwrap().by, "ann");
        bed.pass(60);
        catalog.set_alerts(&[other]).unwrap();
        assert_eq!(catalog.open_alerts().unwrap().len(), 1);
        let all = catalog.alerts_since(begun, 9).unwrap();
        let ended = all.iter().find(|it| it.id == id).unwrap();
        assert_eq!(ended.cleared, Some(bed.now()));
        catalog.set_alerts(&[warning]).unwrap();
        let again = catalog.open_alerts().unwrap();
        assert!(again[0].id > id && again[0].acknowledged.is_none());
        let error = catalog.acknowledge(999, "ann").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

fn user(name: &str, now: Timestamp) -> User {
    User {
        name: name.into(),
        password_digest: "$argon2id$v=19$x".into(),
        role: Role::Operator,
        is_enabled: true,
        created: now,
    }
}

#[test]
fn sessions_end_with_their_time_and_with_changes_of_their_user() {
    on_both(|bed| {
        let catalog = bed.open();
        let ann = user("ann", bed.now());
        catalog.set_user(&ann).unwrap();
        let session = |digest: &str| Session {
            digest: digest.into(),
            user: "ann".into(),
            form_key: "f".into(),
            created: bed.now(),
            expires: bed.now() + Duration::from_secs(60),
        };
        let first = session("d1");
        catalog.add_session(&first).unwrap();
        let found = catalog.session("d1").unwrap();
        assert_eq!(found, Some((first, ann.clone())));
        bed.pass(60);
        assert_eq!(catalog.session("d1").unwrap(), None);
        for digest in ["d2", "d3"] {
            catalog.add_session(&session(digest)).unwrap();
        }
        catalog.end_session("d2").unwrap();
        assert_eq!(catalog.session("d2").unwrap(), None);
        let role = Role::Viewer;
        catalog
            .set_user(&User {
                role,
                ..ann.clone()
            })
            .unwrap();
        assert_eq!(catalog.session("d3").unwrap(), None);
        let is_enabled = false;
        catalog.set_user(&User { is_enabled, ..ann }).unwrap();
        catalog.add_session(&session("d4")).unwrap();
        assert_eq!(catalog.session("d4").unwrap(), None);
        catalog.remove_user("ann").unwrap();
        assert_eq!(catalog.user("ann").unwrap(), None);
        let error = catalog.remove_user("ann").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(catalog.users().unwrap().is_empty());
    });
}

#[test]
fn a_removed_or_renewed_token_opens_nothing() {
    on_both(|bed| {
        let catalog = bed.open();
        let token = Token {
            id: "t1".into(),
            title: "metrics".into(),
            digest: "old".into(),
            role: Role::Viewer,
            scopes: vec!["/metrics".into()],
            created_by: "ann".into(),
            created: bed.now(),
            expires: None,
            used: None,
        };
        catalog.set_token(&token).unwrap();
        catalog.touch_token("t1").unwrap();
        let used = catalog.token_by_digest("old").unwrap().unwrap().used;
        assert_eq!(used, Some(bed.now()));
        let digest = "new".to_owned();
        catalog.set_token(&Token { digest, ..token }).unwrap();
        assert_eq!(catalog.token_by_digest("old").unwrap(), None);
        assert!(catalog.token_by_digest("new").unwrap().is_some());
        catalog.remove_token("t1").unwrap();
        // Its last use is told late.
        catalog.touch_token("t1").unwrap();
        assert_eq!(catalog.token_by_digest("new").unwrap(), None);
        assert!(catalog.tokens().unwrap().is_empty());
        assert!(catalog.remove_token("t1").is_err());
    });
}

#[test]
fn nodes_notes_steps_and_progress_are_kept() {
    on_both(|bed| {
        let catalog = bed.open();
        let node = Node {
            name: "one".into(),
            version: "1.0".into(),
            started: bed.now(),
            seen: bed.now(),
            clock_ahead: jiff::SignedDuration::ZERO,
        };
        catalog.greet(&node).unwrap();
        bed.pass(60);
        catalog.greet(&node).unwrap();
        assert_eq!(catalog.nodes().unwrap()[0].seen, bed.now());
        catalog.take_leave("one").unwrap();
        assert!(catalog.nodes().unwrap().is_empty());
        assert_eq!(catalog.note::<Vec<u8>>("state").unwrap(), None);
        catalog.set_note("state", &vec![1, 2]).unwrap();
        catalog.set_note("state", &vec![3]).unwrap();
        assert_eq!(catalog.note("state").unwrap(), Some(vec![3]));
        let wrong = catalog.note::<String>("state").unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Corrupt);
        catalog
            .begin_run(&run("web", None, vec![task("web01", 0)]))
            .unwrap();
        let lease = leased(&catalog, "one", 1).remove(0);
        for name in ["validate", "capture", "transfer"] {
            catalog.begin_step(&lease, name).unwrap();
        }
        let steps = catalog.steps(lease.task.id).unwrap();
        let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["validate", "capture", "transfer"]);
        let progress = Progress {
            phase: "transfer".into(),
            done: u64::MAX,
            total: u64::MAX,
            rate: 1,
            seconds_left: Some(2),
        };
        catalog.report(&lease, &progress).unwrap();
        let seen = catalog.task(lease.task.id).unwrap();
        assert_eq!(seen.progress, Some(progress));
    });
}

#[test]
fn logs_and_events_have_an_end() {
    on_both(|bed| {
        let catalog = bed.open();
        catalog
            .begin_run(&run("web", None, vec![task("web01", 0)]))
            .unwrap();
        let lease = leased(&catalog, "n", 1).remove(0);
        let id = lease.task.id;
        catalog
            .write_log(&lease, LogLevel::Warning, &"\u{1f6df}".repeat(5_000))
            .unwrap();
        let long = catalog.log_after(id, 0, 1).unwrap().remove(0);
        assert_eq!((long.line.len(), long.level), (4_000, LogLevel::Warning));
        // As if it had said that much.
        bed.raw().execute("UPDATE log SET number = 9998");
        for _ in 0..4 {
            catalog.write_log(&lease, LogLevel::Note, "more").unwrap();
        }
        let rest = catalog.log_after(id, 9_998, 9).unwrap();
        assert_eq!(rest.len(), 2, "{rest:?}");

        let first = catalog.newest_event().unwrap();
        bed.raw()
            .execute("UPDATE counters SET value = value + 12000 WHERE name = 'events'");
        for _ in 0..256 {
            catalog.begin_step(&lease, "capture").unwrap();
        }
        let mut seen = 0;
        let mut after = 0;
        loop {
            let page = catalog.events_after(after, 100).unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.windows(2).all(|it| it[0].number < it[1].number));
            (after, seen) = (last.number, seen + page.len());
        }
        assert_eq!((seen, after), (256, first + 12_256));
        assert_eq!(catalog.newest_event().unwrap(), after);
    });
}

fn hostile_rows(bed: &Bed, catalog: &Catalog, text: &str) {
    let level = LogLevel::Note;
    let new = run(text, Some(bed.now()), vec![task(text, 0)]);
    let id = catalog.begin_run(&new).unwrap().unwrap();
    assert_eq!(catalog.begin_run(&new).unwrap(), None);
    assert_eq!(catalog.last_planned(text).unwrap(), Some(bed.now()));
    let filter = TaskFilter {
        subject: Some(text.to_owned()),
        ..TaskFilter::default()
    };
    let found = catalog.tasks(&filter).unwrap();
    assert_eq!((found.len(), found[0].run), (1, id));
    assert_eq!(found[0].words[2], text);
    catalog.add_tasks(id, &new.tasks).unwrap();
    let lease = leased(catalog, text, 1).remove(0);
    catalog.begin_step(&lease, text).unwrap();
    catalog.write_log(&lease, level, text).unwrap();
    assert_eq!(catalog.steps(lease.task.id).unwrap()[0].name, text);
    catalog.cancel_run(id, text).unwrap();
    let end = lifeboat_catalog::TaskEnd::Failed(ErrorKind::Io, text.to_owned());
    catalog.end_task(&lease, &end).unwrap();
    let ended = catalog.task(lease.task.id).unwrap();
    assert_eq!(ended.message.as_deref(), Some(text));
    let point = point(text, text, text, bed.now());
    for _ in 0..2 {
        let listed = std::slice::from_ref(&point);
        catalog.set_points(text, listed).unwrap();
    }
    catalog.add_proof(&proof(&point, bed.now(), true)).unwrap();
    let points = catalog.points(Some(text), 9).unwrap();
    assert_eq!(points[0].verified, Some((bed.now(), true)));
    let seen = Machine {
        state: text.into(),
        ..machine(text, text)
    };
    catalog.set_machines(text, &[seen.clone(), seen]).unwrap();
    assert!(
        catalog
            .machines()
            .unwrap()
            .iter()
            .any(|it| it.state == text)
    );
    catalog.set_user(&user(text, bed.now())).unwrap();
    assert_eq!(catalog.user(text).unwrap().unwrap().name, text);
    catalog.set_note(text, &text).unwrap();
    assert_eq!(catalog.note::<String>(text).unwrap().as_deref(), Some(text));
    let alert = alert(text, AlertSeverity::Info, text);
    catalog.set_alerts(&[alert]).unwrap();
    assert_eq!(catalog.open_alerts().unwrap()[0].text, text);
    catalog.change_repository(text, |_| {}).unwrap();
    assert!(!catalog.events_after(0, 9_999).unwrap().is_empty());
}

#[test]
fn texts_are_only_texts() {
    on_both(|bed| {
        let catalog = bed.open();
        for text in hostile() {
            hostile_rows(bed, &catalog, &text);
        }
        let empty = run("", None, vec![task("", 0)]);
        catalog.begin_run(&empty).unwrap().unwrap();
    });
}
