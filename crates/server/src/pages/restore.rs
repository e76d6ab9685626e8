//! Bringing a machine back: point, place, options, the exact command, and then the deed.

use lifeboat_catalog::{Point, Role};
use lifeboat_scheduler::MachineStatus;
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::icon::icon;
use super::machine::short;
use super::parts::{Action, Look, badge, empty, head, platform_field, twin};
use super::words::{bytes, machine_page, name_of, path, span};

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
    let words = ["Point", "Where and how", "Preview", "Confirm"];
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
    html! {
        (steps(0))
        form.card.sheet-form method="get" action=(path(&["machines", name, "restore"])) {
            (platform_field(view.machine.distinct_platform()))
            fieldset {
                legend { span.step-number { "1" } "Which point" }
                label for="point" { "Recovery point" }
                select #point name="point" {
                    @for point in view.points.iter().take(CHOICES) {
                        option value=(short(&point.key.snapshot)) selected[point == chosen] {
                            (frame.moment.short(point.at)) " · "
                            (frame.moment.relative_words(point.at)) " · " (point.key.repository)
                            @match point.verified {
                                Some((_, true)) => " · verified",
                                Some((_, false)) => " · found damaged",
                                None => "",
                            }
                        }
                    }
                }
                p.small.quiet { "The newest verified point is the surest one." }
            }
            fieldset {
                legend { span.step-number { "2" } "Where to" }
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
                p.small.quiet { "Another name leaves the present machine alone." }
            }
            fieldset {
                legend { span.step-number { "3" } "How" }
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

fn plan(frame: &Frame, view: &RestoreView<'_>, query: &RestoreQuery, point: &Point) -> Markup {
    let machine = view.machine;
    let target = or_own(&query.name, &machine.name);
    let platform = or_own(&query.platform, &machine.platform);
    html! {
        (steps(2))
        section.card.plan {
            @if query.is_replacing {
                p.banner.failed { (icon("warning"))
                    span { strong { (target) } " on " (platform)
                        " will be replaced by its state of "
                    (frame.moment.exact(point.at)) ". Everything written since is lost." } }
            }
            dl.facts {
                dt { "Point" }
                dd { (frame.moment.exact(point.at)) span.quiet { (frame.moment.relative(point.at))
                    } }
                dt { "From" } dd { (point.key.repository) " · " code {
                    (short(&point.key.snapshot)) } }
                dt { "Proof" }
                dd { @match point.verified {
                    Some((_, true)) => (badge(Look::Ok, "Verified")),
                    Some((_, false)) => (badge(Look::Failed, "Found damaged")),
                    None => (badge(Look::Unknown, "Never read back")),
                } }
                dt { "To" } dd { strong { (target) } " on " (platform) }
                dt { "Disks" } dd { (bytes(point.bytes)) }
                dt { "Will take" }
                dd { @match view.measured_seconds {
                    Some(seconds) => { "about " (span(seconds)) ", as last measured" }
                    None => "not measured yet",
                } }
                dt { "Then" }
                dd { (if query.is_started { "it is started" } else { "it stays off" }) }
            }
            h3 { "The same on the command line" }
            (twin(&words(query, machine, point)))
            (deed(frame, machine, query, point))
        }
    }
}

fn deed(frame: &Frame, machine: &MachineStatus, query: &RestoreQuery, point: &Point) -> Markup {
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
            a.button href=(machine_page(name_of(machine), "restore", "")) { "Back" }
            (action.form(frame, Role::Restore))
        }
    }
}

fn body(machine: &MachineStatus, query: &RestoreQuery, point: &Point) -> String {
    let name = or_own(&query.name, &machine.name);
    let value = serde_json::json!({
        "repository": point.key.repository,
        "snapshot": point.key.snapshot,
        "platform": or_own(&query.platform, &machine.platform),
        "name": (name != machine.name).then_some(name),
        "is_started": query.is_started,
        "is_replacing": query.is_replacing,
    });
    value.to_string()
}

/// What was chosen, or what is usual.
fn or_own<'a>(chosen: &'a str, own: &'a str) -> &'a str {
    if chosen.is_empty() { own } else { chosen }
}
