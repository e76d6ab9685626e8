//! What people and programs ask a node for.

use lifeboat_catalog::{Action, Cause, NewRun, NewTask, RunId};
use lifeboat_model::ErrorKind;

use super::Node;
use crate::request::Request;
use crate::settings::Settings;
use crate::{Error, Result, words};

impl Node {
    /// Writes down a run that somebody asked for; it begins as soon as it has a turn.
    ///
    /// Errors: `NotFound` for names that are not configured.
    pub fn begin(&self, request: &Request, who: &str) -> Result<RunId> {
        let settings = self.settings();
        let (job, tasks) = self.asked(&settings, request)?;
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
            Request::Verify { machine } => {
                let points = self.catalog.points(Some(machine), 1)?;
                let none = || missing("recovery point of machine", machine);
                let point = points.first().ok_or_else(none)?;
                let task = words::verify(machine, &point.key.repository, &point.key.snapshot);
                (words::upkeep_job(Action::Verify, machine), vec![task])
            }
            Request::Check { repository } => {
                let found = settings.repositories.get(repository);
                let found = found.ok_or_else(|| missing("repository", repository))?;
                let data = found.check_data.as_deref();
                let data = data.map(|data| self.next_part(repository, data)).transpose()?;
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
            Request::Restore {
                repository,
                snapshot,
                platform,
                ..
            } => {
                known(
                    settings.repositories.contains_key(repository),
                    "repository",
                    repository,
                )?;
                known(
                    settings.platforms.contains_key(platform),
                    "platform",
                    platform,
                )?;
                let place = (repository.as_str(), snapshot.as_str(), platform.as_str());
                let task = words::restore(settings, place, &restore_options(request));
                (words::upkeep_job(Action::Restore, snapshot), vec![task])
            }
        })
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
            return Ok(vec![words::resolve(&job.platform)]);
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

fn restore_options(request: &Request) -> Vec<String> {
    let Request::Restore {
        name,
        is_started,
        is_replacing,
        ..
    } = request
    else {
        return Vec::new();
    };
    let mut options = Vec::new();
    if let Some(name) = name {
        options.push(format!("--name={name}"));
    }
    if *is_started {
        options.push("--start".to_owned());
    }
    if *is_replacing {
        options.push("--replace".to_owned());
    }
    options
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
