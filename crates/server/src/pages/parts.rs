//! Pieces that many pages are made of.

use jiff::Timestamp;
use lifeboat_catalog::{AlertSeverity, Point, Role, RunState, TaskState};
use lifeboat_scheduler::{ObjectiveKind, ObjectiveState, Request, command};
use maud::{Markup, html};

use super::frame::Frame;
use super::icon::icon;
use super::words::span;

/// How a thing is, as it is shown: an icon, a colour and, from the caller, a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    Ok,
    Off,
    Waiting,
    Unknown,
    Running,
    Warning,
    Failed,
}

impl Look {
    /// The name of its class and of its icon.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// Says in a form of a machine's page which platform is meant, where its name is shared.
pub(crate) fn platform_field(platform: Option<&str>) -> Markup {
    html! {
        @if let Some(platform) = platform {
            input type="hidden" name="platform" value=(platform);
        }
    }
}

/// A state: icon and word.
pub(crate) fn badge(look: Look, word: &str) -> Markup {
    html! { span class={ "badge " (look.name()) } { (icon(look.name())) (word) } }
}

/// A state without a frame around it.
pub(crate) fn mark(look: Look, word: &str) -> Markup {
    html! { span class={ "mark " (look.name()) } { (icon(look.name())) span { (word) } } }
}

pub(crate) fn objective(state: ObjectiveState) -> (Look, &'static str) {
    match state {
        ObjectiveState::Met => (Look::Ok, "Met"),
        ObjectiveState::AtRisk => (Look::Warning, "At risk"),
        ObjectiveState::Missed => (Look::Failed, "Missed"),
        ObjectiveState::Unknown => (Look::Unknown, "Not measured"),
    }
}

pub(crate) fn objective_name(kind: ObjectiveKind) -> (&'static str, &'static str) {
    match kind {
        ObjectiveKind::Rpo => ("RPO", "Age of the newest point"),
        ObjectiveKind::Rto => ("RTO", "Time a recovery takes"),
        ObjectiveKind::Copies => ("Copies", "Repositories that hold it"),
        ObjectiveKind::Proof => ("Proof", "Age of the last proof"),
    }
}

/// How a point was made, in a word.
pub(crate) fn point_kind(point: &Point) -> &'static str {
    match (point.is_full, point.tells_how()) {
        (true, _) => "Full",
        (false, true) => "Incremental",
        (false, false) => "Not known",
    }
}

/// A measured or promised value of an objective.
pub(crate) fn objective_value(kind: ObjectiveKind, value: u64) -> String {
    match kind {
        ObjectiveKind::Copies => value.to_string(),
        _ => span(value),
    }
}

pub(crate) fn run_state(state: RunState) -> (Look, &'static str) {
    match state {
        RunState::Open => (Look::Running, "Running"),
        RunState::Succeeded => (Look::Ok, "Succeeded"),
        RunState::Partial => (Look::Warning, "Partial"),
        RunState::Failed => (Look::Failed, "Failed"),
        RunState::Cancelled => (Look::Off, "Cancelled"),
    }
}

pub(crate) fn task_state(state: TaskState) -> (Look, &'static str) {
    match state {
        TaskState::Queued => (Look::Waiting, "Waiting"),
        TaskState::Running => (Look::Running, "Running"),
        TaskState::Succeeded => (Look::Ok, "Succeeded"),
        TaskState::PassedOver => (Look::Off, "Passed over"),
        TaskState::Failed => (Look::Failed, "Failed"),
        TaskState::Cancelled => (Look::Off, "Cancelled"),
    }
}

pub(crate) fn severity(severity: AlertSeverity) -> (Look, &'static str) {
    match severity {
        AlertSeverity::Info => (Look::Unknown, "Info"),
        AlertSeverity::Warning => (Look::Warning, "Warning"),
        AlertSeverity::Critical => (Look::Failed, "Critical"),
    }
}

/// A badge of a pair as the functions above give it.
pub(crate) fn badge_of((look, word): (Look, &str)) -> Markup {
    badge(look, word)
}

/// The command that does the same, with a button that copies it.
pub(crate) fn twin(words: &[impl AsRef<str>]) -> Markup {
    twin_of(&command(words))
}

/// The same for a command as it is typed.
pub(crate) fn twin_of(text: &str) -> Markup {
    html! {
        div.twin {
            (icon("terminal"))
            code { (text) }
            button.ghost.copy type="button" data-copy=(text) hidden {
                (icon("copy")) span.said { "Copy" }
            }
        }
    }
}

