//! One machine: its recovery points in time, its promises, what can be done.

use jiff::Timestamp;
use jiff::civil::Date;
use lifeboat_catalog::{Point, Proof, ProofKind, Role, Task};
use lifeboat_scheduler::{MachineStatus, ObjectiveStatus, Request};
use maud::{Markup, html};

use super::chart::{Bar, bars, round};
use super::frame::{Frame, Place};
use super::icon::icon;
use super::machines::state;
use super::parts::{
    Action, Look, badge, card, empty, head, mark, meter, objective, objective_name,
    objective_value, pager, platform_field, point_kind, task_state, twin,
};
use super::task::cards;
use super::words::{
    MachineName, bytes, count, deed, machine_page, name_of, path, span_of, thousands,
};

/// Rows of the table of points.
const ROWS: usize = 20;
/// Bars of a chart.
const BARS: usize = 60;
/// Points of a line that are drawn one by one; of more, those of a span of time as one bar.
const DOTS_MAX: usize = 160;
/// Such spans.
const SLOTS: usize = 120;
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
    /// Whether its platform can make machines.
    pub can_restore: bool,
    /// The page of the table, from 0 on.
    pub page: usize,
    /// The table begins with the newest point of this day or before.
    pub until: Option<Date>,
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
            span { (machine.platform) " · " (machine.state)
                @if let Some(size) = disks(machine) { " · " (bytes(size)) " of disks" } }
        }, actions(frame, view)))
        div #machine-running data-live="" { (cards(frame, view.tasks)) }
        @if machine.is_protected || !view.points.is_empty() {
            (objectives(frame, machine))
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

/// The size of its disks: as it was last seen, or of its newest point.
pub(crate) fn disks(machine: &MachineStatus) -> Option<u64> {
    let of_point = machine.newest.as_ref().map(|point| point.bytes);
    Some(machine.bytes)
        .filter(|it| *it > 0)
        .or(of_point)
        .filter(|it| *it > 0)
}

fn actions(frame: &Frame, view: &MachineView<'_>) -> Markup {
    let name = view.machine.name.as_str();
    let has_points = !view.points.is_empty();
    let named = name_of(view.machine);
    let request = Request::Verify {
        machine: name.to_owned(),
        platform: named.1.map(str::to_owned),
    };
    html! {
        @if let Some(job) = view.machine.jobs.first() {
            (backup(job, name).form(frame, Role::Operator))
        }
        @if has_points {
            (Action::run(&request, "verify", "Verify").form(frame, Role::Operator))
            @if frame.may(Role::Restore) {
                a.button href=(machine_page(named, "browse", "")) { (icon("browse")) "Browse" }
                @if view.can_restore {
                    a.button href=(machine_page(named, "restore", "")) {
                        (icon("restore")) "Restore" }
                }
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

fn objectives(frame: &Frame, machine: &MachineStatus) -> Markup {
    html! {
        section #objectives .objectives data-live="" aria-label="Objectives" {
            @for objective in &machine.objectives { (one_objective(frame, objective)) }
            @if machine.objectives.is_empty() {
                p.card.calm { (icon("off")) "Nothing is promised of this machine: its policy has \
                    no objectives." }
            }
        }
    }
}

fn one_objective(frame: &Frame, status: &ObjectiveStatus) -> Markup {
    let (name, meaning) = objective_name(status.kind);
    let (look, word) = objective(status.state);
    let value = |value| objective_value(status.kind, value);
    let share = status.measured.unwrap_or(0) as f64 / status.promised.max(1) as f64;
    html! {
        div.card.objective {
            div.line { h3 title=(meaning) { (name) } span.end { (badge(look, word)) } }
            p.big { (status.measured.map_or("none yet".to_owned(), value)) }
            (meter(share, look.name(), meaning))
            p.small.quiet {
                (meaning) ", promised " (value(status.promised))
                @if let Some(until) = status.until {
                    ", not missed before " (frame.moment.short(until))
                }
            }
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
                            @if lane.points.len() > DOTS_MAX {
                                (slots(frame, at, &lane.points, (oldest, now)))
                            } @else {
                                @for point in lane.points.iter().rev() {
                                    (dot(frame, point, (at, lane.points.len()),
                                        position(point.at, oldest, now)))
                                }
                            }
                        }
                    }
                }
                div.lane.scale {
                    span.lane-name {}
                    svg width="100%" height="18" aria-hidden="true" { (ticks(frame, oldest, now)) }
                }
            }
            @if lanes.iter().any(|lane| lane.points.len() > DOTS_MAX) { (slots_legend()) }
            @else { (timeline_legend()) }
        },
    )
}

/// What is told of the points of a span.
#[derive(Clone, Copy, Default)]
struct Slot {
    count: usize,
    full: usize,
    verified: usize,
    damaged: usize,
    pinned: usize,
}

