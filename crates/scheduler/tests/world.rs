//! A catalog, a clock and nodes over it; time passes when the test says so.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_catalog::{
    Alert, Catalog, CatalogPlace, Lease, Run, RunFilter, Task, TaskFilter, TaskState,
};
use lifeboat_config::Objectives;
use lifeboat_model::{CancelToken, Clock};
use lifeboat_policy::{FullRule, Guard, Timing};
use lifeboat_scheduler::{
    JobSettings, Node, NodeOptions, PlatformSettings, RepositorySettings, Settings,
};
use lifeboat_testkit::ManualClock;
use tempfile::TempDir;

use crate::play::Play;

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) play: Arc<Play>,
    pub(crate) settings: Settings,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) place: CatalogPlace,
    _folder: TempDir,
}

/// 2026-03-02, a Monday, at 00:00 UTC.
pub(crate) fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

pub(crate) fn daily(text: &str) -> Timing {
    Timing::new(text.parse().unwrap(), TimeZone::UTC)
}

/// A job of the platform `local` into the repository `main`, each day at 02:00.
pub(crate) fn job() -> JobSettings {
    JobSettings {
        platform: "local".to_owned(),
        repository: "main".to_owned(),
        copies_to: Vec::new(),
        policy: None,
        timing: Some(daily("daily 02:00")),
        full: FullRule::default(),
        retention: None,
        guard: Guard::default(),
        verify: None,
        objectives: Objectives::default(),
        is_enabled: true,
        after: Vec::new(),
        parallel: 4,
        per_host: None,
        per_repository: None,
        attempts: 3,
        retry_seconds: 60,
    }
}

pub(crate) fn settings(jobs: &[(&str, JobSettings)]) -> Settings {
    let mut settings = Settings {
        parallel: 16,
        ..Settings::default()
    };
    settings
        .platforms
        .insert("local".to_owned(), PlatformSettings::default());
    for (name, job) in jobs {
        settings.jobs.insert((*name).to_owned(), job.clone());
        for repository in std::iter::once(&job.repository).chain(&job.copies_to) {
            let repositories = &mut settings.repositories;
            repositories.insert(repository.clone(), RepositorySettings::default());
        }
    }
    settings
}

impl World {
    /// Machines `(name, job)` of the platform `local`.
    pub(crate) fn new(settings: Settings, machines: &[(&str, &str)]) -> Self {
        // No test here is about disks.
        let memory = std::path::Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let place = CatalogPlace::File(folder.path().join("catalog.sqlite"));
        let clock = Arc::new(ManualClock::new(start()));
        let play = Arc::new(Play::default());
        play.look().show("local", machines);
        play.look().settings = settings.clone();
        Self {
            catalog: Arc::new(Catalog::open(&place, clock.clone()).unwrap()),
            clock,
            play,
            settings,
            place,
            _folder: folder,
        }
    }

    pub(crate) fn node(&self, name: &str) -> Arc<Node> {
        self.node_with(name, self.play.clone())
    }

    pub(crate) fn node_with(
        &self,
        name: &str,
        executor: Arc<dyn lifeboat_scheduler::Executor>,
    ) -> Arc<Node> {
        let options = NodeOptions {
            pause: Duration::from_millis(5),
            ..NodeOptions::new(name, "1")
        };
        let catalog = Arc::new(Catalog::open(&self.place, self.clock.clone()).unwrap());
        let settings = self.settings.clone();
        let node = Node::new(options, settings, catalog, executor, self.clock.clone()).unwrap();
        // Jobs count from the first look on; nothing is begun by it.
        let stopped = CancelToken::new();
        stopped.cancel();
        node.tick(&stopped, &|_| {}).unwrap();
        Arc::new(node)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Moves the clock to a moment, as in `2026-03-02T02:00:00Z`.
    pub(crate) fn go(&self, to: &str) {
        let to: Timestamp = to.parse().unwrap();
        let span = to.duration_since(self.now());
        assert!(span.is_positive() || span.is_zero(), "time goes forward");
        self.clock.advance(span.unsigned_abs());
    }

    /// One look of a node: the tasks that it begins.
    pub(crate) fn tick(&self, node: &Node) -> Vec<Lease> {
        let begun = RefCell::new(Vec::new());
        node.tick(&CancelToken::new(), &|lease| begun.borrow_mut().push(lease))
            .unwrap();
        begun.into_inner()
    }

    /// Carries one task out.
    pub(crate) fn end(&self, node: &Node, mut lease: Lease) {
        let settings = node.settings();
        node.make_ready(&settings, &mut lease).unwrap();
        let end = {
            let mut outside = self.play.look();
            outside.now = self.now();
            outside.perform(&lease.task)
        };
        node.conclude(&settings, &lease, end);
    }

    /// Looks and carries out until nothing is left that may begin now.
    pub(crate) fn drain(&self, node: &Node) {
        loop {
            let leases = self.tick(node);
            if leases.is_empty() {
                return;
            }
            for lease in leases {
                self.end(node, lease);
            }
        }
    }

    /// Lets days pass, looking each half hour.
    pub(crate) fn live(&self, node: &Node, days: u64) {
        for _ in 0..days * 48 {
            self.pass(1800);
            self.drain(node);
        }
    }

    /// Runs, oldest first.
    pub(crate) fn runs(&self, job: &str) -> Vec<Run> {
        let filter = RunFilter {
            job: Some(job.to_owned()),
            count: 10_000,
            ..RunFilter::default()
        };
        let mut runs = self.catalog.runs(&filter).unwrap();
        runs.reverse();
        runs
    }

    /// Tasks, oldest first.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let filter = TaskFilter {
            count: 100_000,
            ..TaskFilter::default()
        };
        let mut tasks = self.catalog.tasks(&filter).unwrap();
        tasks.reverse();
        tasks
    }

    pub(crate) fn running(&self) -> Vec<Task> {
        let mut tasks = self.tasks();
        tasks.retain(|task| task.state == TaskState::Running);
        tasks
    }

    /// What holds, by subject.
    pub(crate) fn alerts(&self) -> Vec<String> {
        let mut subjects: Vec<String> = self
            .catalog
            .open_alerts()
            .unwrap()
            .into_iter()
            .map(|alert: Alert| alert.subject)
            .collect();
        subjects.sort();
        subjects
    }
}

pub(crate) fn subjects(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|it| it.task.subject.as_str()).collect()
}
