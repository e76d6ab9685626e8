//! What is told of a run while it is carried out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lifeboat_catalog::{
    Action, LogLevel, Progress, Run, RunId, Task, TaskFilter, TaskId, TaskState,
};
use lifeboat_model::ByteCount;
use lifeboat_scheduler::Node;

use crate::output::Output;
use crate::progress::{TaskLine, task_text};
use crate::tables::{moment, shown};

/// Tasks of one run that are read at most.
const TASKS_MAX: u32 = 100_000;

/// Tells what has changed since the last look.
pub(super) struct Told<'n> {
    output: Output,
    node: &'n Node,
    line: TaskLine,
    seen: RefCell<BTreeMap<TaskId, Seen>>,
    waits: RefCell<BTreeSet<(TaskId, RunId)>>,
}

/// What was told of a task: its state and attempt, the last line of its log, how far it was.
type Seen = (TaskState, u32, i64, Option<Progress>);

/// Tasks of a run, oldest first.
pub(in crate::commands) fn tasks(node: &Node, run: RunId) -> lifeboat_catalog::Result<Vec<Task>> {
    let filter = TaskFilter {
        run: Some(run),
        count: TASKS_MAX,
        ..TaskFilter::default()
    };
    let mut tasks = node.catalog().tasks(&filter)?;
    tasks.reverse();
    Ok(tasks)
}

/// What a task is about; two looks at a repository are told apart.
pub(in crate::commands) fn subject(task: &Task) -> String {
    let subject = shown(&task.subject);
    match (task.action, task.words.first().map(String::as_str)) {
        (Action::Look, Some("stats")) => format!("{subject} (size)"),
        (Action::Look, _) => format!("{subject} (points)"),
        _ => subject,
    }
}

fn name(task: &Task) -> String {
    format!("{} {}", task.action, subject(task))
}

impl<'n> Told<'n> {
    pub(super) fn new(output: Output, node: &'n Node) -> Self {
        Self {
            output,
            node,
            line: TaskLine::new(output),
            seen: RefCell::default(),
            waits: RefCell::default(),
        }
    }

    /// Says whether tasks wait for those of another run.
    pub(super) fn look(&self, run: &Run) -> bool {
        // What cannot be read now is told at the next look.
        let tasks = tasks(self.node, run.id).unwrap_or_default();
        for task in &tasks {
            self.task(task);
        }
        let is_waiting = self.who_waits(run.id, &tasks);
        let running = tasks.iter().filter(|it| it.state == TaskState::Running);
        let running: Vec<&Task> = running.filter(|it| it.progress.is_some()).collect();
        self.line.show(&running);
        is_waiting
    }

    fn task(&self, task: &Task) {
        let mut seen = self.seen.borrow_mut();
        let before = seen.get(&task.id).cloned();
        let (state, attempt) = before.as_ref().map_or((None, 0), |it| (Some(it.0), it.1));
        if task.attempt > attempt {
            self.tell(format!("{}: begins", name(task)), None);
        }
        let mut line = before.as_ref().map_or(0, |it| it.2);
        let log = self.node.catalog().log_after(task.id, line, 1_000);
        for said in log.unwrap_or_default() {
            line = said.number;
            let name = format!("{}: ", shown(&task.subject));
            let text = match said.line.starts_with(&name) {
                true => said.line,
                false => name + &said.line,
            };
            self.line.aside(|| match said.level {
                LogLevel::Note => self.output.detail_aside(text),
                LogLevel::Warning | LogLevel::Error => self.output.warn(text),
            });
        }
        if (state, attempt) != (Some(task.state), task.attempt) {
            self.tell(how(task), Some(task));
        }
        if task.progress.is_some() && before.as_ref().map(|it| &it.3) != Some(&task.progress) {
            let text = task_text(task).unwrap_or_default();
            let text = format!("{}: {text}", name(task));
            self.line.aside(|| self.output.detail_aside(text));
        }
        let now = (task.state, task.attempt, line, task.progress.clone());
        seen.insert(task.id, now);
    }

    /// What cannot be written is not worth the run. Scripts are given the task as it is.
    fn tell(&self, text: impl Into<Option<String>>, task: Option<&Task>) {
        if self.output.is_json() {
            let _ = task.map(|task| self.output.message("task", task));
        } else if let Some(text) = text.into() {
            self.line.aside(|| {
                let _ = self.output.tell(text);
            });
        }
    }

    /// Tells once of each task who stands before it; says whether somebody does.
    fn who_waits(&self, run: RunId, tasks: &[Task]) -> bool {
        let now = self.node.catalog().now();
        let is_left = |it: &&Task, stage| it.stage < stage && !it.state.is_over();
        let is_next = |it: &&Task| {
            it.state == TaskState::Queued
                && it.not_before <= now
                && !tasks.iter().any(|other| is_left(&other, it.stage))
        };
        let next: Vec<&Task> = tasks.iter().filter(is_next).collect();
        if next.iter().all(|it| it.lanes.is_empty()) {
            return false;
        }
        let filter = TaskFilter {
            state: Some(TaskState::Running),
            ..TaskFilter::default()
        };
        let running = self.node.catalog().tasks(&filter).unwrap_or_default();
        let mut is_waiting = false;
        for task in next {
            let Some(other) = in_the_way(run, task, &running) else {
                continue;
            };
            is_waiting = true;
            if self.waits.borrow_mut().insert((task.id, other.run)) {
                let text = format!(
                    "{}: waits for run {} ({} of {}, on {})",
                    name(task),
                    other.run,
                    name(other),
                    shown(&other.job),
                    shown(other.node.as_deref().unwrap_or("another node")),
                );
                self.tell(text, None);
            }
        }
        is_waiting
    }
}

/// A task of another run that has taken a turn which this one waits for.
fn in_the_way<'t>(run: RunId, task: &Task, running: &'t [Task]) -> Option<&'t Task> {
    task.lanes.iter().find_map(|lane| {
        let has_turn = |it: &&Task| it.lanes.iter().any(|other| other.name == lane.name);
        let taken: Vec<&Task> = running.iter().filter(has_turn).collect();
        let is_full = taken.len() >= lane.most.max(1) as usize;
        taken.into_iter().find(|it| is_full && it.run != run)
    })
}

/// How a task is, unless it has only just been written down or begun.
fn how(task: &Task) -> Option<String> {
    let name = name(task);
    let message = task.message.as_deref().map(shown);
    Some(match (task.state, message) {
        (TaskState::Queued, _) if task.attempt == 0 => return None,
        (TaskState::Running, _) => return None,
        (TaskState::Queued, Some(message)) => format!(
            "{name}: failed: {message}; tried again at {}",
            moment(task.not_before)
        ),
        (TaskState::Queued, None) => format!("{name}: waits again"),
        (TaskState::Succeeded, _) => format!("{name}: done"),
        (TaskState::PassedOver, message) => {
            format!("{name}: passed over: {}", message.unwrap_or_default())
        }
        (state, Some(message)) => format!("{name}: {state}: {message}"),
        (state, None) => format!("{name}: {state}"),
    })
}

/// Bytes that a task has stored, as a table shows them.
pub(in crate::commands) fn stored(task: &Task) -> String {
    let stored = task
        .outcome
        .as_ref()
        .and_then(|it| it.get("data_added_packed"))
        .and_then(serde_json::Value::as_u64);
    stored.map_or_else(String::new, |bytes| ByteCount(bytes).to_string())
}