/// Many points as bars: their height says how many, what is below what is known of them.
fn slots(
    frame: &Frame,
    lane: usize,
    points: &[&Point],
    (oldest, now): (Timestamp, Timestamp),
) -> Markup {
    let mut slots = [Slot::default(); SLOTS];
    let width = 98.0 / SLOTS as f64;
    for point in points {
        let at = ((position(point.at, oldest, now) - 1.0) / width) as usize;
        let slot = &mut slots[at.min(SLOTS - 1)];
        slot.count += 1;
        slot.full += usize::from(point.is_full);
        slot.verified += usize::from(matches!(point.verified, Some((_, true))));
        slot.damaged += usize::from(matches!(point.verified, Some((_, false))));
        slot.pinned += usize::from(point.pinned_until.is_some());
    }
    let most = slots
        .iter()
        .map(|slot| slot.count)
        .max()
        .unwrap_or(1)
        .max(1);
    let seconds = (now.as_second() - oldest.as_second()) / SLOTS as i64;
    let begins = |at: usize| {
        let second = oldest.as_second() + seconds * at as i64;
        Timestamp::from_second(second).map_or(String::new(), |at| frame.moment.short(at))
    };
    html! {
        @for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.count > 0) {
            @let x = round(1.0 + width * at as f64);
            @let height = round(6.0 + 24.0 * slot.count as f64 / most as f64);
            @let class = match (slot.damaged, slot.verified) { (0, 0) => "", (0, _) => "verified",
                _ => "damaged" };
            g { title { "From " (begins(at)) ": " (slot_words(slot)) }
                rect class={ "slot lane-" (lane) } x={ (x) "%" } width={ (round(width * 0.78)) "%" }
                    y=(34.0 - height) height=(height) rx="1.5" {}
                @if !class.is_empty() {
                    rect class={ "slot-" (class) } x={ (x) "%" }
                        width={ (round(width * 0.78)) "%" } y="37" height="4" rx="1.5" {}
                }
                @if slot.pinned > 0 {
                    line.dot-pin x1={ (round(x + width * 0.39)) "%" }
                        x2={ (round(x + width * 0.39)) "%" } y1="-2" y2="4" {}
                }
            }
        }
    }
}

fn slot_words(slot: &Slot) -> String {
    let mut text = count(slot.count as u64, "point");
    let parts = [
        (slot.full, "full"),
        (slot.verified, "verified"),
        (slot.damaged, "found damaged"),
        (slot.pinned, "pinned"),
    ];
    for (number, word) in parts.iter().filter(|(number, _)| *number > 0) {
        text += &format!(", {number} {word}");
    }
    text
}

fn slots_legend() -> Markup {
    html! {
        p.legend {
            span { "The height of a bar says how many points lie there" }
            span { span.dot.ok {} "verified" }
            span { span.dot.failed {} "found damaged" }
            span { svg.sign width="12" height="14" aria-hidden="true" {
                line.dot-pin x1="6" x2="6" y1="3" y2="12" {} } "pinned" }
        }
    }
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
    let kind = point_kind(point).to_lowercase();
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
        _ => ["5", "2", "7"],
    }
}

