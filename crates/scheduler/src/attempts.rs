//! What the newest attempts say of machines and of repositories.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_catalog::{Action, LastEnd, Task, TaskState};

use crate::settings::Settings;
use crate::status::FailureStatus;

/// What attempts say at their beginning when nothing answers where a repository should be, as the
/// repository's own opening words it.
const UNREACHABLE: [&str; 2] = [
    "there is no repository at ",
    "cannot open the repository at ",
];

/// An attempt at something.
struct Attempt<'a> {
    job: &'a str,
    action: Action,
    subject: &'a str,
    at: Timestamp,
    /// What it said, if it failed.
    failure: Option<&'a str>,
}

/// The newest attempts: how the last tasks ended, and what is being tried again.
pub(crate) struct Attempts<'a> {
    all: Vec<Attempt<'a>>,
    /// Failures of backups by machine, of looks at platforms by job; places in `all`.
    of_machine: BTreeMap<&'a str, Vec<usize>>,
    of_platform: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Attempts<'a> {
    /// `waiting` are tasks that have not ended.
    pub(crate) fn of(ends: &'a [LastEnd], waiting: &'a [Task]) -> Self {
        let ended = ends.iter().filter_map(|end| {
            let failure = match end.state {
                TaskState::Succeeded => None,
                TaskState::Failed => Some(end.message.as_deref()?),
                _ => return None,
            };
            Some(Attempt {
                job: &end.job,
                action: end.action,
                subject: &end.subject,
                at: end.ended,
                failure,
            })
        });
        let tried = waiting.iter().filter_map(|task| {
            task.error_kind.as_ref()?;
            let began = match task.state {
                // It began once more since it failed.
                TaskState::Running => Some(task.not_before),
                _ => task.started,
            };
            Some(Attempt {
                job: &task.job,
                action: task.action,
                subject: &task.subject,
                at: began?,
                failure: Some(task.message.as_deref()?),
            })
        });
        let all: Vec<_> = ended.chain(tried).collect();
        let (mut of_machine, mut of_platform) = (BTreeMap::new(), BTreeMap::new());
        for (number, attempt) in all.iter().enumerate() {
            let list: &mut Vec<usize> = match attempt.action {
                _ if attempt.failure.is_none() => continue,
                Action::Backup => of_machine.entry(attempt.subject).or_default(),
                Action::Resolve => of_platform.entry(attempt.job).or_default(),
                _ => continue,
            };
            list.push(number);
        }
        Self {
            all,
            of_machine,
            of_platform,
        }
    }

    /// The newest attempt that failed to bring a machine its next point, since its newest one:
    /// a backup of it, or a look at the platform of one of its jobs.
    pub(crate) fn failure_of(
        &self,
        settings: &Settings,
        (machine, jobs): (&str, &[String]),
        newest: Option<Timestamp>,
    ) -> Option<FailureStatus> {
        let own = self.of_machine.get(machine).into_iter().flatten();
        let of_jobs = jobs.iter().filter_map(|job| self.of_platform.get(&**job));
        let found = own.chain(of_jobs.flatten()).map(|at| &self.all[*at]);
        let found = found
            .filter(|it| jobs.iter().any(|job| job == it.job))
            .filter(|it| newest.is_none_or(|newest| it.at > newest));
        told(settings, found.max_by_key(|it| it.at)?)
    }

    /// Repositories whose newest attempt found nothing that answers.
    pub(crate) fn unreachable(&self, settings: &Settings) -> BTreeMap<String, FailureStatus> {
        let mut newest: BTreeMap<&str, &Attempt<'_>> = BTreeMap::new();
        for attempt in &self.all {
            for repository in seen(settings, attempt) {
                let kept = newest.entry(repository).or_insert(attempt);
                let order = |it: &Attempt<'_>| (it.at, it.failure.is_none());
                if order(attempt) > order(kept) {
                    *kept = attempt;
                }
            }
        }
        let failed = newest.into_iter();
        failed
            .filter_map(|(name, attempt)| Some((name.to_owned(), told(settings, attempt)?)))
            .collect()
    }
}

fn told(settings: &Settings, attempt: &Attempt<'_>) -> Option<FailureStatus> {
    let message = attempt.failure?;
    let source = settings.jobs.get(attempt.job).map(|job| &job.repository);
    let is_transfer = match attempt.action {
        Action::Copy => true,
        Action::Backup => {
            is_unreachable(message) || source.is_some_and(|name| names(settings, name, message))
        }
        _ => false,
    };
    Some(FailureStatus {
        job: attempt.job.to_owned(),
        action: attempt.action.to_string(),
        subject: attempt.subject.to_owned(),
        at: attempt.at,
        message: message.to_owned(),
        is_transfer,
    })
}

fn is_unreachable(message: &str) -> bool {
    UNREACHABLE.iter().any(|words| message.contains(words))
}

/// Whether a message names the place of a repository.
fn names(settings: &Settings, repository: &str, message: &str) -> bool {
    let place = settings.repositories.get(repository);
    let place = place.map_or("", |it| it.place.trim_start_matches("local:"));
    !place.is_empty() && message.contains(place)
}

/// Repositories of which an attempt says whether they can be reached.
fn seen<'a>(settings: &'a Settings, attempt: &Attempt<'a>) -> Vec<&'a str> {
    let source = settings.jobs.get(attempt.job);
    let source = source.map(|job| job.repository.as_str());
    let places: Vec<&str> = match attempt.action {
        Action::Backup => source.into_iter().collect(),
        Action::Copy => std::iter::once(attempt.subject).chain(source).collect(),
        Action::Forget | Action::Look | Action::Check | Action::Prune => vec![attempt.subject],
        Action::Resolve | Action::Verify | Action::Restore => Vec::new(),
    };
    let Some(message) = attempt.failure else {
        return places;
    };
    if !is_unreachable(message) {
        return Vec::new();
    }
    // Of a copy one of the two is meant.
    let named = places.iter().find(|name| names(settings, name, message));
    let named = named.copied();
    named.or(places.first().copied()).into_iter().collect()
}
