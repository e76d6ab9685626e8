//! One node: a loop that begins what is due, carries tasks out, and judges.

mod machines;
mod overview;
mod requests;
mod worker;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{
    Action, Catalog, HeldUp, Lease, LeaseOffer, NewTask, Run, RunId, RunState, Task,
    clock_tolerance,
};
use lifeboat_model::{CancelToken, Clock, ErrorKind};

use crate::conditions::{UNDELIVERED, conditions};
use crate::due::{Agenda, Scheduled};
use crate::execute::Executor;
use crate::settings::Settings;
use crate::status::Overview;
use crate::{Result, words};

/// A node that was not seen for so long does not come back under its name.
const NODE_LOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How a node works.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its name; no two nodes have the same.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// How long a lease holds without being renewed.
    pub hold: Duration,
    /// The longest pause between two looks.
    pub pause: Duration,
    /// How often promises are judged.
    pub judge_every: Duration,
    /// Runs that ended longer ago are dropped.
    pub keep_runs: Duration,
    /// Repositories that the catalog knows nothing of are listed first.
    pub lists_unknown: bool,
    /// Somebody waits for its tasks: what is missing or refused is not tried again.
    pub is_attended: bool,
}

/// A node.
pub struct Node {
    options: NodeOptions,
    catalog: Arc<Catalog>,
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
    settings: RwLock<Arc<Settings>>,
    agenda: Mutex<Agenda>,
    overview: Mutex<Option<(i64, Timestamp, Arc<Overview>)>>,
    judged: Mutex<Option<Timestamp>>,
    /// By how much the clock of this computer is ahead of that of the catalog.
    ahead: Mutex<SignedDuration>,
    /// Repositories that were listed, or are known.
    looked: Mutex<BTreeSet<String>>,
    started: Timestamp,
    busy: AtomicUsize,
    /// Is told when a task has ended or somebody asked for something.
    wake: (Mutex<u64>, Condvar),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.options.name).finish()
    }
}

impl NodeOptions {
    /// The usual times.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            hold: Duration::from_secs(60),
            pause: Duration::from_secs(2),
            judge_every: Duration::from_secs(30),
            keep_runs: Duration::from_secs(400 * 86_400),
            lists_unknown: false,
            is_attended: false,
        }
    }
}

