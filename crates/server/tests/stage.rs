//! A server over a filled catalog, and a plain way to ask it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use lifeboat_api::{NewToken, Role as ShownRole};
use lifeboat_catalog::{
    Alert, AlertSeverity, AuditKey, Catalog, CatalogPlace, LeaseOffer, LogLevel, Machine,
    MachineKey, Point, PointKey, RepositorySize, Role, Task, TaskEnd,
};
use lifeboat_config::{LoginLimits, Objectives};
use lifeboat_model::{CancelToken, Clock, ErrorKind, Secret, SystemClock, SystemEntropy};
use lifeboat_policy::{FullRule, KeepCount, Retention, Timing};
use lifeboat_scheduler::{
    Executor, JobSettings, Node, NodeOptions, PlatformSettings, RepositorySettings, Request,
    Settings, TaskWatch,
};
use lifeboat_server::{Commands, Encryption, Limits, Server, ServerOptions, State, StateParts};
use serde_json::Value;
use tempfile::TempDir;

/// The password of the user `anna`, who is an administrator.
pub(crate) const PASSWORD: &str = "a long enough password";

/// The usual limits of signing in.
pub(crate) const LOGIN: LoginLimits = LoginLimits {
    attempts: 10,
    window: Duration::from_secs(15 * 60),
    session: Duration::from_secs(12 * 3600),
};

/// Nothing is carried out here.
struct Idle;

impl Executor for Idle {
    fn execute(&self, _: &Task, _: &dyn TaskWatch, _: &CancelToken) -> TaskEnd {
        TaskEnd::GivenBack
    }
}

/// Says what it was asked to do, and what it was given.
struct Parrot(PathBuf);

impl Commands for Parrot {
    fn run(
        &self,
        words: &[OsString],
        _: &CancelToken,
        take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
    ) -> Result<(), (ErrorKind, String)> {
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        if words.contains(&"recover") {
            return planned(&words, take);
        }
        let sent = words.last().and_then(|path| std::fs::read(path).ok());
        if sent
            .as_deref()
            .is_some_and(|sent| !sent.starts_with(b"{\"version\""))
        {
            let text = format!("{} is no catalog", words.last().unwrap());
            return Err((ErrorKind::Invalid, text));
        }
        take(format!("{}\n", serde_json::json!({"words": words})).into_bytes());
        match words.contains(&"compare") {
            true => Err((ErrorKind::Unreachable, "the place is gone".into())),
            false => Ok(()),
        }
    }

    fn folder(&self) -> PathBuf {
        self.0.clone()
    }
}

/// The plan of a recovery, of which a step says the words; the name `taken` is.
fn planned(
    words: &[&str],
    take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
) -> Result<(), (ErrorKind, String)> {
    if words.contains(&"taken") {
        let text = "building taken: there is a machine of this name";
        return Err((ErrorKind::Exists, text.into()));
    }
    let disk = serde_json::json!({"name": "vda", "bytes": 1 << 30, "format": "raw",
        "place": "/dev/fast/fresh-vda"});
    let plan = serde_json::json!({"message_type": "plan", "machine": "fresh", "bytes": 1 << 30,
        "disks": [disk], "steps": [words.join(" ")], "findings": []});
    take(format!("{{\"message_type\":\"step\"}}\n{plan}\n").into_bytes());
    Ok(())
}

/// A server that answers until it is dropped.
pub(crate) struct Stage {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) state: Arc<State>,
    pub(crate) address: SocketAddr,
    pub(crate) fingerprint: Option<String>,
    pub(crate) folder: TempDir,
    stop: CancelToken,
    thread: Option<JoinHandle<()>>,
}

