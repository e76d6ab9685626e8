//! One machine: its recovery points in time, its promises, what can be done.

use jiff::Timestamp;
use lifeboat_catalog::{Point, Proof, ProofKind, Role, Task};
use lifeboat_scheduler::{MachineStatus, ObjectiveStatus, Request};
use maud::{Markup, html};

use super::chart::{Bar, bars, round};
use super::frame::{Frame, Place};
use super::icon::icon;
use super::machines::state;
use super::parts::{
    Action, Look, badge, badge_of, card, empty, head, mark, meter, objective, objective_name,
    objective_value, pager, task_state, twin,
};
use super::task::progress;
use super::words::{bytes, count, path, span};

/// Rows of the table of points.
const ROWS: usize = 20;
/// Bars of a chart.
const BARS: usize = 60;
/// Repositories that the timeline tells apart.
const LANES_MAX: usize = 6;

/// What is known of one machine.
#[derive(Clone, Debug)]
pub struct MachineView<'a> {
    /// How it is.
    pub machine: &'a MachineStatus,
    /// Its points, newest first.
    pub points: &'a [Point],
    /// Its proofs, newest first.
    pub proofs: &'a [Proof],
    /// Its newest tasks, newest first.
    pub tasks: &'a [Task],
    /// The page of the table, from 0 on.
    pub page: usize,
}

/// The first digits of a snapshot's id.
pub(crate) fn short(snapshot: &str) -> &str {
    snapshot.get(..8).unwrap_or(snapshot)
}

/// One machine.
pub fn page(frame: &Frame, view: &MachineView<'_>) -> Markup {
    let machine = view.machine;
    let inner = html! {
        (head(&machine.name, html! {
            span.badges { (state(machine)) }
            span { (machine.platform) " · " (machine.state) " · " (bytes(machine.bytes))
                " of disks" }
        }, actions(frame, view)))
        (running(frame, view.tasks))
        @if machine.is_protected || !view.points.is_empty() {
            (objectives(machine))
        } @else { (unprotected(machine)) }
        @if !view.points.is_empty() {
            (timeline(frame, view.points))
            (charts(frame, view.points))
            div.columns {
                div.column.wide { (table(frame, view)) }
                div.column { (twins(machine)) (proofs(frame, view.proofs)) (tasks(frame,
                    view.tasks)) }
            }
        } @else if machine.is_protected {
            section.card { (empty("restore", "No recovery point yet",
                "The first one is made by the next run, or now.", html! { (twins(machine)) })) }
        }
    };
    frame.page(Place::Machines, &machine.name, inner)
}

fn actions(frame: &Frame, view: &MachineView<'_>) -> Markup {
    let name = view.machine.name.as_str();
    let has_points = !view.points.is_empty();
    let request = Request::Verify {
        machine: name.to_owned(),
    };
    html! {
        @if let Some(job) = view.machine.jobs.first() {
            (backup(job, name).form(frame, Role::Operator))
        }
        @if has_points {
            (Action::run(&request, "verify", "Verify").form(frame, Role::Operator))
            @if frame.may(Role::Restore) {
                a.button href=(path(&["machines", name, "restore"])) { (icon("restore")) "Restore" }
            }
        }
    }
}

fn backup(job: &str, machine: &str) -> Action<'static> {
    let request = Request::Backup {
        job: job.to_owned(),
        machines: vec![machine.to_owned()],
        is_forced: false,
    };
    Action {
        class: "button primary",
        ..Action::run(&request, "play", "Back up now")
    }
}

fn running(frame: &Frame, tasks: &[Task]) -> Markup {
    html! {
        div #machine-running data-live="" {
            @for task in tasks.iter().filter(|task| !task.state.is_over()) {
                div.card.live-task {
                    div.line {
                        (badge_of(task_state(task.state)))
                        a.strong href=(path(&["runs", &task.run.to_string()])) {
                            (task.action) " · run " (task.run)
                        }
                    }
                    (progress(frame, task))
                }
            }
        }
    }
}

fn unprotected(machine: &MachineStatus) -> Markup {
    html! {
        section.card {
            (empty("unprotected", "No job means this machine",
                "Add its name or a tag of it to a job in lifeboat.toml, or write it into the \
                 platform's unprotected_ok if it needs no backup. The configuration is read anew \
                 without a restart.",
                html! { (twin(&["machine", "ls", "-P", &format!("@{}", machine.platform)])) }))
        }
    }
}

fn objectives(machine: &MachineStatus) -> Markup {
    html! {
        section #objectives .objectives data-live="" aria-label="Objectives" {
            @for objective in &machine.objectives { (one_objective(objective)) }
            @if machine.objectives.is_empty() {
                p.card.calm { (icon("off")) "Nothing is promised of this machine: its policy has \
                    no objectives." }
            }
        }
    }
}

