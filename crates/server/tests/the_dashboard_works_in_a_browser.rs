//! The dashboard as people use it: a real browser, desktop and phone, against a real server whose
//! node plays its tasks.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{
    Action, AuditKey, Catalog, CatalogPlace, LogLevel, Machine, MachineKey, Point, Progress,
    RepositoryFacts, RepositorySize, Role, Task, TaskEnd,
};
use lifeboat_config::Objectives;
use lifeboat_model::{CancelToken, Clock, Secret, SystemClock, SystemEntropy};
use lifeboat_policy::{FullRule, Timing};
use lifeboat_scheduler::{
    Executor, JobSettings, Node, NodeOptions, PlatformSettings, RepositorySettings, Settings,
    TaskWatch,
};
use lifeboat_server::{Encryption, Limits, Server, ServerOptions, State, StateParts};
use lifeboat_testkit::{Effort, tool};
use tempfile::TempDir;

use crate::demo_fleet::{self as demo, GIB};
use crate::points_are_looked_into_safely::Played;

const USER: &str = "aino";
const PASSWORD: &str = "a long enough password";

/// A backup that takes two seconds, and nothing else.
struct Play;

impl Executor for Play {
    fn execute(&self, task: &Task, watch: &dyn TaskWatch, cancel: &CancelToken) -> TaskEnd {
        if task.action != Action::Backup {
            return TaskEnd::PassedOver("nothing is there to do it with".to_owned());
        }
        watch.step("validate");
        watch.line(LogLevel::Note, "read and stored: everything so far");
        watch.step("transfer");
        for part in 1..=10 {
            if cancel.is_cancelled() {
                return TaskEnd::Cancelled;
            }
            watch.progress(&Progress {
                phase: "transfer".to_owned(),
                done: part * GIB,
                total: 10 * GIB,
                rate: GIB / 2,
                seconds_left: Some((10 - part) / 5),
            });
            thread::sleep(Duration::from_millis(250));
        }
        TaskEnd::Succeeded(serde_json::json!([]))
    }
}

fn settings() -> Settings {
    let timing = Timing::new("daily at 02:00".parse().expect("a schedule"), TimeZone::UTC);
    let job = JobSettings {
        guard: Default::default(),
        platform: "local".to_owned(),
        repository: "main".to_owned(),
        copies_to: Vec::new(),
        policy: Some("gold".to_owned()),
        timing: Some(timing),
        full: FullRule::default(),
        retention: None,
        verify: None,
        objectives: Objectives {
            recovery_point: Some(Duration::from_secs(7_200)),
            ..Objectives::default()
        },
        is_enabled: true,
        after: Vec::new(),
        parallel: 2,
        per_host: None,
        per_repository: None,
        attempts: 1,
        retry_seconds: 60,
    };
    Settings {
        site: Some("Helsinki".to_owned()),
        jobs: [("web".to_owned(), job)].into(),
        platforms: [("local".to_owned(), PlatformSettings::default())].into(),
        repositories: [("main".to_owned(), RepositorySettings::default())].into(),
        parallel: 4,
    }
}

/// Forty machines, two of them without a job; points of one of them.
fn fill(catalog: &Catalog) {
    let now = Timestamp::now();
    let fleet = demo::fleet();
    let machine = |(at, name): (usize, String)| Machine {
        key: MachineKey {
            platform: "local".to_owned(),
            id: format!("id-{name}"),
        },
        jobs: if at % 20 == 7 {
            Vec::new()
        } else {
            vec!["web".to_owned()]
        },
        name,
        state: "running".to_owned(),
        bytes: 40 * GIB,
        seen: now,
        gone: None,
    };
    let names = fleet.overview.machines.iter().map(|it| it.name.clone());
    let machines: Vec<_> = names.enumerate().map(machine).collect();
    catalog.set_machines("local", &machines).expect("machines");
    let shift = now.duration_since(demo::now());
    let points: Vec<_> = fleet
        .points
        .into_iter()
        .map(|point| moved(point, shift))
        .collect();
    for repository in ["main", "offsite"] {
        let of = |point: &&Point| point.key.repository == repository;
        let points: Vec<_> = points.iter().filter(of).cloned().collect();
        catalog.set_points(repository, &points).expect("points");
    }
    for size in fleet.sizes {
        let seen = |facts: &mut RepositoryFacts| {
            facts.size = Some(RepositorySize {
                at: size.at + shift,
                ..size
            });
            facts.checked = Some(now);
            facts.is_ok = Some(true);
        };
        catalog.change_repository("main", seen).expect("a size");
    }
}

fn moved(point: Point, shift: SignedDuration) -> Point {
    Point {
        at: point.at + shift,
        machine: "web01".to_owned(),
        job: Some("web".to_owned()),
        ..point
    }
}

