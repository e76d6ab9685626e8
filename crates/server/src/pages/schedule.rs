//! When jobs run, and what their rules will have kept: the calendar and the simulator.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Weekday};
use jiff::{Span, Timestamp};
use lifeboat_policy::SimulatedPoint;
use lifeboat_scheduler::{JobStatus, MachineStatus};
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::icon::icon;
use super::overview::job_state;
use super::parts::{Look, empty, head, mark, moment_or, tabs, twin};
use super::words::{count, escape, path};

/// Jobs of a day that are named.
const NAMED_IN_WEEK: usize = 12;
const NAMED_IN_MONTH: usize = 3;
/// Rows of the table of simulated points.
const ROWS: usize = 500;
/// Months that are drawn.
const MONTHS: i32 = 18;
/// Machines that are offered to the simulator.
const MACHINES: usize = 500;

/// A run that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coming {
    /// The job's name.
    pub job: String,
    /// When it begins.
    pub at: Timestamp,
    /// Whether a blackout holds it up.
    pub is_held_up: bool,
    /// Jobs that have to end well before it.
    pub after: Vec<String>,
    /// Runs of its job on its day that it stands for beside itself.
    pub further: u64,
    /// There are more of them than were counted.
    pub is_more: bool,
}

/// How many days a calendar shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stretch {
    /// Seven, from today on.
    #[default]
    Week,
    /// The weeks of a month.
    Month,
}

/// What the simulator is asked, as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatorQuery {
    /// The job's name; no simulation if it is empty.
    pub job: String,
    /// The machine with whose points it begins; with none if it is empty.
    pub machine: String,
    /// Days to play.
    pub days: String,
    /// Rules in place of the job's, all empty for the job's own: `last`, `daily`, ..., `within`.
    pub rules: BTreeMap<String, String>,
}

/// What the page shows.
#[derive(Clone, Debug)]
pub struct ScheduleView<'a> {
    /// Jobs by name.
    pub jobs: &'a [JobStatus],
    /// Machines, of which those of the job that was asked for are offered.
    pub machines: &'a [MachineStatus],
    /// Runs of the stretch.
    pub coming: &'a [Coming],
    /// The days.
    pub stretch: Stretch,
    /// What was asked of the simulator.
    pub query: &'a SimulatorQuery,
    /// What it gave: the rules in words and the points, or why it could not.
    pub simulated: Option<Result<(String, Vec<SimulatedPoint>), String>>,
}

/// The rules that have a field.
pub const RULES: [(&str, &str); 7] = [
    ("last", "Last"),
    ("hourly", "Hourly"),
    ("daily", "Daily"),
    ("weekly", "Weekly"),
    ("monthly", "Monthly"),
    ("yearly", "Yearly"),
    ("within", "Within"),
];

/// The calendar and the simulator.
pub fn page(frame: &Frame, view: &ScheduleView<'_>) -> Markup {
    let links = [
        (
            "/schedule".to_owned(),
            "Week".to_owned(),
            view.stretch == Stretch::Week,
        ),
        (
            "/schedule?show=month".to_owned(),
            "Month".to_owned(),
            view.stretch == Stretch::Month,
        ),
    ];
    let under = html! { "Times in " (frame.moment.format(frame.moment.now, "%Q")) };
    let inner = html! {
        (head("Schedule", under, html! { (tabs("Days", &links)) }))
        @if view.jobs.is_empty() {
            section.card { (empty("schedule", "No job yet", "A job says which machines are backed \
                up, where to, and when.", html! { (twin(&["config", "generate"])) })) }
        } @else {
            section #calendar data-live="" aria-label="Coming runs" {
                (calendar(frame, view)) (calendar_legend(view.coming))
            }
            (jobs(frame, view.jobs))
            (simulator(frame, view))
        }
    };
    frame.page(Place::Schedule, "Schedule", inner)
}

type ByDay<'a> = BTreeMap<Date, BTreeMap<&'a str, Vec<&'a Coming>>>;

fn by_day<'a>(frame: &Frame, coming: &'a [Coming]) -> ByDay<'a> {
    let mut days: ByDay<'a> = BTreeMap::new();
    for run in coming {
        let date = run.at.to_zoned(frame.moment.zone.clone()).date();
        days.entry(date)
            .or_default()
            .entry(&run.job)
            .or_default()
            .push(run);
    }
    days
}