/// What a page says that has nothing to show: what that means, and the next step.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is written in the call"
)]
pub(crate) fn empty(picture: &str, title: &str, text: &str, next: Markup) -> Markup {
    html! {
        div.empty {
            div.empty-picture { (icon(picture)) }
            h3 { (title) }
            p { (text) }
            div.empty-next { (next) }
        }
    }
}

/// A card with a title, a link to more, and what is in it; it is renewed while one looks.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is written in the call"
)]
pub(crate) fn card(id: &str, title: &str, more: Option<(&str, &str)>, inner: Markup) -> Markup {
    html! {
        section.card id=(id) data-live="" aria-labelledby={ (id) "-title" } {
            header.card-head {
                h2 id={ (id) "-title" } { (title) }
                @if let Some((address, words)) = more {
                    a.more href=(address) { (words) (icon("next")) }
                }
            }
            (inner)
        }
    }
}

/// The head of a page: its title, what it says under it, and what can be done.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is written in the call"
)]
pub(crate) fn head(title: &str, under: Markup, actions: Markup) -> Markup {
    html! {
        header.page-head {
            div { h1 { (title) } p.under { (under) } }
            div.actions { (actions) }
        }
    }
}

/// Something that can be done, as a form of one button; not shown to who may not do it.
///
/// The script sends it to the API, with the key of the session; without a script it is not
/// shown, and the command beside it does the same.
pub(crate) struct Action<'a> {
    pub(crate) to: String,
    pub(crate) picture: &'a str,
    pub(crate) word: &'a str,
    /// What a dialog asks first.
    pub(crate) question: Option<&'a str>,
    /// What must be typed there.
    pub(crate) typed: Option<&'a str>,
    pub(crate) class: &'a str,
    /// What is sent, as JSON.
    pub(crate) body: Option<String>,
}

impl<'a> Action<'a> {
    pub(crate) fn new(to: String, picture: &'a str, word: &'a str) -> Self {
        Self {
            to,
            picture,
            word,
            question: None,
            typed: None,
            class: "button",
            body: None,
        }
    }

    /// A request for a run.
    pub(crate) fn run(request: &Request, picture: &'a str, word: &'a str) -> Self {
        let body = serde_json::to_string(request).ok();
        let to = "/api/v1/runs".to_owned();
        Self {
            body,
            ..Self::new(to, picture, word)
        }
    }

    /// The form, or nothing for readers of a lesser role.
    pub(crate) fn form(&self, frame: &Frame, needed: Role) -> Markup {
        if !frame.may(needed) {
            return html! {};
        }
        html! {
            form.action method="post" action=(self.to) data-deed="" hidden
                data-key=(frame.reader.form_key) data-body=[self.body.as_deref()]
                data-question=[self.question] data-typed=[self.typed] {
                button type="submit" class=(self.class) { (icon(self.picture)) (self.word) }
            }
        }
    }
}

/// A share from 0 to 1 as a bar.
pub(crate) fn meter(share: f64, class: &str, label: &str) -> Markup {
    let percent = (share.clamp(0.0, 1.0) * 100.0).round();
    html! {
        svg class={ "meter " (class) } role="img" aria-label=(label) width="100%" height="8" {
            rect.meter-ground width="100%" height="8" rx="4" {}
            rect.meter-fill width={ (percent) "%" } height="8" rx="4" {}
        }
    }
}

/// Links to older and newer pages.
pub(crate) fn pager(newer: Option<&str>, older: Option<&str>, said: &str) -> Markup {
    html! {
        @if newer.is_some() || older.is_some() {
            nav.pager aria-label="Pages" {
                @if let Some(address) = newer { a.button href=(address) { "Newer" } }
                span.quiet { (said) }
                @if let Some(address) = older { a.button href=(address) { "Older" (icon("next")) } }
            }
        }
    }
}

/// A moment or what to say without one.
pub(crate) fn moment_or(frame: &Frame, at: Option<Timestamp>, without: &str) -> Markup {
    match at {
        Some(at) => frame.moment.relative(at),
        None => html! { span.quiet { (without) } },
    }
}

/// Links among which one is the present one.
pub(crate) fn tabs(label: &str, tabs: &[(String, String, bool)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (address, word, is_present) in tabs {
                a href=(address) aria-current=[is_present.then_some("page")] { (word) }
            }
        }
    }
}
