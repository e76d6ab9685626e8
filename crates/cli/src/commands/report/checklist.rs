//! Points that somebody signs, filled in with what was proved.

use lifeboat_scheduler::{ObjectiveKind, ObjectiveState, Overview};
use serde::Serialize;

use super::gather::{MachinePart, Report};
use crate::context::Context;
use crate::service::{Service, audit_head};
use crate::tables::{count, moment};

/// A point of the list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    pub(super) point: &'static str,
    /// Whether it was proved; nothing where only a person can say it.
    pub(super) is_proved: Option<bool>,
    /// What was seen.
    pub(super) seen: String,
}

impl Item {
    fn new(point: &'static str, is_proved: bool, seen: String) -> Self {
        Self {
            point,
            is_proved: Some(is_proved),
            seen,
        }
    }

    fn by_hand(point: &'static str) -> Self {
        Self {
            point,
            is_proved: None,
            seen: String::new(),
        }
    }
}

/// The list of a report.
pub(super) fn items(
    context: &Context,
    service: &Service,
    report: &Report,
    overview: &Overview,
) -> Vec<Item> {
    let mut items = of_machines(report);
    items.push(copies(report, overview));
    items.extend(of_repositories(report));
    items.push(audit(context, service));
    items.push(Item::by_hand(
        "Passwords and lifeboat.toml are kept where the disaster does not reach them.",
    ));
    items.push(Item::by_hand(
        "Somebody who did not build it has brought a machine back by the written way.",
    ));
    items.push(Item::by_hand(
        "One copy is out of reach of whoever takes over this host.",
    ));
    items
}

/// Machines that are there and need protection.
fn wanted(report: &Report) -> impl Iterator<Item = &MachinePart> {
    let all = report.sites.iter().flat_map(|site| &site.machines);
    all.filter(|it| !it.is_gone && !it.is_excused)
}

/// A point that must hold for every machine; names those for which it does not.
fn every(report: &Report, point: &'static str, holds: impl Fn(&MachinePart) -> bool) -> Item {
    let failing: Vec<&str> = wanted(report)
        .filter(|it| !holds(it))
        .map(|it| it.distinct_name.as_str())
        .collect();
    let all = wanted(report).count();
    let seen = match failing.as_slice() {
        _ if all == 0 => "no machine is known".to_owned(),
        [] => count(all, "machine"),
        names => {
            let some = names
                .iter()
                .take(10)
                .copied()
                .collect::<Vec<_>>()
                .join(", ");
            let more = match names.len().saturating_sub(10) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("not so for {} of {all}: {some}{more}", names.len())
        }
    };
    Item::new(point, failing.is_empty() && all > 0, seen)
}

/// A point about a promise that at least one machine has.
fn promised(
    report: &Report,
    point: &'static str,
    promise: impl Fn(&MachinePart) -> Option<u64>,
    measured: impl Fn(&MachinePart) -> Option<u64>,
) -> Item {
    if wanted(report).all(|it| promise(it).is_none()) {
        return Item {
            seen: "Nothing was promised".to_owned(),
            ..Item::by_hand(point)
        };
    }
    let is_kept = |it: &MachinePart| match (measured(it), promise(it)) {
        (_, None) => true,
        (Some(measured), Some(promised)) => measured <= promised,
        (None, Some(_)) => false,
    };
    every(report, point, is_kept)
}

fn of_machines(report: &Report) -> Vec<Item> {
    vec![
        every(report, "Every machine is in a job.", |it| it.is_protected),
        every(
            report,
            "Every machine gave a recovery point this month.",
            |it| it.points > 0,
        ),
        promised(
            report,
            "No gap between points was longer than promised.",
            |it| it.rpo_promised,
            |it| it.gap_worst,
        ),
        every(
            report,
            "Of every machine a point was read back whole.",
            |it| it.verified > 0 && it.damaged == 0,
        ),
        promised(
            report,
            "Every recovery that was promised was measured in time.",
            |it| it.rto_promised,
            |it| it.recovery_worst,
        ),
    ]
}

fn copies(report: &Report, overview: &Overview) -> Item {
    let is_missed = |part: &MachinePart| {
        let machines = overview.named(&part.name, Some(&part.platform));
        let mut objectives = machines.into_iter().flat_map(|it| &it.objectives);
        objectives.any(|it| it.kind == ObjectiveKind::Copies && it.state != ObjectiveState::Met)
    };
    every(
        report,
        "Every machine has as many copies as promised, today.",
        |it| !is_missed(it),
    )
}

fn of_repositories(report: &Report) -> Vec<Item> {
    let all = &report.repositories;
    let names = |holds: &dyn Fn(&super::gather::RepositoryPart) -> bool| {
        let failing = all.iter().filter(|it| !holds(it));
        failing.map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    let item = |point, failing: Vec<String>| {
        let seen = match failing.is_empty() {
            true => all
                .iter()
                .map(|it| it.name.clone())
                .collect::<Vec<_>>()
                .join(", "),
            false => format!("not so for {}", failing.join(", ")),
        };
        Item::new(point, failing.is_empty() && !all.is_empty(), seen)
    };
    vec![
        item(
            "Every repository was checked since the month began, and is whole.",
            names(&|it| it.is_ok == Some(true) && it.checked.is_some_and(|at| at >= report.from)),
        ),
        item(
            "No repository is larger than it should be.",
            names(&|it| {
                let bytes = it.bytes_after.unwrap_or_default();
                it.size_max.is_none_or(|most| bytes <= most)
            }),
        ),
    ]
}

fn audit(context: &Context, service: &Service) -> Item {
    let point = "The audit log is as it was written.";
    if matches!(service.catalog.audit_entries(None, 1), Ok(it) if it.is_empty()) {
        return Item::new(point, true, "nothing was written into it yet".to_owned());
    }
    let key = service.audit_key(context);
    let head = audit_head(&service.state);
    match key.and_then(|key| Ok(service.catalog.verify_audit(&key, head.as_ref())?)) {
        Ok(seen) => {
            let now = moment(service.catalog.now());
            let told = format!("{} entries, looked at {now}", seen.entries);
            match seen.flaws.first() {
                None => Item::new(point, true, told),
                Some(flaw) => Item::new(point, false, flaw.to_string()),
            }
        }
        Err(error) => Item::new(point, false, error.to_string()),
    }
}