impl Node {
    /// A node that has not begun; what an earlier process of its name left is taken back.
    pub fn new(
        options: NodeOptions,
        settings: Settings,
        catalog: Arc<Catalog>,
        executor: Arc<dyn Executor>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let started = catalog.now();
        catalog.take_over_own(&options.name)?;
        Ok(Self {
            options,
            catalog,
            executor,
            clock,
            settings: RwLock::new(Arc::new(settings)),
            agenda: Mutex::default(),
            overview: Mutex::default(),
            judged: Mutex::default(),
            ahead: Mutex::default(),
            looked: Mutex::default(),
            started,
            busy: AtomicUsize::new(0),
            wake: Default::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What is configured now.
    pub fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.read().unwrap_or_else(|p| p.into_inner());
        Arc::clone(&settings)
    }

    /// Goes on with other settings; tasks that run are not touched.
    pub fn replace_settings(&self, settings: Settings) {
        let mut held = self.settings.write().unwrap_or_else(|p| p.into_inner());
        *held = Arc::new(settings);
        drop(held);
        lock(&self.agenda).clear();
        *lock(&self.overview) = None;
        self.wake();
    }

    /// Works until `stop` is set; then tasks that run are stopped and given back.
    ///
    /// A catalog that cannot be reached is waited for; nothing new begins meanwhile. `trouble` is
    /// told of it.
    pub fn run(self: &Arc<Self>, stop: &CancelToken, trouble: &dyn Fn(&crate::Error)) {
        std::thread::scope(|scope| {
            let mut was_right = true;
            while !stop.is_cancelled() {
                let is_right = self.is_clock_right();
                if was_right && !is_right {
                    let text = "the clock of this computer and that of the catalog's database \
                                differ: nothing is begun here; set both by NTP";
                    trouble(&crate::Error::new(ErrorKind::Denied, text));
                }
                was_right = is_right;
                let seen = *lock(&self.wake.0);
                match self.tick(stop, &|lease| {
                    let node = Arc::clone(self);
                    scope.spawn(move || node.carry_out(lease, stop));
                }) {
                    Ok(()) => self.rest(seen),
                    Err(error) => {
                        trouble(&error);
                        self.rest(seen);
                    }
                }
            }
        });
        if let Err(error) = self.catalog.take_leave(self.name()) {
            trouble(&error.into());
        }
    }

    /// One look: says that it is there, takes over, begins what is due, judges, and hands leases
    /// to `begin`. A node whose clock is wrong begins nothing.
    pub fn tick(&self, stop: &CancelToken, begin: &dyn Fn(Lease)) -> Result<()> {
        let settings = self.settings();
        *lock(&self.ahead) = self.catalog.greet(&lifeboat_catalog::Node {
            name: self.options.name.clone(),
            version: self.options.version.clone(),
            started: self.started,
            seen: self.started,
            clock_ahead: SignedDuration::ZERO,
        })?;
        self.catalog.take_over()?;
        let is_right = self.is_clock_right();
        if is_right {
            self.look_at_unknown(&settings)?;
            let tasks = |it: &Scheduled<'_>, now| self.first_tasks(&settings, it, now);
            lock(&self.agenda).begin_due(&self.catalog, &settings, tasks)?;
        }
        self.judge(&settings)?;
        if stop.is_cancelled() || !is_right {
            return Ok(());
        }
        for lease in self.lease(None)? {
            begin(lease);
        }
        Ok(())
    }

    /// Whether the clock of this computer was near enough to that of the catalog when it was last
    /// seen.
    fn is_clock_right(&self) -> bool {
        lock(&self.ahead).unsigned_abs() <= clock_tolerance(self.options.hold)
    }

    /// Lists repositories that the catalog knows nothing of: it is new, or was lost.
    fn look_at_unknown(&self, settings: &Settings) -> Result<()> {
        let mut looked = lock(&self.looked);
        let is_done = looked.len() == settings.repositories.len();
        if is_done || !self.options.lists_unknown {
            return Ok(());
        }
        let known = self.catalog.repositories()?;
        for name in settings.repositories.keys() {
            let is_known = known.iter().any(|it| it.name == *name && it.size.is_some());
            if looked.insert(name.clone()) && !is_known {
                let repository = name.clone();
                self.begin(&crate::Request::Look { repository }, "catalog")?;
            }
        }
        Ok(())
    }

    /// As many tasks as there is room for.
    fn lease(&self, run: Option<RunId>) -> Result<Vec<Lease>> {
        let settings = self.settings();
        let most = settings.parallel.max(1) as usize;
        let free = most.saturating_sub(self.busy.load(Ordering::SeqCst));
        if free == 0 {
            return Ok(Vec::new());
        }
        let offer = LeaseOffer {
            node: &self.options.name,
            hold: self.options.hold,
            count: u32::try_from(free).unwrap_or(u32::MAX),
            run,
        };
        let leases = self
            .catalog
            .lease_unless(&offer, &|task, now| held_up(&settings, task, now))?;
        self.busy.fetch_add(leases.len(), Ordering::SeqCst);
        Ok(leases)
    }

    /// Carries out the tasks of one run, beside other nodes, until it has ended or `stop` is set;
    /// `seen` is called after each look.
    pub fn carry_out_run(
        self: &Arc<Self>,
        run: RunId,
        stop: &CancelToken,
        seen: &dyn Fn(&Run),
    ) -> Result<Run> {
        std::thread::scope(|scope| {
            loop {
                let wakes = *lock(&self.wake.0);
                self.catalog.take_over()?;
                let now = self.catalog.run(run)?;
                seen(&now);
                if now.state != RunState::Open || stop.is_cancelled() {
                    return Ok(now);
                }
                for lease in self.lease(Some(run))? {
                    let node = Arc::clone(self);
                    scope.spawn(move || node.carry_out(lease, stop));
                }
                self.rest(wakes);
            }
        })
    }

    /// When the next scheduled run begins, as far as it is known.
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.agenda).next()
    }

    /// Wakes the loop.
    pub fn wake(&self) {
        *lock(&self.wake.0) += 1;
        self.wake.1.notify_all();
    }

    /// Waits until somebody wakes the loop, or did since `seen`, or for the longest pause.
    fn rest(&self, seen: u64) {
        let held = lock(&self.wake.0);
        let pause = self.options.pause;
        let waited = self
            .wake
            .1
            .wait_timeout_while(held, pause, |count| *count == seen);
        drop(waited);
    }