/// A server and its node; both end when it is dropped.
struct Site {
    address: String,
    stop: CancelToken,
    threads: Vec<JoinHandle<()>>,
}

impl Site {
    fn begin(folder: &Path, fill: impl FnOnce(&Catalog)) -> Self {
        let place = CatalogPlace::File(folder.join("catalog.sqlite"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let catalog = Arc::new(Catalog::open(&place, Arc::clone(&clock)).expect("a catalog"));
        fill(&catalog);
        let user = lifeboat_server::new_user(
            USER,
            PASSWORD,
            Role::Admin,
            Timestamp::now(),
            &SystemEntropy,
        );
        catalog.set_user(&user.expect("a user")).expect("kept");
        let options = NodeOptions {
            pause: Duration::from_millis(200),
            ..NodeOptions::new("hel-1", "0.1.0")
        };
        let parts = (settings(), Arc::clone(&catalog), Arc::new(Play));
        let node = Node::new(options, parts.0, parts.1, parts.2, Arc::clone(&clock));
        let node = Arc::new(node.expect("a node"));
        let state = State::new(StateParts {
            commands: Some(Arc::new(Played)),
            upload_max: 0,
            is_metrics_open: false,
            login: crate::stage::LOGIN,
            node: Arc::clone(&node),
            clock,
            entropy: Arc::new(SystemEntropy),
            audit_key: AuditKey::new(Secret::new(vec![7; 32])).expect("a key"),
            config: vec![("site".into(), "Helsinki".into(), "lifeboat.toml:1:1".into())],
        });
        let options = ServerOptions {
            listen: vec!["127.0.0.1:0".parse().expect("an address")],
            encryption: Encryption::Own {
                folder: folder.join("tls"),
                names: Vec::new(),
            },
            limits: Limits::default(),
            say: Arc::new(|_| {}),
        };
        let server = Server::bind(options, state.expect("a state")).expect("a server");
        let address = format!("https://{}", server.addresses()[0]);
        let stop = CancelToken::new();
        let (of_node, of_server) = (stop.clone(), stop.clone());
        let threads = vec![
            thread::spawn(move || node.run(&of_node, &|error| panic!("{error}"))),
            thread::spawn(move || server.run(&of_server).expect("served")),
        ];
        Self {
            address,
            stop,
            threads,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

#[test]
fn people_can_use_it_by_pointer_and_keys_on_desktop_and_phone() {
    let tools = (tool("browser-tools"), tool("node"), tool("chromium"));
    let (Some(list), Some(node), Some(_)) = tools else {
        return;
    };
    let modules = fs::read_to_string(list).expect("the place of the tools");
    let folder = TempDir::new().expect("a folder");
    let site = Site::begin(folder.path(), fill);
    play(("dashboard.mjs", "1"), &node, modules.trim(), &site);
}

/// Runs a script of the browser, which must be content; gives what it said.
fn play((script, times): (&str, &str), node: &Path, modules: &str, site: &Site) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let mut command = Command::new(node);
    command.arg(scripts.join(script)).arg(modules);
    command.arg(&site.address).args([USER, PASSWORD, times]);
    let seen = command.output().expect("node starts");
    let text = String::from_utf8_lossy(&seen.stdout);
    let errors = String::from_utf8_lossy(&seen.stderr);
    assert!(seen.status.success(), "{text}{errors}");
    text.into_owned()
}

/// Ten thousand points of one machine, of years, beside the usual fleet.
fn fill_with_ten_thousand(catalog: &Catalog) {
    fill(catalog);
    let now = Timestamp::now();
    let known = catalog.points(Some("web01"), 1).expect("a point").remove(0);
    let point = |number: i64| {
        let mut point = known.clone();
        point.key.snapshot = format!("{number:064x}");
        point.at = now - SignedDuration::from_mins(4 * 60 * number + number % 50);
        point.is_full = number % 42 == 0;
        point.verified = (number % 30 == 1).then_some((now, number % 600 != 1));
        point
    };
    let points: Vec<_> = (1..=10_000).map(point).collect();
    catalog.set_points("main", &points).expect("points");
}

#[test]
fn ten_thousand_points_are_painted_and_every_one_is_reached() {
    let tools = (tool("browser-tools"), tool("node"), tool("chromium"));
    let (Some(list), Some(node), Some(_)) = tools else {
        return;
    };
    // Each look costs a second of a processor.
    let times = Effort::current().pick("1", "9");
    let modules = fs::read_to_string(list).expect("the place of the tools");
    let folder = TempDir::new().expect("a folder");
    let site = Site::begin(folder.path(), fill_with_ten_thousand);
    let said = play(("paint.mjs", times), &node, modules.trim(), &site);
    for line in said.lines() {
        let (page, painted) = line.split_once(": ").expect("a page and its figures");
        lifeboat_testkit::figure("dashboard", &format!("10,000 points, {page}"), painted);
        println!("{line}");
    }
}
