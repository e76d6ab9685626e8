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
                div.card.table-card { table.list {
                    thead { tr {
                        th.number scope="col" { "No." } th scope="col" { "When" }
                        th scope="col" { "Who" } th scope="col" { "What" }
                        th scope="col" { "Done" }
                    } }
                    tbody { @for entry in entries { (row(frame, entry)) } }
                } }
            }
            (pager(newer, older.as_deref(), ""))
        }
    };
    frame.page(Place::Audit, "Audit", inner)
}

fn row(frame: &Frame, entry: &AuditEntry) -> Markup {
    html! {
        tr {
            td.number data-label="No." { (entry.number) }
            td data-label="When" {
                (frame.moment.short(entry.at))
                span.quiet.small.block { (frame.moment.relative(entry.at)) }
            }
            td data-label="Who" {
                strong { (entry.who) }
                @if let Some(from) = &entry.from { span.quiet.small.block { (from) } }
            }
            td.main-cell data-label="What" {
                span { strong { (entry.action) } " " (entry.subject) }
                span.quiet.small { (entry.details) }
            }
            td data-label="Done" {
                @if entry.is_done { (mark(Look::Ok, "Done")) }
                @else { (mark(Look::Failed, "Refused")) }
            }
        }
    }
}
