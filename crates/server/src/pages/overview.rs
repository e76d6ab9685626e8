//! The first page: can I recover now?

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use lifeboat_catalog::{Alert, Run, RunState, Task};
use lifeboat_scheduler::{
    JobStatus, MachineClass, MachineCounts, MachineStatus, Overview, RepositoryStatus,
};
use maud::{Markup, html};

use super::chart::{Cell, ring, strip};
use super::frame::{Frame, Place};
use super::icon::icon;
use super::parts::{Look, badge, card, empty, mark, meter, run_state, severity, twin};
use super::settings::broken_line;
use super::task::{by_reason, progress, setback, standing};
use super::words::{
    bytes, count, deed, machine_page, name_of, path, seconds_between, subject, verb,
};
use crate::state::BrokenConfig;

/// Days of a strip.
const DAYS: i64 = 30;
/// Jobs that have a strip on the first page.
const STRIPS_MAX: usize = 10;
/// Machines of one sort that are named in the answer.
const NAMED_MAX: usize = 3;
/// Waiting tasks that are named there.
const WAITING_MAX: usize = 4;

/// What the first page shows.
#[derive(Clone, Debug)]
pub struct OverviewView<'a> {
    /// How everything is.
    pub overview: &'a Overview,
    /// Runs of the last 30 days.
    pub runs: &'a [Run],
    /// Tasks that run.
    pub running: &'a [Task],
    /// Tasks that wait since an attempt failed, or are held up.
    pub waiting: &'a [Task],
    /// The newest failure of each repository that could not be worked with.
    pub setbacks: &'a [Task],
    /// Alerts that hold, worst first.
    pub alerts: &'a [Alert],
    /// What is wrong with the configuration, if it cannot be used.
    pub broken: Option<&'a BrokenConfig>,
}

/// The answer in one sentence, and what is behind it.
fn verdict(counts: &MachineCounts, overdue: u64) -> (Look, String, String) {
    let machines = |number| count(number, "machine");
    if counts.all() == 0 {
        let title = "Nothing is known yet: no machine was seen.".to_owned();
        return (Look::Warning, title, String::new());
    }
    if counts.missed > 0 {
        let title = format!(
            "{} of {} are recoverable as promised.",
            counts.met,
            machines(counts.all())
        );
        let text = format!(
            "{} {} what was promised.",
            machines(counts.missed),
            verb(counts.missed, "misses", "miss")
        );
        return (Look::Failed, title, text);
    }
    if counts.no_point > 0 {
        let title = format!("{} cannot be recovered yet.", machines(counts.no_point));
        return (Look::Failed, title, String::new());
    }
    let protected = machines(counts.all() - counts.unprotected);
    if counts.at_risk + counts.unprotected + overdue > 0 {
        let title = "Yes, and a few things need a look.".to_owned();
        let text = format!("All {protected} that are protected can be recovered as promised now.");
        return (Look::Warning, title, text);
    }
    let title = format!("Yes. All {protected} can be recovered.");
    let text = match counts.unknown {
        0 => "Every objective is met.".to_owned(),
        _ => "Every objective that was measured is met.".to_owned(),
    };
    (Look::Ok, title, text)
}

/// Jobs whose runs should have begun.
fn overdue(overview: &Overview) -> u64 {
    let jobs = overview.jobs.iter();
    jobs.filter(|job| job.overdue.is_some()).count() as u64
}

/// The first page.
pub fn page(frame: &Frame, view: &OverviewView<'_>) -> Markup {
    let broken = html! {
        div #broken data-live="" {
            @if let Some(broken) = view.broken { (broken_line(frame, broken)) }
        }
    };
    let inner = match view.overview.machines.is_empty() && view.overview.jobs.is_empty() {
        true => html! { (broken) (beginning()) },
        false => html! {
            (broken)
            (hero(frame, view.overview))
            div.columns {
                div.column.wide {
                    (running(frame, view))
                    (strips(frame, view))
                    (fill(frame, view))
                }
                div.column {
                    (alerts(frame, view.alerts))
                    (next_runs(frame, &view.overview.jobs))
                }
            }
        },
    };
    frame.page(Place::Overview, "Can I recover now?", inner)
}

