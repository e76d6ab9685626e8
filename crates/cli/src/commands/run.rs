//! `lifeboat run`: a job, now, without a service.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lifeboat_catalog::{LogLevel, Progress, Run, RunState, Task, TaskFilter, TaskId, TaskState};
use lifeboat_model::ByteCount;
use lifeboat_scheduler::{Node, Request};
use serde::Serialize;

use crate::args::RunArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::service::{Service, exit_code};
use crate::tables::{Table, count, span};

/// Carries out a job with its copies, its keep rules and all.
pub(crate) fn run(context: &Context, arguments: &RunArguments) -> Result<u8> {
    let service = Service::open(context)?;
    let node = service.node_for_a_run()?;
    let request = Request::Backup {
        job: arguments.job.clone(),
        machines: arguments.machines.clone(),
        is_forced: arguments.force,
    };
    let id = node.begin(&request, &service.who())?;
    if arguments.detach {
        context.output.result(format!("run {id} is written down"))?;
        return Ok(0);
    }
    let told = Told {
        output: context.output,
        node: &node,
        seen: RefCell::default(),
    };
    let cancel = &context.environment.cancel;
    let ended = node.carry_out_run(id, cancel, &|run| told.look(run))?;
    if cancel.is_cancelled() && ended.state == RunState::Open {
        node.catalog().cancel_run(id, &service.who())?;
    }
    let ended = node.catalog().run(id)?;
    report(context, &node, &ended)
}

/// Tells what has changed since the last look.
struct Told<'n> {
    output: Output,
    node: &'n Node,
    seen: RefCell<BTreeMap<TaskId, Seen>>,
}

/// What was told of a task: its state and attempt, the last line of its log, how far it was.
type Seen = (TaskState, u32, i64, Option<Progress>);

impl Told<'_> {
    fn look(&self, run: &Run) {
        let filter = TaskFilter {
            run: Some(run.id),
            count: 100_000,
            ..TaskFilter::default()
        };
        // What cannot be read now is told at the next look.
        let tasks = self.node.catalog().tasks(&filter).unwrap_or_default();
        for task in tasks.iter().rev() {
            self.task(task);
        }
    }

    fn task(&self, task: &Task) {
        let mut seen = self.seen.borrow_mut();
        let before = seen.get(&task.id).cloned();
        let mut line = before.as_ref().map_or(0, |it| it.2);
        let log = self.node.catalog().log_after(task.id, line, 1_000);
        for said in log.unwrap_or_default() {
            line = said.number;
            let text = format!("{}: {}", task.subject, said.line);
            match said.level {
                LogLevel::Note => self.output.detail_aside(text),
                LogLevel::Warning | LogLevel::Error => self.output.warn(text),
            }
        }
        let state = (task.state, task.attempt);
        if before.as_ref().map(|it| (it.0, it.1)) != Some(state) {
            self.state(task);
        }
        if task.progress.is_some() && before.as_ref().map(|it| &it.3) != Some(&task.progress) {
            self.progress(task);
        }
        let now = (task.state, task.attempt, line, task.progress.clone());
        seen.insert(task.id, now);
    }

    /// What cannot be written is not worth the run.
    fn state(&self, task: &Task) {
        if self.output.is_json() {
            let _ = self.output.message("task", task);
            return;
        }
        let name = format!("{} {}", task.action, task.subject);
        let text = match task.state {
            TaskState::Queued if task.attempt == 0 => return,
            TaskState::Queued => format!("{name}: failed, tried again at {}", task.not_before),
            TaskState::Running => format!("{name}: begins"),
            TaskState::Succeeded => format!("{name}: done"),
            state => match &task.message {
                Some(message) => format!("{name}: {state}: {message}"),
                None => format!("{name}: {state}"),
            },
        };
        let _ = self.output.tell(text);
    }

    fn progress(&self, task: &Task) {
        let Some(progress) = &task.progress else {
            return;
        };
        if progress.total > 0 {
            self.output.detail_aside(format!(
                "{} {}: {}, {} of {}, {}/s",
                task.action,
                task.subject,
                progress.phase,
                ByteCount(progress.done),
                ByteCount(progress.total),
                ByteCount(progress.rate)
            ));
        }
    }
}

#[derive(Serialize)]
struct RunLine<'a> {
    run: &'a Run,
    tasks: &'a [Task],
}

fn report(context: &Context, node: &Node, run: &Run) -> Result<u8> {
    let filter = TaskFilter {
        run: Some(run.id),
        count: 100_000,
        ..TaskFilter::default()
    };
    let mut tasks = node.catalog().tasks(&filter)?;
    tasks.reverse();
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

fn table(tasks: &[Task]) -> Table {
    let mut table = Table::new(&["Task", "Of", "State", ">Time", ">Stored", "Seen"]);
    for task in tasks {
        let time = task
            .started
            .zip(task.ended)
            .map(|(began, ended)| span(ended.duration_since(began).unsigned_abs()));
        let stored = task
            .outcome
            .as_ref()
            .and_then(|it| it.get("data_added_packed"));
        let stored = stored.and_then(serde_json::Value::as_u64);
        table.row([
            task.action.to_string(),
            crate::tables::shown(&task.subject),
            task.state.to_string(),
            time.unwrap_or_default(),
            stored
                .map(|bytes| ByteCount(bytes).to_string())
                .unwrap_or_default(),
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