fn one_objective(status: &ObjectiveStatus) -> Markup {
    let (name, meaning) = objective_name(status.kind);
    let (look, word) = objective(status.state);
    let value = |value| objective_value(status.kind, value);
    let share = status.measured.unwrap_or(0) as f64 / status.promised.max(1) as f64;
    html! {
        div.card.objective {
            div.line { h3 title=(meaning) { (name) } span.end { (badge(look, word)) } }
            p.big { (status.measured.map_or("–".to_owned(), value)) }
            (meter(share, look.name(), meaning))
            p.small.quiet { (meaning) ", promised " (value(status.promised)) }
        }
    }
}

struct Lane<'a> {
    repository: &'a str,
    points: Vec<&'a Point>,
}

fn lanes(points: &[Point]) -> Vec<Lane<'_>> {
    let mut lanes: Vec<Lane<'_>> = Vec::new();
    for point in points {
        let repository = point.key.repository.as_str();
        match lanes.iter_mut().find(|lane| lane.repository == repository) {
            Some(lane) => lane.points.push(point),
            None => lanes.push(Lane {
                repository,
                points: vec![point],
            }),
        }
    }
    lanes.sort_by_key(|lane| lane.repository);
    lanes.truncate(LANES_MAX);
    lanes
}

/// Points on a line of time for each repository; the left end is the oldest that is shown.
fn timeline(frame: &Frame, points: &[Point]) -> Markup {
    let now = frame.moment.now;
    let oldest = points.iter().map(|point| point.at).min().unwrap_or(now);
    let lanes = lanes(points);
    let said = format!(
        "{}, the oldest of {}",
        count(points.len() as u64, "point"),
        frame.moment.format(oldest, "%-d %b %Y")
    );
    card(
        "timeline",
        "Recovery points",
        None,
        html! {
            p.card-note.first-note { (said) }
            div.timeline {
                @for (at, lane) in lanes.iter().enumerate() {
                    div.lane {
                        span.lane-name title=(lane.repository) { (lane.repository) }
                        svg width="100%" height="44" role="img"
                            aria-label={ (count(lane.points.len() as u64, "point")) " in "
                                (lane.repository) } {
                            line.axis x1="0" x2="100%" y1="22" y2="22" {}
                            @for point in lane.points.iter().rev() {
                                (dot(frame, point, (at, lane.points.len()), position(point.at,
                                    oldest, now)))
                            }
                        }
                    }
                }
                div.lane.scale {
                    span.lane-name {}
                    svg width="100%" height="18" aria-hidden="true" { (ticks(frame, oldest, now)) }
                }
            }
            (timeline_legend())
        },
    )
}

/// From 1 to 99 percent.
fn position(at: Timestamp, oldest: Timestamp, now: Timestamp) -> f64 {
    let whole = (now.as_second() - oldest.as_second()).max(1) as f64;
    let part = (at.as_second() - oldest.as_second()) as f64;
    1.0 + 98.0 * (part / whole).clamp(0.0, 1.0)
}

fn dot(frame: &Frame, point: &Point, (lane, count): (usize, usize), x: f64) -> Markup {
    let [full, incremental, proved_ring] = radii(count);
    let radius = if point.is_full { full } else { incremental };
    let x = format!("{}%", round(x));
    let kind = if point.is_full { "full" } else { "incremental" };
    let proved = match point.verified {
        Some((_, true)) => ", verified",
        Some((_, false)) => ", found damaged",
        None => "",
    };
    let pinned = if point.pinned_until.is_some() {
        ", pinned"
    } else {
        ""
    };
    let title = format!(
        "{}: {kind}, {} stored{proved}{pinned}",
        frame.moment.exact(point.at),
        bytes(point.bytes_stored)
    );
    let class = format!("dot-{kind} lane-{lane}");
    html! {
        g { title { (title) }
            @if point.pinned_until.is_some() { line.dot-pin x1=(x) x2=(x) y1="4" y2="22" {} }
            @match point.verified {
                Some((_, true)) => circle.dot-verified cx=(x) cy="22" r=(proved_ring) {},
                Some((_, false)) => circle.dot-damaged cx=(x) cy="22" r=(proved_ring) {},
                None => {}
            }
            circle class=(class) cx=(x) cy="22" r=(radius) {}
        }
    }
}

/// Radii of full and incremental points and of the ring of proven ones; the more there are on a
/// line, the smaller.
fn radii(count: usize) -> [&'static str; 3] {
    match count {
        0..=60 => ["5.5", "3.5", "8.5"],
        61..=160 => ["5", "2", "7"],
        _ => ["4", "1.2", "5.5"],
    }
}

