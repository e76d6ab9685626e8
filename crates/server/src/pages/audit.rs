//! Who did what.

use lifeboat_catalog::AuditEntry;
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::parts::{Look, empty, head, mark, pager, twin};

/// Entries, newest first; `is_more` says whether there are older ones.
pub fn page(frame: &Frame, entries: &[AuditEntry], is_more: bool, is_later: bool) -> Markup {
    let older = entries.last().filter(|_| is_more);
    let older = older.map(|entry| format!("/audit?before={}", entry.number));
    let newer = is_later.then_some("/audit");
    let under = html! { "Each entry is sealed together with the one before it" };
    let inner = html! {
        (head("Audit", under, html! { (twin(&["audit", "verify"])) }))
        section #audit data-live="" {
            @if entries.is_empty() {
                div.card { (empty("audit", "Nothing was done yet",
                    "Sign-ins, runs, restores and changes are written down here.", html! {})) }
            } @else {
                div.card.table-card { table.list.compact.audit {
                    thead { tr {
                        th.number scope="col" { "No." } th scope="col" { "When" }
                        th scope="col" { "Who" } th scope="col" { "What" }
                        th scope="col" { "Outcome" }
                    } }
                    tbody { @for entry in entries { (row(frame, entry)) } }
                } }
            }
            (pager(newer, older.as_deref(), ""))
        }
    };
    frame.page(Place::Audit, "Audit", inner)
}

/// What it was about; a path that says no more than the action is left out.
fn about(entry: &AuditEntry) -> &str {
    let bare = [
        "setup", "sessions", "login", "logout", "users", "tokens", "runs", "restores",
    ];
    let subject = entry.subject.trim_start_matches('/');
    if bare.contains(&subject) { "" } else { subject }
}

/// What was sent, or why it was refused; the mark beside it says that it was.
fn details(entry: &AuditEntry) -> &str {
    let Some(refused) = entry.details.strip_prefix("refused: ") else {
        return &entry.details;
    };
    match refused.split_once(": ") {
        Some((_, why)) => why,
        // Where a browser was sent to says nothing.
        None if refused.starts_with('3') => "",
        None => refused.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ' '),
    }
}

fn row(frame: &Frame, entry: &AuditEntry) -> Markup {
    html! {
        tr {
            td.number.wide-only data-label="No." { (entry.number) }
            td data-label="When" {
                (frame.moment.short(entry.at))
                span.quiet.small.block { (frame.moment.relative(entry.at)) }
            }
            td data-label="Who" {
                strong { (entry.who) }
                @if let Some(from) = &entry.from { span.quiet.small.block { (from) } }
            }
            td.main-cell data-label="What" {
                span { strong { (entry.action) } " " (about(entry)) }
                span.quiet.small { (details(entry)) }
            }
            td.state-cell data-label="Outcome" {
                @if entry.is_done { (mark(Look::Ok, "Done")) }
                @else { (mark(Look::Failed, "Refused")) }
            }
        }
    }
}
