//! Which runs are due.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_catalog::{Action, Catalog, Cause, NewRun, NewTask, RunFilter, RunId, RunState};
use lifeboat_policy::{Due, Occurrence, Timing};

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
    /// Those that are due and wait for others: they are not late by their own fault.
    held: BTreeMap<String, Occurrence>,
    /// For which run of their own those that are due wait.
    behind: BTreeMap<String, RunId>,
}

/// The note under which the moment is kept from which on a job counts.
pub(crate) const SINCE: &str = "scheduled since";

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
        let past = Past::of(catalog, &waiting)?;
        for it in waiting {
            let job = it.job();
            let last = past.of_job(&job).unwrap_or(now);
            let (occurrence, missed) = match it.timing.due(last, now, it.name) {
                Due::Now { occurrence, missed } => (occurrence, missed),
                Due::Later(later) => match self.held.get(&job) {
                    Some(held) if held.planned > last => (*held, 0),
                    _ => {
                        self.held.remove(&job);
                        self.behind.remove(&job);
                        self.wait(job, later.begins);
                        continue;
                    }
                },
                Due::Never => {
                    self.wait(job, Timestamp::MAX);
                    continue;
                }
            };
            if !past.may_begin(catalog, settings, (&it, &occurrence))? {
                self.wait(job.clone(), look_again(now));
                self.held.insert(job, occurrence);
                continue;
            }
            if let Some(open) = open_run(catalog, &job)? {
                self.wait(job.clone(), look_again(now));
                self.held.insert(job.clone(), occurrence);
                self.behind.insert(job, open);
                continue;
            }
            let was_held = self.held.remove(&job).is_some();
            let late = now.duration_since(occurrence.begins);
            // Moments that were left out are not made up for.
            let is_missed = missed > 0 && it.timing.is_caught_up || late > LATE && !was_held;
            let run = NewRun {
                job: job.clone(),
                planned: Some(occurrence.planned),
                cause: match is_missed {
                    true => Cause::CatchUp,
                    false => Cause::Schedule,
                },
                requested_by: by_schedule(self.behind.remove(&job), missed),
                tasks: tasks(&it, now)?,
            };
            catalog.begin_run(&run)?;
            let next = it.timing.next(occurrence.planned, it.name);
            self.wait(job, next.map_or(Timestamp::MAX, |next| next.begins));
        }
        Ok(())
    }

    fn wait(&mut self, job: String, until: Timestamp) {
        self.next.insert(job, until);
    }

    /// Forgets what was computed: settings have changed.
    pub(crate) fn clear(&mut self) {
        self.next.clear();
        self.held.clear();
        self.behind.clear();
    }
}

/// What has begun until now.
struct Past {
    now: Timestamp,
    planned: BTreeMap<String, Timestamp>,
    since: BTreeMap<String, Timestamp>,
}

impl Past {
    /// Things that are seen for the first time count from now on.
    fn of(catalog: &Catalog, things: &[Scheduled<'_>]) -> Result<Self> {
        let now = catalog.now();
        let mut since: BTreeMap<String, Timestamp> = catalog.note(SINCE)?.unwrap_or_default();
        let known = since.len();
        for it in things {
            since.entry(it.job()).or_insert(now);
        }
        if since.len() > known {
            catalog.set_note(SINCE, &since)?;
        }
        let planned = catalog.all_last_planned()?.into_iter().collect();
        Ok(Self {
            now,
            planned,
            since,
        })
    }

    /// The moment of the newest run of a job, or that from which on it counts.
    fn of_job(&self, job: &str) -> Option<Timestamp> {
        let planned = self.planned.get(job).or_else(|| self.since.get(job));
        planned.copied()
    }

    /// Whether the jobs that come before have begun what was planned before, or together with,
    /// this occurrence, and ended it well.
    fn may_begin(
        &self,
        catalog: &Catalog,
        settings: &Settings,
        (it, occurrence): (&Scheduled<'_>, &Occurrence),
    ) -> Result<bool> {
        for job in it.after {
            let found = settings.jobs.get(job).filter(|job| job.is_enabled);
            let timing = found.and_then(|job| job.timing.as_ref());
            let coming = timing.and_then(|timing| {
                let last = self.of_job(job)?;
                let next = match timing.due(last, self.now, job) {
                    Due::Now { occurrence, .. } | Due::Later(occurrence) => occurrence,
                    Due::Never => return None,
                };
                Some(next.planned)
            });
            if coming.is_some_and(|planned| planned <= occurrence.planned) {
                return Ok(false);
            }
            let filter = RunFilter {
                job: Some(job.clone()),
                count: 1,
                ..RunFilter::default()
            };
            let runs = catalog.runs(&filter)?;
            let state = runs.first().map(|run| run.state);
            if state != Some(RunState::Succeeded) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A run that begins later than this was missed.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_secs(15 * 60);

/// The oldest run of a job that has not ended: the next one begins after it.
fn open_run(catalog: &Catalog, job: &str) -> Result<Option<RunId>> {
    let open = catalog.runs(&RunFilter {
        job: Some(job.to_owned()),
        state: Some(RunState::Open),
        ..RunFilter::default()
    })?;
    Ok(open.last().map(|run| run.id))
}

/// Who asked for a run, and for which run of the same job it waited.
fn by_schedule(behind: Option<RunId>, missed: impl TryInto<u64>) -> String {
    match (behind, missed.try_into().unwrap_or(u64::MAX)) {
        (None, _) => "schedule".to_owned(),
        (Some(run), 0) => format!("schedule, after run {run}"),
        (Some(run), more) => {
            format!("schedule, after run {run}, for {more} more of its moments too")
        }
    }
}

/// When one looks again whether others have ended.
fn look_again(now: Timestamp) -> Timestamp {
    let pause = jiff::SignedDuration::from_secs(30);
    now.checked_add(pause).unwrap_or(now)
}