/// How a stage differs from the usual one.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) limits: Limits,
    pub(crate) is_encrypted: bool,
    pub(crate) files: Option<(PathBuf, PathBuf)>,
    pub(crate) commands: Option<Arc<dyn Commands>>,
    pub(crate) login: Option<LoginLimits>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Wishes::default())
    }

    pub(crate) fn with(wishes: Wishes) -> Self {
        let folder = TempDir::new().unwrap();
        let place = CatalogPlace::File(folder.path().join("catalog.sqlite"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let catalog = Arc::new(Catalog::open(&place, Arc::clone(&clock)).unwrap());
        let options = NodeOptions::new("node-a", "0.0.0");
        let executor = Arc::new(Idle);
        let parts = (Arc::clone(&catalog), executor, Arc::clone(&clock));
        let node = Arc::new(Node::new(options, settings(), parts.0, parts.1, parts.2).unwrap());
        let parrot = || Arc::new(Parrot(folder.path().to_owned())) as Arc<dyn Commands>;
        let commands = wishes.commands.unwrap_or_else(parrot);
        let state = State::new(StateParts {
            is_metrics_open: false,
            login: wishes.login.unwrap_or(LOGIN),
            node: Arc::clone(&node),
            clock,
            entropy: Arc::new(SystemEntropy),
            audit_key: AuditKey::new(Secret::new(vec![7; 32])).unwrap(),
            commands: Some(commands),
            upload_max: 64 << 10,
            config: vec![("site".into(), "berlin".into(), "lifeboat.toml:1".into())],
        });
        let state = state.unwrap();
        fill(&catalog, &node);
        let encryption = match (wishes.is_encrypted, wishes.files) {
            (_, Some((certificate, key))) => Encryption::Files { certificate, key },
            (true, None) => Encryption::Own {
                folder: folder.path().join("tls"),
                names: vec!["backup.example.org".into()],
            },
            (false, None) => Encryption::None,
        };
        let options = ServerOptions {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            encryption,
            limits: wishes.limits,
            say: Arc::new(|_| {}),
        };
        let server = Server::bind(options, Arc::clone(&state)).unwrap();
        let (address, fingerprint) = (server.addresses()[0], server.fingerprint());
        let stop = CancelToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || server.run(&stopped).unwrap());
        Self {
            catalog,
            state,
            address,
            fingerprint,
            folder,
            stop,
            thread: Some(thread),
        }
    }

    /// A token with a role.
    pub(crate) fn token(&self, role: ShownRole, scopes: &[&str]) -> String {
        let asked = NewToken {
            title: "of a test".into(),
            role,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            days: Some(1),
        };
        let made = lifeboat_server::new_token(&asked, "test", &SystemClock, &SystemEntropy);
        let (token, secret) = made.unwrap();
        self.catalog.set_token(&token).unwrap();
        secret
    }

    /// Makes the administrator `anna`.
    pub(crate) fn add_anna(&self) {
        let now = Timestamp::now();
        let user = lifeboat_server::new_user("anna", PASSWORD, Role::Admin, now, &SystemEntropy);
        self.catalog.set_user(&user.unwrap()).unwrap();
    }

    /// Asks with headers and a body.
    pub(crate) fn ask(&self, head: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        ask(
            TcpStream::connect(self.address).unwrap(),
            head,
            headers,
            body,
        )
    }

    /// Asks as the holder of a token.
    pub(crate) fn as_token(&self, token: &str, head: &str, body: &str) -> Reply {
        self.ask(head, &[("Authorization", &format!("Bearer {token}"))], body)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()));
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Asks over a connection; `head` is a method and a path.
pub(crate) fn ask(
    mut stream: TcpStream,
    head: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut text = format!("{head} HTTP/1.0\r\nHost: localhost\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_type = headers.iter().any(|(name, _)| *name == "Content-Type");
    if !body.is_empty() && !has_type {
        text.push_str("Content-Type: application/json\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    // A server that refuses early may close before all is written.
    let _ = stream.write_all(text.as_bytes());
    read(stream)
}

/// Reads one answer up to the connection's end.
pub(crate) fn read(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Reply {
        status: status.unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A file of the repository's root.
pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn settings() -> Settings {
    let job = JobSettings {
        platform: "local".into(),
        repository: "main".into(),
        copies_to: vec!["far".into()],
        policy: None,
        timing: Some(Timing::new("daily 02:00".parse().unwrap(), TimeZone::UTC)),
        full: FullRule::default(),
        guard: Default::default(),
        retention: Some(Retention {
            last: KeepCount::newest(9),
            ..Retention::default()
        }),
        verify: None,
        objectives: Objectives {
            recovery_point: Some(Duration::from_secs(86_400)),
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
        site: Some("berlin".into()),
        jobs: [("web".to_owned(), job)].into(),
        platforms: [("local".to_owned(), PlatformSettings::default())].into(),
        repositories: [("main".to_owned(), RepositorySettings::default())].into(),
        parallel: 2,
    }
}

pub(crate) fn point(machine: &str, at: Timestamp) -> Point {
    let number = at.as_second().unsigned_abs();
    Point {
        key: PointKey {
            repository: "main".into(),
            snapshot: format!("{:064x}", number + machine.len() as u64),
        },
        machine: machine.into(),
        platform: Some("local".into()),
        job: Some("web".into()),
        at,
        bytes: 1 << 30,
        bytes_read: 1 << 20,
        bytes_stored: 1 << 19,
        seconds: 12.5,
        consistency: Some("filesystem".into()),
        is_full: false,
        tags: vec!["nightly".into()],
        pinned_until: None,
        verified: None,
    }
}

fn fill(catalog: &Catalog, node: &Node) {
    let now = Timestamp::now();
    let machine = |name: &str, jobs: &[&str]| Machine {
        key: MachineKey {
            platform: "local".into(),
            id: format!("id-{name}"),
        },
        name: name.into(),
        state: "running".into(),
        bytes: 1 << 30,
        jobs: jobs.iter().map(|&job| job.to_owned()).collect(),
        seen: now,
        gone: None,
    };
    let machines = [
        machine("web01", &["web"]),
        machine("db\"01\\", &["web"]),
        machine("x", &[]),
    ];
    catalog.set_machines("local", &machines).unwrap();
    for hours in 1..4 {
        let at = now - SignedDuration::from_hours(hours);
        catalog.add_point(&point("web01", at)).unwrap();
    }
    let size = RepositorySize {
        at: now,
        bytes: 10,
        bytes_unpacked: 20,
        bytes_restored: 30,
        blobs: 4,
        snapshots: 3,
    };
    let seen = |facts: &mut lifeboat_catalog::RepositoryFacts| {
        facts.size = Some(size);
        facts.checked = Some(now);
        facts.is_ok = Some(true);
    };
    catalog.change_repository("main", seen).unwrap();
    catalog.set_alerts(&[alert()]).unwrap();
    let request = Request::Check {
        repository: "main".into(),
    };
    node.begin(&request, "schedule").unwrap();
    let offer = LeaseOffer {
        node: "node-a",
        hold: Duration::from_secs(3_600),
        count: 1,
        run: None,
    };
    let lease = catalog.lease(&offer).unwrap().remove(0);
    catalog.begin_step(&lease, "validate").unwrap();
    catalog
        .write_log(&lease, LogLevel::Note, "looking")
        .unwrap();
    node.begin(&request, "schedule").unwrap();
}

fn alert() -> Alert {
    Alert {
        id: 0,
        subject: "rpo local/web01".into(),
        condition: "rpo".into(),
        severity: AlertSeverity::Critical,
        text: "the newest recovery point is too old".into(),
        site: Some("berlin".into()),
        job: None,
        machine: Some("web01".into()),
        platform: None,
        repository: None,
        since: Timestamp::now(),
        cleared: None,
        acknowledged: None,
    }
}
