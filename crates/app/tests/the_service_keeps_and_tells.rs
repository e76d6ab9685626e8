//! The service as an operator runs it: jobs by request and by schedule, a broken configuration, a
//! kill in the middle of a backup, notices, the audit log, and a real Prometheus that fires and
//! clears.

mod prometheus;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::trial::lifeboat;

/// Nothing here takes so long unless it is broken.
const LIMIT: Duration = Duration::from_secs(120);

/// A host with a service.
pub(crate) struct Host {
    folder: tempfile::TempDir,
    service: Option<Child>,
    port: u16,
    token: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut host = Self {
            folder,
            service: None,
            port: free_port(),
            token: String::new(),
        };
        host.write_secret("password", "secret");
        fs::write(host.path("disk.img"), vec![7; 8 << 20]).unwrap();
        host.configure("1d", "");
        assert!(host.run(&["init", "-r", "@main"]).status.success());
        let made = host.run(&["token", "add", "probe", "--role", "operator"]);
        let token = String::from_utf8(made.stdout).unwrap();
        let token = token.lines().last().unwrap().to_owned();
        host.write_secret("token", &token);
        host.token = token;
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes the configuration as a whole.
    pub(crate) fn configure(&self, rpo: &str, more: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            r#"site = "here"
[server]
listen = "127.0.0.1:{port}"
[repositories.main]
place = "{folder}/repository"
password_file = "{folder}/password"
[platforms.files]
uri = "plain:{folder}/disk.img"
[policies.all]
keep_last = 3
rpo = "{rpo}"
retry_after = "1s"
[jobs.nightly]
platform = "files"
repository = "main"
policy = "all"
[notifications.targets.file]
kind = "command"
run = ["/bin/sh", "-c", "cat >> {folder}/notices; echo >> {folder}/notices"]
[[notifications.routes]]
severity = ["warning", "critical"]
to = ["file"]
per_run = "always"
group_wait = "0s"
{more}"#,
            port = self.port
        );
        let fresh = self.path("lifeboat.toml.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.path("lifeboat.toml")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(lifeboat());
        command.args(words);
        command.env("LIFEBOAT_CONFIG", self.path("lifeboat.toml"));
        command.env("LIFEBOAT_STATE", self.path("state"));
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn serve(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let log = log.unwrap();
        let mut command = self.command(&["serve"]);
        command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null());
        self.service = Some(command.spawn().unwrap());
        self.wait("the service answers", || {
            self.get("/api/v1/health").is_some()
        });
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn notices(&self) -> String {
        fs::read_to_string(self.path("notices")).unwrap_or_default()
    }

    /// What a route answers, if it does.
    pub(crate) fn get(&self, route: &str) -> Option<Value> {
        let output = Command::new("curl")
            .args(["--silent", "--fail", "--max-time", "10", "--cacert"])
            .arg(self.path("state/tls/ca.pem"))
            .arg("--header")
            .arg(format!("Authorization: Bearer {}", self.token))
            .arg(format!("https://localhost:{}{route}", self.port))
            .output()
            .unwrap();
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).ok())?
    }

    pub(crate) fn wait(&self, what: &str, mut is_there: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_there() {
            assert!(
                began.elapsed() < LIMIT,
                "{what} never came; log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn newest_run(&self) -> Value {
        let runs = self.get("/api/v1/runs?job=nightly").unwrap();
        runs.get(0).cloned().unwrap_or_default()
    }

    /// Children of the service that are there.
    fn children(&self) -> usize {
        let state = self.path("state/running");
        let state = state.to_str().unwrap();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines
            .filter(|line| String::from_utf8_lossy(line).contains(state))
            .count()
    }

    pub(crate) fn signal(&mut self, name: &str) {
        if let Some(mut service) = self.service.take() {
            let pid = service.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-s", name, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            service.wait().unwrap();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn state(run: &Value) -> &str {
    run["state"].as_str().unwrap_or_default()
}

#[test]
fn a_service_survives_its_operator() {
    let mut host = Host::new();
    host.serve();
    // A new catalog lists what the repository holds.
    host.wait("the repository is listed", || {
        let repositories = host.get("/api/v1/repositories");
        repositories.is_some_and(|it| it[0]["size"].is_object())
    });
    assert!(host.run(&["run", "nightly", "--detach"]).status.success());
    host.wait("the first run ends", || {
        state(&host.newest_run()) == "succeeded"
    });
    host.wait("people are told", || {
        host.notices().contains("\"outcome\":\"success\"")
    });
    // A broken file stops neither the service nor what it runs.
    let sound = fs::read_to_string(host.path("lifeboat.toml")).unwrap();
    fs::write(host.path("lifeboat.toml"), format!("{sound}\nbroken = [")).unwrap();
    host.wait("the broken file is told", || {
        host.log().contains("the configuration before goes on")
    });
    let first = host.newest_run()["id"].as_i64().unwrap();
    let began = host.post("/api/v1/runs", r#"{"action":"backup","job":"nightly"}"#);
    assert!(
        began.status.success(),
        "{}",
        String::from_utf8_lossy(&began.stderr)
    );
    host.wait("a run of the service that has a broken file", || {
        let run = host.newest_run();
        run["id"].as_i64() != Some(first) && state(&run) == "succeeded"
    });
    host.configure("1d", "");
    // What ran when the service was killed ends with it, and is done again by the next one.
    let mut disk = fs::File::create(host.path("disk.img")).unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap();
    std::io::copy(&mut std::io::Read::take(&mut random, 600 << 20), &mut disk).unwrap();
    disk.flush().unwrap();
    assert!(host.run(&["run", "nightly", "--detach"]).status.success());
    host.wait("a backup is on its way", || {
        let tasks = host.newest_run()["id"]
            .as_i64()
            .and_then(|id| host.get(&format!("/api/v1/runs/{id}")));
        let tasks = tasks.map(|it| it["tasks"].clone()).unwrap_or_default();
        let mut tasks = tasks.as_array().into_iter().flatten();
        tasks.any(|task| task["action"] == "backup" && task["state"] == "running")
    });
    host.signal("KILL");
    host.wait("its children end", || host.children() == 0);
    host.serve();
    host.wait("the run is done again", || {
        state(&host.newest_run()) == "succeeded"
    });
    host.signal("TERM");
    assert!(host.log().ends_with("stopped\n"), "{}", host.log());
    let verified = host.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let checked = host.run(&["check", "-r", "@main", "--read-data"]);
    assert!(checked.status.success(), "{checked:?}");
}

impl Host {
    fn post(&self, route: &str, body: &str) -> Output {
        Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "10",
                "--cacert",
            ])
            .arg(self.path("state/tls/ca.pem"))
            .args([
                "--header",
                "Content-Type: application/json",
                "--data",
                body,
                "--header",
            ])
            .arg(format!("Authorization: Bearer {}", self.token))
            .arg(format!("https://localhost:{}{route}", self.port))
            .output()
            .unwrap()
    }
}

/// The shipped rules fire in a real Prometheus that scrapes the service, and clear again.
#[test]
fn a_real_prometheus_fires_and_clears() {
    let mut host = Host::new();
    host.serve();
    assert!(host.run(&["run", "nightly", "--detach"]).status.success());
    host.wait("the first run ends", || {
        state(&host.newest_run()) == "succeeded"
    });
    let prometheus = prometheus::Prometheus::start(host.folder.path(), host.port);
    host.wait("it scrapes", || {
        prometheus.asks("up{job=\"lifeboat\"} == 1")
    });
    let alert = "ALERTS{alertname=\"LifeboatRpoMissed\",alertstate=\"firing\"}";
    assert!(!prometheus.asks(alert));
    host.configure("1s", "");
    host.wait("it fires", || prometheus.asks(alert));
    host.wait("people are told", || {
        host.notices().contains("newest recovery point")
    });
    host.configure("1d", "");
    host.wait("it clears", || !prometheus.asks(alert));
    host.wait("people are told that it is over", || {
        host.notices().contains("resolved")
    });
}
