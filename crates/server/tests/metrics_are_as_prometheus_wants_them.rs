//! Prometheus' own tool finds nothing wrong, and names and values are those of the contract.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use lifeboat_api::Role;
use lifeboat_catalog::{Machine, MachineKey};

use crate::stage::{Stage, root};

fn promtool(text: &str) -> Option<(bool, String)> {
    let tool = lifeboat_testkit::tool("promtool")?;
    let mut tool = Command::new(tool);
    tool.args(["check", "metrics"]).stdin(Stdio::piped());
    tool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool
        .spawn()
        .expect("promtool of Debian's package prometheus");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some((output.status.success(), said))
}

#[test]
fn promtool_finds_nothing() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    for path in ["/metrics", "/metrics/backups"] {
        let reply = stage.as_token(&token, &format!("GET {path}"), "");
        assert_eq!(reply.status, 200);
        let kind = reply.header("content-type").unwrap();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let Some(found) = promtool(&reply.body) else {
            return;
        };
        assert_eq!(found, (true, String::new()), "{path}");
    }
    let (is_fine, _) = promtool("lifeboat_wrong{a=\"b} 1\n").unwrap();
    assert!(!is_fine);
}

#[test]
fn values_are_those_of_the_catalog() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let text = stage.as_token(&token, "GET /metrics", "").body;
    let labels = r#"site="berlin",platform="local",machine="web01",job="web""#;
    for line in [
        format!("lifeboat_machine_last_backup_duration_seconds{{{labels}}} 12.5"),
        format!("lifeboat_machine_last_backup_size_bytes{{{labels}}} 1073741824"),
        format!("lifeboat_machine_points{{{labels}}} 3"),
        format!("lifeboat_machine_objective_met{{{labels},objective=\"rpo\"}} 1"),
        r#"lifeboat_machine_protected{site="berlin",platform="local",machine="x"} 0"#.into(),
        r#"lifeboat_repository_size_bytes{repository="main"} 10"#.into(),
        r#"lifeboat_repository_check_ok{repository="main"} 1"#.into(),
        r#"lifeboat_task_failures_total{kind="not_found",action="backup"} 0"#.into(),
        r#"lifeboat_runs_total{job="web",state="failed"} 0"#.into(),
        r#"lifeboat_queue_tasks{state="running"} 1"#.into(),
        r#"lifeboat_alerts{severity="critical",state="open"} 1"#.into(),
        "lifeboat_machines_left_out 0".into(),
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.contains(r#"machine="db\"01\\""#), "{text}");
    let backups = stage.as_token(&token, "GET /metrics/backups", "").body;
    assert!(backups.contains("lifeboat_machine_points") && !backups.contains("lifeboat_queue"));
}

#[test]
fn who_asks_for_open_metrics_gets_them() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let bearer = format!("Bearer {token}");
    let accept = (
        "Accept",
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    );
    let reply = stage.ask("GET /metrics", &[("Authorization", &bearer), accept], "");
    let kind = reply.header("content-type").unwrap();
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(reply.body.ends_with("# EOF\n"));
    assert!(reply.body.contains("# TYPE lifeboat_runs counter\n"));
    assert!(reply.body.contains("lifeboat_runs_total{"));
}

/// Name and type of every family.
fn emitted(stage: &Stage) -> BTreeSet<(String, String)> {
    let token = stage.token(Role::Viewer, &[]);
    let text = stage.as_token(&token, "GET /metrics", "").body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = types.map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn every_metric_is_in_the_document_and_every_other_is_not() {
    let document = std::fs::read_to_string(root("docs/operating/metrics.md")).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let written: BTreeSet<_> = rows
        .filter(|row| row.starts_with("lifeboat_"))
        .map(|row| {
            let (name, rest) = row.split_once("` | ").unwrap();
            let kind = rest.split(' ').next().unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect();
    let emitted = emitted(&Stage::new());
    assert_eq!(written, emitted);
    // Rules and pictures ask for nothing that is not there.
    for file in [
        "packaging/prometheus/lifeboat.rules.yml",
        "packaging/grafana/lifeboat.json",
    ] {
        let text = std::fs::read_to_string(root(file)).unwrap();
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let words = text.split(|letter| !is_word(letter));
        for word in words.filter(|word| word.starts_with("lifeboat_")) {
            assert!(
                emitted.iter().any(|(name, _)| name == word),
                "{file}: {word}"
            );
        }
    }
}

#[test]
fn ten_thousand_machines_with_any_names_are_not_too_many() {
    let stage = Stage::new();
    let machines: Vec<_> = (0..10_000)
        .map(|number| Machine {
            key: MachineKey {
                platform: "local".into(),
                id: number.to_string(),
            },
            name: format!("{number}\"\\\n{{}}=,# \u{1f6df}\r\t\u{1b}[31m"),
            state: "running".into(),
            bytes: 1,
            jobs: vec!["web".into()],
            seen: jiff::Timestamp::now(),
            gone: None,
        })
        .collect();
    stage.catalog.set_machines("local", &machines).unwrap();
    let token = stage.token(Role::Viewer, &[]);
    let reply = stage.as_token(&token, "GET /metrics", "");
    assert_eq!(reply.status, 200);
    let text = &reply.body;
    let begins = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(begins("lifeboat_machine_protected{"), 5_000);
    let left_out = "lifeboat_machines_left_out ";
    let left_out = text.lines().find_map(|line| line.strip_prefix(left_out));
    let left_out: usize = left_out.unwrap().parse().unwrap();
    let all = stage.catalog.machines().unwrap();
    assert_eq!(all.len(), 10_003);
    assert!((5_000..=5_003).contains(&left_out), "{left_out}");
    if let Some(found) = promtool(text) {
        assert_eq!(found, (true, String::new()));
    }
}
