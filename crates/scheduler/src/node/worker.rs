//! Carrying one task out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use lifeboat_catalog::{
    Action, Lease, LogLevel, NewTask, Progress, Reads, TaskEnd, TaskFilter, TaskState,
};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_policy::FullHistory;
use serde_json::Value;

use super::{Node, lock, repository_of};
use crate::execute::TaskWatch;
use crate::outcome::{keep, keep_failure, machines};
use crate::settings::{JobSettings, Settings};
use crate::{Result, words};

/// Writes down what a task says. What cannot be written is not repeated: the lease's renewal says
/// whether the task goes on.
struct Told<'n> {
    node: &'n Node,
    lease: &'n Lease,
    attempt: &'n Attempt,
}

impl TaskWatch for Told<'_> {
    fn step(&self, name: &str) {
        let _ = self.node.catalog.begin_step(self.lease, name);
    }

    fn progress(&self, progress: &Progress) {
        let _ = self.node.catalog.report(self.lease, progress);
    }

    fn line(&self, level: LogLevel, line: &str) {
        let _ = self.node.catalog.write_log(self.lease, level, line);
    }

    fn held_until(&self) -> Duration {
        *lock(&self.attempt.held_until)
    }
}

/// One attempt, as its two threads see it.
#[derive(Default)]
struct Attempt {
    /// Set when it is to stop.
    cancel: CancelToken,
    /// Whether somebody wants it stopped; else the node does.
    is_unwanted: AtomicBool,
    /// When the lease is over, by the node's monotonic count.
    held_until: Mutex<Duration>,
    over: (Mutex<bool>, Condvar),
}

/// Ends an attempt, also when what carries it out panics.
struct Over<'a>(&'a Attempt);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        *lock(&self.0.over.0) = true;
        self.0.over.1.notify_all();
    }
}

impl Attempt {
    fn refuse(&self) {
        self.is_unwanted.store(true, Ordering::SeqCst);
        self.cancel.cancel();
    }
}

impl Node {
    /// Carries a leased task out to its end, and wakes the loop.
    ///
    /// The lease is renewed first: a node that slept since it was given the task begins nothing.
    pub fn carry_out(&self, mut lease: Lease, stop: &CancelToken) {
        let settings = self.settings();
        let attempt = Attempt::default();
        if self.renew(&mut lease, &attempt).is_err() {
            return self.conclude(&settings, &lease, TaskEnd::GivenBack);
        }
        // What cannot be asked now is not needed: without the catalog nothing ends well.
        let _ = self.make_ready(&settings, &mut lease);
        let end = std::thread::scope(|scope| {
            let over = Over(&attempt);
            scope.spawn(|| self.hold(&lease, &attempt, stop));
            let told = Told {
                node: self,
                lease: &lease,
                attempt: &attempt,
            };
            let end = self.executor.execute(&lease.task, &told, &attempt.cancel);
            drop(over);
            end
        });
        // Nobody but this node wanted it stopped: it stops, or could not renew its lease.
        let is_own = attempt.cancel.is_cancelled() && !attempt.is_unwanted.load(Ordering::SeqCst);
        let left = lock(&attempt.held_until).saturating_sub(self.clock.monotonic());
        let end = match end {
            TaskEnd::Cancelled if stop.is_cancelled() || is_own => TaskEnd::GivenBack,
            // The node stood still, and what carried the task out ended with the lease.
            TaskEnd::Failed(ErrorKind::Cancelled, _) if left <= self.options.hold / 4 => {
                TaskEnd::GivenBack
            }
            other => other,
        };
        self.conclude(&settings, &lease, end);
    }

