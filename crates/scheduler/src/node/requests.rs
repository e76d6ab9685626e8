//! What people and programs ask a node for.

use lifeboat_catalog::{Action, Cause, NewRun, NewTask, RunId, Task};
use lifeboat_model::ErrorKind;

use super::Node;
use crate::request::{Request, RestoreRequest};
use crate::settings::Settings;
use crate::words::RestorePlaces;
use crate::{Error, Result, words};

impl Node {
    /// Writes down a run that somebody asked for; it begins as soon as it has a turn.
    ///
    /// Errors: `NotFound` for names that are not configured.
    pub fn begin(&self, request: &Request, who: &str) -> Result<RunId> {
        let settings = self.settings();
        let (job, tasks) = self.asked(&settings, request)?;
        self.write_down(job, tasks, who)
    }

    /// Writes down a run that does once more what a task did that has ended: a restore exactly
    /// as it was, everything else as it is configured now.
    ///
    /// Errors: `Busy` if it has not ended; `NotFound` for what is not configured any more.
    pub fn retry(&self, task: &Task, who: &str) -> Result<RunId> {
        if !task.state.is_over() {
            let text = format!("task {} has not ended: cancel it first", task.id);
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let settings = self.settings();
        let (job, tasks) = self.again(&settings, task)?;
        self.write_down(job, tasks, who)
    }

    fn write_down(&self, job: String, tasks: Vec<NewTask>, who: &str) -> Result<RunId> {
        let run = NewRun {
            job,
            planned: None,
            cause: Cause::Request,
            requested_by: who.to_owned(),
            tasks,
        };
        let id = self.catalog.begin_run(&run)?;
        self.wake();
        id.ok_or_else(|| Error::new(ErrorKind::Exists, "the same run is there already"))
    }

    fn again(&self, settings: &Settings, task: &Task) -> Result<(String, Vec<NewTask>)> {
        let (job, subject) = (task.job.clone(), task.subject.clone());
        let request = match task.action {
            Action::Backup => Request::Backup {
                job,
                machines: vec![subject],
                is_forced: words::is_forced(task),
            },
            Action::Resolve => Request::Backup {
                job,
                machines: Vec::new(),
                is_forced: false,
            },
            Action::Verify => Request::Verify {
                machine: subject,
                platform: self.platform_of_task(settings, task)?,
            },
            Action::Check => Request::Check {
                repository: subject,
            },
            Action::Prune => Request::Prune {
                repository: subject,
            },
            Action::Look => Request::Look {
                repository: subject,
            },
            Action::Copy | Action::Forget => {
                return Ok((job, self.of_job_again(settings, task)?));
            }
            Action::Restore => return Ok((job, vec![same(task)])),
        };
        self.asked(settings, &request)
    }

    /// What a job does to a whole repository, and a look at what came of it.
    fn of_job_again(&self, settings: &Settings, task: &Task) -> Result<Vec<NewTask>> {
        let (name, repository) = (&task.job, &task.subject);
        let job = settings.jobs.get(name);
        let job = job.ok_or_else(|| missing("job", name))?;
        let is_copied_to = job.copies_to.contains(repository);
        let again = match task.action {
            Action::Copy if is_copied_to => words::copy(repository, name, job),
            Action::Forget
                if job.retention.is_some() && (is_copied_to || job.repository == *repository) =>
            {
                words::forget(repository, (name, job), &self.spared(repository, name)?)
            }
            action => {
                let text = format!(
                    "job \"{name}\" does no {action} of repository \"{repository}\" any more: \
                     look at its configuration"
                );
                return Err(Error::new(ErrorKind::NotFound, text));
            }
        };
        Ok(std::iter::once(again)
            .chain(words::look(repository, 4))
            .collect())
    }

    fn asked(&self, settings: &Settings, request: &Request) -> Result<(String, Vec<NewTask>)> {
        Ok(match request {
            Request::Backup {
                job,
                machines,
                is_forced,
            } => (
                job.clone(),
                self.backups(settings, job, (machines, *is_forced))?,
            ),
            Request::Verify { machine, platform } => {
                let (point, name) = self.newest_point(machine, platform.as_deref())?;
                let task = words::verify(machine, &point.key.repository, &point.key.snapshot);
                (words::upkeep_job(Action::Verify, &name), vec![task])
            }
            Request::Check { repository } => {
                let found = settings.repositories.get(repository);
                let found = found.ok_or_else(|| missing("repository", repository))?;
                let data = found.check_data.as_deref();
                let data = data
                    .map(|data| self.next_part(repository, data))
                    .transpose()?;
                let mut tasks = vec![words::check(repository, data.as_deref())];
                tasks.extend(words::look(repository, 1));
                (words::upkeep_job(Action::Check, repository), tasks)
            }
            Request::Prune { repository } => {
                known(
                    settings.repositories.contains_key(repository),
                    "repository",
                    repository,
                )?;
                let mut tasks = vec![words::prune(repository)];
                tasks.extend(words::look(repository, 1));
                (words::upkeep_job(Action::Prune, repository), tasks)
            }
            Request::Look { repository } => {
                known(
                    settings.repositories.contains_key(repository),
                    "repository",
                    repository,
                )?;
                let tasks = words::look(repository, 0).to_vec();
                (words::upkeep_job(Action::Look, repository), tasks)
            }
            Request::Restore(asked) => {
                let task = self.restore(settings, asked)?;
                let job = words::upkeep_job(Action::Restore, &asked.snapshot);
                (job, vec![task])
            }
        })
    }

    fn restore(&self, settings: &Settings, asked: &RestoreRequest) -> Result<NewTask> {
        let (repository, platform) = (&asked.repository, &asked.platform);
        let snapshot = &asked.snapshot;
        let is_there = settings.repositories.contains_key(repository);
        known(is_there, "repository", repository)?;
        let is_there = settings.platforms.contains_key(platform);
        known(is_there, "platform", platform)?;
        let found = self.catalog.points_starting(repository, snapshot)?;
        let point = match found.as_slice() {
            [point] => point,
            [] => {
                let text = format!(
                    "the catalog knows no recovery point {snapshot} in repository \
                     \"{repository}\": look at the repository anew if it is there"
                );
                return Err(Error::new(ErrorKind::NotFound, text));
            }
            _ => {
                let text = format!(
                    "several recovery points in repository \"{repository}\" begin with \
                     {snapshot}: give more digits"
                );
                return Err(Error::new(ErrorKind::Invalid, text));
            }
        };
        let places = RestorePlaces {
            machine: &point.machine,
            snapshot: &point.key.snapshot,
            repository,
            platform,
        };
        Ok(words::restore(settings, &places, &restore_options(asked)))
    }

    /// All machines of a job are resolved first; some are backed up as they were last seen.
    fn backups(
        &self,
        settings: &Settings,
        name: &str,
        (machines, is_forced): (&[String], bool),
    ) -> Result<Vec<NewTask>> {
        let job = settings.jobs.get(name);
        let job = job.ok_or_else(|| missing("job", name))?;
        if machines.is_empty() && !is_forced {
            return Ok(vec![words::resolve(job)]);
        }
        let seen = self.catalog.machines()?;
        let of_job = |machine: &&lifeboat_catalog::Machine| {
            machine.key.platform == job.platform && machine.jobs.iter().any(|it| it == name)
        };
        let mut tasks = Vec::new();
        for wanted in machines {
            let found = seen
                .iter()
                .filter(of_job)
                .find(|machine| machine.name == *wanted);
            let id = found.map_or(wanted.as_str(), |machine| machine.key.id.as_str());
            tasks.push(words::backup(wanted, name, job, (id, is_forced)));
        }
        if machines.is_empty() {
            for machine in seen.iter().filter(of_job) {
                let place = (machine.key.id.as_str(), is_forced);
                tasks.push(words::backup(&machine.name, name, job, place));
            }
        }
        tasks.extend(words::look(&job.repository, 4));
        Ok(tasks)
    }
}

fn restore_options(asked: &RestoreRequest) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(name) = &asked.name {
        options.push(format!("--as={name}"));
    }
    if let Some(to) = &asked.to {
        options.push(format!("--to={to}"));
    }
    if asked.is_started {
        options.push("--start".to_owned());
    }
    if asked.is_replacing {
        options.push(words::REPLACE.to_owned());
    }
    options
}

/// A task that does exactly the same.
fn same(task: &Task) -> NewTask {
    NewTask {
        action: task.action,
        subject: task.subject.clone(),
        words: task.words.clone(),
        stage: task.stage,
        lanes: task.lanes.clone(),
        attempts_max: task.attempts_max,
        retry_seconds: task.retry_seconds,
    }
}

fn known(is_there: bool, what: &str, name: &str) -> Result<()> {
    match is_there {
        true => Ok(()),
        false => Err(missing(what, name)),
    }
}

fn missing(what: &str, name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("there is no {what} \"{name}\""),
    )
}
