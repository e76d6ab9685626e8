//! Runs of the catalog as people are told of them.

mod told;

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_catalog::{
    Action, Catalog, Run as CatalogRun, RunFilter, RunState, Task, TaskFilter, TaskState,
};
use lifeboat_notify::{Outcome, Remedy, Run};
use lifeboat_scheduler::Settings;

use super::alerts::{Links, once_each, remedies};
use crate::error::{EXIT_PARTIAL, Result};

/// Runs that are read at once.
const PAGE: u32 = 200;
/// Open runs among which the first is looked for.
const OPEN_MAX: u32 = 10_000;
/// Tasks of a run that are looked at.
const TASKS_MAX: u32 = 20_000;
/// Lines of a log that go along, and their length in characters.
const LINES_MAX: u32 = 20;
const LINE_MAX: usize = 300;
/// What to do, if several things went wrong.
const REMEDIES_MAX: usize = 6;
/// Digits of a snapshot's id that people are shown.
const DIGITS: usize = 8;

/// The runs that are over: all up to a number, and these later ones.
pub(super) fn over(catalog: &Catalog) -> Result<(i64, BTreeSet<i64>)> {
    let one = |state: Option<RunState>, count: u32| {
        let filter = RunFilter {
            state,
            count,
            ..RunFilter::default()
        };
        catalog.runs(&filter)
    };
    let first_open = match one(Some(RunState::Open), OPEN_MAX)?.last() {
        Some(run) => run.id.0,
        None => {
            return Ok((
                one(None, 1)?.first().map_or(0, |run| run.id.0),
                BTreeSet::new(),
            ));
        }
    };
    let later = after(catalog, first_open)?.into_iter();
    let over = later.filter(|run| run.state != RunState::Open);
    Ok((first_open - 1, over.map(|run| run.id.0).collect()))
}

/// Runs with larger numbers, the oldest first.
pub(super) fn after(catalog: &Catalog, number: i64) -> Result<Vec<CatalogRun>> {
    let mut filter = RunFilter {
        count: PAGE,
        ..RunFilter::default()
    };
    let mut found = Vec::new();
    loop {
        let page = catalog.runs(&filter)?;
        let is_last = page.len() < PAGE as usize || page.iter().any(|run| run.id.0 <= number);
        filter.before = page.last().map(|run| run.id);
        found.extend(page.into_iter().filter(|run| run.id.0 > number));
        if is_last {
            found.reverse();
            return Ok(found);
        }
    }
}

/// A run with what its tasks did.
pub(super) fn told(
    catalog: &Catalog,
    run: &CatalogRun,
    settings: &Settings,
    links: &Links,
) -> Result<Run> {
    let filter = TaskFilter {
        run: Some(run.id),
        count: TASKS_MAX,
        ..TaskFilter::default()
    };
    let mut tasks = catalog.tasks(&filter)?;
    tasks.reverse();
    let mut told = Run {
        id: run.id.to_string(),
        job: run.job.clone(),
        name: name(catalog, run, &tasks)?,
        site: settings.site.clone(),
        outcome: None,
        began: run.created,
        ended: run.ended,
        exit_code: None,
        failed: Vec::new(),
        text: String::new(),
        remedies: Vec::new(),
        link: links.run(run.id.0),
    };
    if run.state == RunState::Open {
        return Ok(told);
    }
    let warnings = catalog.warnings(run.id, LINES_MAX)?;
    let failed: Vec<&Task> = tasks.iter().filter(|it| is_failed(it)).collect();
    for task in &failed {
        let subject = subject(task);
        if !told.failed.contains(&subject) {
            told.failed.push(subject);
        }
    }
    told.outcome = Some(match (run.state, warnings.is_empty()) {
        (RunState::Succeeded, true) => Outcome::Success,
        (RunState::Succeeded, false) => Outcome::Warning,
        _ => Outcome::Failure,
    });
    told.exit_code = Some(exit_code(run.state));
    let warnings = once_each(warnings.iter().map(|it| it.line.as_str()));
    told.text = told::text(catalog, run.state, &tasks, &warnings)?;
    told.remedies = what_to_do(settings, &failed);
    Ok(told)
}

fn is_failed(task: &Task) -> bool {
    task.state == TaskState::Failed
}

/// A moment as mails have it.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// What a run is, in words for people, of one whose tasks are not known yet.
pub(super) fn name_of(catalog: &Catalog, run: &CatalogRun) -> Result<String> {
    let filter = TaskFilter {
        run: Some(run.id),
        count: 1,
        ..TaskFilter::default()
    };
    name(catalog, run, &catalog.tasks(&filter)?)
}

/// What a run is, in words for people.
fn name(catalog: &Catalog, run: &CatalogRun, tasks: &[Task]) -> Result<String> {
    if let Some((task, point)) = tasks.first().and_then(|it| Some((it, restored(it)?))) {
        let (machine, snapshot) = point;
        let of = match catalog.point(snapshot)? {
            Some(point) => format!("point of {}", moment(point.at)),
            None => format!("point {}", snapshot.get(..DIGITS).unwrap_or(snapshot)),
        };
        let at = task.words.iter().position(|it| it == "--as");
        let other = at.and_then(|at| task.words.get(at + 1));
        let other = other.map_or(String::new(), |name| format!(" as {name}"));
        return Ok(format!("restore of {machine}{other} ({of})"));
    }
    // No job that somebody wrote has a space in its name.
    Ok(match run.job.split_once(' ') {
        Some(("verify", machine)) => format!("verification of {machine}"),
        Some(("look", repository)) => format!("look at repository {repository}"),
        Some((action, repository)) => format!("{action} of repository {repository}"),
        None => format!("job {}", run.job),
    })
}

/// The machine and the snapshot that a task brings back.
fn restored(task: &Task) -> Option<(&str, &str)> {
    let is_restore = task.action == Action::Restore;
    task.words.last()?.rsplit_once('@').filter(|_| is_restore)
}

/// What a task is about: the machine, not the snapshot, of a restore.
fn subject(task: &Task) -> String {
    restored(task).map_or_else(|| task.subject.clone(), |(machine, _)| machine.to_owned())
}

/// What helps against each sort of failure, the likeliest first.
fn what_to_do(settings: &Settings, failed: &[&Task]) -> Vec<Remedy> {
    let mut all: Vec<Remedy> = Vec::new();
    let mut sorts = BTreeSet::new();
    for first in failed {
        let sort = (first.action.as_str(), &first.error_kind);
        if !sorts.insert(sort) {
            continue;
        }
        let alike = failed.iter().copied();
        let alike = alike.filter(|it| (it.action.as_str(), &it.error_kind) == sort);
        let advised = lifeboat_scheduler::remedies(settings, &alike.collect::<Vec<_>>());
        let fresh = remedies(&advised);
        all.extend(
            fresh
                .into_iter()
                .filter(|it| !all.contains(it))
                .collect::<Vec<_>>(),
        );
    }
    all.truncate(REMEDIES_MAX);
    all
}

/// The exit code of `lifeboat run` for a run.
pub(crate) fn exit_code(state: RunState) -> u8 {
    match state {
        RunState::Succeeded => 0,
        RunState::Partial => EXIT_PARTIAL,
        RunState::Cancelled | RunState::Open => 130,
        RunState::Failed => 1,
    }
}

/// A line that a mail has room for.
pub(super) fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
