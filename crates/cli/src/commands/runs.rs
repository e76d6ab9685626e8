//! `lifeboat runs`: what was run, with its log; stopped, and done once more.

mod act;

use lifeboat_catalog::{Cause, LogLevel, LogLine, Run, RunFilter, RunId, RunState, Task};
use lifeboat_model::ErrorKind;
use serde::Serialize;

use super::run::{table, tasks};
use crate::args::{RunsArguments, RunsCommand, RunsListArguments};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::service::Service;
use crate::tables::{Table, moment, shown, span};

/// Lines of a log that are read in one go.
const LINES: u32 = 1_000;

/// Lists runs, shows one, or acts on one.
pub(crate) fn run(context: &Context, arguments: &RunsArguments) -> Result<u8> {
    let service = Service::open(context)?;
    match &arguments.command {
        None => list(context, &service, &arguments.list),
        Some(RunsCommand::List(list_arguments)) => list(context, &service, list_arguments),
        Some(RunsCommand::Show(run)) => show(context, &service, RunId(run.number)),
        Some(RunsCommand::Cancel(cancel)) => act::cancel(context, &service, cancel),
        Some(RunsCommand::Retry(retry)) => act::retry(context, &service, retry),
    }
}

fn list(context: &Context, service: &Service, arguments: &RunsListArguments) -> Result<u8> {
    let runs = service.catalog.runs(&RunFilter {
        job: arguments.job.clone(),
        state: arguments.state.map(RunState::from),
        count: arguments.count.max(1),
        ..RunFilter::default()
    })?;
    if context.output.is_json() {
        runs.iter()
            .try_for_each(|run| context.output.message("run", run))?;
        return Ok(0);
    }
    if runs.is_empty() {
        context.output.result("no such run is known")?;
        return Ok(0);
    }
    let mut table = Table::new(&[">Run", "Job", "State", "Written down", ">Took", "Why"]);
    for run in &runs {
        table.row([
            run.id.to_string(),
            run.job.clone(),
            run.state.to_string(),
            moment(run.created),
            took(run),
            why(run),
        ]);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    Ok(0)
}

fn took(run: &Run) -> String {
    let ended = run.ended.map(|ended| ended.duration_since(run.created));
    ended.map_or_else(String::new, |it| span(it.unsigned_abs()))
}

fn why(run: &Run) -> String {
    match run.cause {
        Cause::Schedule => "its moment came".to_owned(),
        Cause::CatchUp => "its moment was missed".to_owned(),
        Cause::Request => format!("asked for by {}", shown(&run.requested_by)),
    }
}

#[derive(Serialize)]
struct ShownTask<'a> {
    #[serde(flatten)]
    task: &'a Task,
    log: Vec<LogLine>,
}

#[derive(Serialize)]
struct ShownRun<'a> {
    run: &'a Run,
    tasks: Vec<ShownTask<'a>>,
}

fn show(context: &Context, service: &Service, id: RunId) -> Result<u8> {
    let run = found(service, id)?;
    let tasks = tasks(&*service.node_to_look()?, id)?;
    if context.output.is_json() {
        let mut shown = Vec::new();
        for task in &tasks {
            let log = log(service, task)?;
            shown.push(ShownTask { task, log });
        }
        let line = ShownRun {
            run: &run,
            tasks: shown,
        };
        context.output.message("run", &line)?;
        return Ok(0);
    }
    let took = match took(&run) {
        took if took.is_empty() => took,
        took => format!(", in {took}"),
    };
    context.output.result(format!(
        "run {id} of {}: {}, {}, {}{took}",
        shown(&run.job),
        run.state,
        moment(run.created),
        why(&run)
    ))?;
    for line in table(&tasks).lines() {
        context.output.result(line)?;
    }
    for task in &tasks {
        for said in log(service, task)? {
            let mark = match said.level {
                LogLevel::Note => "",
                LogLevel::Warning => "warning: ",
                LogLevel::Error => "error: ",
            };
            context.output.result(format!(
                "{} {} {}: {mark}{}",
                moment(said.at),
                task.action,
                shown(&task.subject),
                shown(&said.line)
            ))?;
        }
    }
    Ok(0)
}

/// Everything that a task has said.
fn log(service: &Service, task: &Task) -> Result<Vec<LogLine>> {
    let mut lines: Vec<LogLine> = Vec::new();
    loop {
        let after = lines.last().map_or(0, |line| line.number);
        let more = service.catalog.log_after(task.id, after, LINES)?;
        if more.is_empty() {
            return Ok(lines);
        }
        lines.extend(more);
    }
}

fn found(service: &Service, id: RunId) -> Result<Run> {
    service.catalog.run(id).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::from(error).add("; 'lifeboat runs' lists them"),
        _ => error.into(),
    })
}
