//! Runs, newest first, and one run with its tasks, steps and log.

mod act;

use std::collections::BTreeMap;

use lifeboat_catalog::{
    Cause, LogLevel, LogLine, Point, Run, RunId, RunState, StepRecord, StepState, Task, TaskState,
};
use maud::{Markup, html};

use self::act::{actions, command_of_action, commands, line, task_actions};
use super::chart::round;
use super::frame::{Frame, Place};
use super::parts::{Look, badge_of, empty, head, mark, pager, tabs, task_state, twin};
use super::task::{progress, setback, since, standing};
use super::words::{count, deed, escape, path, run_title, seconds_between, span_between, subject};

/// Tasks of a run that are shown at once.
const TASKS_MAX: usize = 200;

/// A page of runs.
#[derive(Clone, Debug)]
pub struct RunsView<'a> {
    /// Newest first.
    pub runs: &'a [Run],
    /// Tasks that run.
    pub running: &'a [Task],
    /// Tasks that wait since an attempt failed, or are held up.
    pub waiting: &'a [Task],
    /// What runs bring back that are restores.
    pub restored: &'a BTreeMap<RunId, Point>,
    /// Only of this job, if it is not empty.
    pub job: &'a str,
    /// Only in this state, if it is not empty.
    pub state: &'a str,
    /// Whether there are older ones.
    pub is_more: bool,
    /// Whether this is not the first page.
    pub is_later: bool,
}

/// A task of a run, with what it did.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// The task.
    pub task: Task,
    /// Its steps in order.
    pub steps: Vec<StepRecord>,
    /// The last lines of its log.
    pub log: Vec<LogLine>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunView<'a> {
    /// The run.
    pub run: &'a Run,
    /// Its tasks; the first ones if there are many.
    pub tasks: &'a [TaskView],
    /// How all of them are.
    pub states: &'a [TaskState],
    /// What it brings back, if it is a restore.
    pub restored: Option<&'a Point>,
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Schedule => "by schedule",
        Cause::CatchUp => "caught up",
        Cause::Request => "on request",
    }
}

/// All runs.
pub fn list(frame: &Frame, view: &RunsView<'_>) -> Markup {
    let states = [
        ("", "All"),
        ("open", "Open"),
        ("failed", "Failed"),
        ("partial", "Partial"),
        ("succeeded", "Succeeded"),
        ("cancelled", "Cancelled"),
    ];
    let address = |state: &str| format!("/runs?state={state}&job={}", escape(view.job));
    let links: Vec<_> = states
        .iter()
        .map(|(state, word)| (address(state), (*word).to_owned(), *state == view.state))
        .collect();
    let older = view.runs.last().filter(|_| view.is_more);
    let older = older.map(|run| format!("{}&before={}", address(view.state), run.id));
    let newer = view.is_later.then(|| address(view.state));
    let under = html! {
        @match view.job {
            "" => "Every execution of every job, newest first",
            job => { "Of " strong { (job) } " · " a href="/runs" { "all jobs" } }
        }
    };
    let inner = html! {
        (head("Runs", under, html! {}))
        div.filters { (tabs("Runs by state", &links)) }
        section #runs data-live="" {
            @if view.runs.is_empty() {
                div.card { (empty("runs", "No run here",
                    "Jobs run by their schedule, or when somebody asks.",
                    html! { (twin(&["run", "JOB"])) })) }
            } @else {
                div.card.table-card { table.list.compact.runs {
                    thead { tr {
                        th scope="col" { "Run" } th scope="col" { "State" } th scope="col" { "Why" }
                        th scope="col" { "Began" } th.number scope="col" { "Took" }
                    } }
                    tbody { @for run in view.runs { (row(frame, run, view)) } }
                } }
            }
            (pager(newer.as_deref(), older.as_deref(), ""))
        }
    };
    frame.page(Place::Runs, "Runs", inner)
}