    /// Judges promises and writes down which conditions hold.
    ///
    /// One node of all does it: two that read their settings at different times would contradict
    /// each other.
    fn judge(&self, settings: &Settings) -> Result<()> {
        let now = self.catalog.now();
        let mut judged = lock(&self.judged);
        let every = SignedDuration::try_from(self.options.judge_every).unwrap_or_default();
        if judged.is_some_and(|last| now.duration_since(last).abs() < every) {
            return Ok(());
        }
        let hold = self.options.judge_every * 3;
        if !self.catalog.lead("judge", &self.options.name, hold)? {
            *judged = Some(now);
            return Ok(());
        }
        let overview = self.overview()?;
        let nodes = self.catalog.nodes()?;
        let tolerance = clock_tolerance(self.options.hold);
        let undelivered = self.catalog.note(UNDELIVERED)?.unwrap_or_default();
        self.catalog.set_alerts(&conditions(
            settings,
            &overview,
            (&nodes, tolerance),
            &undelivered,
            now,
        ))?;
        let is_new_day =
            judged.is_none_or(|last| last.as_second() / 86_400 != now.as_second() / 86_400);
        if is_new_day {
            let kept = SignedDuration::try_from(self.options.keep_runs).unwrap_or_default();
            let before = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
            self.catalog.forget_runs(before)?;
            self.catalog.forget_machines(before)?;
            let lost = nodes
                .iter()
                .filter(|node| now.duration_since(node.seen) > NODE_LOST);
            for node in lost {
                self.catalog.take_leave(&node.name)?;
            }
        }
        *judged = Some(now);
        Ok(())
    }

    /// The first tasks of a run that is due.
    fn first_tasks(
        &self,
        settings: &Settings,
        it: &Scheduled<'_>,
        now: Timestamp,
    ) -> Result<Vec<NewTask>> {
        Ok(match it.action {
            Action::Backup => settings
                .jobs
                .get(it.name)
                .map(words::resolve)
                .into_iter()
                .collect(),
            Action::Verify => self.verify_tasks(it.name)?,
            Action::Check => {
                let repository = settings.repositories.get(it.name);
                let data = repository.and_then(|it| it.check_data.as_deref());
                let data = data.map(|data| self.next_part(it.name, data)).transpose()?;
                let mut tasks = vec![words::check(it.name, data.as_deref())];
                tasks.extend(words::look(it.name, 1));
                tasks
            }
            Action::Prune => {
                let mut tasks = vec![words::prune(it.name)];
                tasks.extend(words::look(it.name, 1));
                tasks
            }
            action => {
                let text = format!("nothing is planned for {action} at {now}");
                return Err(crate::Error::new(ErrorKind::Unsupported, text));
            }
        })
    }

    /// What a check reads: of `1/30` the thirtieth after the one that was last read.
    pub(super) fn next_part(&self, repository: &str, data: &str) -> Result<String> {
        let parts: Option<u64> = data.strip_prefix("1/").and_then(|it| it.parse().ok());
        let Some(parts) = parts.filter(|parts| *parts > 0) else {
            return Ok(data.to_owned());
        };
        let last: Option<u64> = self.catalog.note(&words::part_note(repository))?;
        let part = last.unwrap_or_default() % parts + 1;
        Ok(format!("{part}/{parts}"))
    }

    /// Reads the newest point of each machine of a job back that was not read yet.
    fn verify_tasks(&self, job: &str) -> Result<Vec<NewTask>> {
        let points = self.newest_points(&self.settings())?;
        let of_job = points.iter().filter(|it| it.job.as_deref() == Some(job));
        let unread = of_job.filter(|point| point.verified.is_none());
        let task = |point: &lifeboat_catalog::Point| {
            words::verify(&point.machine, &point.key.repository, &point.key.snapshot)
        };
        Ok(unread.map(task).collect())
    }
}

/// What was tried before waits for the end of its job's blackout.
fn held_up(settings: &Settings, task: &Task, now: Timestamp) -> Option<HeldUp> {
    let timing = settings.jobs.get(&task.job)?.timing.as_ref()?;
    let until = timing.blackout_end(now).filter(|_| task.attempt > 0)?;
    let end = until.to_zoned(timing.zone.clone());
    let why = format!(
        "a blackout of job {} ends at {}",
        task.job,
        end.strftime("%a %H:%M %Z")
    );
    Some(HeldUp { until, why })
}

/// The repository that a task works on, by its words.
pub(crate) fn repository_of(settings: &Settings, task: &Task) -> Option<String> {
    let after = |option: &str| {
        let at = task.words.iter().position(|word| word == option)?;
        task.words.get(at + 1)?.strip_prefix('@').map(str::to_owned)
    };
    after("--repo").or_else(|| {
        let job = after("--job")?;
        settings.jobs.get(&job).map(|job| job.repository.clone())
    })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}
