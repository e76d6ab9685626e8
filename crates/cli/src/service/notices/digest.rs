//! The summary of a time.

use jiff::Timestamp;
use lifeboat_catalog::{Catalog, Run, RunFilter, RunState};
use lifeboat_notify::{Digest, Section, Severity};

use super::alerts::{Links, severity};
use crate::error::Result;

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
    let rows = failed.iter().map(|run| {
        (
            format!("{} (run {})", run.job, run.id),
            run.state.to_string(),
        )
    });
    let open = alerts.iter().map(|alert| {
        let seen = alert.acknowledged.as_ref();
        let seen = seen.map_or(String::new(), |seen| format!(" (seen by {})", seen.by));
        let name = format!("alert {}", alert.id);
        (name, format!("{}{seen}", alert.text))
    });
    let hours = now.duration_since(since).as_hours();
    let summary = match (failed.len(), alerts.len()) {
        (0, 0) => format!("all is well: {} runs in {hours} h", runs.len()),
        (failed, alerts) => format!(
            "{failed} of {} runs in {hours} h did not end well, {alerts} alerts are open",
            runs.len()
        ),
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
