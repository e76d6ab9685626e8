//! Alerts: open, acknowledged, past.

use std::collections::BTreeMap;

use lifeboat_catalog::{Alert, Role};
use lifeboat_scheduler::{Advice, Overview};
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::parts::{Action, Look, badge_of, empty, head, mark, severity, tabs, twin_of};
use super::words::{machine_page, name_of, path, seconds_between, span};

/// Rows of a page.
const ROWS: usize = 200;

/// Which alerts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlertsShown {
    /// Those that hold and nobody has acknowledged.
    #[default]
    Open,
    /// Those that hold and somebody has acknowledged.
    Acknowledged,
    /// Those that do not hold any more.
    Past,
}

impl AlertsShown {
    /// Which are meant by a word of a query.
    pub fn parse(text: &str) -> Self {
        match text {
            "acknowledged" => Self::Acknowledged,
            "past" => Self::Past,
            _ => Self::Open,
        }
    }

    fn fits(self, alert: &Alert) -> bool {
        match self {
            Self::Open => alert.cleared.is_none() && alert.acknowledged.is_none(),
            Self::Acknowledged => alert.cleared.is_none() && alert.acknowledged.is_some(),
            Self::Past => alert.cleared.is_some(),
        }
    }
}

/// Alerts; `alerts` are those of the last 90 days, `advised` is by their numbers.
pub fn page(
    frame: &Frame,
    overview: &Overview,
    (alerts, advised): (&[Alert], &BTreeMap<i64, Advice>),
    shown: AlertsShown,
) -> Markup {
    let number = |shown: AlertsShown| alerts.iter().filter(|it| shown.fits(it)).count();
    let tab = |kind: AlertsShown, address: &str, word: &str| {
        (
            address.to_owned(),
            format!("{word} {}", number(kind)),
            kind == shown,
        )
    };
    let links = [
        tab(AlertsShown::Open, "/alerts", "Open"),
        tab(
            AlertsShown::Acknowledged,
            "/alerts?show=acknowledged",
            "Acknowledged",
        ),
        tab(AlertsShown::Past, "/alerts?show=past", "Past"),
    ];
    let fitting: Vec<_> = alerts
        .iter()
        .filter(|it| shown.fits(it))
        .take(ROWS)
        .collect();
    let under = html! { "Conditions that hold since a moment; they end by themselves" };
    let inner = html! {
        (head("Alerts", under, html! {}))
        div #alert-tabs .filters data-live="" { (tabs("Alerts by state", &links)) }
        div #alert-list data-live="" {
            @if fitting.is_empty() { section.card { (nothing(shown)) } }
            @for alert in fitting { (one(frame, overview, alert, advised.get(&alert.id))) }
        }
    };
    frame.page(Place::Alerts, "Alerts", inner)
}

fn nothing(shown: AlertsShown) -> Markup {
    let (title, text) = match shown {
        AlertsShown::Open => (
            "All calm",
            "A missed objective, a failed run, a damaged repository or a machine that no job means \
             shows up here, and goes to the people in [notifications].",
        ),
        AlertsShown::Acknowledged => (
            "Nothing is being looked at",
            "Who acknowledges an alert tells the others, and the escalation stops.",
        ),
        AlertsShown::Past => (
            "No past alerts",
            "Alerts of the last 90 days are kept here.",
        ),
    };
    empty("ok", title, text, html! {})
}

/// A condition's name in words.
fn kind(condition: &str) -> &str {
    match condition {
        "rpo" => "Age of the newest point",
        "rto" => "Time a recovery takes",
        "copies" => "Copies",
        "proof" => "Proof of recovery",
        other => other,
    }
}

/// A link to the machine that an alert is about, as it is named now.
fn machine(overview: &Overview, alert: &Alert) -> Markup {
    let Some(name) = &alert.machine else {
        return html! {};
    };
    let named = overview.named(name, alert.platform.as_deref());
    let (said, address) = match named.as_slice() {
        [one] => (one.distinct_name(), name_of(one)),
        _ => (name.clone(), (name.as_str(), None)),
    };
    html! { a href=(machine_page(address, "", "")) { "Machine " (said) } }
}

/// Why an alert holds, and what to do about it.
fn advice(advice: &Advice) -> Markup {
    html! {
        @if let Some(why) = &advice.why { p.small { (why) } }
        @for remedy in &advice.remedies {
            p.small.quiet { (sentence(&remedy.text)) }
            (twin_of(&remedy.command))
        }
    }
}

/// A text with a large letter at its beginning.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}

fn one(frame: &Frame, overview: &Overview, alert: &Alert, advised: Option<&Advice>) -> Markup {
    let look = severity(alert.severity);
    let is_unseen = alert.cleared.is_none() && alert.acknowledged.is_none();
    html! {
        section class={ "card alert " (if alert.cleared.is_some() { "past" } else { look.0.name()
            }) }
            id={ "alert-" (alert.id) } {
            div.alert-main {
                div.line.wrap {
                    (badge_of(look))
                    span.quiet { (kind(&alert.condition)) }
                    @if let Some(cleared) = alert.cleared {
                        (mark(Look::Ok, "Cleared"))
                        span.quiet { (frame.moment.relative(cleared)) ", after "
                            (span(seconds_between(alert.since, cleared))) }
                    } @else {
                        span.quiet { (frame.moment.relative(alert.since)) }
                    }
                }
                p.alert-text { (alert.text) }
                p.small.line.wrap {
                    (machine(overview, alert))
                    @if let Some(repository) = &alert.repository {
                        a href=(path(&["repositories", repository])) { "Repository " (repository) }
                    }
                    @if let Some(job) = &alert.job {
                        a href={ "/runs?job=" (super::words::escape(job)) } { "Runs of " (job) }
                    }
                    @if let Some(seen) = &alert.acknowledged {
                        span.quiet { "seen by " (seen.by) " " (frame.moment.relative(seen.at)) }
                    }
                }
                @if alert.cleared.is_none() && let Some(advised) = advised { (advice(advised)) }
            }
            @if is_unseen {
                @let action = Action::new(format!("/api/v1/alerts/{}/acknowledge", alert.id),
                    "ok", "Acknowledge");
                (action.form(frame, Role::Operator))
            }
        }
    }
}
