//! The files for Prometheus and Grafana: judged by promtool, and true to the table of metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_testkit::tool;
use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn promtool(promtool: &Path, words: &[&str], file: &Path) {
    let output = Command::new(promtool)
        .args(words)
        .arg(file)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success(),
        "{words:?} {}: {said}",
        file.display()
    );
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("packaging/grafana/lifeboat.json")).unwrap()
}

/// Every expression of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let found = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    found.collect()
}

/// The names of our metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let words = text.split(|letter: char| !is_of_name(letter));
    let ours = words.filter(|word| word.starts_with("lifeboat_"));
    ours.map(str::to_owned).collect()
}

/// The names that the table of metrics explains.
fn explained() -> BTreeSet<String> {
    let text = read("docs/operating/metrics.md");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `lifeboat_"));
    let names = rows.filter_map(|row| row.split('`').next());
    names.map(|name| format!("lifeboat_{name}")).collect()
}

#[test]
fn every_alert_fires_and_clears_in_the_real_promtool() {
    let Some(judge) = tool("promtool") else {
        return;
    };
    let folder = workspace().join("packaging/prometheus");
    promtool(
        &judge,
        &["check", "rules"],
        &folder.join("lifeboat.rules.yml"),
    );
    promtool(
        &judge,
        &["test", "rules"],
        &folder.join("lifeboat.rules.test.yml"),
    );
    let scrape = folder.join("scrape.yml");
    promtool(&judge, &["check", "config", "--syntax-only"], &scrape);
}

#[test]
fn every_alert_is_tested_and_explained() {
    let rules = read("packaging/prometheus/lifeboat.rules.yml");
    let tests = read("packaging/prometheus/lifeboat.rules.test.yml");
    let text = read("docs/operating/metrics.md");
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert_eq!(alerts.len(), 19);
    for alert in alerts {
        assert!(
            tests.contains(&format!("alertname=\"{alert}\"")),
            "{alert} is not tested"
        );
        assert!(
            text.contains(&format!("| `{alert}` |")),
            "{alert} is not explained"
        );
    }
}

#[test]
fn alerts_and_the_dashboard_ask_only_for_metrics_that_are_explained() {
    let explained = explained();
    assert_eq!(explained.len(), 23);
    let rules = read("packaging/prometheus/lifeboat.rules.yml");
    let shown = metrics(&expressions(&dashboard()).join("\n"));
    for name in metrics(&rules).union(&shown) {
        assert!(
            explained.contains(name),
            "{name} is not in the table of metrics"
        );
    }
    let unused: Vec<&String> = explained
        .iter()
        .filter(|name| !shown.contains(*name))
        .collect();
    assert!(unused.is_empty(), "not on the dashboard: {unused:?}");
}

#[test]
fn the_dashboard_is_whole_and_its_expressions_are_understood() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        // No data source of ours is named: Grafana asks for the reader's.
        assert_eq!(
            panel["datasource"]["uid"], "${datasource}",
            "{}",
            panel["title"]
        );
        let place = &panel["gridPos"];
        let right = place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap();
        assert!(right <= 24, "{} is wider than the page", panel["title"]);
    }
    let Some(judge) = tool("promtool") else {
        return;
    };
    // promtool reads expressions only as rules.
    let rules: Vec<Value> = expressions(&dashboard)
        .iter()
        .map(|text| text.replace("$__rate_interval", "5m"))
        .map(|text| serde_json::json!({"record": "shown", "expr": text}))
        .collect();
    assert!(rules.len() > 25);
    let rules = rules
        .into_iter()
        .enumerate()
        .map(|(at, rule)| serde_json::json!({"name": format!("panel {at}"), "rules": [rule]}));
    let groups = serde_json::json!({"groups": rules.collect::<Vec<_>>()});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.yml");
    fs::write(&file, groups.to_string()).unwrap();
    promtool(&judge, &["check", "rules"], &file);
}
