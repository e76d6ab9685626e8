//! The summary of a time.

use jiff::Timestamp;
use lifeboat_catalog::{Catalog, Run, RunFilter, RunState};
use lifeboat_notify::{Digest, Section, Severity};

use super::alerts::{Links, severity};
use super::runs::{moment, name_of};
use crate::error::Result;
use crate::tables::count;

/// Rows of a table.
const ROWS_MAX: usize = 50;

/// What happened from one moment to another, and what holds then.
pub(super) fn digest(
    catalog: &Catalog,
    (since, now): (Timestamp, Timestamp),
    links: &Links,
) -> Result<Digest> {
    let filter = RunFilter {
        since: Some(since),
        count: 10_000,
        ..RunFilter::default()
    };
    let runs = catalog.runs(&filter)?;
    let alerts = catalog.open_alerts()?;
    let failed: Vec<&Run> = runs.iter().filter(|run| is_failed(run)).collect();
    let rows = rows_of(catalog, &failed)?.into_iter();
    let open = alerts.iter().map(|alert| {
        let seen = alert.acknowledged.as_ref();
        let seen = seen.map_or(String::new(), |seen| format!(" (seen by {})", seen.by));
        let name = format!("{}, alert {}", severity(alert.severity).word(), alert.id);
        (name, format!("{}{seen}", alert.text))
    });
    let hours = now.duration_since(since).as_hours();
    let all = count(runs.len(), "run");
    let summary = match (failed.len(), alerts.len()) {
        (0, 0) => format!("all is well: {all} in {hours} h"),
        (failed, alerts) => {
            let are = if alerts == 1 { "is" } else { "are" };
            let open = count(alerts, "alert");
            format!("{failed} of {all} in {hours} h did not end well, {open} {are} open")
        }
    };
    Ok(Digest {
        summary,
        severity: match (
            alerts.iter().map(|alert| alert.severity).max(),
            failed.len(),
        ) {
            (Some(worst), _) => severity(worst),
            (None, 0) => Severity::Info,
            (None, _) => Severity::Warning,
        },
        sections: [
            section("Runs that did not end well", rows),
            section("Open alerts", open),
        ]
        .into_iter()
        .flatten()
        .collect(),
        link: links.page("alerts").filter(|_| !alerts.is_empty()),
    })
}

/// What failed, the newest first, each once: how it ended last, and how often before.
fn rows_of(catalog: &Catalog, failed: &[&Run]) -> Result<Vec<(String, String)>> {
    let mut order: Vec<(&Run, Vec<String>)> = Vec::new();
    for run in failed {
        match order.iter_mut().find(|(first, _)| first.job == run.job) {
            Some((_, numbers)) => numbers.push(run.id.to_string()),
            None => order.push((run, vec![run.id.to_string()])),
        }
    }
    // Rows that are cut off need no names.
    order.truncate(ROWS_MAX + 1);
    let one = |(run, numbers): (&Run, Vec<String>)| {
        let state = match run.state {
            RunState::Partial => "ended well in part",
            _ => "failed",
        };
        let at = run.ended.unwrap_or(run.created);
        let value = match numbers.as_slice() {
            [number] => format!("{state} {}, run {number}", moment(at)),
            [number, ..] => {
                let times = numbers.len();
                format!("{times} times; {state} last {}, run {number}", moment(at))
            }
            [] => state.to_owned(),
        };
        Ok((name_of(catalog, run)?, value))
    };
    order.into_iter().map(one).collect()
}

fn is_failed(run: &Run) -> bool {
    matches!(run.state, RunState::Failed | RunState::Partial)
}

/// A table, unless it would be empty.
fn section(title: &str, rows: impl Iterator<Item = (String, String)>) -> Option<Section> {
    let mut rows: Vec<_> = rows.collect();
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    if more > 0 {
        rows.push((String::new(), format!("and {more} more")));
    }
    (!rows.is_empty()).then(|| Section {
        title: title.to_owned(),
        rows,
    })
}
