//! How far a task is, or why it waits.

use lifeboat_catalog::{Task, TaskState};
use maud::{Markup, html};

use super::frame::Frame;
use super::parts::{badge_of, meter, task_state};
use super::words::{bytes, count, deed, path, span, span_between};

/// A bar, the rate and the time left of a task that runs; since when, without progress.
pub(crate) fn progress(frame: &Frame, task: &Task) -> Markup {
    let Some(progress) = &task.progress else {
        return html! {
            div.progress { (meter(0.0, "running", "begun")) p.small.quiet { (since(frame, task)) } }
        };
    };
    let share = match progress.total {
        0 => 0.0,
        total => progress.done as f64 / total as f64,
    };
    let percent = (share * 100.0).floor().min(100.0);
    html! {
        div.progress {
            (meter(share, "running", &format!("{percent} % done")))
            p.small.quiet.line {
                @if progress.total > 0 { strong { (percent) " %" } }
                span { (progress.phase) }
                @if progress.rate > 0 { span.wide-only { (bytes(progress.rate)) "/s" } }
                @if progress.total > 0 {
                    span.wide-only { (bytes(progress.done)) " of " (bytes(progress.total)) }
                }
                span.end {
                    @match progress.seconds_left {
                        Some(left) => { (span(left)) " left" }
                        None => (since(frame, task)),
                    }
                }
            }
        }
    }
}

/// Of a task that has not ended: how far it is, or why it waits and until when.
pub(crate) fn standing(frame: &Frame, task: &Task) -> Markup {
    match task.state {
        TaskState::Queued => waiting(frame, task),
        _ => progress(frame, task),
    }
}

/// What was said when the last attempt failed, of a task that is to be tried again.
pub(crate) fn setback(task: &Task) -> Option<&str> {
    let is_again = task.state == TaskState::Queued && task.attempt > 0;
    task.message.as_deref().filter(|_| is_again)
}

fn waiting(frame: &Frame, task: &Task) -> Markup {
    let setback = setback(task);
    let is_later = task.not_before > frame.moment.now;
    html! {
        div.progress {
            @if let Some(message) = setback {
                p.said.failed { "Attempt " (task.attempt) " of " (task.attempts_max) " failed: "
                    (message) }
            }
            p.small.quiet {
                @match &task.held_up {
                    Some(why) => { "Held up: " (why) ". Begins " }
                    None if setback.is_some() && is_later => "Again ",
                    None if is_later => "Begins ",
                    None => "Waits for its turn.",
                }
                @if is_later || task.held_up.is_some() {
                    (frame.moment.relative(task.not_before))
                    ", at " (frame.moment.format(task.not_before, "%H:%M:%S")) "."
                }
            }
        }
    }
}

/// Tasks that wait, with how many more there are of the same subject that wait for the same
/// reason.
pub(crate) fn by_reason(tasks: &[Task]) -> Vec<(&Task, usize)> {
    let mut groups: Vec<(&Task, usize)> = Vec::new();
    for task in tasks {
        let is_same = |other: &Task| {
            (&other.subject, &other.message, &other.held_up)
                == (&task.subject, &task.message, &task.held_up)
                && task.state == TaskState::Queued
                && other.state == TaskState::Queued
        };
        match groups.iter_mut().find(|(other, _)| is_same(other)) {
            Some((_, more)) => *more += 1,
            None => groups.push((task, 0)),
        }
    }
    groups
}

/// Tasks of a subject that have not ended, as cards.
pub(crate) fn cards(frame: &Frame, tasks: &[Task]) -> Markup {
    let open: Vec<Task> = tasks
        .iter()
        .filter(|it| !it.state.is_over())
        .cloned()
        .collect();
    html! {
        @for (task, more) in by_reason(&open) {
            div.card.live-task {
                div.line {
                    (badge_of(task_state(task.state)))
                    a.strong href=(path(&["runs", &task.run.to_string()])) {
                        (deed(task)) " · run " (task.run)
                    }
                    @if more > 0 { span.end.quiet { (count(more as u64, "more task"))
                        " for the same reason" } }
                }
                (standing(frame, task))
            }
        }
    }
}

/// For how long it runs, or ran.
pub(crate) fn since(frame: &Frame, task: &Task) -> Markup {
    html! {
        @match (task.state, task.started, task.ended) {
            (TaskState::Running, Some(started), _) => (frame.moment.running(started)),
            (_, Some(started), Some(ended)) => {
                (span_between(started, ended))
            }
            _ => {}
        }
    }
}
