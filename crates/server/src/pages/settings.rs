//! What counts, and where each value came from; nodes, users and tokens.

use lifeboat_catalog::{Node, Role, Token, User};
use lifeboat_config::Severity;
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::icon::icon;
use super::parts::{Look, badge, card, empty, head, mark, moment_or, twin};
use super::words::{count, seconds_between, span};
use crate::state::BrokenConfig;

/// A node that was silent for so long is taken for gone, in seconds.
const SILENT: u64 = 120;
/// Findings that are shown.
const FINDINGS: usize = 200;

/// A value that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path: `jobs.web.schedule`.
    pub path: String,
    /// In words; never a secret.
    pub value: String,
    /// File, line and column; none if it is the usual value.
    pub origin: Option<String>,
}

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct SettingsView<'a> {
    /// Values in order of their paths.
    pub settings: &'a [Setting],
    /// What is wrong with the file as it is now, if it cannot be used.
    pub broken: Option<&'a BrokenConfig>,
    /// Nodes that share the work.
    pub nodes: &'a [Node],
    /// Users; shown to administrators.
    pub users: &'a [User],
    /// Tokens; shown to administrators.
    pub tokens: &'a [Token],
    /// The program's version.
    pub version: &'a str,
}

/// Settings, to read.
pub fn page(frame: &Frame, view: &SettingsView<'_>) -> Markup {
    let under = html! { "lifeboat " (view.version) " · changed in lifeboat.toml, read anew without \
    a restart" };
    let inner = html! {
        (head("Settings", under, html! { (twin(&["config", "show"])) }))
        div #broken data-live="" {
            @if let Some(broken) = view.broken { (findings(frame, broken)) }
        }
        (nodes(frame, view.nodes))
        (values(view.settings))
        @if frame.may(Role::Admin) {
            div.pair { (users(frame, view.users)) (tokens(frame, view.tokens)) }
        }
    };
    frame.page(Place::Settings, "Settings", inner)
}

/// What is wrong, where, and what may have been meant.
fn findings(frame: &Frame, broken: &BrokenConfig) -> Markup {
    html! {
        section.card aria-labelledby="findings-title" {
            header.card-head {
                h2 #findings-title { "lifeboat.toml cannot be used as it is now" }
                (badge(Look::Failed, "Not used"))
            }
            p.padded { "Since " (frame.moment.relative(broken.since)) ". The service goes on with \
                the configuration that counts since " (frame.moment.relative(broken.sound_since))
                "; it reads the file anew when it is written." }
            @if broken.findings.is_empty() {
                p.padded { code.break-all { (broken.text) } }
            }
            ul.rows { @for finding in broken.findings.iter().take(FINDINGS) {
                li.row.finding {
                    div.line.wrap {
                        (mark(match finding.severity {
                            Severity::Error => Look::Failed,
                            Severity::Warning => Look::Warning,
                        }, match finding.severity {
                            Severity::Error => "Error",
                            Severity::Warning => "Warning",
                        }))
                        code.break-all { (finding.spot.file) }
                        span.quiet { "line " (finding.spot.line) ", column "
                            (finding.spot.column) }
                    }
                    p.break-all { (finding.message) }
                    @if let Some(suggestion) = &finding.suggestion {
                        p.small.quiet.break-all { (suggestion) } }
                }
            } }
            @if broken.findings.len() > FINDINGS {
                p.card-note { "The first " (FINDINGS) " of " (broken.findings.len()) "." }
            }
            div.padded { (twin(&["config", "validate"])) }
        }
    }
}

/// One line about it for the first page.
pub(crate) fn broken_line(frame: &Frame, broken: &BrokenConfig) -> Markup {
    let errors = broken.findings.iter();
    let errors = errors.filter(|it| it.severity == Severity::Error).count();
    html! {
        p.banner.failed.wide-banner role="alert" { (icon("failed"))
            span {
                strong { "lifeboat.toml cannot be used as it is now" }
                @if errors > 0 { ": " (count(errors as u64, "error")) }
                ". The service goes on with the configuration from before, which counts since "
                (frame.moment.relative(broken.sound_since)) ". "
                a href="/settings" { "What is wrong" }
            }
        }
    }
}

fn nodes(frame: &Frame, nodes: &[Node]) -> Markup {
    card(
        "nodes",
        "Nodes",
        None,
        html! {
            ul.rows {
                @for node in nodes {
                    @let is_there = seconds_between(node.seen, frame.moment.now) < SILENT;
                    li.row.line.wrap {
                        (mark(if is_there { Look::Ok } else { Look::Warning },
                            if is_there { "There" } else { "Silent" }))
                        strong { (node.name) } span.quiet { (node.version) }
                        span.end.quiet { "seen " (frame.moment.relative(node.seen)) ", up for "
                            (span(seconds_between(node.started, frame.moment.now))) }
                    }
                }
            }
        },
    )
}

fn values(settings: &[Setting]) -> Markup {
    let mut groups: Vec<(String, Vec<&Setting>)> = Vec::new();
    for setting in settings {
        let group = group(&setting.path);
        match groups.last_mut() {
            Some((name, members)) if *name == group => members.push(setting),
            _ => groups.push((group, vec![setting])),
        }
    }
    html! {
        @if groups.is_empty() {
            section.card { (empty("settings", "Nothing is configured",
                "The wizard asks what it needs and writes the file.",
                html! { (twin(&["config", "generate"])) })) }
        }
        @for (at, (name, members)) in groups.iter().enumerate() {
            section.card id={ "settings-" (at) } {
                header.card-head { h2 { code { (name) } } }
                dl.settings {
                    @for setting in members {
                        dt { code { (setting.path.strip_prefix(&format!("{name}."))
                            .unwrap_or(&setting.path)) } }
                        dd {
                            code.break-all { (setting.value) }
                            span.quiet.small {
                                (setting.origin.as_deref().unwrap_or("usual value")) }
                        }
                    }
                }
            }
        }
    }
}

/// The table of a path: `jobs.web` of `jobs.web.schedule`.
fn group(path: &str) -> String {
    let parts: Vec<_> = path.split('.').collect();
    match parts.as_slice() {
        [first, second, _, ..] => format!("{first}.{second}"),
        [first, _] => (*first).to_owned(),
        _ => "site".to_owned(),
    }
}

fn users(frame: &Frame, users: &[User]) -> Markup {
    card(
        "users",
        "Users",
        None,
        html! {
            ul.rows {
                @for user in users {
                    li.row.line.wrap {
                        strong { (user.name) } span.quiet { (user.role) }
                        @if !user.is_enabled { (badge(Look::Off, "Disabled")) }
                        span.end.quiet { "made " (frame.moment.relative(user.created)) }
                    }
                }
            }
        },
    )
}

fn tokens(frame: &Frame, tokens: &[Token]) -> Markup {
    card(
        "tokens",
        "Tokens",
        None,
        html! {
            @if tokens.is_empty() { p.calm { "No program has a token." } }
            ul.rows {
                @for token in tokens {
                    @let is_over = token.expires.is_some_and(|at| at <= frame.moment.now);
                    li.row {
                        div.line.wrap {
                            strong { (token.title) } span.quiet { (token.role) }
                            @if is_over { (badge(Look::Off, "Expired")) }
                            span.end.quiet { "used " (moment_or(frame, token.used, "never")) }
                        }
                        p.small.quiet {
                            "ends " (moment_or(frame, token.expires, "never"))
                            @if !token.scopes.is_empty() { " · " (token.scopes.join(", ")) }
                        }
                    }
                }
            }
        },
    )
}