fn calendar(frame: &Frame, view: &ScheduleView<'_>) -> Markup {
    let today = frame.moment.now.to_zoned(frame.moment.zone.clone()).date();
    let (first, number, named, class) = match view.stretch {
        Stretch::Week => (today, 7, NAMED_IN_WEEK, "calendar week"),
        Stretch::Month => (monday(today), 35, NAMED_IN_MONTH, "calendar month"),
    };
    let days = by_day(frame, view.coming);
    let date = |at: i64| first.saturating_add(Span::new().days(at));
    html! {
        @if view.stretch == Stretch::Month {
            div.weekdays aria-hidden="true" {
                @for at in 0..7 { span { (date(at).strftime("%a")) } }
            }
        }
        ol class=(class) {
            @for at in 0..number { (day(frame, date(at), today, days.get(&date(at)), named)) }
        }
    }
}

/// What the signs mean that are there.
fn calendar_legend(coming: &[Coming]) -> Markup {
    let is_held_up = coming.iter().any(|run| run.is_held_up);
    let is_after = coming.iter().any(|run| !run.after.is_empty());
    html! {
        @if is_held_up || is_after {
            p.legend.outside {
                @if is_held_up { span { (icon("waiting")) "held up by a blackout until then" } }
                @if is_after { span { (icon("link")) "begins only when another job ended well" } }
            }
        }
    }
}

fn monday(date: Date) -> Date {
    date.saturating_sub(Span::new().days(i64::from(date.weekday().since(Weekday::Monday))))
}

fn day(
    frame: &Frame,
    date: Date,
    today: Date,
    jobs: Option<&BTreeMap<&str, Vec<&Coming>>>,
    named: usize,
) -> Markup {
    let mut jobs: Vec<_> = jobs.into_iter().flatten().collect();
    jobs.sort_by_key(|(_, runs)| runs.iter().map(|run| run.at).min());
    let class = match date {
        date if date == today => "day today",
        date if date < today => "day past",
        _ => "day",
    };
    html! {
        li class=(class) {
            div.day-head {
                span.day-name { (if date == today { "Today".to_owned() }
                    else { date.strftime("%a").to_string() }) }
                span.day-number { (date.strftime("%-d")) span.day-month { " "
                    (date.strftime("%b")) } }
            }
            @for (job, runs) in jobs.iter().take(named) { (chip(frame, job, runs)) }
            @if jobs.len() > named { span.small.quiet { (jobs.len() - named) " more" } }
            @if jobs.is_empty() && date >= today { span.small.quiet.nothing { "–" } }
        }
    }
}

fn chip(frame: &Frame, job: &str, runs: &[&Coming]) -> Markup {
    let times: Vec<_> = runs
        .iter()
        .take(24)
        .map(|run| frame.moment.format(run.at, "%H:%M"))
        .collect();
    let is_held_up = runs.iter().any(|run| run.is_held_up);
    let mut title = format!("{job}: {}", times.join(", "));
    if is_held_up {
        title += "; a blackout holds it up until then";
    }
    let number = runs.iter().map(|run| 1 + run.further).sum::<u64>();
    let is_more = runs.iter().any(|run| run.is_more);
    let after = runs.first().map_or(&[][..], |run| &run.after);
    if !after.is_empty() {
        title += &format!("; begins only when {} ended well", after.join(" and "));
    }
    html! {
        a class=(if is_held_up { "chip held-up" } else { "chip" }) title=(title)
            href={ "/schedule?job=" (escape(job)) "#simulator" } {
            span.chip-time { (times.first().map_or("", String::as_str)) }
            span.chip-job { (job) }
            @if is_held_up { (icon("waiting")) span.visually-hidden { ", held up by a blackout" } }
            @if !after.is_empty() {
                (icon("link")) span.visually-hidden { ", after " (after.join(", ")) } }
            @if number > 1 { span.chip-more { "×" (number) @if is_more { "+" } } }
        }
    }
}

