//! All machines: what each is promised, what it has, what is missing.

use std::cmp::Reverse;

use lifeboat_scheduler::{MachineClass, MachineStatus, ObjectiveState, Overview};
use maud::{Markup, html};

use super::frame::{Frame, Place};
use super::icon::icon;
use super::parts::{Look, badge, badge_of, empty, head, moment_or, objective, pager, tabs, twin};
use super::words::{bytes, count, escape, path};

/// Rows of a page.
pub(crate) const ROWS: usize = 200;

/// Which machines are shown, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachinesQuery {
    /// A part of the name.
    pub text: String,
    /// A class: `met`, `at_risk`, `missed`, `no_point`, `unprotected`; all if it is empty.
    pub state: String,
    /// `state` (the usual), `name`, `age`, `size`, `proof`.
    pub sort: String,
    /// From 0 on.
    pub page: usize,
}

const STATES: [(&str, &str); 7] = [
    ("", "All"),
    ("no_point", "No point"),
    ("missed", "Missed"),
    ("at_risk", "At risk"),
    ("unprotected", "Unprotected"),
    ("met", "Met"),
    ("excused", "Left out"),
];
const SORTS: [(&str, &str); 5] = [
    ("", "Needs a look first"),
    ("name", "Name"),
    ("age", "Oldest point first"),
    ("proof", "Oldest proof first"),
    ("size", "Largest first"),
];

impl MachinesQuery {
    fn address(&self, state: &str, page: usize) -> String {
        let (text, sort) = (escape(&self.text), escape(&self.sort));
        let mut address = format!("/machines?state={state}&q={text}&sort={sort}");
        if page > 0 {
            address += &format!("&page={page}");
        }
        address
    }

    fn fits(&self, machine: &MachineStatus) -> bool {
        let is_named = machine
            .name
            .to_lowercase()
            .contains(&self.text.to_lowercase());
        is_named
            && match self.state.as_str() {
                "" => true,
                state => machine.class().as_str() == state,
            }
    }
}

/// All machines that fit.
pub fn page(frame: &Frame, overview: &Overview, query: &MachinesQuery) -> Markup {
    let mut machines: Vec<&MachineStatus> = overview
        .machines
        .iter()
        .filter(|machine| query.fits(machine))
        .collect();
    sort(&mut machines, &query.sort);
    let all = machines.len();
    let shown: Vec<_> = machines
        .into_iter()
        .skip(query.page * ROWS)
        .take(ROWS)
        .collect();
    let numbers = overview.counts();
    let said = format!(
        "{}, {} without protection",
        count(numbers.all(), "machine"),
        numbers.unprotected
    );
    let inner = html! {
        (head("Machines", html! { (said) }, html! {}))
        (filters(query))
        section #machines data-live="" {
            @if shown.is_empty() { (nothing(query)) } @else { (table(frame, &shown)) }
            @let newer = query.page.checked_sub(1).map(|page| query.address(&query.state, page));
            @let rest = all > (query.page + 1) * ROWS;
            @let older = rest.then(|| query.address(&query.state, query.page + 1));
            (pager(newer.as_deref(), older.as_deref(), &format!("{all} in all")))
        }
    };
    frame.page(Place::Machines, "Machines", inner)
}

fn sort(machines: &mut [&MachineStatus], order: &str) {
    match order {
        "name" => machines.sort_by_key(|it| it.name.to_lowercase()),
        "age" => machines.sort_by_key(|it| it.newest.as_ref().map(|point| point.at)),
        "proof" => machines.sort_by_key(|it| it.proved),
        "size" => machines.sort_by_key(|it| Reverse(it.bytes)),
        _ => machines.sort_by_key(|it| (Reverse(trouble(it)), it.name.to_lowercase())),
    }
}