fn ticks(frame: &Frame, oldest: Timestamp, now: Timestamp) -> Markup {
    let whole = now.as_second() - oldest.as_second();
    let pattern = match whole / 86_400 {
        0..=3 => "%-d %b %H:%M",
        4..=300 => "%-d %b",
        _ => "%b %Y",
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
        .map(|it| bar(it, it.seconds, span_of(it.seconds)))
        .collect();
    let most = shown.iter().map(|it| it.bytes_stored).max().unwrap_or(0);
    let longest = shown.iter().map(|it| it.seconds).fold(0.0, f64::max);
    html! {
        div.pair {
            (card("stored", "Stored by each point", None,
                bars(&stored, ends, &bytes(most), "Bytes stored by each point")))
            (card("took", "Duration", None,
                bars(&took, ends, &span_of(longest), "Duration of each backup")))
        }
    }
}

fn table(frame: &Frame, view: &MachineView<'_>) -> Markup {
    let named = name_of(view.machine);
    let is_later = |point: &&Point| {
        let day = point.at.to_zoned(frame.moment.zone.clone()).date();
        view.until.is_some_and(|until| day > until)
    };
    let later = view.points.iter().take_while(is_later).count();
    let rest = &view.points[later..];
    let shown: Vec<_> = rest.iter().skip(view.page * ROWS).take(ROWS).collect();
    let until = view.until.map(|until| format!("&until={until}"));
    let until = until.unwrap_or_default();
    let address = |page: usize| machine_page(named, "", &format!("page={page}{until}"));
    let newer = view.page.checked_sub(1).map(address);
    let older = (rest.len() > (view.page + 1) * ROWS).then(|| address(view.page + 1));
    let said = match shown.len() {
        0 => String::new(),
        _ => format!(
            "{} to {} of {}",
            thousands((later + view.page * ROWS + 1) as u64),
            thousands((later + view.page * ROWS + shown.len()) as u64),
            thousands(view.points.len() as u64)
        ),
    };
    card(
        "points",
        "Points",
        None,
        html! {
            @if view.points.len() > ROWS { (day_form(named, view.until)) }
            @if shown.is_empty() {
                p.calm { (icon("off")) "There is no point of that day or before." }
            }
            table.list {
                thead { tr {
                    th scope="col" { "Instant" } th scope="col" { "Kind" }
                    th scope="col" { "Repository" } th.number scope="col" { "Stored" }
                    th.number scope="col" { "Took" } th scope="col" { "Proof" } th {}
                } }
                tbody { @for point in shown { (point_row(frame, view, point)) } }
            }
            (pager(newer.as_deref(), older.as_deref(), &said))
        },
    )
}

/// To go to a day at once.
fn day_form(named: MachineName<'_>, until: Option<Date>) -> Markup {
    let value = until.map(|day| day.to_string()).unwrap_or_default();
    html! {
        form.filter.padded method="get" action=(path(&["machines", named.0])) {
            (platform_field(named.1))
            label for="until" { "Up to the day" }
            input #until type="date" name="until" value=(value);
            button.button type="submit" { "Show" }
            @if until.is_some() { a.button href=(machine_page(named, "", "")) { "Newest" } }
        }
    }
}

fn point_row(frame: &Frame, view: &MachineView<'_>, point: &Point) -> Markup {
    let named = name_of(view.machine);
    let id = short(&point.key.snapshot);
    let address = |what: &str| {
        let repository = super::words::escape(&point.key.repository);
        machine_page(named, what, &format!("point={id}&repository={repository}"))
    };
    html! {
        tr id={ "point-" (id) } {
            td.main-cell data-label="Instant" {
                span.strong { (frame.moment.of_point(point, view.points)) }
                span.quiet.small { (frame.moment.relative(point.at)) " · " code { (id) } }
            }
            td data-label="Kind" {
                (point_kind(point))
                @if let Some(consistency) = &point.consistency {
                    span.quiet.small.block { (consistency) }
                }
            }
            td data-label="Repository" { (point.key.repository) }
            td.number data-label="Stored" { (bytes(point.bytes_stored)) }
            td.number data-label="Took" {
                @if point.seconds > 0.0 { (span_of(point.seconds)) } @else { "–" }
            }
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
                    span.mark.pinned title={ "pinned until " (frame.moment.short(until)) } {
                        (icon("pin")) span { "Pinned" }
                    }
                }
            }
            td.end-cell {
                @if frame.may(Role::Restore) {
                    a.ghost href=(address("browse")) title="Browse" { (icon("browse"))
                        span.visually-hidden { "Browse point " (id) } }
                    @if view.can_restore {
                        a.ghost href=(address("restore")) title="Restore" { (icon("restore"))
                            span.visually-hidden { "Restore point " (id) } }
                    }
                }
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
    let snapshot = point.map_or("latest", |point| short(&point.key.snapshot));
    // In a repository the name alone means both of two.
    let meant = match machine.has_namesake {
        true => format!("{name}@{snapshot}"),
        false => name.to_owned(),
    };
    html! {
        section.card aria-labelledby="twins-title" {
            header.card-head { h2 #twins-title { "On the command line" } }
            dl.twins {
                @if let Some(job) = machine.jobs.first() {
                    dt { "Back up now" }
                    dd { (twin(&["run", job, "-m", name])) }
                }
                @if point.is_some() {
                    dt { "Verify the newest point" }
                    dd { (twin(&["-r", repository, "verify", "--snapshot", snapshot])) }
                    dt { "Browse files" }
                    dd { (twin(&["-r", repository, "files", "ls", &meant])) }
                    dt { "Show the plan of a recovery" }
                    dd { (twin(&["-r", repository, "machine", "recover", &meant, "-P", &platform,
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
                        p.small.quiet {
                            @if !proof.message.is_empty() { (proof.message) " · " }
                            "took " (span_of(proof.seconds)) }
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
            @if !tasks.iter().any(|task| task.state.is_over()) {
                p.calm { (icon("off")) "No task of it has ended yet." }
            }
            ul.rows.tight {
                @for task in tasks.iter().filter(|task| task.state.is_over()).take(8) {
                    @let (look, word) = task_state(task.state);
                    li.row {
                        div.line {
                            (mark(look, word))
                            a href=(path(&["runs", &task.run.to_string()])) {
                                (deed(task)) }
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
