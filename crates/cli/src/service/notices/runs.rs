//! Runs of the catalog as people are told of them.

use lifeboat_catalog::{
    Catalog, LogLine, Run as CatalogRun, RunFilter, RunState, Task, TaskFilter, TaskState,
};
use lifeboat_notify::{Outcome, Remedy, Run};

use super::alerts::{Links, command};
use crate::error::{EXIT_PARTIAL, Result};

/// Runs that are read at once.
const PAGE: u32 = 200;
/// Tasks that are named.
const TASKS_MAX: usize = 30;
/// Lines of a log that go along, and their length in characters.
const LINES_MAX: u32 = 20;
const LINE_MAX: usize = 300;

/// The number of the newest run; 0 for none.
pub(super) fn newest(catalog: &Catalog) -> Result<i64> {
    let filter = RunFilter {
        count: 1,
        ..RunFilter::default()
    };
    Ok(catalog.runs(&filter)?.first().map_or(0, |run| run.id.0))
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
    site: Option<&str>,
    links: &Links,
) -> Result<Run> {
    let mut told = Run {
        id: run.id.to_string(),
        job: run.job.clone(),
        site: site.map(str::to_owned),
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
    let filter = TaskFilter {
        run: Some(run.id),
        ..TaskFilter::default()
    };
    let mut tasks = catalog.tasks(&filter)?;
    tasks.reverse();
    let warnings = catalog.warnings(run.id, LINES_MAX)?;
    let is_failed = |task: &&Task| task.state == TaskState::Failed;
    for task in tasks.iter().filter(is_failed) {
        if !told.failed.contains(&task.subject) {
            told.failed.push(task.subject.clone());
        }
    }
    told.outcome = Some(match (run.state, warnings.is_empty()) {
        (RunState::Succeeded, true) => Outcome::Success,
        (RunState::Succeeded, false) => Outcome::Warning,
        _ => Outcome::Failure,
    });
    told.exit_code = Some(exit_code(run.state));
    told.text = text(catalog, run, &tasks, &warnings)?;
    if let Some(task) = tasks.iter().find(is_failed) {
        told.remedies = vec![remedy("do what failed again", task)];
    }
    Ok(told)
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

/// A task's command-line twin.
pub(super) fn remedy(text: &str, task: &Task) -> Remedy {
    let words: Vec<&str> = task.words.iter().map(String::as_str).collect();
    Remedy {
        text: text.to_owned(),
        command: command(&words),
    }
}

/// How each task ended, the failed ones first, and what was said last.
fn text(
    catalog: &Catalog,
    run: &CatalogRun,
    tasks: &[Task],
    warnings: &[LogLine],
) -> Result<String> {
    let mut lines = vec![format!("the run {}: {}", ended(run), counted(tasks))];
    let mut ordered: Vec<&Task> = tasks.iter().collect();
    ordered.sort_by_key(|task| task.state != TaskState::Failed);
    for task in ordered.iter().take(TASKS_MAX) {
        let said = task.message.as_deref();
        let said = said.map_or(String::new(), |said| format!(": {}", shortened(said)));
        let state = match task.state {
            TaskState::Succeeded => "ended well",
            TaskState::PassedOver => "had nothing to do",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "was stopped",
            TaskState::Queued | TaskState::Running => "goes on",
        };
        lines.push(format!("{} {} {state}{said}", task.action, task.subject));
    }
    if tasks.len() > TASKS_MAX {
        lines.push(format!("and {} more", tasks.len() - TASKS_MAX));
    }
    if !warnings.is_empty() {
        lines.push("warnings:".to_owned());
        lines.extend(warnings.iter().map(indented));
    }
    if let Some(task) = ordered.first().filter(|it| it.state == TaskState::Failed) {
        let log = catalog.log_end(task.id, LINES_MAX)?;
        if !log.is_empty() {
            lines.push(format!("the log of {} {} ends:", task.action, task.subject));
            lines.extend(log.iter().map(indented));
        }
    }
    Ok(lines.join("\n"))
}

fn indented(line: &LogLine) -> String {
    format!("  {}", shortened(&line.line))
}

/// A line that a mail has room for.
pub(super) fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn ended(run: &CatalogRun) -> &'static str {
    match run.state {
        RunState::Open => "goes on",
        RunState::Succeeded => "ended well",
        RunState::Partial => "ended well in part",
        RunState::Failed => "failed",
        RunState::Cancelled => "was stopped",
    }
}

fn counted(tasks: &[Task]) -> String {
    let is_well = |task: &&Task| matches!(task.state, TaskState::Succeeded | TaskState::PassedOver);
    let well = tasks.iter().filter(is_well).count();
    format!("{well} of {} tasks ended well", tasks.len())
}
