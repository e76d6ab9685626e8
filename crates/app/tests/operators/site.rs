//! A configured site whose catalog the test fills, at moments that it chooses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{
    Action, Catalog, CatalogPlace, Cause, Lease, LeaseOffer, Machine, MachineKey, NewRun, NewTask,
    Point, PointKey, TaskEnd,
};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::{ManualClock, lighten_key};
use serde_json::{Value, json};

use crate::trial::lifeboat;

/// Two repositories, one platform that is a file, a job with promises.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::now()));
        let site = Self { folder, clock };
        site.write("password", "geheim\n", 0o600);
        site.write("disk.img", "a disk", 0o600);
        site.configure("");
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Writes the configuration, with more at its end.
    pub(crate) fn configure(&self, more: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "site = \"berlin\"\n[repositories.main]\nplace = \"{folder}/r\"\n\
             password_file = \"{folder}/password\"\n[platforms.here]\n\
             uri = \"plain:{folder}/disk.img\"\n[policies.gold]\nkeep_last = 3\nrpo = \"26h\"\n\
             rto = \"1h\"\n[jobs.web]\nplatform = \"here\"\nrepository = \"main\"\n\
             policy = \"gold\"\n[catalog]\nnode = \"node1\"\n{more}"
        );
        self.write("lifeboat.toml", &text, 0o600);
    }

    /// Makes the repository.
    pub(crate) fn init(&self) {
        let output = self.run(&["-r", "@main", "init"]);
        assert!(output.status.success(), "{output:?}");
        lighten_key(&self.path("r"), "geheim");
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("LIFEBOAT_CONFIG", self.path("lifeboat.toml"))
            .env("LIFEBOAT_STATE", self.path("state"))
            .env("LIFEBOAT_INSTANT_STATE", self.path("instant"))
            .env("TZ", "UTC")
            .env_remove("RESTIC_PASSWORD_FILE")
            .env_remove("RESTIC_REPOSITORY");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(lifeboat()).args(words).output().unwrap()
    }

    /// Its exit code and what it said.
    pub(crate) fn told(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(words);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(complaint, "", "{words:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), told)
    }

    /// The lines of JSON that a command says.
    pub(crate) fn json(&self, words: &[&str]) -> Vec<Value> {
        let (_, told) = self.told(&[&["--json"], words].concat());
        told.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn catalog(&self) -> Catalog {
        let place = CatalogPlace::File(self.path("state/catalog.sqlite"));
        Catalog::open(&place, self.clock.clone()).unwrap()
    }

    /// So long before now.
    pub(crate) fn ago(&self, hours: i64) -> Timestamp {
        Timestamp::now() - SignedDuration::from_hours(hours)
    }
}

/// A machine that the job means.
pub(crate) fn machine(name: &str) -> Machine {
    Machine {
        key: MachineKey {
            platform: "here".into(),
            id: name.into(),
        },
        name: name.into(),
        state: "running".into(),
        bytes: 1 << 30,
        jobs: vec!["web".into()],
        seen: Timestamp::UNIX_EPOCH,
        gone: None,
    }
}

pub(crate) fn point(machine: &str, at: Timestamp) -> Point {
    Point {
        key: PointKey {
            repository: "main".into(),
            snapshot: format!("{machine}{}", at.as_second()),
        },
        machine: machine.into(),
        platform: Some("here".into()),
        job: Some("web".into()),
        at,
        bytes: 1 << 30,
        bytes_read: 1 << 20,
        bytes_stored: 1 << 20,
        seconds: 60.0,
        consistency: None,
        is_full: false,
        tags: Vec::new(),
        pinned_until: None,
        verified: None,
    }
}

/// A backup that has begun; it is the node's for a day.
pub(crate) fn begin(catalog: &Catalog, machine: &str) -> Lease {
    let task = NewTask {
        action: Action::Backup,
        subject: machine.into(),
        words: vec!["machine".into(), "backup".into(), machine.into()],
        stage: 0,
        lanes: Vec::new(),
        attempts_max: 1,
        retry_seconds: 0,
    };
    let run = NewRun {
        job: "web".into(),
        planned: None,
        cause: Cause::Schedule,
        requested_by: "schedule".into(),
        tasks: vec![task],
    };
    let run = catalog.begin_run(&run).unwrap();
    let offer = LeaseOffer {
        node: "node1",
        hold: Duration::from_secs(86_400),
        count: 1,
        run,
    };
    catalog.lease(&offer).unwrap().pop().unwrap()
}

/// A whole backup of ten minutes.
pub(crate) fn backup(site: &Site, catalog: &Catalog, (machine, is_ok): (&str, bool)) {
    let lease = begin(catalog, machine);
    site.clock.advance(Duration::from_secs(600));
    let end = match is_ok {
        true => TaskEnd::Succeeded(json!({})),
        false => TaskEnd::Failed(ErrorKind::Unreachable, "no route".into()),
    };
    catalog.end_task(&lease, &end).unwrap();
}