/// What needs a look comes first: nothing to come back from, a missed promise, no protection, a
/// promise at risk.
fn trouble(machine: &MachineStatus) -> u8 {
    match machine.class() {
        MachineClass::Gone | MachineClass::Excused => 0,
        MachineClass::Met => 1,
        MachineClass::Unknown => 2,
        MachineClass::AtRisk => 3,
        MachineClass::Unprotected => 4,
        MachineClass::Missed => 5,
        MachineClass::NoPoint => 6,
    }
}

fn filters(query: &MachinesQuery) -> Markup {
    let links: Vec<_> = STATES
        .iter()
        .map(|(state, word)| {
            (
                query.address(state, 0),
                (*word).to_owned(),
                *state == query.state,
            )
        })
        .collect();
    html! {
        div.filters {
            (tabs("Machines by state", &links))
            form.filter method="get" action="/machines" {
                @if !query.state.is_empty() {
                    input type="hidden" name="state" value=(query.state);
                }
                input type="search" name="q" value=(query.text) placeholder="Part of the name"
                    aria-label="Part of the name" maxlength="100";
                select name="sort" aria-label="Order" data-submits="" {
                    @for (sort, word) in SORTS {
                        option value=(sort) selected[sort == query.sort] { (word) }
                    }
                }
                button.button type="submit" { "Show" }
            }
        }
    }
}

fn nothing(query: &MachinesQuery) -> Markup {
    let is_all = query.state.is_empty() && query.text.is_empty();
    html! {
        div.card {
            @if is_all {
                (empty("machines", "No machine was seen yet",
                    "Platforms are asked every few minutes. If this stays empty, ask by hand; \
                     the answer says what is missing.",
                    html! { (twin(&["machine", "ls"])) }))
            } @else {
                (empty("search", "No machine fits", "Try fewer words, or another state.",
                    html! { a.button href="/machines" { "All machines" } }))
            }
        }
    }
}

fn table(frame: &Frame, machines: &[&MachineStatus]) -> Markup {
    html! {
        div.card.table-card {
            table.list {
                thead { tr {
                    th scope="col" { "Machine" }
                    th scope="col" { "Objectives" }
                    th scope="col" { "Newest point" }
                    th scope="col" { "Last proof" }
                    th.number scope="col" { "Points" }
                    th.number scope="col" { "Disks" }
                    th scope="col" { "Next run" }
                } }
                tbody {
                    @for machine in machines { (row(frame, machine)) }
                }
            }
        }
    }
}

fn row(frame: &Frame, machine: &MachineStatus) -> Markup {
    html! {
        tr {
            td.main-cell data-label="Machine" {
                a.strong href=(path(&["machines", &machine.name])) { (machine.name) }
                span.quiet.small {
                    (machine.platform) " · " (machine.state)
                    @for job in &machine.jobs { " · " (job) }
                }
            }
            td data-label="Objectives" { (state(machine)) }
            td data-label="Newest point" {
                (moment_or(frame, machine.newest.as_ref().map(|point| point.at), "none"))
            }
            td data-label="Last proof" { (moment_or(frame, machine.proved, "never")) }
            td.number data-label="Points" { (machine.points) }
            td.number data-label="Disks" {
                @if machine.bytes > 0 { (bytes(machine.bytes)) } @else { "–" }
            }
            td data-label="Next run" { (moment_or(frame, machine.next, "not planned")) }
        }
    }
}

/// How a machine is, in one word.
pub(crate) fn state(machine: &MachineStatus) -> Markup {
    match machine.class() {
        MachineClass::Excused => badge(Look::Off, "Left out"),
        MachineClass::Gone => badge(Look::Off, "Gone"),
        MachineClass::Unprotected => html! {
            span.badge.warning { (icon("unprotected")) "Unprotected" }
        },
        MachineClass::NoPoint => badge(Look::Failed, "No point yet"),
        MachineClass::Missed => badge_of(objective(ObjectiveState::Missed)),
        MachineClass::AtRisk => badge_of(objective(ObjectiveState::AtRisk)),
        MachineClass::Unknown => badge_of(objective(ObjectiveState::Unknown)),
        MachineClass::Met => badge_of(objective(ObjectiveState::Met)),
    }
}