fn beginning() -> Markup {
    html! {
        h1.visually-hidden { "Can I recover now?" }
        section.card {
            (empty("buoy", "Nothing is protected yet",
                "Describe your machines, a repository and a job in lifeboat.toml. The wizard finds \
                 the machines of this host, makes the repository and its key, and tests both.",
                html! { (twin(&["config", "generate"])) }))
        }
    }
}

fn hero(frame: &Frame, overview: &Overview) -> Markup {
    let counts = overview.counts();
    let all = counts.all();
    let (look, title, text) = verdict(&counts, overdue(overview));
    let parts = [
        ("ok", counts.met),
        ("warning", counts.at_risk),
        ("failed", counts.missed + counts.no_point),
        ("unknown", counts.unknown),
        ("off", counts.unprotected),
    ];
    let label = format!("{} of {} machines meet their objectives", counts.met, all);
    html! {
        section #hero class={ "hero " (look.name()) } data-live="" aria-labelledby="hero-title" {
            div.hero-say {
                p.question { (icon(look.name())) "Can I recover now?" }
                h1 #hero-title { (title) }
                p.under {
                    (text) " " (named(overview))
                    @match overview.proved {
                        Some(at) => { "A recovery was last proved " (frame.moment.relative(at))
                            "." }
                        None => { "No recovery was proved yet." }
                    }
                }
            }
            a.hero-ring href="/machines" title=(label) {
                (ring(&parts))
                span.ring-word { strong { (counts.met) } span { "of " (all) " met" } }
            }
            (tiles(frame, overview, &counts))
        }
    }
}

/// The machines that need somebody, the first of them by name.
fn named(overview: &Overview) -> Markup {
    let of = |class| {
        let machines = overview.machines.iter();
        machines
            .filter(move |it| it.class() == class)
            .collect::<Vec<_>>()
    };
    let missed = of(MachineClass::Missed);
    let empty = of(MachineClass::NoPoint);
    let bare = of(MachineClass::Unprotected);
    let have = |them: &[&MachineStatus]| verb(them.len() as u64, " has", " have");
    html! {
        @if !missed.is_empty() { "Look first at " (some(&missed, MachineClass::Missed)) ". " }
        @if !empty.is_empty() {
            (some(&empty, MachineClass::NoPoint)) (have(&empty)) " no recovery point. "
        }
        @if !bare.is_empty() {
            (some(&bare, MachineClass::Unprotected)) (have(&bare)) " no protection. "
        }
    }
}

/// Three names of a class at most, and how many more there are.
fn some(machines: &[&MachineStatus], class: MachineClass) -> Markup {
    let shown = &machines[..machines.len().min(NAMED_MAX)];
    let more = machines.len() - shown.len();
    html! {
        @for (at, machine) in shown.iter().enumerate() {
            @if at > 0 { (if at + 1 == machines.len() { " and " } else { ", " }) }
            a href=(machine_page(name_of(machine), "", "")) { (machine.distinct_name()) }
        }
        @if more > 0 {
            " and " a href={ "/machines?state=" (class.as_str()) } { (more) " more" }
        }
    }
}

fn tiles(frame: &Frame, overview: &Overview, counts: &MachineCounts) -> Markup {
    let overdue = overdue(overview);
    let when = |number: u64, look: Look| if number > 0 { look } else { Look::Off };
    let tiles = [
        (
            "/machines?state=met",
            "Met",
            counts.met,
            when(counts.met, Look::Ok),
            "ok",
        ),
        (
            "/machines?state=at_risk",
            "At risk",
            counts.at_risk,
            when(counts.at_risk, Look::Warning),
            "warning",
        ),
        (
            "/machines?state=missed",
            "Missed",
            counts.missed,
            when(counts.missed, Look::Failed),
            "failed",
        ),
        (
            "/machines?state=no_point",
            "No point",
            counts.no_point,
            when(counts.no_point, Look::Failed),
            "failed",
        ),
        (
            "/schedule",
            "Overdue jobs",
            overdue,
            when(overdue, Look::Warning),
            "waiting",
        ),
        (
            "/machines?state=unprotected",
            "Unprotected",
            counts.unprotected,
            when(counts.unprotected, Look::Warning),
            "unprotected",
        ),
    ];
    html! {
        ul.tiles {
            @for (address, word, number, look, picture) in tiles {
                li { a class={ "tile " (look.name()) } href=(address) {
                    strong { (number) }
                    span.tile-word { (icon(picture)) (word) }
                } }
            }
            li { a class={ "tile " (proof_look(frame, overview.proved).name()) }
                href="/machines?sort=proof" {
                strong.text {
                    @match overview.proved {
                        Some(at) => (frame.moment.relative(at)),
                        None => "never",
                    }
                }
                span.tile-word { (icon("verify")) "Last proof" }
            } }
        }
    }
}