    /// Brings a task's words to what is known now: what was proved, or is being proved, since the
    /// task was written down is not forgotten either.
    ///
    /// Errors: those of the catalog.
    pub fn make_ready(&self, settings: &Settings, lease: &mut Lease) -> Result<()> {
        let task = &mut lease.task;
        let repository = repository_of(settings, task);
        let (Action::Forget, Some(repository)) = (task.action, repository) else {
            return Ok(());
        };
        for snapshot in self.spared(&repository, &task.job)? {
            if !task.words.contains(&snapshot) {
                task.words.extend([words::KEEP_ID.to_owned(), snapshot]);
            }
        }
        Ok(())
    }

    /// Renews the lease until the task is over. When that fails for so long that somebody else
    /// may take the task, or when somebody wants it stopped, the task is stopped.
    fn hold(&self, lease: &Lease, attempt: &Attempt, stop: &CancelToken) {
        let (cancel, over) = (&attempt.cancel, &attempt.over);
        let mut lease = lease.clone();
        let hold = self.options.hold;
        loop {
            let held = lock(&over.0);
            let pause = (hold / 6).min(Duration::from_secs(1));
            let waited = over.1.wait_timeout_while(held, pause, |is_over| !*is_over);
            if *waited.map_or_else(|poison| poison.into_inner().0, |it| it.0) {
                return;
            }
            if stop.is_cancelled() {
                cancel.cancel();
            }
            let left = lock(&attempt.held_until).saturating_sub(self.clock.monotonic());
            if left > hold * 2 / 3 && !stop.is_cancelled() {
                // Whoever wants it stopped is heard at the next renewal, or here.
                let task = self.catalog.task(lease.task.id);
                if task.is_ok_and(|task| task.cancelled_by.is_some()) {
                    attempt.refuse();
                }
                continue;
            }
            match self.renew(&mut lease, attempt) {
                Ok(Some(_)) => attempt.refuse(),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Denied => cancel.cancel(),
                Err(_) if left < hold / 4 => cancel.cancel(),
                Err(_) => {}
            }
        }
    }

    /// Renews a lease; says who wants the task stopped. The new one counts from before the
    /// question: however long the answer took, nobody else has the task meanwhile.
    fn renew(
        &self,
        lease: &mut Lease,
        attempt: &Attempt,
    ) -> lifeboat_catalog::Result<Option<String>> {
        let (asked, hold) = (self.clock.monotonic(), self.options.hold);
        let unwanted = self.catalog.renew(lease, hold)?;
        *lock(&attempt.held_until) = asked + hold;
        Ok(unwanted)
    }

    /// Writes the end of a task down, with everything that it brought, and wakes the loop;
    /// `settings` are those with which it began.
    ///
    /// What it brought comes first: a node that dies in between leaves a task that is done again,
    /// and rows that are then written once more. New tasks come with the end, or not at all.
    pub fn conclude(&self, settings: &Settings, lease: &Lease, end: TaskEnd) {
        let task = &lease.task;
        let repository = repository_of(settings, task);
        let mut more = Vec::new();
        let end = match end {
            TaskEnd::Succeeded(outcome) => match self.take_in(settings, lease, &outcome) {
                Ok((kept, tasks)) => {
                    more = tasks;
                    TaskEnd::Succeeded(kept)
                }
                Err(error) => TaskEnd::Failed(error.kind(), error.to_string()),
            },
            TaskEnd::Failed(kind, message) => {
                let finding = (kind == ErrorKind::Corrupt, message.as_str());
                // The task's own end says the same.
                let _ = keep_failure(&self.catalog, task, repository.as_deref(), finding);
                let is_mistake = matches!(kind, ErrorKind::NotFound | ErrorKind::Denied);
                match self.options.is_attended && is_mistake {
                    true => TaskEnd::Hopeless(kind, message),
                    false => TaskEnd::Failed(kind, message),
                }
            }
            other => other,
        };
        // A lease that is over belongs to somebody else, who writes the end; a catalog that
        // cannot be reached lets the lease run out.
        let _ = match more.is_empty() {
            true => self.catalog.end_task(lease, &end),
            false => self.catalog.end_task_adding(lease, &end, &more),
        };
        *lock(&self.overview) = None;
        self.busy.fetch_sub(1, Ordering::SeqCst);
        self.wake();
    }

