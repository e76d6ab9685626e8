//! Runs are stopped, and done once more.

use lifeboat_catalog::{Action, Run, RunId, RunState, Task, TaskState};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{Node, Request, command_with, is_replacing};

use super::found;
use crate::args::{RunsCancelArguments, RunsRetryArguments};
use crate::commands::account::written_down;
use crate::commands::run::{begun, clear, tasks};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::service::Service;
use crate::tables::shown;

/// Asks for the end of a run, or of some of its tasks.
pub(super) fn cancel(
    context: &Context,
    service: &Service,
    arguments: &RunsCancelArguments,
) -> Result<u8> {
    let id = RunId(arguments.number);
    clear(context, service)?;
    let run = found(service, id)?;
    if run.state != RunState::Open {
        let text = format!("run {id} has ended already: {}", run.state);
        return Err(Error::new(ErrorKind::Exists, text));
    }
    let named = named(&*service.node_to_look()?, id, &arguments.tasks)?;
    if let Some(over) = named.iter().find(|it| it.state.is_over()) {
        let text = format!("task {} has ended already: {}", over.id, over.state);
        return Err(Error::new(ErrorKind::Exists, text));
    }
    let work = || match named.is_empty() {
        true => Ok(service.catalog.cancel_run(id, &service.who())?),
        false => {
            let mut each = named.iter();
            Ok(each.try_for_each(|it| service.catalog.cancel_task(it.id, &service.who()))?)
        }
    };
    let details = details(&run, &arguments.tasks);
    let subject = id.to_string();
    written_down(context, service, ("run cancel", &subject, &details), work)?;
    if named.is_empty() {
        let state = service.catalog.run(id)?.state;
        let is = asked(state == RunState::Open, &state);
        let text = format!("run {id} of {}{is}", shown(&run.job));
        context.output.result(text)?;
    }
    for task in &named {
        let state = service.catalog.task(task.id)?.state;
        let is = asked(!state.is_over(), &state);
        let text = format!("{} {}{is}", task.action, shown(&task.subject));
        context.output.result(text)?;
    }
    Ok(0)
}

fn asked(is_left: bool, state: &dyn std::fmt::Display) -> String {
    match is_left {
        true => " is asked to stop".to_owned(),
        false => format!(": {state}"),
    }
}

/// What the audit log says beside the run's number.
fn details(run: &Run, tasks: &[i64]) -> String {
    let tasks = tasks.iter().map(|number| format!(", task {number}"));
    run.job.clone() + &tasks.collect::<String>()
}

/// Tasks of a run by their numbers.
fn named(node: &Node, id: RunId, numbers: &[i64]) -> Result<Vec<Task>> {
    let all = tasks(node, id)?;
    let one = |number: &i64| {
        let found = all.iter().find(|it| it.id.0 == *number);
        found.cloned().ok_or_else(|| {
            let text =
                format!("run {id} has no task {number}; 'lifeboat runs show {id}' lists them");
            Error::new(ErrorKind::NotFound, text)
        })
    };
    numbers.iter().map(one).collect()
}

/// Does once more what of a run did not end well, or some of its tasks: backups in one run,
/// everything else in a run of its own.
pub(super) fn retry(
    context: &Context,
    service: &Service,
    arguments: &RunsRetryArguments,
) -> Result<u8> {
    let id = RunId(arguments.number);
    clear(context, service)?;
    let run = found(service, id)?;
    let node = service.node_to_look()?;
    let meant = match arguments.tasks.as_slice() {
        [] => bad(&node, &run)?,
        numbers => named(&node, id, numbers)?,
    };
    if let Some(open) = meant.iter().find(|it| !it.state.is_over()) {
        let text = format!(
            "task {} has not ended: 'lifeboat runs cancel {id} --task {0}' stops it",
            open.id
        );
        return Err(Error::new(ErrorKind::Busy, text));
    }
    may_replace(&meant, arguments.replace)?;
    let mut begun_runs = Vec::new();
    let details = details(&run, &arguments.tasks);
    let subject = id.to_string();
    let work = || again(&node, &run, &meant, &service.who(), &mut begun_runs);
    written_down(context, service, ("run retry", &subject, &details), work)?;
    let mut worst = 0;
    for id in begun_runs {
        worst = begun(context, service, id, arguments.detach)?.max(worst);
    }
    Ok(worst)
}

/// Tasks of a run that did not end well.
fn bad(node: &Node, run: &Run) -> Result<Vec<Task>> {
    let id = run.id;
    if run.state == RunState::Open {
        let text = format!("run {id} has not ended: 'lifeboat runs cancel {id}' stops it");
        return Err(Error::new(ErrorKind::Busy, text));
    }
    let mut all = tasks(node, id)?;
    all.retain(|it| matches!(it.state, TaskState::Failed | TaskState::Cancelled));
    if all.is_empty() {
        let text = format!("nothing of run {id} failed: 'lifeboat run' begins another");
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    Ok(all)
}

/// A machine is put into another's place only by those who say so once more.
fn may_replace(tasks: &[Task], is_allowed: bool) -> Result<()> {
    match tasks.iter().find(|it| is_replacing(it) && !is_allowed) {
        None => Ok(()),
        Some(task) => {
            let command = command_with(task, &["--dry-run"]);
            let text = format!(
                "task {} puts a machine into the place of the one of its name; look at what would \
                 be done by '{command}', then allow it with --replace",
                task.id
            );
            Err(Error::new(ErrorKind::Exists, text))
        }
    }
}

/// Writes down the runs that do tasks once more.
fn again(node: &Node, run: &Run, meant: &[Task], who: &str, begun: &mut Vec<RunId>) -> Result<()> {
    let backups = meant.iter().filter(|it| it.action == Action::Backup);
    let mut machines: Vec<String> = backups.map(|it| it.subject.clone()).collect();
    let is_resolved_anew = meant.iter().any(|it| it.action == Action::Resolve);
    if is_resolved_anew {
        // Nothing was known of what comes behind it.
        machines.clear();
    }
    if is_resolved_anew || !machines.is_empty() {
        let request = Request::Backup {
            job: run.job.clone(),
            machines,
            is_forced: false,
        };
        begun.push(node.begin(&request, who)?);
    }
    if is_resolved_anew {
        return Ok(());
    }
    // Backups look at their repository themselves.
    let others = meant
        .iter()
        .filter(|it| it.action != Action::Backup)
        .filter(|it| it.action != Action::Look || meant.len() == 1);
    for task in others {
        begun.push(node.retry(task, who)?);
    }
    Ok(())
}
