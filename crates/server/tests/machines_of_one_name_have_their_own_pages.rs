//! Machines of two platforms may have one name: each has answers, pages and actions of its own,
//! and the name alone leads to both.

use jiff::{SignedDuration, Timestamp};
use lifeboat_api::Role;
use lifeboat_catalog::{Alert, AlertSeverity, Machine, MachineKey, Point};

use crate::changes_are_written_down::sign_in;
use crate::stage::{Reply, Stage, point};

/// Beside `web01` of `local`, with three points, one of `far` with a newer one.
fn stage() -> (Stage, Point) {
    let stage = Stage::new();
    let now = Timestamp::now();
    let machine = Machine {
        key: MachineKey {
            platform: "far".into(),
            id: "id-web01".into(),
        },
        name: "web01".into(),
        state: "off".into(),
        bytes: 1 << 30,
        jobs: Vec::new(),
        seen: now,
        gone: None,
    };
    stage.catalog.set_machines("far", &[machine]).unwrap();
    let newest = Point {
        platform: Some("far".into()),
        job: None,
        ..point("web01", now - SignedDuration::from_mins(30))
    };
    stage.catalog.add_point(&newest).unwrap();
    let alert = Alert {
        id: 0,
        subject: "unprotected far/web01".into(),
        condition: "unprotected".into(),
        severity: AlertSeverity::Warning,
        text: "machine far/web01 is in no job".into(),
        site: None,
        job: None,
        machine: Some("web01".into()),
        platform: Some("far".into()),
        repository: None,
        since: now,
        cleared: None,
        acknowledged: None,
    };
    stage.catalog.set_alerts(&[alert]).unwrap();
    (stage, newest)
}

fn count(reply: &Reply) -> usize {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json().as_array().unwrap().len()
}

#[test]
fn a_name_alone_is_answered_with_where_each_is() {
    let (stage, _) = stage();
    let token = stage.token(Role::Viewer, &[]);
    let get = |path: &str| stage.as_token(&token, &format!("GET {path}"), "");
    let refused = get("/api/v1/machines/web01");
    assert_eq!(refused.status, 400);
    let refused = refused.json();
    assert_eq!(refused["message"], "2 platforms have a machine \"web01\"");
    let hint = refused["hint"].as_str().unwrap();
    let addresses = hint.strip_prefix("ask for ").unwrap().split(" or ");
    let mut seen = Vec::new();
    for address in addresses {
        let found = get(address).json();
        let machine = &found["machines"][0];
        let points = found["points"].as_array().unwrap();
        assert!(
            points
                .iter()
                .all(|it| it["platform"] == machine["platform"])
        );
        assert_eq!(machine["points"], points.len());
        seen.push((machine["platform"].to_string(), points.len()));
    }
    assert_eq!(seen, [("\"far\"".into(), 1), ("\"local\"".into(), 3)]);
    let strange = get("/api/v1/machines/web01?platform=moon");
    assert_eq!(strange.status, 404);
    assert_eq!(strange.json()["hint"], hint);
    assert_eq!(get("/api/v1/machines/x").status, 200);

    assert_eq!(count(&get("/api/v1/points?machine=web01")), 4);
    assert_eq!(count(&get("/api/v1/points?machine=web01&platform=far")), 1);
    let part = get("/api/v1/points?platform=local&count=2");
    assert_eq!(count(&part), 2);
    let link = part.header("link").unwrap();
    let (next, _) = link[1..].split_once('>').unwrap();
    assert_eq!(count(&get(next)), 1);
    let metrics = get("/metrics").body;
    for series in [
        r#"{site="berlin",platform="far",machine="web01"} 1"#,
        r#"{site="berlin",platform="local",machine="web01",job="web"} 3"#,
    ] {
        assert!(metrics.contains(&format!("lifeboat_machine_points{series}\n")));
    }
}

#[test]
fn what_is_asked_for_is_done_to_one_of_them() {
    let (stage, newest) = stage();
    let token = stage.token(Role::Operator, &[]);
    let begin = |body: &str| stage.as_token(&token, "POST /api/v1/runs", body);
    let refused = begin(r#"{"action":"verify","machine":"web01"}"#);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("far or local"), "{refused:?}");
    for (platform, is_far) in [("far", true), ("local", false)] {
        let body = format!(r#"{{"action":"verify","machine":"web01","platform":"{platform}"}}"#);
        let run = begin(&body).json()["run"].to_string();
        let run = stage.as_token(&token, &format!("GET /api/v1/runs/{run}"), "");
        let run = run.json();
        assert_eq!(run["run"]["job"], format!("verify {platform}/web01"));
        let words = run["tasks"][0]["words"].as_array().unwrap();
        let is_its = words.iter().any(|word| *word == *newest.key.snapshot);
        assert_eq!(is_its, is_far, "{words:?}");
    }
    for platform in ["far", "local"] {
        let path = format!("GET /api/v1/tasks?subject=web01&platform={platform}");
        assert_eq!(count(&stage.as_token(&token, &path, "")), 1);
    }
}

#[test]
fn links_lead_to_the_page_of_one_and_the_name_alone_to_both() {
    let (stage, newest) = stage();
    stage.add_anna();
    let (cookie, _) = sign_in(&stage);
    let page = |path: &str| {
        let ask = |path: &str| stage.ask(&format!("GET {path}"), &[("Cookie", &cookie)], "");
        let mut reply = ask(path);
        // Who browses is led to the point that is meant.
        if let Some((_, to)) = reply.head.split_once("location: ") {
            let to = to.lines().next().unwrap().to_owned();
            reply = ask(&to);
        }
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.body
    };
    for path in [
        "/",
        "/machines",
        "/search?q=web",
        "/alerts",
        "/machines/web01",
    ] {
        let shown = page(path);
        let link = r#"href="/machines/web01?platform=far""#;
        assert!(shown.contains(link), "{path}: {shown}");
        assert!(!shown.contains(r#"href="/machines/web01""#), "{path}");
    }
    assert!(page("/machines").contains(r#"href="/machines/x""#));
    for below in ["restore", "browse"] {
        let both = page(&format!("/machines/web01/{below}"));
        for platform in ["far", "local"] {
            let link = format!(r#"href="/machines/web01/{below}?platform={platform}""#);
            assert!(both.contains(&link), "{both}");
        }
    }
    let short = &newest.key.snapshot[..8];
    for (path, query) in [
        ("", ""),
        ("/restore", ""),
        ("/restore", "&planned=yes"),
        ("/browse", ""),
    ] {
        let far = page(&format!("/machines/web01{path}?platform=far{query}"));
        assert!(far.contains(short), "{path}");
        let local = page(&format!("/machines/web01{path}?platform=local{query}"));
        assert!(!local.contains(&newest.key.snapshot), "{path}");
        // Whatever leads on from there stays with that one.
        for (at, _) in far.match_indices(r#"href="/machines/web01"#) {
            let link = &far[at..at + 60];
            assert!(link.contains("?platform=far"), "{path}: {link}");
        }
        for (at, _) in far.match_indices(r#"action="/machines/web01"#) {
            let field = r#"<input type="hidden" name="platform" value="far">"#;
            assert!(far[at..at + 160].contains(field), "{path}");
        }
    }
    let missing = "GET /machines/web01?platform=moon";
    assert_eq!(stage.ask(missing, &[("Cookie", &cookie)], "").status, 404);
}