fn row(frame: &Frame, run: &Run, view: &RunsView<'_>) -> Markup {
    let of = |tasks: &'_ [Task]| -> Vec<Task> {
        tasks
            .iter()
            .filter(|it| it.run == run.id)
            .cloned()
            .collect()
    };
    let (now, waiting) = (of(view.running), of(view.waiting));
    let title = run_title(&frame.moment, run, view.restored.get(&run.id));
    html! {
        tr {
            td.main-cell data-label="Run" {
                a.strong href=(path(&["runs", &run.id.to_string()])) { (title) }
                span.quiet.small { "run " (run.id) }
            }
            td.state-cell data-label="State" {
                (badge_of(frame.run_state(run)))
                @if let Some(task) = now.first() {
                    div.in-row { (progress(frame, task)) }
                    @if now.len() > 1 {
                        span.quiet.small { "and " (now.len() - 1) " beside it" }
                    }
                } @else if let Some(task) = waiting.first() {
                    div.in-row { (standing(frame, task)) }
                }
            }
            td data-label="Why" {
                (cause(run.cause))
                @if run.cause == Cause::Request {
                    span.quiet.small.block { "of " (run.requested_by) }
                }
            }
            td data-label="Began" { (frame.moment.relative(run.created)) }
            td.number data-label="Took" { (took(frame, run)) }
        }
    }
}

fn took(frame: &Frame, run: &Run) -> Markup {
    html! {
        @match run.ended {
            Some(ended) => (span_between(run.created, ended)),
            None => (frame.moment.running(run.created)),
        }
    }
}

/// One run.
pub fn page(frame: &Frame, view: &RunView<'_>) -> Markup {
    let run = view.run;
    let title = run_title(&frame.moment, run, view.restored);
    let inner = html! {
        (head(&title, html! {
            "Run " (run.id) " · " (cause(run.cause))
            @if run.cause == Cause::Request { " of " (run.requested_by) }
            " · began " (frame.moment.relative(run.created))
        }, actions(frame, view)))
        (summary(frame, view))
        (commands(view))
        @for view in view.tasks.iter().take(TASKS_MAX) { (task(frame, view)) }
        @if view.states.len() > view.tasks.len() {
            p.card-note { "The first " (view.tasks.len()) " of "
                (count(view.states.len() as u64, "task")) "." }
        }
        @if view.tasks.is_empty() {
            section.card { (empty("runs", "No task yet",
                "The machines of the job are being looked for.", html! {})) }
        }
    };
    frame.page(Place::Runs, &title, inner)
}

fn summary(frame: &Frame, view: &RunView<'_>) -> Markup {
    let run = view.run;
    let of = |wanted: &[TaskState]| view.states.iter().filter(|it| wanted.contains(it)).count();
    let numbers = [
        ("Done", of(&[TaskState::Succeeded, TaskState::PassedOver])),
        ("Running", of(&[TaskState::Running])),
        ("Waiting", of(&[TaskState::Queued])),
        ("Cancelled", of(&[TaskState::Cancelled])),
    ];
    html! {
        section #summary .card.summary data-live="" aria-label="Summary" {
            div { span.quiet { "State" } (badge_of(frame.run_state(run))) }
            div { span.quiet { "Took" } strong { (took(frame, run)) } }
            div { span.quiet { "Tasks" } strong { (view.states.len()) } }
            @for (word, number) in numbers {
                @if number > 0 || word == "Done" {
                    div { span.quiet { (word) } strong { (number) } }
                }
            }
            div { span.quiet { "Failed" } strong { (of(&[TaskState::Failed])) } }
            @if let Some(planned) = run.planned {
                div { span.quiet { "Planned for" } strong { (frame.moment.short(planned)) } }
            }
        }
    }
}

