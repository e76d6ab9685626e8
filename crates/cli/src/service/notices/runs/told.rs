//! What came of a run's tasks: of those with one end and one message it is said once.

use lifeboat_catalog::{Action, Catalog, RunState, Task, TaskState};

use super::{LINES_MAX, is_failed, shortened, subject};
use crate::error::Result;
use crate::service::notices::alerts::log_end;

/// Names of machines that are listed of one group.
const NAMES_MAX: usize = 12;
/// Groups that are told.
const GROUPS_MAX: usize = 20;
/// Stands for the machine in a message that several machines have in common.
const ANY: &str = "…";

/// Tasks that ended alike.
struct Group<'a> {
    first: &'a Task,
    names: Vec<String>,
    count: usize,
    attempts: u32,
    said: Option<String>,
}

/// How the tasks ended, the failed ones first, what was warned of, and what was said last.
pub(super) fn text(
    catalog: &Catalog,
    state: RunState,
    tasks: &[Task],
    warnings: &[String],
) -> Result<String> {
    let mut lines = vec![format!("the run {}: {}", ended(state), counted(tasks))];
    lines.extend(ends(tasks));
    if !warnings.is_empty() {
        lines.push("warnings:".to_owned());
        lines.extend(warnings.iter().map(|line| format!("  {line}")));
    }
    if let Some(task) = tasks.iter().find(|it| is_failed(it)) {
        let log = log_end(catalog, task, LINES_MAX)?;
        if !log.is_empty() {
            lines.push(format!("the log of {} ends:", of_one(task)));
            lines.extend(log.iter().map(|line| format!("  {line}")));
        }
    }
    Ok(lines.join("\n"))
}

/// One line for each group, and one for what it said.
fn ends(tasks: &[Task]) -> Vec<String> {
    let mut ordered: Vec<&Task> = tasks.iter().collect();
    ordered.sort_by_key(|task| task.state != TaskState::Failed);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for task in ordered {
        match groups.iter_mut().find(|it| is_alike(it, task)) {
            Some(group) => group.add(task),
            None => groups.push(Group::new(task)),
        }
    }
    let more = groups.len().saturating_sub(GROUPS_MAX);
    groups.truncate(GROUPS_MAX);
    let mut lines: Vec<String> = groups.iter().flat_map(Group::lines).collect();
    if more > 0 {
        lines.push(format!("and {more} more ends"));
    }
    lines
}

fn is_alike(group: &Group<'_>, task: &Task) -> bool {
    let first = group.first;
    (first.action, first.state) == (task.action, task.state) && of_any(first) == of_any(task)
}

/// A task's message without the name of its machine.
fn of_any(task: &Task) -> Option<String> {
    Some(task.message.as_ref()?.replace(&subject(task), ANY))
}

impl<'a> Group<'a> {
    fn new(task: &'a Task) -> Self {
        Self {
            first: task,
            names: vec![subject(task)],
            count: 1,
            attempts: task.attempt,
            said: task.message.clone(),
        }
    }

    fn add(&mut self, task: &Task) {
        let name = subject(task);
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self.count += 1;
        self.attempts = self.attempts.max(task.attempt);
        if self.said != task.message {
            self.said = of_any(task);
        }
    }

    fn lines(&self) -> Vec<String> {
        let state = state(self.first.state);
        let action = self.first.action;
        let attempts = match (self.first.state, self.attempts) {
            (TaskState::Failed, 2..) => format!(" after {} attempts", self.attempts),
            _ => String::new(),
        };
        let names = names(&self.names);
        let end = match (self.count, &self.said) {
            (1, said) => {
                let end = if said.is_some() { ":" } else { "" };
                format!("{} {state}{attempts}{end}", of_one(self.first))
            }
            (count, said) => {
                let end = if said.is_some() { ", each time:" } else { "" };
                format!(
                    "{action} {state}{attempts} {count} times, {} {names}{end}",
                    of(action)
                )
            }
        };
        let said = self
            .said
            .iter()
            .map(|said| format!("  {}", shortened(said)));
        std::iter::once(end).chain(said).collect()
    }
}

/// A task in words: `backup of web01`.
fn of_one(task: &Task) -> String {
    format!("{} {} {}", task.action, of(task.action), subject(task))
}

fn of(action: Action) -> &'static str {
    match action {
        Action::Look => "at",
        Action::Copy => "to",
        Action::Forget => "in",
        _ => "of",
    }
}

fn names(all: &[String]) -> String {
    let others = all.len().saturating_sub(NAMES_MAX);
    let shown = &all[..all.len() - others];
    match (others, shown.split_last()) {
        (0, Some((last, before))) if !before.is_empty() => {
            format!("{} and {last}", before.join(", "))
        }
        (0, _) => shown.join(", "),
        (others, _) => format!("{} and {others} more", shown.join(", ")),
    }
}

fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Succeeded => "ended well",
        TaskState::PassedOver => "had nothing to do",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "was stopped",
        TaskState::Queued | TaskState::Running => "goes on",
    }
}

fn ended(state: RunState) -> &'static str {
    match state {
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
    match tasks.len() {
        1 => format!("{well} of 1 task ended well"),
        all => format!("{well} of {all} tasks ended well"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(action: &str, subject: &str, words: &[&str], message: Option<&str>) -> Task {
        let state = if message.is_some() {
            "failed"
        } else {
            "succeeded"
        };
        serde_json::from_value(json!({
            "id": 1, "run": 1, "job": "web", "action": action, "subject": subject,
            "words": words, "stage": 1, "lanes": [], "state": state, "attempt": 3,
            "attempts_max": 3, "retry_seconds": 1, "not_before": "2026-03-01T00:00:00Z",
            "error_kind": "full", "message": message,
        }))
        .unwrap()
    }

    #[test]
    fn what_several_machines_failed_with_is_said_once_with_their_names() {
        let said = |name: &str| format!("cannot back up {name}: no space is left");
        let mut tasks = vec![task("backup", "app01", &[], None)];
        for name in ["web01", "web02", "web03"] {
            tasks.push(task("backup", name, &[], Some(&said(name))));
        }
        let snapshot = "5".repeat(64);
        let words = ["--", &format!("db01@{snapshot}")];
        tasks.push(task("restore", "55555555 at here", &words, Some("no")));
        let expected = [
            "backup failed after 3 attempts 3 times, of web01, web02 and web03, each time:",
            "  cannot back up …: no space is left",
            "restore of db01 failed after 3 attempts:",
            "  no",
            "backup of app01 ended well",
        ];
        assert_eq!(ends(&tasks), expected);
    }
}
