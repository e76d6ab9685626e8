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

use lifeboat_testkit::free_port;
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
        let made = host.run(&["token", "add", "probe", "--role", "admin"]);
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

    pub(crate) fn command(&self, words: &[&str]) -> Command {
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
        host.notices().contains("\"job\":\"nightly\"")
    });
    // A broken file stops neither the service nor what it runs.
    let sound = fs::read_to_string(host.path("lifeboat.toml")).unwrap();
    fs::write(host.path("lifeboat.toml"), format!("{sound}\nbroken = [")).unwrap();
    host.wait("the broken file is told", || {
        host.log().contains("the configuration before goes on")
    });
    a_restore_tells_its_steps_and_is_tried_again(&host);
    lost_records_come_back_by_the_api(&host);
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

/// A platform of plain files has no place for a machine: the step that fails says so.
fn a_restore_tells_its_steps_and_is_tried_again(host: &Host) {
    let points = host.get("/api/v1/points").unwrap();
    let snapshot = points[0]["snapshot"].as_str().unwrap();
    let body = format!(r#"{{"repository":"main","snapshot":"{snapshot}","platform":"files"}}"#);
    let mut task = first_task(host, &host.post("/api/v1/restores", &body));
    for _ in 0..2 {
        let route = format!("/api/v1/tasks/{task}");
        host.wait("the restore ends", || {
            let told = host.get(&route);
            told.is_some_and(|it| it["task"]["ended"].is_string())
        });
        let told = host.get(&route).unwrap();
        assert_eq!(told["task"]["state"], "failed");
        let steps = told["steps"].as_array().unwrap();
        let shown = steps.iter().map(|step| {
            let times = [&step["began"], &step["ended"]];
            assert!(times.iter().all(|time| time.is_string()), "{step}");
            format!("{} {}", step["name"], step["state"]).replace('"', "")
        });
        let shown: Vec<_> = shown.collect();
        let right = ["validate done", "lock done", "inspect done", "plan failed"];
        assert_eq!(shown, right, "{told}");
        assert_eq!(steps[3]["message"], told["task"]["message"]);
        assert!(
            steps[3]["message"]
                .as_str()
                .is_some_and(|it| !it.is_empty())
        );
        task = first_task(host, &host.post(&format!("{route}/retry"), ""));
        let again = host.get(&format!("/api/v1/tasks/{task}")).unwrap();
        assert_eq!(again["task"]["words"], told["task"]["words"]);
    }
}

/// The number of the only task of the run that was begun.
fn first_task(host: &Host, begun: &Output) -> i64 {
    assert!(begun.status.success(), "{begun:?}");
    let begun: Value = serde_json::from_slice(&begun.stdout).unwrap();
    let run = host.get(&format!("/api/v1/runs/{}", begun["run"])).unwrap();
    run["tasks"][0]["id"].as_i64().unwrap()
}

/// Sends a catalog; the lines of the answer.
fn sent(host: &Host, route: &str, catalog: &str) -> Vec<Value> {
    fs::write(host.path("sent.json"), catalog).unwrap();
    let body = format!("@{}", host.path("sent.json").display());
    let answer = host.send(route, &["--data-binary", &body]);
    let text = String::from_utf8(answer.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The backup's record is removed, its data is not.
fn lost_records_come_back_by_the_api(host: &Host) {
    let route = "/api/v1/repositories/main/catalog";
    let catalog = host.get(route).unwrap();
    let count = catalog["snapshots"].as_array().unwrap().len();
    assert!(count > 0, "{catalog}");
    let last = |lines: &[Value]| lines.last().cloned().unwrap_or_default();
    let text = catalog.to_string();
    let compared = last(&sent(host, &format!("{route}/verify"), &text));
    assert_eq!(compared["equal"], count, "{compared}");
    let planning = format!("{route}/plan");
    let refused = last(&sent(host, &planning, &text[..text.len() / 2]));
    assert_eq!(refused["kind"], "invalid", "{refused}");
    let root = catalog["snapshots"][0]["root"].as_str().unwrap();
    let tampered = text.replacen(
        &format!("\"root\":\"{root}"),
        &format!("\"root\":\"{}", "0".repeat(64)),
        1,
    );
    let refused = last(&sent(host, &planning, &tampered));
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("what was sent is no catalog"), "{refused}");
    for entry in fs::read_dir(host.path("repository/snapshots")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let plan = sent(host, &planning, &text);
    assert_eq!(last(&plan)["dry_run"], true, "{plan:?}");
    let digest = plan[0]["digest"].as_str().unwrap();
    let done = last(&sent(host, &format!("{route}?plan={digest}"), &text));
    assert_eq!(
        (&done["restored"], &done["lost"]),
        (&count.into(), &0.into())
    );
    assert_eq!(fs::read_dir(host.path("state/sent")).unwrap().count(), 0);
    let entries = host.get("/api/v1/audit?count=1").unwrap();
    assert_eq!(entries[0]["action"], "repository catalog import");
}

impl Host {
    /// A run that fails, of which somebody is told in vain.
    fn fails_once(&self) {
        let words = ["run", "broken", "--detach"];
        assert!(self.run(&words).status.success());
        self.wait("the broken job fails", || {
            let runs = self.get("/api/v1/runs?job=broken").unwrap_or_default();
            ["failed", "partial"].contains(&state(&runs[0]))
        });
    }

    /// Sends something as JSON, whatever is answered.
    fn send(&self, route: &str, more: &[&str]) -> Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60", "--cacert"])
            .arg(self.path("state/tls/ca.pem"))
            .args(["--header", "Content-Type: application/json", "--header"])
            .arg(format!("Authorization: Bearer {}", self.token))
            .args(more)
            .arg(format!("https://localhost:{}{route}", self.port))
            .output()
            .unwrap()
    }

    fn post(&self, route: &str, body: &str) -> Output {
        self.send(route, &["--fail", "--data", body])
    }
}

/// A job that fails, and a target that refuses.
const TROUBLE: &str = r#"
[policies.once]
retry_times = 0
[jobs.broken]
platform = "files"
repository = "main"
policy = "once"
pre_snapshot = [{ run = ["false"] }]
[notifications.targets.refusing]
kind = "command"
run = ["false"]
[[notifications.routes]]
jobs = ["broken"]
to = ["refusing"]
per_run = "always"
group_wait = "0s"
"#;

/// The shipped rules fire in a real Prometheus that scrapes the service, and clear again; every
/// panel of the shipped dashboard has something to show.
#[test]
fn a_real_prometheus_fires_and_clears() {
    let mut host = Host::new();
    host.configure("1d", TROUBLE);
    host.serve();
    assert!(host.run(&["run", "nightly", "--detach"]).status.success());
    host.wait("the first run ends", || {
        state(&host.newest_run()) == "succeeded"
    });
    for request in [
        r#"{"action":"verify","machine":"MACHINE"}"#,
        r#"{"action":"check","repository":"main"}"#,
    ] {
        let machines = host.get("/api/v1/machines").unwrap();
        let machine = machines[0]["name"].as_str().unwrap();
        let began = host.post("/api/v1/runs", &request.replace("MACHINE", machine));
        assert!(began.status.success(), "{began:?}");
    }
    host.fails_once();
    let prometheus = prometheus::Prometheus::start(host.folder.path(), host.port);
    host.wait("it scrapes", || {
        prometheus.asks("up{job=\"lifeboat\"} == 1")
    });
    host.fails_once();
    for expression in prometheus::expressions_of_the_dashboard() {
        host.wait(&expression, || prometheus.asks(&expression));
    }
    let alert = "ALERTS{alertname=\"LifeboatRpoMissed\",alertstate=\"firing\"}";
    assert!(!prometheus.asks(alert));
    host.configure("1s", TROUBLE);
    host.wait("it fires", || prometheus.asks(alert));
    host.wait("people are told", || {
        host.notices().contains("newest recovery point")
    });
    host.configure("1d", TROUBLE);
    host.wait("it clears", || !prometheus.asks(alert));
    host.wait("people are told that it is over", || {
        host.notices().contains("resolved")
    });
}