fn proof_look(frame: &Frame, proved: Option<Timestamp>) -> Look {
    let age = proved.map(|at| seconds_between(at, frame.moment.now));
    match age {
        Some(0..604_800) => Look::Ok,
        _ => Look::Warning,
    }
}

fn running(frame: &Frame, view: &OverviewView<'_>) -> Markup {
    let tasks = view.running;
    let waiting = by_reason(view.waiting);
    let more = Some(("/runs", "All runs"));
    card(
        "running",
        "Running now",
        more,
        html! {
            @if tasks.is_empty() {
                p.calm { (icon("ok")) "Nothing runs at the moment." }
            } @else {
                ul.rows {
                    @for task in tasks.iter().take(8) {
                        li.row.live-task {
                            (task_head(task))
                            (progress(frame, task))
                        }
                    }
                }
                @if tasks.len() > 8 {
                    p.card-note { a href="/runs?state=open" { (tasks.len() - 8) " more" } }
                }
            }
            @if !waiting.is_empty() {
                h3.rows-head { "Waiting to be tried again" }
                ul.rows {
                    @for (task, more) in waiting.iter().take(WAITING_MAX) {
                        li.row.live-task {
                            (task_head(task))
                            (standing(frame, task))
                            @if *more > 0 {
                                p.small.quiet { "and " (count(*more as u64, "more task")) }
                            }
                        }
                    }
                }
                @if waiting.len() > WAITING_MAX {
                    p.card-note { a href="/runs?state=open" {
                        (waiting.len() - WAITING_MAX) " more" } }
                }
            }
        },
    )
}

fn task_head(task: &Task) -> Markup {
    html! {
        div.row-main {
            a.strong href=(path(&["runs", &task.run.to_string()])) { (subject(task)) }
            span.quiet { (deed(task))
                @if task.job.split(' ').next() != Some(task.action.as_str()) { " · " (task.job) } }
        }
    }
}

fn strips(frame: &Frame, view: &OverviewView<'_>) -> Markup {
    let by_job = days(frame, view.runs);
    let mut jobs: Vec<&JobStatus> = view.overview.jobs.iter().collect();
    jobs.sort_by_key(|job| (std::cmp::Reverse(trouble(job)), &job.name));
    let more = Some(("/schedule", "Schedule"));
    card(
        "strips",
        "Last 30 days",
        more,
        html! {
            @if jobs.is_empty() {
                (empty("schedule", "No job yet", "A job says which machines are backed up, where \
                    to and when.", html! { (twin(&["config", "generate"])) }))
            }
            ul.strips {
                @for job in jobs.iter().take(STRIPS_MAX) {
                    li {
                        a.strip-name href={ "/runs?job=" (super::words::escape(&job.name)) } {
                            (job.name)
                        }
                        (strip(&cells(frame, job, by_job.get(job.name.as_str())),
                            &format!("Runs of {} in 30 days", job.name)))
                        span.strip-state { (job_state(frame, job)) }
                    }
                }
            }
            @if jobs.len() > STRIPS_MAX {
                p.card-note { a href="/schedule" { "All " (count(jobs.len() as u64, "job")) } }
            }
            p.legend {
                @for (class, word) in [("ok", "succeeded"), ("warning", "partial"), ("failed",
                    "failed"),
                    ("running", "running"), ("none", "no run")] {
                    span { span class={ "dot " (class) } {} (word) }
                }
            }
        },
    )
}