fn ticks(frame: &Frame, oldest: Timestamp, now: Timestamp) -> Markup {
    let whole = now.as_second() - oldest.as_second();
    let pattern = if whole > 3 * 86_400 {
        "%-d %b"
    } else {
        "%-d %b %H:%M"
    };
    let moment = |part: i64| Timestamp::from_second(oldest.as_second() + whole * part / 4);
    html! {
        @for part in 0..=4 {
            @let class = match part { 0 => "tick first", 4 => "tick last", 2 => "tick",
                _ => "tick minor" };
            @let x = round(1.0 + 98.0 * part as f64 / 4.0);
            text class=(class) x={ (x) "%" } y="13" {
                @match part {
                    4 => "now",
                    _ => (moment(part).map_or(String::new(), |at| frame.moment.format(at,
                        pattern))),
                }
            }
        }
    }
}

fn timeline_legend() -> Markup {
    let sign = |inner: Markup, word: &str| {
        html! { span { svg.sign width="20" height="20" aria-hidden="true" { (inner) } (word) } }
    };
    html! {
        p.legend {
            (sign(html! { circle.dot-full.lane-0 cx="10" cy="10" r="5.5" {} }, "full"))
            (sign(html! { circle.dot-incremental.lane-0 cx="10" cy="10" r="3.5" {} },
                "incremental"))
            (sign(html! { circle.dot-verified cx="10" cy="10" r="8.5" {}
                circle.dot-incremental.lane-0 cx="10" cy="10" r="3.5" {} }, "verified"))
            (sign(html! { circle.dot-damaged cx="10" cy="10" r="8.5" {}
                circle.dot-incremental.lane-0 cx="10" cy="10" r="3.5" {} }, "found damaged"))
            (sign(html! { line.dot-pin x1="10" x2="10" y1="1" y2="11" {}
                circle.dot-incremental.lane-0 cx="10" cy="12" r="3.5" {} }, "pinned"))
        }
    }
}

fn charts(frame: &Frame, points: &[Point]) -> Markup {
    let home = points.first().map(|point| &point.key.repository);
    // Copies in other repositories were not made by a backup of their own.
    let mut shown: Vec<&Point> = points
        .iter()
        .filter(|point| point.seconds > 0.0 && Some(&point.key.repository) == home)
        .take(BARS)
        .collect();
    shown.reverse();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
        return html! {};
    };
    let ends = (
        frame.moment.format(first.at, "%-d %b"),
        frame.moment.format(last.at, "%-d %b"),
    );
    let ends = (ends.0.as_str(), ends.1.as_str());
    let class = |point: &Point| if point.is_full { "full" } else { "incremental" };
    let bar = |point: &&Point, value: f64, said: String| Bar {
        value,
        class: class(point),
        title: format!("{}: {said}", frame.moment.short(point.at)),
    };
    let stored: Vec<_> = shown
        .iter()
        .map(|it| bar(it, it.bytes_stored as f64, bytes(it.bytes_stored)))
        .collect();
    let took: Vec<_> = shown
        .iter()
        .map(|it| bar(it, it.seconds, span(it.seconds as u64)))
        .collect();
    let most = shown.iter().map(|it| it.bytes_stored).max().unwrap_or(0);
    let longest = shown.iter().map(|it| it.seconds).fold(0.0, f64::max);
    html! {
        div.pair {
            (card("stored", "Stored by each point", None,
                bars(&stored, ends, &bytes(most), "Bytes stored by each point")))
            (card("took", "Duration", None,
                bars(&took, ends, &span(longest as u64), "Duration of each backup")))
        }
    }
}

fn table(frame: &Frame, view: &MachineView<'_>) -> Markup {
    let name = view.machine.name.as_str();
    let shown: Vec<_> = view
        .points
        .iter()
        .skip(view.page * ROWS)
        .take(ROWS)
        .collect();
    let address = |page: usize| format!("{}?page={page}", path(&["machines", name]));
    let newer = view.page.checked_sub(1).map(address);
    let older = (view.points.len() > (view.page + 1) * ROWS).then(|| address(view.page + 1));
    let said = format!("{} in all", view.points.len());
    card(
        "points",
        "Points",
        None,
        html! {
            table.list {
                thead { tr {
                    th scope="col" { "Instant" } th scope="col" { "Kind" }
                    th scope="col" { "Repository" } th.number scope="col" { "Stored" }
                    th.number scope="col" { "Took" } th scope="col" { "Proof" } th {}
                } }
                tbody { @for point in shown { (point_row(frame, name, point)) } }
            }
            (pager(newer.as_deref(), older.as_deref(), &said))
        },
    )
}