fn jobs(frame: &Frame, jobs: &[JobStatus]) -> Markup {
    html! {
        section #jobs .card.table-card data-live="" aria-labelledby="jobs-title" {
            header.card-head { h2 #jobs-title { "Jobs" } }
            table.list {
                thead { tr {
                    th scope="col" { "Job" } th scope="col" { "State" } th scope="col" {
                        "Schedule" }
                    th.number scope="col" { "Machines" } th scope="col" { "Last run" }
                    th scope="col" { "Next run" }
                } }
                tbody { @for job in jobs.iter().take(ROWS) { tr {
                    td.main-cell data-label="Job" {
                        a.strong href={ "/runs?job=" (escape(&job.name)) } { (job.name) }
                        span.quiet.small { (job.platform) " → " (job.repository)
                            @if let Some(policy) = &job.policy { " · " (policy) } }
                    }
                    td data-label="State" { (job_state(frame, job)) }
                    td data-label="Schedule" { (job.schedule.as_deref().unwrap_or("on request")) }
                    td.number data-label="Machines" { (job.machines) }
                    td data-label="Last run" {
                        (moment_or(frame, job.last.as_ref().map(|run| run.created), "never"))
                    }
                    td data-label="Next run" {
                        (next_run(frame, job))
                    }
                } } }
            }
        }
    }
}

/// When a job runs next, or what the run waits for that is due.
fn next_run(frame: &Frame, job: &JobStatus) -> Markup {
    html! {
        @match (job.waits_for, &job.comes_after, job.overdue) {
            (Some(run), ..) => { "due, after "
                a href=(path(&["runs", &run.to_string()])) { "run " (run) } }
            (None, Some(other), _) => { "due, once "
                a href={ "/runs?job=" (escape(other)) } { (other) } " ended well" }
            (None, None, Some(since)) => { "due " (frame.moment.relative(since)) }
            (None, None, None) => (moment_or(frame, job.next, "not planned")),
        }
    }
}

fn simulator(frame: &Frame, view: &ScheduleView<'_>) -> Markup {
    let query = view.query;
    html! {
        section #simulator .card aria-labelledby="simulator-title" {
            header.card-head { h2 #simulator-title { "Retention simulator" } }
            p.padded.quiet { "Plays a job's runs and rules with the code that the real ones use. \
                Other rules may be tried; nothing is changed." }
            form.simulator method="get" action="/schedule#simulator" {
                div.field { label for="sim-job" { "Job" }
                    select #sim-job name="job" {
                        @for job in view.jobs.iter().take(ROWS) {
                            option value=(job.name) selected[job.name == query.job] { (job.name) }
                        }
                    } }
                div.field { label for="sim-machine" { "Begin with the points of" }
                    input #sim-machine type="text" name="machine" list="sim-machines"
                        value=(query.machine) placeholder="no machine" maxlength="200"
                        autocomplete="off";
                    datalist #sim-machines { @for machine in offered(view) {
                        option value=(machine) {} } } }
                div.field.narrow { label for="sim-days" { "Days" }
                    input #sim-days type="number" name="days" min="1" max="1000"
                        value=(if query.days.is_empty() { "90" } else { &query.days }); }
                @for (name, word) in RULES {
                    @let id = format!("sim-{name}");
                    div.field.narrow { label for=(id) { (word) }
                        input id=(id) type="text" name=(name) maxlength="20" autocomplete="off"
                            placeholder=(if name == "within" { "14d" } else { "–" })
                            value=(query.rules.get(name).map_or("", String::as_str)); }
                }
                button.button.primary type="submit" { (icon("play")) "Play" }
            }
            @match &view.simulated {
                None => {}
                Some(Err(why)) => p.banner.failed role="alert" { (icon("failed")) span { (why) } },
                Some(Ok((rules, points))) => {
                    (simulated(frame, rules, points))
                    div.padded { (twin(&words_of(query))) }
                },
            }
        }
    }
}

/// The command that plays the same.
fn words_of(query: &SimulatorQuery) -> Vec<String> {
    let mut words = vec![
        "schedule".to_owned(),
        "simulate".to_owned(),
        format!("@{}", query.job),
    ];
    let mut option = |name: String, value: &str| {
        if !value.is_empty() {
            words.extend([name, value.to_owned()]);
        }
    };
    option("--days".to_owned(), &query.days);
    option("--machine".to_owned(), &query.machine);
    for (name, value) in &query.rules {
        option(format!("--keep-{name}"), value);
    }
    words
}

/// Machines of the job that was asked for; of all while none was.
fn offered<'a>(view: &ScheduleView<'a>) -> impl Iterator<Item = &'a str> {
    let job = &view.query.job;
    let machines = view.machines.iter();
    let of_job = machines.filter(|it| it.points > 0 && (job.is_empty() || it.jobs.contains(job)));
    // Which one of a name is meant the job says.
    let names: BTreeSet<&str> = of_job.map(|it| it.name.as_str()).collect();
    names.into_iter().take(MACHINES)
}