fn trouble(job: &JobStatus) -> u8 {
    let last = job.last.as_ref().map(|run| run.state);
    match (job.overdue, last) {
        (Some(_), _) => 3,
        (_, Some(RunState::Failed)) => 2,
        (_, Some(RunState::Partial)) => 1,
        _ => 0,
    }
}

/// How a job is: overdue comes before how its last run ended.
pub(crate) fn job_state(frame: &Frame, job: &JobStatus) -> Markup {
    match (&job.overdue, &job.last) {
        _ if !job.is_enabled => badge(Look::Off, "Disabled"),
        (Some(since), _) => html! {
            span title={ "since " (frame.moment.exact(*since)) } {
                (badge(Look::Warning, "Overdue"))
            }
        },
        (None, Some(run)) => {
            let (look, word) = frame.run_state(run);
            badge(look, word)
        }
        (None, None) => badge(Look::Unknown, "Never ran"),
    }
}

type Days<'a> = BTreeMap<&'a str, BTreeMap<Date, (RunState, u64, u64)>>;

/// The worst state, the runs and the bad runs of each job's days.
fn days<'a>(frame: &Frame, runs: &'a [Run]) -> Days<'a> {
    let mut by_job: Days<'a> = BTreeMap::new();
    for run in runs {
        let date = run.created.to_zoned(frame.moment.zone.clone()).date();
        let days = by_job.entry(&run.job).or_default();
        let day = days.entry(date).or_insert((run.state, 0, 0));
        day.1 += 1;
        day.2 += u64::from(matches!(run.state, RunState::Failed | RunState::Partial));
        if badness(run.state) > badness(day.0) {
            day.0 = run.state;
        }
    }
    by_job
}

fn badness(state: RunState) -> u8 {
    match state {
        RunState::Cancelled => 0,
        RunState::Succeeded => 1,
        RunState::Open => 2,
        RunState::Partial => 3,
        RunState::Failed => 4,
    }
}

fn cells(
    frame: &Frame,
    job: &JobStatus,
    days: Option<&BTreeMap<Date, (RunState, u64, u64)>>,
) -> Vec<Cell> {
    let today = frame.moment.now.to_zoned(frame.moment.zone.clone()).date();
    let cell = |back: i64| {
        let date = today.saturating_sub(jiff::Span::new().days(back));
        let day = date.strftime("%a %-d %b");
        match days.and_then(|days| days.get(&date)) {
            None if back == 0 && job.overdue.is_some() => Cell {
                class: "warning",
                title: format!("{day}: overdue"),
            },
            None => Cell {
                class: "none",
                title: format!("{day}: no run"),
            },
            Some((state, runs, bad)) => {
                let (look, word) = run_state(*state);
                let runs = count(*runs, "run");
                let title = match bad {
                    0 => format!("{day}: {runs}, {}", word.to_lowercase()),
                    _ => format!("{day}: {runs}, {bad} not well"),
                };
                let class = look.name();
                Cell { class, title }
            }
        }
    };
    (0..DAYS).rev().map(cell).collect()
}

fn alerts(frame: &Frame, alerts: &[Alert]) -> Markup {
    let more = Some(("/alerts", "All alerts"));
    let inner = html! {
        @if alerts.is_empty() {
            p.calm { (icon("ok")) "No alert is open." }
        }
        ul.rows {
            @for alert in alerts.iter().take(5) { (alert_row(frame, alert)) }
        }
        @if alerts.len() > 5 {
            p.card-note { a href="/alerts" { (alerts.len() - 5) " more" } }
        }
    };
    card("alerts", "Alerts", more, inner)
}

fn alert_row(frame: &Frame, alert: &Alert) -> Markup {
    let (look, word) = severity(alert.severity);
    html! {
        li.row.alert-row {
            div.line {
                (mark(look, word))
                @if let Some(seen) = &alert.acknowledged {
                    span.quiet.small { "seen by " (seen.by) }
                }
                span.end.quiet.small { (frame.moment.relative(alert.since)) }
            }
            a.plain href={ "/alerts#alert-" (alert.id) } { (alert.text) }
        }
    }
}