fn point_row(frame: &Frame, name: &str, point: &Point) -> Markup {
    let id = short(&point.key.snapshot);
    let restore = format!(
        "{}?point={}&repository={}",
        path(&["machines", name, "restore"]),
        id,
        super::words::escape(&point.key.repository)
    );
    html! {
        tr id={ "point-" (id) } {
            td.main-cell data-label="Instant" {
                span.strong { (frame.moment.short(point.at)) }
                span.quiet.small { (frame.moment.relative(point.at)) " · " code { (id) } }
            }
            td data-label="Kind" {
                (if point.is_full { "Full" } else { "Incremental" })
                span.quiet.small.block { (point.consistency.as_deref().unwrap_or("unknown")) }
            }
            td data-label="Repository" { (point.key.repository) }
            td.number data-label="Stored" { (bytes(point.bytes_stored)) }
            td.number data-label="Took" { (span(point.seconds as u64)) }
            td data-label="Proof" {
                @match point.verified {
                    Some((at, true)) => span title=(frame.moment.exact(at)) {
                        (mark(Look::Ok, "Verified"))
                    },
                    Some((at, false)) => span title=(frame.moment.exact(at)) {
                        (mark(Look::Failed, "Damaged"))
                    },
                    None => (mark(Look::Off, "Not yet")),
                }
                @if let Some(until) = point.pinned_until {
                    span.mark.pinned title={ "pinned until " (frame.moment.exact(until)) } {
                        (icon("pin")) span { "Pinned" }
                    }
                }
            }
            td.end-cell {
                @if frame.may(Role::Restore) { a.more href=(restore) {
                    "Restore" span.visually-hidden { " point " (id) } } }
            }
        }
    }
}

fn twins(machine: &MachineStatus) -> Markup {
    let name = machine.name.as_str();
    let platform = format!("@{}", machine.platform);
    let point = machine.newest.as_ref();
    let repository = point.map(|point| format!("@{}", point.key.repository));
    let repository = repository.as_deref().unwrap_or("@main");
    html! {
        section.card aria-labelledby="twins-title" {
            header.card-head { h2 #twins-title { "On the command line" } }
            dl.twins {
                @if let Some(job) = machine.jobs.first() {
                    dt { "Back up now" }
                    dd { (twin(&["machine", "backup", name, "--job", &format!("@{job}")])) }
                }
                @if point.is_some() {
                    dt { "Verify" }
                    dd { (twin(&["-r", repository, "verify"])) }
                    dt { "Browse files" }
                    dd { (twin(&["-r", repository, "files", "ls", name])) }
                    dt { "Show the plan of a recovery" }
                    dd { (twin(&["-r", repository, "machine", "recover", name, "-P", &platform,
                        "--dry-run"])) }
                }
            }
        }
    }
}

fn proofs(frame: &Frame, proofs: &[Proof]) -> Markup {
    card(
        "proofs",
        "Proofs",
        None,
        html! {
            @if proofs.is_empty() {
                p.calm { (icon("unknown"))
                    "Nothing was proved yet. Verify reads the newest point back." }
            }
            ul.rows.tight {
                @for proof in proofs.iter().take(8) {
                    @let word = proof_word(proof);
                    li.row {
                        div.line {
                            (mark(if proof.is_ok { Look::Ok } else { Look::Failed }, word))
                            span.end.quiet { (frame.moment.relative(proof.at)) }
                        }
                        p.small.quiet { (proof.message) " · " (span(proof.seconds as u64)) }
                    }
                }
            }
        },
    )
}

fn proof_word(proof: &Proof) -> &'static str {
    match (proof.kind, proof.is_ok) {
        (ProofKind::Verify, true) => "Verified",
        (ProofKind::Verify, false) => "Found damaged",
        (ProofKind::Restore, true) => "Restored",
        (ProofKind::Restore, false) => "Not restored",
        (ProofKind::Drill, true) => "Started in a drill",
        (ProofKind::Drill, false) => "Did not start",
    }
}

fn tasks(frame: &Frame, tasks: &[Task]) -> Markup {
    card(
        "tasks",
        "Newest tasks",
        None,
        html! {
            ul.rows.tight {
                @for task in tasks.iter().filter(|task| task.state.is_over()).take(8) {
                    @let (look, word) = task_state(task.state);
                    li.row {
                        div.line {
                            (mark(look, word))
                            a href=(path(&["runs", &task.run.to_string()])) { (task.action) }
                            span.end.quiet {
                                @if let Some(ended) = task.ended { (frame.moment.relative(ended)) }
                            }
                        }
                        @if let Some(message) = &task.message { p.small.quiet.cut { (message) } }
                    }
                }
            }
        },
    )
}
