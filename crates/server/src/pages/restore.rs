//! Bringing a machine back: point, place, options, the exact command, and then the deed.

use lifeboat_api::RestoreRequest as Request;
use lifeboat_catalog::{Point, Role};
use lifeboat_scheduler::MachineStatus;
use maud::{Markup, html};

use super::browse::query_of;
use super::frame::{Frame, Place};
use super::icon::icon;
use super::machine::short;
use super::parts::{Action, Look, badge, empty, head, platform_field, twin};
use super::words::{bytes, escape, machine_page, name_of, path, span};
use crate::recovery::RecoveryPlan;

/// Points to choose from.
const CHOICES: usize = 200;

/// What was chosen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreQuery {
    /// The snapshot, or its first digits; the newest if it is empty.
    pub point: String,
    /// The repository of the point.
    pub repository: String,
    /// The platform where it goes; the machine's own if it is empty.
    pub platform: String,
    /// The new name; the machine's own if it is empty.
    pub name: String,
    /// Where its disks go; where the platform usually puts them if it is empty.
    pub to: String,
    /// Start it.
    pub is_started: bool,
    /// Put it into the place of the machine of that name.
    pub is_replacing: bool,
    /// The plan is to be shown.
    pub is_planned: bool,
}

/// What a recovery can be made from.
#[derive(Clone, Debug)]
pub struct RestoreView<'a> {
    /// How the machine is.
    pub machine: &'a MachineStatus,
    /// Its points, newest first.
    pub points: &'a [Point],
    /// Names of platforms.
    pub platforms: &'a [String],
    /// Seconds that a recovery took when it was last measured.
    pub measured_seconds: Option<u64>,
    /// What would be done, or why it cannot be; none before that was asked for.
    pub planned: Option<&'a Result<RecoveryPlan, String>>,
}

/// What was chosen, as the API is asked for it.
pub(crate) fn request(query: &RestoreQuery, machine: (&str, &str), point: &Point) -> Request {
    let (name, platform) = machine;
    Request {
        repository: point.key.repository.clone(),
        snapshot: point.key.snapshot.clone(),
        platform: or_own(&query.platform, platform).to_owned(),
        name: (!query.name.is_empty() && query.name != name).then(|| query.name.clone()),
        to: (!query.to.is_empty()).then(|| query.to.clone()),
        is_started: query.is_started,
        is_replacing: query.is_replacing,
    }
}

/// The words of the command that does what was chosen.
pub fn words(query: &RestoreQuery, machine: &MachineStatus, point: &Point) -> Vec<String> {
    let platform = match query.platform.is_empty() {
        true => &machine.platform,
        false => &query.platform,
    };
    let mut words = vec![
        "-r".to_owned(),
        format!("@{}", point.key.repository),
        "machine".to_owned(),
        "recover".to_owned(),
        format!("{}@{}", machine.name, short(&point.key.snapshot)),
        "--platform".to_owned(),
        format!("@{platform}"),
    ];
    if !query.name.is_empty() && query.name != machine.name {
        words.extend(["--as".to_owned(), query.name.clone()]);
    }
    if !query.to.is_empty() {
        words.extend(["--to".to_owned(), query.to.clone()]);
    }
    words.extend(query.is_started.then(|| "--start".to_owned()));
    words.extend(query.is_replacing.then(|| "--replace".to_owned()));
    words
}

/// The wizard.
pub fn page(frame: &Frame, view: &RestoreView<'_>, query: &RestoreQuery) -> Markup {
    let name = view.machine.name.as_str();
    let chosen = meant(view.points, &query.point, &query.repository);
    let back = machine_page(name_of(view.machine), "", "");
    let under = html! { a href=(back) { "Back to " (name) } };
    let inner = html! {
        (head(&format!("Restore {name}"), under, html! {}))
        @match chosen {
            None => section.card { (empty("restore", "No such recovery point",
                "Nothing can be restored before a first backup.",
                html! { a.button href=(back) { "Back" } })) },
            Some(_) if view.platforms.is_empty() => section.card { (empty("restore",
                "No platform here can make machines",
                "The configuration names this computer only. Disks and files come back by \
                 the commands restore and files get.",
                html! { a.button href=(back) { "Back" } })) },
            Some(point) if query.is_planned => (plan(frame, view, query, point)),
            Some(point) => (choice(frame, view, query, point)),
        }
    };
    frame.page(Place::Machines, &format!("Restore {name}"), inner)
}

/// The newest point whose id begins so, in that repository if one is named.
pub(crate) fn meant<'a>(points: &'a [Point], id: &str, repository: &str) -> Option<&'a Point> {
    points.iter().find(|point| {
        point.key.snapshot.starts_with(id)
            && (repository.is_empty() || point.key.repository == repository)
    })
}

