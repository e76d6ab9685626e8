//! Three services share one catalog on a real PostgreSQL. They are killed in the middle of backups,
//! come back at once or late, and one stands still for longer than its lease. Each planned moment
//! has one backup that counts, never two at once, and nothing is left behind.
//!
//! What a node did between the end of a backup and the record of it is lost with the node: then
//! the backup is made again, and its first recovery point stays as one more.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use lifeboat_catalog::{
    Action, Catalog, CatalogPlace, Cause, Run, RunFilter, RunState, Task, TaskFilter, TaskState,
};
use lifeboat_model::SystemClock;
use lifeboat_testkit::{SeededEntropy, figure, free_port, lighten_key, postgres::Server, tool};
use serde_json::Value;

use crate::trial::{Site, lifeboat};

/// Nothing here takes so long unless it is broken.
const LIMIT: Duration = Duration::from_secs(120);
const PERIOD: SignedDuration = SignedDuration::from_secs(5);
const KEY: &str = "the key of the audit log of all!";
const JOBS: [&str; 3] = ["a", "b", "c"];

/// Marks that a backup begins, whether the one before it still works, and that it is held.
const MARK: &str = r#"#!/bin/sh
cd "$1" || exit 1
old=$(cat "pid-$2" 2>/dev/null)
[ "$old" = "$PPID" ] && old=
if [ -n "$old" ] && grep -q '^State:.[RSDT]' "/proc/$old/status" 2>/dev/null
then echo "twice $2: $old and $PPID" >> marks
fi
echo "$PPID" > "pid-$2"
echo "begin $2 $PPID" >> marks
sleep 0.5
while [ -e hold ]; do [ -e slow ] && late=30; echo "$PPID" > "held-$2"; sleep 0.1; done
rm -f "held-$2"
sleep ${late:-0}
"#;

/// The folder of a site, its catalog and its nodes.
struct Services {
    folder: tempfile::TempDir,
    url: String,
    catalog: Catalog,
    nodes: Vec<Option<Child>>,
}