fn simulated(frame: &Frame, rules: &str, points: &[SimulatedPoint]) -> Markup {
    let kept: Vec<_> = points
        .iter()
        .filter(|point| point.removed.is_none())
        .collect();
    let said = format!(
        "{} made or there before: {} kept, {} removed.",
        count(points.len() as u64, "point"),
        kept.len(),
        points.len() - kept.len()
    );
    html! {
        div #simulated {
            p.padded { strong { (said) } " " span.quiet { "Rules: " (rules) } }
            p.legend {
                span { span.dot.kept {} "kept at the end" }
                span { span.dot.removed {} "removed by then" }
                span { span.dot.none {} "no point" }
            }
            (months(points))
            details.inner {
                summary { "Kept points with their reasons" }
                table.list {
                    thead { tr { th scope="col" { "Instant" } th scope="col" { "Kind" }
                        th scope="col" { "Kept because" } } }
                    tbody { @for point in kept.iter().rev().take(ROWS) { (kept_row(frame, point))
                        } }
                }
            }
        }
    }
}

fn kept_row(frame: &Frame, point: &SimulatedPoint) -> Markup {
    let reasons: Vec<_> = point.reasons.iter().map(ToString::to_string).collect();
    html! {
        tr {
            td data-label="Instant" { (frame.moment.short(point.time.timestamp())) }
            td data-label="Kind" { @match &point.run {
                None => "There today",
                Some(run) if run.full.is_some() => "Full",
                Some(_) => "Incremental",
            } }
            td data-label="Kept because" { @match reasons.is_empty() {
                true => (mark(Look::Ok, "Newest")),
                false => (reasons.join(", ")),
            } }
        }
    }
}

/// Each month as a small calendar; a day is kept if one of its points is.
fn months(points: &[SimulatedPoint]) -> Markup {
    let mut days: BTreeMap<Date, (usize, usize, String)> = BTreeMap::new();
    for point in points {
        let day = days.entry(point.time.date()).or_default();
        match point.removed {
            Some(_) => day.1 += 1,
            None => {
                day.0 += 1;
                for reason in &point.reasons {
                    day.2 += &format!("; {reason}");
                }
            }
        }
    }
    let first = days.keys().next().map(|date| date.first_of_month());
    let last = days.keys().next_back().copied();
    let earliest = last.map(|last| {
        let span = Span::new().months(MONTHS - 1);
        last.first_of_month().saturating_sub(span)
    });
    let begin = first.max(earliest);
    let months = begin.into_iter().flat_map(|begin| {
        (0..MONTHS).map(move |number| begin.saturating_add(Span::new().months(number)))
    });
    html! {
        @if begin > first { p.card-note { "The last " (MONTHS) " months; " (older(points, begin))
            " before them are left at the end." } }
        div.months {
            @for month in months.take_while(|month| Some(*month) <= last) {
                div.small-month {
                    h4 { (month.strftime("%B %Y")) }
                    (small_month(month, &days))
                }
            }
        }
    }
}

/// Points before a day that are there at the end.
fn older(points: &[SimulatedPoint], begin: Option<Date>) -> String {
    let is_older = |it: &&SimulatedPoint| it.removed.is_none() && Some(it.time.date()) < begin;
    count(points.iter().filter(is_older).count() as u64, "point")
}

fn small_month(month: Date, days: &BTreeMap<Date, (usize, usize, String)>) -> Markup {
    let start = i64::from(month.weekday().since(Weekday::Monday));
    let cell = |number: i8| {
        let at = start + i64::from(number) - 1;
        let (x, y) = (at % 7 * 24, at / 7 * 24);
        let date = month
            .first_of_month()
            .saturating_add(Span::new().days(i64::from(number) - 1));
        let (class, said) = match days.get(&date) {
            None => ("none", "no point".to_owned()),
            Some((0, removed, _)) => ("removed", format!("{removed} removed")),
            Some((kept, _, reasons)) => ("kept", format!("{kept} kept{reasons}")),
        };
        html! {
            g class={ "cell " (class) } {
                title { (date.strftime("%a %-d %b")) ": " (said) }
                rect x=(x) y=(y) width="21" height="21" rx="4" {}
                text x=(x + 10) y=(y + 15) { (number) }
            }
        }
    };
    html! {
        svg viewBox="0 0 165 141" width="165" height="141" role="img"
            aria-label=(month.strftime("%B %Y")) {
            @for number in 1..=month.days_in_month() { (cell(number)) }
        }
    }
}
