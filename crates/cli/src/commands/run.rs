//! `lifeboat run`: a job, now, without a service.

mod told;

use lifeboat_catalog::{Run, RunId, RunState, Task};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{Node, Request};
use serde::Serialize;

use crate::args::RunArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::service::{Service, exit_code};
use crate::tables::{Table, count, span};

pub(super) use told::tasks;

/// Carries out a job with its copies, its keep rules and all.
pub(crate) fn run(context: &Context, arguments: &RunArguments) -> Result<u8> {
    let service = Service::open(context)?;
    clear(context, &service)?;
    are_there(context, &service, arguments)?;
    let request = Request::Backup {
        job: arguments.job.clone(),
        machines: arguments.machines.clone(),
        is_forced: arguments.force,
    };
    let id = service.node_to_look()?.begin(&request, &service.who())?;
    begun(context, &service, id, arguments.detach)
}

/// Ends what commands before this one have left in the middle.
pub(super) fn clear(context: &Context, service: &Service) -> Result<()> {
    let output = context.output;
    service.clear_left_runs(&context.environment.cancel, &|text| output.warn(text))
}

/// Carries out a run that is written down, unless it is for the service.
pub(super) fn begun(context: &Context, service: &Service, id: RunId, detach: bool) -> Result<u8> {
    if detach {
        context.output.result(format!("run {id} is written down"))?;
        return Ok(0);
    }
    let own = service.hold_run(id)?;
    let node = service.node_for_a_run(&own)?;
    let cancel = &context.environment.cancel;
    let told = told::Told::new(context.output, &node);
    let ended = node.carry_out_run(id, cancel, &|run| {
        // What stands in the way may have been left by a command that ended meanwhile; what
        // cannot be ended now is looked at again.
        if told.look(run) {
            let _ = clear(context, service);
        }
    })?;
    drop(told);
    if cancel.is_cancelled() && ended.state == RunState::Open {
        node.catalog().cancel_run(id, &service.who())?;
    }
    let ended = node.catalog().run(id)?;
    if ended.state != RunState::Open {
        own.close();
    }
    report(context, &node, &ended)
}

/// Looks whether the platform has the machines that were named: what is only written wrong is not
/// worth a run.
fn are_there(context: &Context, service: &Service, arguments: &RunArguments) -> Result<()> {
    let job = service.loaded.config.jobs.get(&arguments.job);
    let (Some(job), false) = (job, arguments.machines.is_empty()) else {
        return Ok(());
    };
    match super::machine::are_there(context, &job.platform, &arguments.machines) {
        Err(error) if error.kind() == Some(ErrorKind::NotFound) => Err(error),
        // A platform that cannot be asked now may answer later: the run waits for it.
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct RunLine<'a> {
    run: &'a Run,
    tasks: &'a [Task],
}

fn report(context: &Context, node: &Node, run: &Run) -> Result<u8> {
    let tasks = tasks(node, run.id)?;
    if context.output.is_json() {
        let line = RunLine { run, tasks: &tasks };
        context.output.message("run", &line)?;
    } else {
        for line in table(&tasks).lines() {
            context.output.tell(line)?;
        }
        let text = format!(
            "run {}: {}, {}",
            run.id,
            run.state,
            count(tasks.len(), "task")
        );
        context.output.result(text)?;
    }
    Ok(exit_code(run.state))
}

/// What became of each task.
pub(super) fn table(tasks: &[Task]) -> Table {
    let mut table = Table::new(&[">Task", "What", "Of", "State", ">Time", ">Stored", "Seen"]);
    for task in tasks {
        let time = task
            .started
            .zip(task.ended)
            .map(|(began, ended)| span(ended.duration_since(began).unsigned_abs()));
        table.row([
            task.id.to_string(),
            task.action.to_string(),
            told::subject(task),
            task.state.to_string(),
            time.unwrap_or_default(),
            told::stored(task),
            task.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

impl From<lifeboat_scheduler::Error> for Error {
    fn from(error: lifeboat_scheduler::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<lifeboat_catalog::Error> for Error {
    fn from(error: lifeboat_catalog::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
