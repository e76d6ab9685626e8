//! Carrying one task out.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use lifeboat_catalog::{Action, Lease, LogLevel, NewTask, Progress, TaskEnd, TaskState};
use lifeboat_model::{CancelToken, ErrorKind};
use serde_json::Value;

use super::{Node, lock, repository_of};
use crate::execute::TaskWatch;
use crate::outcome::{keep, keep_failure, machines};
use crate::preview::history;
use crate::settings::{JobSettings, Settings};
use crate::{Result, words};

/// Writes down what a task says. What cannot be written is not repeated: the lease's renewal says
/// whether the task goes on.
struct Told<'n> {
    node: &'n Node,
    lease: &'n Lease,
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
}

impl Node {
    /// Carries a leased task out to its end, and wakes the loop.
    pub fn carry_out(&self, lease: Lease, stop: &CancelToken) {
        let cancel = CancelToken::new();
        let over = (Mutex::new(false), Condvar::new());
        let end = std::thread::scope(|scope| {
            scope.spawn(|| self.hold(&lease, &cancel, stop, &over));
            let told = Told {
                node: self,
                lease: &lease,
            };
            let end = self.executor.execute(&lease.task, &told, &cancel);
            *lock(&over.0) = true;
            over.1.notify_all();
            end
        });
        let end = match end {
            TaskEnd::Cancelled if stop.is_cancelled() => TaskEnd::GivenBack,
            other => other,
        };
        self.conclude(&lease, end);
        self.busy.fetch_sub(1, Ordering::SeqCst);
        self.wake();
    }

    /// Renews the lease until the task is over. When that fails for so long that somebody else
    /// may take the task, or when somebody wants it stopped, the task is stopped.
    fn hold(
        &self,
        lease: &Lease,
        cancel: &CancelToken,
        stop: &CancelToken,
        over: &(Mutex<bool>, Condvar),
    ) {
        let mut lease = lease.clone();
        let hold = self.options.hold;
        let margin = hold / 4;
        let mut renewed = self.clock.monotonic();
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
            let age = self.clock.monotonic().saturating_sub(renewed);
            if age < hold / 3 && !stop.is_cancelled() {
                // Whoever wants it stopped is heard at the next renewal, or here.
                let task = self.catalog.task(lease.task.id);
                if task.is_ok_and(|task| task.cancelled_by.is_some()) {
                    cancel.cancel();
                }
                continue;
            }
            match self.catalog.renew(&mut lease, hold) {
                Ok(cancelled) => {
                    renewed = self.clock.monotonic();
                    if cancelled.is_some() {
                        cancel.cancel();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Denied => cancel.cancel(),
                Err(_) if age + margin > hold => cancel.cancel(),
                Err(_) => {}
            }
        }
    }

    /// Writes the end of a task down, with everything that it brought.
    ///
    /// What it brought comes first: a node that dies in between leaves a task that is done again,
    /// and rows that are then written once more.
    pub(super) fn conclude(&self, lease: &Lease, end: TaskEnd) {
        let settings = self.settings();
        let task = &lease.task;
        let repository = repository_of(&settings, task);
        let end = match end {
            TaskEnd::Succeeded(outcome) => match self.take_in(&settings, lease, &outcome) {
                Ok(kept) => TaskEnd::Succeeded(kept),
                Err(error) => TaskEnd::Failed(error.kind(), error.to_string()),
            },
            TaskEnd::Failed(kind, message) => {
                let finding = (kind == ErrorKind::Corrupt, message.as_str());
                // The task's own end says the same.
                let _ = keep_failure(&self.catalog, task, repository.as_deref(), finding);
                TaskEnd::Failed(kind, message)
            }
            other => other,
        };
        // A lease that is over belongs to somebody else, who writes the end; a catalog that
        // cannot be reached lets the lease run out.
        let _ = self.catalog.end_task(lease, &end);
        *lock(&self.overview) = None;
    }

    fn take_in(&self, settings: &Settings, lease: &Lease, outcome: &Value) -> Result<Value> {
        let task = &lease.task;
        let repository = repository_of(settings, task);
        let kept = keep(&self.catalog, task, repository.as_deref(), outcome)?;
        if task.action == Action::Resolve
            && let Some(job) = settings.jobs.get(&task.job)
        {
            let tasks = self.resolved(&task.job, job, outcome)?;
            let is_first = self.catalog.task(task.id)?.state == TaskState::Running;
            if is_first {
                self.catalog.add_tasks(task.run, &tasks)?;
            }
        }
        Ok(kept)
    }

    /// The tasks of a run whose machines are known.
    fn resolved(&self, name: &str, job: &JobSettings, outcome: &Value) -> Result<Vec<NewTask>> {
        let messages = outcome.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut tasks = Vec::new();
        for machine in machines(messages) {
            if machine.jobs.iter().any(|it| it == name) {
                let is_full = self.is_full(job, &machine.name)?;
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
            if job.retention.is_some() {
                let spared = self.spared(repository, name)?;
                tasks.push(words::forget(repository, name, &spared));
            }
            tasks.extend(words::look(repository, 4));
        }
        Ok(tasks)
    }

    /// Whether a machine's next backup reads everything.
    fn is_full(&self, job: &JobSettings, machine: &str) -> Result<bool> {
        let zone = job.timing.as_ref().map(|timing| timing.zone.clone());
        let zone = zone.unwrap_or_else(jiff::tz::TimeZone::system);
        let points = self.catalog.points(Some(machine), 10_000)?;
        let now = self.catalog.now().to_zoned(zone.clone());
        Ok(job.full.cause(&now, &history(&points, &zone)).is_some())
    }

    /// The newest verified point of each machine of a job in a repository.
    fn spared(&self, repository: &str, job: &str) -> Result<Vec<String>> {
        let machines = self.catalog.machines()?;
        let mut spared = Vec::new();
        for machine in machines
            .iter()
            .filter(|it| it.jobs.iter().any(|it| it == job))
        {
            let points = self.catalog.points(Some(&machine.name), 10_000)?;
            let mut held = points.iter().filter(|point| {
                point.key.repository == repository && point.verified.is_some_and(|(_, is_ok)| is_ok)
            });
            spared.extend(held.next().map(|point| point.key.snapshot.clone()));
        }
        Ok(spared)
    }
}
