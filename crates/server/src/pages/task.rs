//! How far a task is.

use lifeboat_catalog::{Task, TaskState};
use maud::{Markup, html};

use super::frame::Frame;
use super::parts::meter;
use super::words::{bytes, span};

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

/// For how long it runs, or ran.
pub(crate) fn since(frame: &Frame, task: &Task) -> Markup {
    html! {
        @match (task.state, task.started, task.ended) {
            (TaskState::Running, Some(started), _) => (frame.moment.running(started)),
            (_, Some(started), Some(ended)) => {
                (span(super::words::seconds_between(started, ended)))
            }
            _ => {}
        }
    }
}