fn task(frame: &Frame, view: &TaskView) -> Markup {
    let task = &view.task;
    let (look, word) = task_state(task.state);
    let is_open = matches!(look, Look::Running | Look::Failed)
        || setback(task).is_some()
        || task.held_up.is_some();
    html! {
        details.card.task id={ "task-" (task.id) } data-live="" data-state=(look.name())
            open[is_open] {
            summary {
                (mark(look, word))
                strong { (subject(task)) }
                span.quiet { (deed(task)) }
                span.end.quiet { (since(frame, task)) }
            }
            div.task-body {
                @if !task.state.is_over() { (standing(frame, task)) }
                @if let Some(message) = &task.message && setback(task).is_none() {
                    p class={ "said " (look.name()) } { (message) }
                }
                (steps(frame, view))
                div.line.wrap {
                    @if task.attempt > 1 || task.attempts_max > 1 {
                        span.quiet { "Attempt " (task.attempt) " of " (task.attempts_max) }
                    }
                    @if let Some(node) = &task.node { span.quiet { "on " (node) } }
                    @if let Some(who) = &task.cancelled_by { span.quiet { "cancelled by " (who) } }
                    (task_actions(frame, task))
                }
                @if let Some((said, words)) = command_of_action(task) { (line(said, &words)) }
                (line("What it does", &task.words))
                (log(frame, view))
            }
        }
    }
}

/// Steps as spans on a line of time; a pause between attempts is a gap.
fn steps(frame: &Frame, view: &TaskView) -> Markup {
    let (Some(first), task) = (view.steps.first(), &view.task) else {
        return html! {};
    };
    let ended = |step: &StepRecord| step.ended.or(task.ended).unwrap_or(frame.moment.now);
    let end = view.steps.iter().map(ended).max().unwrap_or(first.began);
    let whole = seconds_between(first.began, end).max(1) as f64;
    let attempts = view
        .steps
        .iter()
        .map(|step| step.attempt)
        .max()
        .unwrap_or(1);
    html! {
        ol.steps {
            @for step in &view.steps {
                @let x = seconds_between(first.began, step.began) as f64 / whole;
                @let width = seconds_between(step.began, ended(step)) as f64 / whole;
                @let (look, word) = step_state(step.state);
                li {
                    span.step-name { (step.name)
                        @if attempts > 1 { span.quiet { " (" (step.attempt) ")" } } }
                    svg width="100%" height="10" role="img" aria-label=(word) {
                        rect.meter-ground width="100%" height="10" rx="3" {}
                        rect class={ "step-fill " (look.name()) } height="10" rx="3"
                            x={ (round(x * 99.0)) "%" }
                            width={ (round((width * 100.0).max(1.0))) "%" } { title { (word) } }
                    }
                    span.step-time { (span_between(step.began, ended(step))) }
                    @if let Some(message) = &step.message && step.message != task.message {
                        p.step-said.small { (message) }
                    }
                }
            }
        }
    }
}

fn step_state(state: StepState) -> (Look, &'static str) {
    match state {
        StepState::Running => (Look::Running, "running"),
        StepState::Done => (Look::Ok, "done"),
        StepState::Failed => (Look::Failed, "failed"),
        StepState::Stopped => (Look::Off, "stopped"),
    }
}

fn log(frame: &Frame, view: &TaskView) -> Markup {
    html! {
        @if !view.log.is_empty() {
            div.log role="log" tabindex="0" aria-label={ "Log of " (view.task.subject) } {
                @for line in &view.log {
                    p class=(level(line.level)) {
                        time { (frame.moment.format(line.at, "%H:%M:%S")) }
                        @match line.level {
                            LogLevel::Note => {}
                            LogLevel::Warning => strong { "warning" },
                            LogLevel::Error => strong { "error" },
                        }
                        span { (line.line) }
                    }
                }
            }
        }
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Note => "note",
        LogLevel::Warning => "warning",
        LogLevel::Error => "failed",
    }
}

/// The state of a name.
pub(crate) fn state_of(name: &str) -> Option<RunState> {
    let all = [
        RunState::Open,
        RunState::Succeeded,
        RunState::Partial,
        RunState::Failed,
        RunState::Cancelled,
    ];
    all.into_iter().find(|state| state.as_str() == name)
}
