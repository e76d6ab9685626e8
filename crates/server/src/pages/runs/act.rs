//! What can be done with a run and its tasks, and the commands that do the same.

use lifeboat_catalog::{Action as Did, Role, RunState, Task, TaskState};
use lifeboat_scheduler::Request;
use maud::{Markup, html};

use super::{RunView, TaskView};
use crate::pages::frame::Frame;
use crate::pages::parts::{Action, twin};

/// A command, and what it is for.
pub(super) fn line(said: &str, words: &[String]) -> Markup {
    html! { div.twin-line { span.quiet.small { (said) } (twin(words)) } }
}

pub(super) fn actions(frame: &Frame, view: &RunView<'_>) -> Markup {
    let id = view.run.id.to_string();
    let is_of_job = |view: &TaskView| matches!(view.task.action, Did::Resolve | Did::Backup);
    let request = Request::Backup {
        job: view.run.job.clone(),
        machines: Vec::new(),
        is_forced: false,
    };
    let cancel = Action {
        question: Some("Cancel this run? What is stored so far stays."),
        ..Action::new(format!("/api/v1/runs/{id}/cancel"), "stop", "Cancel")
    };
    html! {
        span #run-actions data-live="" {
            @if view.run.state == RunState::Open {
                (cancel.form(frame, Role::Operator))
            } @else if view.tasks.iter().any(is_of_job) {
                (Action::run(&request, "retry", "Run again").form(frame, Role::Operator))
            }
        }
    }
}

/// The commands that do what the page offers.
pub(super) fn commands(view: &RunView<'_>) -> Markup {
    let of_run = |verb: &str| ["runs", verb, &view.run.id.to_string()].map(str::to_owned);
    let is_bad = |it: &TaskState| matches!(it, TaskState::Failed | TaskState::Cancelled);
    html! {
        div #run-commands data-live="" {
            @if view.run.state == RunState::Open {
                (line("Cancel it", &of_run("cancel")))
            } @else {
                @if view.states.iter().any(is_bad) {
                    (line("Do again what failed", &of_run("retry")))
                }
                @if let Some(words) = command_of(view) { (line("Run it again", &words)) }
            }
        }
    }
}

/// The command that does what the whole run did, if it is of a job or keeps a repository.
fn command_of(view: &RunView<'_>) -> Option<Vec<String>> {
    let task = &view.tasks.first()?.task;
    let words: Vec<&str> = match (task.action, view.run.job.split_once(' ')) {
        (Did::Look, Some(("look", _))) => return None,
        (_, Some(_)) => return (view.states.len() == 1).then(|| task.words.clone()),
        (_, None) => vec!["run", &view.run.job],
    };
    let is_resolved = view.tasks.iter().any(|it| it.task.action == Did::Resolve);
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if !is_resolved {
        let machines = view.tasks.iter().filter(|it| it.task.action == Did::Backup);
        let machines = machines.flat_map(|it| ["-m".to_owned(), it.task.subject.clone()]);
        words.extend(machines);
    }
    Some(words)
}

/// What can be done with one task: stop it, or begin it again.
pub(super) fn task_actions(frame: &Frame, task: &Task) -> Markup {
    let to = |what: &str| format!("/api/v1/tasks/{}/{what}", task.id);
    let replaces = lifeboat_scheduler::is_replacing(task);
    let retry = Action {
        question: replaces.then_some("Replace the machine once more, by the same command?"),
        ..Action::new(
            to(if replaces {
                "retry?is_confirmed=true"
            } else {
                "retry"
            }),
            "retry",
            "Retry",
        )
    };
    let role = match task.action {
        Did::Restore => Role::Restore,
        _ => Role::Operator,
    };
    html! {
        @match task.state {
            TaskState::Queued | TaskState::Running => {
                (Action::new(to("cancel"), "stop", "Cancel").form(frame, Role::Operator))
            }
            TaskState::Failed | TaskState::Cancelled => { (retry.form(frame, role)) }
            _ => {}
        }
    }
}

/// The command that does the same as the button of a task.
pub(super) fn command_of_action(task: &Task) -> Option<(&'static str, Vec<String>)> {
    let (run, number) = (task.run.to_string(), task.id.to_string());
    let words = |verb: &str| ["runs", verb, &run, "--task", &number].map(str::to_owned);
    match task.state {
        TaskState::Queued | TaskState::Running => Some(("Cancel it", words("cancel").to_vec())),
        TaskState::Failed | TaskState::Cancelled => {
            let is_replacing = lifeboat_scheduler::is_replacing(task);
            let more = is_replacing.then(|| "--replace".to_owned());
            let words = words("retry").into_iter().chain(more).collect();
            Some(("Retry it", words))
        }
        TaskState::Succeeded | TaskState::PassedOver => None,
    }
}
