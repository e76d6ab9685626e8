//! Every list is given in parts: none is too long, each leads to the next, and all rows come once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_api::Role;
use lifeboat_catalog::{
    Action, Alert, AlertSeverity, Cause, LeaseOffer, LogLevel, NewRun, NewTask,
};
use serde_json::Value;

use crate::stage::{Stage, point};

/// All rows of a list, by two, by the links of its parts.
fn all(stage: &Stage, token: &str, path: &str) -> Vec<Value> {
    let mut next = Some(path.to_owned());
    let mut rows = Vec::new();
    while let Some(path) = next {
        let reply = stage.as_token(token, &format!("GET {path}"), "");
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let part = reply.json().as_array().unwrap().clone();
        next = reply.header("link").map(|link| {
            let (path, rest) = link[1..].split_once('>').unwrap();
            assert_eq!(rest, "; rel=\"next\"");
            assert_eq!(part.len(), 2, "{link}");
            path.to_owned()
        });
        rows.extend(part);
    }
    rows
}

fn fill(stage: &Stage) {
    let alert = |number: usize, severity| Alert {
        id: 0,
        subject: format!("rpo {number}"),
        condition: "rpo".into(),
        severity,
        text: "too old".into(),
        site: None,
        job: None,
        machine: None,
        platform: None,
        repository: None,
        since: Timestamp::now(),
        cleared: None,
        acknowledged: None,
    };
    let severities = [
        AlertSeverity::Info,
        AlertSeverity::Critical,
        AlertSeverity::Warning,
        AlertSeverity::Critical,
        AlertSeverity::Info,
    ];
    let alerts = severities.into_iter().enumerate();
    let alerts: Vec<_> = alerts.map(|(it, severity)| alert(it, severity)).collect();
    stage.catalog.set_alerts(&alerts).unwrap();
    for hours in 1..8 {
        let at = Timestamp::now() - SignedDuration::from_hours(hours);
        stage.catalog.add_point(&point("a/b c&d", at)).unwrap();
    }
}

/// A task with five lines.
fn logged(stage: &Stage) -> i64 {
    let task = NewTask {
        action: Action::Look,
        subject: "far".into(),
        words: Vec::new(),
        stage: 0,
        lanes: Vec::new(),
        attempts_max: 1,
        retry_seconds: 1,
    };
    let run = stage.catalog.begin_run(&NewRun {
        job: "look far".into(),
        planned: None,
        cause: Cause::Request,
        requested_by: "anna".into(),
        tasks: vec![task],
    });
    let offer = LeaseOffer {
        node: "node-a",
        hold: Duration::from_secs(60),
        count: 1,
        run: run.unwrap(),
    };
    let lease = stage.catalog.lease(&offer).unwrap().remove(0);
    for number in 0..5 {
        let line = number.to_string();
        let written = stage.catalog.write_log(&lease, LogLevel::Note, &line);
        written.unwrap();
    }
    lease.task.id.0
}

#[test]
fn every_row_of_every_list_comes_once() {
    let stage = Stage::new();
    let admin = stage.token(Role::Admin, &[]);
    fill(&stage);
    for _ in 0..5 {
        let body = r#"{"action":"check","repository":"main"}"#;
        assert_eq!(
            stage.as_token(&admin, "POST /api/v1/runs", body).status,
            201
        );
    }
    let logged = logged(&stage);
    for (path, key, count) in [
        ("/api/v1/machines", "/name", 3),
        ("/api/v1/points", "/snapshot", 10),
        ("/api/v1/points?machine=a%2Fb%20c%26d", "/snapshot", 7),
        ("/api/v1/runs", "/id", 8),
        ("/api/v1/runs?state=open", "/id", 8),
        ("/api/v1/tasks?subject=main", "/id", 21),
        ("/api/v1/tasks?run=1", "/id", 3),
        ("/api/v1/alerts", "/id", 5),
        // The one before is over and in the list of days.
        ("/api/v1/alerts?days=1", "/id", 6),
        ("/api/v1/audit", "/number", 5),
        ("/api/v1/upcoming?days=5", "/begins", 5),
        (&format!("/api/v1/tasks/{logged}/log"), "/number", 5),
    ] {
        let more = if path.contains('?') { '&' } else { '?' };
        let rows = all(&stage, &admin, &format!("{path}{more}count=2"));
        let mut keys: Vec<String> = rows
            .iter()
            .map(|row| row.pointer(key).unwrap().to_string())
            .collect();
        let whole = stage.as_token(&admin, &format!("GET {path}"), "").json();
        assert_eq!(&Value::from(rows), &whole, "{path}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count, "{path}: {keys:?}");
        for wrong in ["count=0", "count=10001", "count=x", "countt=1"] {
            let head = format!("GET {path}{more}{wrong}");
            assert_eq!(stage.as_token(&admin, &head, "").status, 400, "{head}");
        }
    }
    for after in ["x", "1/a", "99999999999999999999/a/b", "-1"] {
        let head = format!("GET /api/v1/points?after={after}");
        assert_eq!(stage.as_token(&admin, &head, "").status, 400, "{head}");
    }
}
