//! Which runs are due.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_catalog::{Action, Catalog, Cause, NewRun, NewTask, RunFilter, RunState};
use lifeboat_policy::{Due, Timing};

use crate::Result;
use crate::settings::Settings;
use crate::words;

/// A thing with a schedule: a job, the check or prune of a repository, the verify of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheduled<'s> {
    pub(crate) name: &'s str,
    pub(crate) action: Action,
    pub(crate) timing: &'s Timing,
    pub(crate) after: &'s [String],
}

impl Scheduled<'_> {
    /// The job under which its runs are written down.
    pub(crate) fn job(&self) -> String {
        match self.action {
            Action::Backup => self.name.to_owned(),
            action => words::upkeep_job(action, self.name),
        }
    }
}

/// Everything with a schedule.
pub(crate) fn scheduled(settings: &Settings) -> impl Iterator<Item = Scheduled<'_>> {
    let jobs = settings.jobs.iter().filter(|(_, job)| job.is_enabled);
    let of_jobs = jobs.flat_map(|(name, job)| {
        let backup = job.timing.as_ref().map(|timing| Scheduled {
            name,
            action: Action::Backup,
            timing,
            after: &job.after,
        });
        let verify = job.verify.as_ref().map(|timing| Scheduled {
            name,
            action: Action::Verify,
            timing,
            after: &[],
        });
        backup.into_iter().chain(verify)
    });
    let of_repositories = settings.repositories.iter().flat_map(|(name, repository)| {
        let upkeep = [
            (Action::Check, &repository.check),
            (Action::Prune, &repository.prune),
        ];
        upkeep.into_iter().filter_map(move |(action, timing)| {
            timing.as_ref().map(|timing| Scheduled {
                name,
                action,
                timing,
                after: &[],
            })
        })
    });
    of_jobs.chain(of_repositories)
}

/// When each scheduled thing begins next; computed once and then kept until it has begun.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    next: BTreeMap<String, Timestamp>,
}

/// The note under which the moment is kept from which on a job counts.
const SINCE: &str = "scheduled since";

impl Agenda {
    /// The next moment at which something begins.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.next.values().min().copied()
    }

    /// Writes down the runs that are due; `tasks` gives the first tasks of one.
    pub(crate) fn begin_due(
        &mut self,
        catalog: &Catalog,
        settings: &Settings,
        tasks: impl Fn(&Scheduled<'_>, Timestamp) -> Result<Vec<NewTask>>,
    ) -> Result<()> {
        let now = catalog.now();
        let waiting: Vec<Scheduled<'_>> = scheduled(settings)
            .filter(|it| self.next.get(&it.job()).is_none_or(|next| *next <= now))
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let last: BTreeMap<_, _> = catalog.all_last_planned()?.into_iter().collect();
        let mut since: BTreeMap<String, Timestamp> = catalog.note(SINCE)?.unwrap_or_default();
        let known = since.len();
        for it in waiting {
            let job = it.job();
            let counts = *since.entry(job.clone()).or_insert(now);
            let last = last.get(&job).copied().unwrap_or(counts);
            match it.timing.due(last, now, it.name) {
                Due::Later(later) => self.wait(job, later.begins),
                Due::Never => self.wait(job, Timestamp::MAX),
                Due::Now { occurrence, missed } => {
                    if !may_begin(catalog, it.after)? {
                        self.wait(job, look_again(now));
                        continue;
                    }
                    let is_late = missed > 0 || now.duration_since(occurrence.begins) > LATE;
                    let run = NewRun {
                        job: job.clone(),
                        planned: Some(occurrence.planned),
                        cause: if is_late {
                            Cause::CatchUp
                        } else {
                            Cause::Schedule
                        },
                        requested_by: "schedule".to_owned(),
                        tasks: tasks(&it, now)?,
                    };
                    catalog.begin_run(&run)?;
                    let next = it.timing.next(occurrence.planned, it.name);
                    self.wait(job, next.map_or(Timestamp::MAX, |next| next.begins));
                }
            }
        }
        if since.len() > known {
            catalog.set_note(SINCE, &since)?;
        }
        Ok(())
    }

    fn wait(&mut self, job: String, until: Timestamp) {
        self.next.insert(job, until);
    }

    /// Forgets what was computed: settings have changed.
    pub(crate) fn clear(&mut self) {
        self.next.clear();
    }
}

/// A run that begins later than this was missed.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_secs(15 * 60);

/// When one looks again whether others have ended.
fn look_again(now: Timestamp) -> Timestamp {
    let pause = jiff::SignedDuration::from_secs(30);
    now.checked_add(pause).unwrap_or(now)
}

/// Whether the newest run of each of these jobs has ended well.
fn may_begin(catalog: &Catalog, after: &[String]) -> Result<bool> {
    for job in after {
        let filter = RunFilter {
            job: Some(job.clone()),
            count: 1,
            ..RunFilter::default()
        };
        let runs = catalog.runs(&filter)?;
        if runs
            .first()
            .is_none_or(|run| run.state != RunState::Succeeded)
        {
            return Ok(false);
        }
    }
    Ok(true)
}