fn steps(present: usize) -> Markup {
    let words = ["Choose", "Preview and confirm"];
    html! {
        ol.wizard aria-label="Steps" {
            @for (at, word) in words.iter().enumerate() {
                li class=(if at < present { "past" } else { "" })
                    aria-current=[(at == present).then_some("step")] { (word) }
            }
        }
    }
}

fn choice(frame: &Frame, view: &RestoreView<'_>, query: &RestoreQuery, chosen: &Point) -> Markup {
    let name = view.machine.name.as_str();
    let choices = &view.points[..view.points.len().min(CHOICES)];
    html! {
        (steps(0))
        form.card.sheet-form method="get" action=(path(&["machines", name, "restore"])) {
            (platform_field(view.machine.distinct_platform()))
            fieldset {
                legend { "Which point" }
                label for="point" { "Recovery point" }
                select #point name="point" {
                    @for point in choices {
                        option value=(short(&point.key.snapshot)) selected[point == chosen] {
                            (frame.moment.of_point(point, choices)) " · "
                            (frame.moment.relative_words(point.at)) " · " (point.key.repository)
                            @match point.verified {
                                Some((_, true)) => " · verified",
                                Some((_, false)) => " · found damaged",
                                None => "",
                            }
                        }
                    }
                }
                (surest(frame, view, chosen))
            }
            fieldset {
                legend { "Where to" }
                p.small.quiet #restore-now data-live="" {
                    (name) " on " (view.machine.platform) " is " (view.machine.state) " now." }
                label for="target" { "Platform" }
                select #target name="target" {
                    @for platform in view.platforms {
                        option value=(platform)
                            selected[*platform == view.machine.platform] { (platform) }
                    }
                }
                label for="name" { "Name of the restored machine" }
                input #name type="text" name="name" value=(query.name)
                    placeholder=(name) maxlength="200" autocomplete="off";
                p.small.quiet { "Another name leaves the present machine alone. Letters, digits, \
                    . _ and -, at most 63." }
                label for="to" { "Storage" }
                input #to type="text" name="to" value=(query.to) maxlength="600"
                    placeholder="where the platform usually puts disks" autocomplete="off"
                    spellcheck="false";
                p.small.quiet { "A pool as in " code { "pool:default" } ", or a folder as in "
                    code { "/srv/vm/" } "." }
            }
            fieldset {
                legend { "How" }
                label.check { input type="checkbox" name="started" value="yes"
                    checked[query.is_started]; "Start it when it is complete" }
                label.check { input type="checkbox" name="replacing" value="yes"
                    checked[query.is_replacing];
                    "Put it into the place of the machine of that name" }
                p.small.quiet { "The present machine is set aside first, and removed only when the \
                    new one is proven." }
            }
            input type="hidden" name="planned" value="yes";
            div.form-foot { button.button.primary type="submit" { "Preview" (icon("next")) } }
        }
    }
}

/// Whether the point was read back, and which one that was is the newest.
fn surest(frame: &Frame, view: &RestoreView<'_>, chosen: &Point) -> Markup {
    let is_sound = |point: &&Point| matches!(point.verified, Some((_, true)));
    let newest = view.points.iter().take(CHOICES).find(is_sound);
    html! {
        p.small.quiet {
            @match (chosen.verified, newest) {
                (Some((at, true)), _) => { "Read back and found whole "
                    (frame.moment.relative(at)) "." }
                (Some((_, false)), _) => "Found damaged: choose another one.",
                (None, Some(point)) => { "Not read back yet. The newest that was found whole is "
                    a href=(address(view, point)) { (frame.moment.short(point.at)) } "." }
                (None, None) => "None of the points was read back yet.",
            }
        }
    }
}

fn address(view: &RestoreView<'_>, point: &Point) -> String {
    machine_page(name_of(view.machine), "restore", &query_of(point))
}

/// The form again, as it was filled in.
fn back(view: &RestoreView<'_>, query: &RestoreQuery, point: &Point) -> String {
    let mut back = address(view, point);
    for (name, value) in [
        ("target", query.platform.as_str()),
        ("name", &query.name),
        ("to", &query.to),
        ("started", if query.is_started { "yes" } else { "" }),
        ("replacing", if query.is_replacing { "yes" } else { "" }),
    ] {
        if !value.is_empty() {
            back += &format!("&{name}={}", escape(value));
        }
    }
    back
}

