//! Debian's Prometheus with the shipped rules and scrape example, in a hurry.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lifeboat_testkit::free_port;
use serde_json::Value;

/// A running Prometheus.
pub(super) struct Prometheus {
    process: Child,
    port: u16,
}

impl Prometheus {
    /// Starts one that scrapes the service each second and knows no patience.
    pub(super) fn start(folder: &Path, service: u16) -> Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/prometheus");
        let rules = fs::read_to_string(shipped.join("lifeboat.rules.yml")).unwrap();
        let hurried = rules
            .lines()
            .filter(|line| !line.trim_start().starts_with("for:"));
        let hurried: Vec<&str> = hurried.collect();
        fs::write(folder.join("rules.yml"), hurried.join("\n")).unwrap();
        let scrape = fs::read_to_string(shipped.join("scrape.yml")).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let scrape = scrape
            .replace("/etc/prometheus/lifeboat.rules.yml", &path("rules.yml"))
            .replace("/etc/prometheus/lifeboat.token", &path("token"))
            .replace("/etc/prometheus/lifeboat-ca.pem", &path("state/tls/ca.pem"))
            .replace("backup.example.org:8443", &format!("localhost:{service}"))
            .replace("scrape_interval: 60s", "scrape_interval: 1s");
        let config = format!("global:\n  evaluation_interval: 1s\n{scrape}");
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("prometheus")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's prometheus starts");
        Self { process, port }
    }

    /// Whether an expression gives anything.
    pub(super) fn asks(&self, expression: &str) -> bool {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "5", "--get", "--data-urlencode"])
            .arg(format!("query={expression}"))
            .arg(format!("http://127.0.0.1:{}/api/v1/query", self.port))
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let result = answer["data"]["result"].as_array();
        result.is_some_and(|list| !list.is_empty())
    }
}

/// What the shipped dashboard asks, as Grafana would with all sites, machines and repositories.
pub(super) fn expressions_of_the_dashboard() -> Vec<String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/grafana");
    let text = fs::read_to_string(shipped.join("lifeboat.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression.replace("$__rate_interval", "1m");
        let all = ["$site", "$machine", "$repository"];
        all.iter()
            .fold(expression, |text, name| text.replace(name, ".*"))
    });
    expressions.collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
