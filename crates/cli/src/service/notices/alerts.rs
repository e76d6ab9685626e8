//! Alerts of the catalog as people are told of them: with the reason, what to do, and a link.

use std::collections::BTreeMap;

use lifeboat_catalog::{Alert, AlertSeverity, Catalog, Task};
use lifeboat_notify::{Condition, Remedy, Severity, Subject};
use lifeboat_scheduler::{self as scheduler, Advice, advise_all};

use super::runs::shortened;
use crate::error::Result;

/// Alerts of which the reason is looked for; a notice of more has no room for it.
const REASONS_MAX: usize = 20;
/// Lines of a log that go along.
const LINES_MAX: u32 = 10;

/// Where the dashboard is, if people reach it.
pub(super) struct Links(Option<String>);

impl Links {
    pub(super) fn new(dashboard: Option<String>) -> Self {
        Self(dashboard)
    }

    /// A page of the dashboard.
    pub(super) fn page(&self, path: &str) -> Option<String> {
        let address = self.0.as_ref()?;
        Some(format!("{address}/{path}"))
    }

    pub(super) fn run(&self, number: i64) -> Option<String> {
        self.page(&format!("runs/{number}"))
    }
}

/// What holds, in words for people.
pub(super) fn conditions(
    catalog: &Catalog,
    settings: &scheduler::Settings,
    alerts: &[Alert],
    links: &Links,
) -> Result<Vec<Condition>> {
    let mut advised = advise_all(catalog, settings, alerts, REASONS_MAX)?;
    let mut conditions = Vec::with_capacity(alerts.len());
    for alert in alerts {
        let advice = advised.remove(&alert.id).unwrap_or_default();
        conditions.push(Condition {
            key: alert.subject.clone(),
            severity: severity(alert.severity),
            subject: Subject {
                site: alert.site.clone(),
                job: alert.job.clone(),
                machine: alert.machine.clone(),
                repository: alert.repository.clone(),
            },
            text: alert.text.clone(),
            details: details(catalog, &advice)?,
            remedies: remedies(&advice.remedies),
            since: alert.since,
            cleared: alert.cleared,
            link: links.page(&format!("alerts#alert-{}", alert.id)),
        });
    }
    Ok(conditions)
}

pub(super) fn severity(severity: AlertSeverity) -> Severity {
    match severity {
        AlertSeverity::Info => Severity::Info,
        AlertSeverity::Warning => Severity::Warning,
        AlertSeverity::Critical => Severity::Critical,
    }
}

/// Why, and what else the log of the task that failed has at its end.
fn details(catalog: &Catalog, advice: &Advice) -> Result<String> {
    let said = match &advice.task {
        Some(task) => log_end(catalog, task, LINES_MAX)?,
        None => Vec::new(),
    };
    let why = advice.why.iter().map(|why| shortened(why));
    Ok(why.chain(said).collect::<Vec<_>>().join("\n"))
}

/// The end of a task's log without what its message says; what is said again is counted.
pub(super) fn log_end(catalog: &Catalog, task: &Task, count: u32) -> Result<Vec<String>> {
    let log = catalog.log_end(task.id, count)?;
    let is_news = |line: &&str| task.message.as_deref() != Some(*line);
    let lines = log.iter().map(|it| it.line.as_str()).filter(is_news);
    Ok(once_each(lines))
}

/// Lines in their order, each once, with how often it was said.
pub(super) fn once_each<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for line in lines {
        let count = counts.entry(line).or_default();
        *count += 1;
        if *count == 1 {
            order.push(line);
        }
    }
    let counted = |line: &str| match counts[line] {
        1 => shortened(line),
        count => format!("{} ({count} times)", shortened(line)),
    };
    order.into_iter().map(counted).collect()
}

/// What to do, as notices carry it.
pub(super) fn remedies(advised: &[scheduler::Remedy]) -> Vec<Remedy> {
    let one = |it: &scheduler::Remedy| Remedy {
        text: it.text.clone(),
        command: it.command.clone(),
    };
    advised.iter().map(one).collect()
}