impl Services {
    fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = server.database();
        let place = CatalogPlace::parse(&url, None).unwrap();
        let catalog = Catalog::open(&place, Arc::new(SystemClock::new())).unwrap();
        let services = Self {
            folder,
            url,
            catalog,
            nodes: vec![None, None, None],
        };
        services.write("password", "geheim", 0o600);
        services.write("mark", MARK, 0o700);
        for (number, job) in JOBS.iter().enumerate() {
            let disk = SeededEntropy::new(number as u64).bytes(4 << 20);
            fs::write(services.path(&format!("{job}.img")), disk).unwrap();
        }
        for number in 0..services.nodes.len() {
            // The key of the audit log is one for all.
            let state = services.path(&format!("state{number}"));
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
            services.write(&format!("state{number}/audit.key"), KEY, 0o600);
            let text = services.configuration(number);
            services.write(&format!("n{number}.toml"), &text, 0o600);
        }
        let made = services
            .command(0, &["init", "-r", "@main"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        lighten_key(&services.path("repository"), "geheim");
        services
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn configuration(&self, number: usize) -> String {
        let folder = self.folder.path().display();
        let mut text = format!(
            r#"[server]
listen = "127.0.0.1:{port}"
plain_http = true
[catalog]
url = "{url}"
node = "n{number}"
lease = "4s"
[repositories.main]
place = "{folder}/repository"
password_file = "{folder}/password"
[policies.often]
schedule = "calendar *-*-* *:*:0/{period}"
retry_after = "1s"
"#,
            port = free_port(),
            url = self.url,
            period = PERIOD.as_secs(),
        );
        for job in JOBS {
            text += &format!(
                r#"[platforms.{job}]
uri = "plain:{folder}/{job}.img"
[jobs.{job}]
platform = "{job}"
repository = "main"
policy = "often"
[[jobs.{job}.pre_snapshot]]
run = ["{folder}/mark", "{folder}", "{job}"]
"#
            );
        }
        text
    }

    fn command(&self, number: usize, words: &[&str]) -> Command {
        let mut command = Command::new(lifeboat());
        command.args(words).stdin(Stdio::null());
        command.env("LIFEBOAT_CONFIG", self.path(&format!("n{number}.toml")));
        command.env("LIFEBOAT_STATE", self.path(&format!("state{number}")));
        command.env("LIFEBOAT_THREADS", "1");
        command
    }

    fn serve(&mut self, number: usize) {
        let mut options = fs::OpenOptions::new();
        let path = self.path(&format!("log{number}"));
        let log = options.create(true).append(true).open(path).unwrap();
        let mut command = self.command(number, &["serve"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.nodes[number] = Some(command.spawn().unwrap());
    }

    fn signal(&self, number: usize, name: &str) {
        let pid = self.nodes[number].as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends a service without a word.
    fn kill(&mut self, number: usize) {
        let mut node = self.nodes[number].take().unwrap();
        node.kill().unwrap();
        node.wait().unwrap();
    }

    fn wait<T>(&self, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = find() {
                return found;
            }
            let logs = || (0..3).map(|it| fs::read_to_string(self.path(&format!("log{it}"))));
            assert!(
                began.elapsed() < LIMIT,
                "{what} never came; {:?}; {:#?}",
                logs().collect::<Vec<_>>(),
                self.tasks().iter().rev().take(8).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn tasks(&self) -> Vec<Task> {
        let filter = TaskFilter {
            count: 10_000,
            ..TaskFilter::default()
        };
        let mut tasks = self.catalog.tasks(&filter).unwrap();
        tasks.reverse();
        tasks
    }

    /// A backup in whose middle a node is; it stays there until it is let go.
    fn in_the_middle(&self) -> (Task, usize) {
        fs::write(self.path("hold"), "").unwrap();
        self.wait("a backup in its middle", || {
            let mut tasks = self.tasks().into_iter();
            tasks.find_map(|it| {
                let is_meant = it.action == Action::Backup && it.state == TaskState::Running;
                let node = it.node.as_ref()?.strip_prefix('n')?.parse().ok()?;
                (is_meant && self.is_held(&it)).then_some((it, node))
            })
        })
    }

    /// The hook of this attempt waits, and no one before it still does.
    fn is_held(&self, task: &Task) -> bool {
        let steps = self.catalog.steps(task.id).unwrap();
        let mut own = steps.iter().filter(|step| step.attempt == task.attempt);
        let is_hooked = own.any(|step| step.ended.is_none() && step.name.contains("snapshot"));
        is_hooked && self.path(&format!("held-{}", task.job)).exists()
    }

    fn let_go(&self) {
        fs::remove_file(self.path("hold")).unwrap();
    }

    /// Waits until a task that was begun is done, and gives it.
    fn done(&self, task: &Task) -> Task {
        self.wait("the end of a task", || {
            let now = self.catalog.task(task.id).unwrap();
            (now.state == TaskState::Succeeded).then_some(now)
        })
    }

    /// What a task has said, in all its attempts.
    fn said(&self, task: &Task) -> String {
        let lines = self.catalog.log_after(task.id, 0, 1000).unwrap();
        lines
            .iter()
            .map(|it| format!("{} {}\n", it.at, it.line))
            .collect()
    }

    fn runs(&self, job: &str) -> Vec<Run> {
        let filter = RunFilter {
            job: Some(job.to_owned()),
            count: 10_000,
            ..RunFilter::default()
        };
        let mut runs = self.catalog.runs(&filter).unwrap();
        runs.reverse();
        runs
    }

    /// Every job ends so many runs more.
    fn go_on(&self, more: usize) {
        let ended = |job: &str| {
            let runs = self.runs(job).into_iter();
            runs.filter(|it| it.state == RunState::Succeeded).count()
        };
        let before = JOBS.map(ended);
        self.wait("runs of every job", || {
            let now = JOBS.map(ended);
            let mut pairs = before.iter().zip(now);
            pairs
                .all(|(before, now)| now >= before + more)
                .then_some(())
        });
    }

    /// Processes that services have begun.
    fn children(&self) -> usize {
        let folder = self.folder.path().to_str().unwrap();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
        lines
            .filter(|line| String::from_utf8_lossy(line).contains(folder))
            .count()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

#[test]
fn services_are_killed_and_stand_still_and_nothing_is_done_twice() {
    let (Some(server), Some(restic)) = (Server::shared(), tool("restic-new")) else {
        return;
    };
    let mut services = Services::new(server);
    (0..3).for_each(|number| services.serve(number));
    services.go_on(1);
    // One is killed and comes back at once: its child must end before it begins anything.
    let (task, number) = services.in_the_middle();
    services.kill(number);
    services.let_go();
    services.serve(number);
    let first = services.done(&task);
    assert_eq!(first.attempt, task.attempt + 1, "{}", services.said(&first));
    // Another is killed, and stays away: others take over.
    let (task, number) = services.in_the_middle();
    services.kill(number);
    services.let_go();
    let second = services.done(&task);
    assert_eq!(
        second.attempt,
        task.attempt + 1,
        "{}",
        services.said(&second)
    );
    assert_ne!(second.node, task.node);
    services.serve(number);
    // One stands still in the middle of a backup that would take longer than its lease.
    fs::write(services.path("slow"), "").unwrap();
    let (task, number) = services.in_the_middle();
    services.signal(number, "STOP");
    fs::remove_file(services.path("slow")).unwrap();
    services.let_go();
    let third = services.done(&task);
    assert_ne!(third.node, task.node);
    services.signal(number, "CONT");
    let name = Some(format!("n{number}"));
    services.wait("the one that stood still takes part again", || {
        let tasks = services.tasks().into_iter();
        let mut later = tasks.filter(|it| it.started > third.started && it.node == name);
        later.find(|it| it.state == TaskState::Succeeded)
    });
    assert_eq!(
        services.catalog.task(third.id).unwrap(),
        third,
        "its word counts no more"
    );
    services.go_on(1);
    stop(&mut services);
    judge(&services, &restic);
}

fn stop(services: &mut Services) {
    (0..3).for_each(|number| services.signal(number, "TERM"));
    for node in &mut services.nodes {
        let status = node.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }
    services.wait("children end", || (services.children() == 0).then_some(()));
}

/// What is so at the end, by the catalog, the marks of children, and stock restic.
fn judge(services: &Services, restic: &Path) {
    let marks = fs::read_to_string(services.path("marks")).unwrap();
    assert!(!marks.contains("twice"), "{marks}");
    let tasks = services.tasks();
    let mut counted = BTreeSet::new();
    let mut again = 0;
    for job in JOBS {
        let runs = services.runs(job);
        for pair in runs.windows(2) {
            let apart = pair[1]
                .planned
                .unwrap()
                .duration_since(pair[0].planned.unwrap());
            assert!(
                apart == PERIOD || pair[1].cause == Cause::CatchUp,
                "{pair:?}"
            );
        }
        let ended = runs.iter().filter(|it| it.state != RunState::Open);
        for run in ended {
            assert_eq!(run.state, RunState::Succeeded, "{run:?}");
            let own = tasks.iter().filter(|it| it.run == run.id);
            let backups: Vec<&Task> = own.filter(|it| it.action == Action::Backup).collect();
            assert_eq!(backups.len(), 1, "{run:?}");
        }
        for task in tasks
            .iter()
            .filter(|it| it.job == job && it.action == Action::Backup)
        {
            again += task.attempt.saturating_sub(1) as usize;
            if let Some(outcome) = task.outcome.as_ref() {
                let id = outcome["snapshot_id"].as_str().unwrap();
                assert!(counted.insert(id.to_owned()), "{id} counts twice");
            }
        }
    }
    assert!(tasks.iter().all(|it| it.state != TaskState::Running));
    assert!(again >= 3);
    let there = snapshots(services, restic);
    assert!(
        counted.is_subset(&there),
        "every point that counts is there"
    );
    let more = there.len() - counted.len();
    assert!(
        more <= again,
        "{more} points more than counted, {again} attempts were cut"
    );
    let site = Site(services.folder.path().to_owned());
    site.is_clean("at the end", "repository");
    stock(services, restic, &["check", "--read-data"]);
    let section = "control plane";
    figure(section, "three services: runs, cut attempts, twice", {
        format!("{}, {again}, 0", counted.len())
    });
}

fn snapshots(services: &Services, restic: &Path) -> BTreeSet<String> {
    let list: Vec<Value> =
        serde_json::from_slice(&stock(services, restic, &["snapshots", "--json"])).unwrap();
    list.iter()
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect()
}

fn stock(services: &Services, restic: &Path, words: &[&str]) -> Vec<u8> {
    let mut command = Command::new(restic);
    command.arg("-r").arg(services.path("repository"));
    command.args(["--no-cache", "-q"]).args(words);
    command.env("RESTIC_PASSWORD", "geheim");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    output.stdout
}