    /// Keeps what a task has brought; gives what its row keeps, and the tasks that follow.
    fn take_in(
        &self,
        settings: &Settings,
        lease: &Lease,
        outcome: &Value,
    ) -> Result<(Value, Vec<NewTask>)> {
        let task = &lease.task;
        let repository = repository_of(settings, task);
        let kept = keep(
            settings,
            &self.catalog,
            lease,
            repository.as_deref(),
            outcome,
        )?;
        let tasks = match (task.action, settings.jobs.get(&task.job)) {
            (Action::Resolve, Some(job)) => self.resolved(&task.job, job, outcome)?,
            _ => Vec::new(),
        };
        Ok((kept, tasks))
    }

    /// The tasks of a run whose machines are known.
    fn resolved(&self, name: &str, job: &JobSettings, outcome: &Value) -> Result<Vec<NewTask>> {
        let messages = outcome.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut tasks = Vec::new();
        let reads = self.catalog.reads(name)?;
        for machine in machines(messages) {
            if machine.jobs.iter().any(|it| it == name) {
                let is_full = self.is_full(job, reads.get(&machine.name));
                tasks.push(words::backup(
                    &machine.name,
                    name,
                    job,
                    (&machine.id, is_full),
                ));
            }
        }
        for to in &job.copies_to {
            tasks.push(words::copy(to, name, job));
        }
        let repositories = std::iter::once(&job.repository).chain(&job.copies_to);
        for repository in repositories {
            if job.forgets() {
                let spared = self.spared(repository, name)?;
                tasks.push(words::forget(repository, (name, job), &spared));
            }
            tasks.extend(words::look(repository, 4));
        }
        Ok(tasks)
    }

    /// Whether a machine's next backup reads everything.
    fn is_full(&self, job: &JobSettings, reads: Option<&Reads>) -> bool {
        let zone = job.timing.as_ref().map(|timing| timing.zone.clone());
        let zone = zone.unwrap_or_else(jiff::tz::TimeZone::system);
        let now = self.catalog.now().to_zoned(zone.clone());
        let history = reads.map_or_else(FullHistory::default, |reads| FullHistory {
            last_full: reads.last_full.map(|at| at.to_zoned(zone)),
            increments: reads.increments,
        });
        job.full.cause(&now, &history).is_some()
    }

    /// The newest verified point of each machine of a job in a repository, and those that are
    /// being verified.
    pub(super) fn spared(&self, repository: &str, job: &str) -> Result<Vec<String>> {
        let running = self.catalog.tasks(&TaskFilter {
            state: Some(TaskState::Running),
            ..TaskFilter::default()
        })?;
        let mut proved = BTreeSet::new();
        let reading = running.iter().filter(|it| it.action == Action::Verify);
        let reading: Vec<&String> = reading.flat_map(|task| &task.words).collect();
        let machines = self.catalog.machines()?;
        let meant: BTreeSet<&str> = machines
            .iter()
            .filter(|it| it.jobs.iter().any(|it| it == job))
            .map(|it| it.name.as_str())
            .collect();
        let settings = self.settings();
        let platform = settings.jobs.get(job).map(|job| job.platform.as_str());
        let mut spared = Vec::new();
        for point in self.catalog.points_of(repository)? {
            // Another platform may have a machine of that name.
            let from = settings.platform_of(&point).or(platform);
            let is_meant = from == platform && meant.contains(&*point.machine);
            let is_own = point.job.as_deref() == Some(job) || is_meant;
            if !is_own {
                continue;
            }
            let is_proved = point.verified.is_some_and(|(_, is_ok)| is_ok);
            let is_first = is_proved && proved.insert(point.machine.clone());
            if is_first || reading.contains(&&point.key.snapshot) {
                spared.push(point.key.snapshot);
            }
        }
        Ok(spared)
    }
}