fn plan(frame: &Frame, view: &RestoreView<'_>, query: &RestoreQuery, point: &Point) -> Markup {
    let machine = view.machine;
    let target = or_own(&query.name, &machine.name);
    let platform = or_own(&query.platform, &machine.platform);
    html! {
        (steps(1))
        section.card.plan {
            @match view.planned {
                Some(Err(why)) => p.banner.failed role="alert" { (icon("failed"))
                    span { strong { "This cannot be done. " } (why) } },
                Some(Ok(_)) if query.is_replacing => p.banner.failed { (icon("warning"))
                    span { strong { (target) } " on " (platform)
                        " will be replaced by its state of "
                    (frame.moment.exact(point.at)) ". Everything written since is lost." } },
                _ => {}
            }
            (facts(frame, view, query, point))
            @if let Some(Ok(planned)) = view.planned { (planned_deeds(planned)) }
            h3 { "The same on the command line" }
            (twin(&words(query, machine, point)))
            (deed(frame, view, query, point))
        }
    }
}

fn facts(frame: &Frame, view: &RestoreView<'_>, query: &RestoreQuery, point: &Point) -> Markup {
    let machine = view.machine;
    let target = or_own(&query.name, &machine.name);
    let platform = or_own(&query.platform, &machine.platform);
    html! {
        dl.facts {
            dt { "Point" }
            dd { (frame.moment.exact(point.at)) span.quiet { (frame.moment.relative(point.at)) } }
            dt { "From" } dd { (point.key.repository) " · " code {
                (short(&point.key.snapshot)) } }
            dt { "Proof" }
            dd { @match point.verified {
                Some((_, true)) => (badge(Look::Ok, "Verified")),
                Some((_, false)) => (badge(Look::Failed, "Found damaged")),
                None => (badge(Look::Unknown, "Never read back")),
            } }
            dt { "To" } dd { strong { (target) } " on " (platform)
                @if !query.to.is_empty() { ", disks in " code { (query.to) } } }
            dt { "Disks" } dd { (bytes(point.bytes)) }
            dt { "Will take" }
            dd { @match view.measured_seconds {
                Some(seconds) => { "about " (span(seconds)) ", as last measured" }
                None => "not measured yet",
            } }
            dt { "Then" }
            dd { (if query.is_started { "it is started" } else { "it stays off" }) }
        }
    }
}

/// What the command says that it would do.
fn planned_deeds(plan: &RecoveryPlan) -> Markup {
    html! {
        @for finding in &plan.findings {
            p class={ "finding-line " (if finding.is_warning { "warning" } else { "quiet" }) } {
                (icon(if finding.is_warning { "warning" } else { "unknown" }))
                span { (finding.text) }
            }
        }
        h3 { "What will be done" }
        ol.plain-steps { @for step in &plan.steps { li { (step) } } }
        table.list.inside {
            thead { tr { th scope="col" { "Disk" } th.number scope="col" { "Size" }
                th scope="col" { "Format" } th scope="col" { "Place" } } }
            tbody { @for disk in &plan.disks { tr {
                td data-label="Disk" { (disk.name) }
                td.number data-label="Size" { (bytes(disk.bytes)) }
                td data-label="Format" { (disk.format) }
                td.break-all data-label="Place" { code { (disk.place) } }
            } } }
        }
    }
}

fn deed(frame: &Frame, view: &RestoreView<'_>, query: &RestoreQuery, point: &Point) -> Markup {
    let machine = view.machine;
    if !frame.may(Role::Restore) {
        return html! { p.calm { (icon("off")) "Your role may not restore." } };
    }
    let target = or_own(&query.name, &machine.name);
    let question = format!(
        "Replace {target} by its state of {}?",
        frame.moment.exact(point.at)
    );
    let action = Action {
        picture: "restore",
        word: if query.is_replacing {
            "Restore and replace"
        } else {
            "Restore"
        },
        class: if query.is_replacing {
            "button danger"
        } else {
            "button primary"
        },
        question: query.is_replacing.then_some(question.as_str()),
        typed: query.is_replacing.then_some(target),
        body: Some(body(machine, query, point)),
        to: "/api/v1/restores".to_owned(),
    };
    html! {
        div.form-foot {
            a.button href=(back(view, query, point)) { "Back" }
            @if matches!(view.planned, Some(Ok(_))) { (action.form(frame, Role::Restore)) }
        }
    }
}

fn body(machine: &MachineStatus, query: &RestoreQuery, point: &Point) -> String {
    let asked = request(query, (&machine.name, &machine.platform), point);
    serde_json::to_string(&asked).unwrap_or_default()
}

/// What was chosen, or what is usual.
fn or_own<'a>(chosen: &'a str, own: &'a str) -> &'a str {
    if chosen.is_empty() { own } else { chosen }
}