fn next_runs(frame: &Frame, jobs: &[JobStatus]) -> Markup {
    let mut coming: Vec<_> = jobs
        .iter()
        .filter_map(|job| Some((job.next.filter(|_| job.is_enabled)?, job)))
        .collect();
    coming.sort_by_key(|(at, job)| (*at, &job.name));
    card(
        "next",
        "Next runs",
        Some(("/schedule", "Calendar")),
        html! {
            @if coming.is_empty() {
                p.calm { (icon("off")) "No run is planned. Jobs without a schedule wait for you." }
            }
            ul.rows.tight {
                @for (at, job) in coming.iter().take(6) {
                    li.row.line {
                        a.strong href={ "/runs?job=" (super::words::escape(&job.name)) } {
                            (job.name) }
                        span.quiet { (count(job.machines, "machine")) }
                        span.end { (frame.moment.relative(*at)) }
                    }
                }
            }
        },
    )
}

fn fill(frame: &Frame, view: &OverviewView<'_>) -> Markup {
    let repositories = &view.overview.repositories;
    card(
        "fill",
        "Repositories",
        Some(("/repositories", "All")),
        html! {
            @if repositories.is_empty() {
                p.calm { (icon("off")) "No repository is configured." }
            }
            ul.rows {
                @for repository in repositories.iter().take(8) {
                    li.row {
                        (fill_of(frame, repository, setback_of(view.setbacks, repository)))
                    }
                }
            }
        },
    )
}

/// The failure of a repository among those of all.
pub(crate) fn setback_of<'a>(
    setbacks: &'a [Task],
    repository: &RepositoryStatus,
) -> Option<&'a Task> {
    setbacks
        .iter()
        .find(|task| task.subject == repository.facts.name)
}

/// How full a repository is, whether it was found whole, and why it could not be worked with.
pub(crate) fn fill_of(
    frame: &Frame,
    repository: &RepositoryStatus,
    setback: Option<&Task>,
) -> Markup {
    let facts = &repository.facts;
    let size = facts.size.map(|size| size.bytes);
    let share = |max: u64| size.unwrap_or(0) as f64 / max.max(1) as f64;
    html! {
        div.fill {
            div.line {
                a.strong href=(path(&["repositories", &facts.name])) { (facts.name) }
                span.end {
                    @match (size, repository.size_max) {
                        (Some(size), Some(max)) => { (bytes(size)) span.quiet { " of "
                            (bytes(max)) } }
                        (Some(size), None) => (bytes(size)),
                        (None, _) => span.quiet { "not looked at yet" },
                    }
                }
            }
            @if let Some(max) = repository.size_max {
                @let percent = (share(max) * 100.0).round();
                (meter(share(max), fill_look(share(max)).name(), &format!("{percent} % full")))
            }
            @if let Some(task) = setback { (failed_with(frame, task)) }
            div.line.small { (check_state(frame, repository)) }
        }
    }
}

/// Why a repository could not be worked with.
pub(crate) fn failed_with(frame: &Frame, task: &Task) -> Markup {
    let at = task.ended.or(task.started).unwrap_or(task.not_before);
    html! {
        p.said.failed { (icon("failed"))
            span { "Failed " (frame.moment.relative(at)) " to " (deed(task)) ": "
                (task.message.as_deref().unwrap_or("nobody said why"))
                @if setback(task).is_some() {
                    ". Again " (frame.moment.relative(task.not_before))
                }
            }
        }
    }
}

fn fill_look(share: f64) -> Look {
    match share {
        share if share >= 0.95 => Look::Failed,
        share if share >= 0.8 => Look::Warning,
        _ => Look::Ok,
    }
}

/// What the last check said.
pub(crate) fn check_state(frame: &Frame, repository: &RepositoryStatus) -> Markup {
    let facts = &repository.facts;
    html! {
        @match (facts.is_ok, facts.checked) {
            (Some(true), Some(at)) => {
                (mark(Look::Ok, "Whole")) span.quiet { "checked " (frame.moment.relative(at)) }
            }
            (Some(false), Some(at)) => {
                (mark(Look::Failed, "Damaged")) span.quiet { (frame.moment.relative(at)) }
            }
            _ => (mark(Look::Unknown, "Never checked")),
        }
    }
}
