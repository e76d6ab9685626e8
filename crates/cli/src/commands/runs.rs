//! `lifeboat runs`: what was run, with its log; stopped, and done once more.

use lifeboat_catalog::{
    Action, Cause, LogLevel, LogLine, Run, RunFilter, RunId, RunState, Task, TaskState,
};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{Node, Request};
use serde::Serialize;

use super::account::written_down;
use super::run::{begun, clear, table, tasks};
use crate::args::{RunsArguments, RunsCommand, RunsListArguments, RunsRetryArguments};
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
        Some(RunsCommand::Cancel(run)) => cancel(context, &service, RunId(run.number)),
        Some(RunsCommand::Retry(retry_arguments)) => retry(context, &service, retry_arguments),
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

fn cancel(context: &Context, service: &Service, id: RunId) -> Result<u8> {
    clear(context, service)?;
    let run = found(service, id)?;
    if run.state != RunState::Open {
        let text = format!("run {id} has ended already: {}", run.state);
        return Err(Error::new(ErrorKind::Exists, text));
    }
    let subject = id.to_string();
    let work = || Ok(service.catalog.cancel_run(id, &service.who())?);
    written_down(context, service, ("run cancel", &subject, &run.job), work)?;
    let text = match service.catalog.run(id)?.state {
        RunState::Open => format!("run {id} of {} is asked to stop", shown(&run.job)),
        state => format!("run {id} of {}: {state}", shown(&run.job)),
    };
    context.output.result(text)?;
    Ok(0)
}

/// Does once more what of a run did not end well: its backups in one run, everything else in a
/// run of its own.
fn retry(context: &Context, service: &Service, arguments: &RunsRetryArguments) -> Result<u8> {
    let id = RunId(arguments.number);
    clear(context, service)?;
    let run = found(service, id)?;
    if run.state == RunState::Open {
        let text = format!("run {id} has not ended: 'lifeboat runs cancel {id}' stops it");
        return Err(Error::new(ErrorKind::Busy, text));
    }
    let node = service.node_to_look()?;
    let tasks = tasks(&node, id)?;
    let is_bad = |it: &&Task| matches!(it.state, TaskState::Failed | TaskState::Cancelled);
    let bad: Vec<&Task> = tasks.iter().filter(is_bad).collect();
    if bad.is_empty() {
        let text = format!("nothing of run {id} failed: 'lifeboat run' begins another");
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let mut begun_runs = Vec::new();
    let subject = id.to_string();
    let work = || again(&node, &run, &bad, &service.who(), &mut begun_runs);
    written_down(context, service, ("run retry", &subject, &run.job), work)?;
    let mut worst = 0;
    for id in begun_runs {
        worst = begun(context, service, id, arguments.detach)?.max(worst);
    }
    Ok(worst)
}

/// Writes down the runs that do tasks once more.
fn again(node: &Node, run: &Run, bad: &[&Task], who: &str, begun: &mut Vec<RunId>) -> Result<()> {
    if bad.iter().any(|it| it.action == Action::Resolve) {
        // Nothing was known of what comes behind it.
        let request = Request::Backup {
            job: run.job.clone(),
            machines: Vec::new(),
            is_forced: false,
        };
        begun.push(node.begin(&request, who)?);
        return Ok(());
    }
    let backups = bad.iter().filter(|it| it.action == Action::Backup);
    let machines: Vec<String> = backups.map(|it| it.subject.clone()).collect();
    if !machines.is_empty() {
        let request = Request::Backup {
            job: run.job.clone(),
            machines,
            is_forced: false,
        };
        begun.push(node.begin(&request, who)?);
    }
    // Backups look at their repository themselves.
    let others = bad
        .iter()
        .filter(|it| it.action != Action::Backup)
        .filter(|it| it.action != Action::Look || bad.len() == 1);
    for task in others {
        begun.push(node.retry(task, who)?);
    }
    Ok(())
}
