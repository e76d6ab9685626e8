//! Telling people what holds: from alerts and runs of the catalog to targets.

mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Alert, AlertSeverity, Catalog, Run as CatalogRun, RunFilter, RunState};
use lifeboat_config::{Config, NoticeSeverity, PerRun, RouteEntry};
use lifeboat_control::Job;
use lifeboat_notify::{
    Acknowledgement, Condition, Digest, DigestRule, Escalation, Level, Outcome, Pattern, Route,
    Router, Rules, Run, RunRule, Section, Severity, State, Subject, Targets, When,
};
use lifeboat_policy::Schedule;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub(crate) use targets::targets;

/// The note under which the state is kept.
const NOTE: &str = "notices";
/// The note under which failures are counted, by target.
const FAILURES: &str = "notice failures";
/// One node tells people; another does when it was not heard for so long.
const LEAD: Duration = Duration::from_secs(60);
/// A digest that could not be written in time is left out after this.
const DIGEST_LATE: SignedDuration = SignedDuration::from_hours(6);

/// Tells people.
pub(crate) struct Notices {
    router: Router,
    targets: Targets,
    digests: Vec<(String, Schedule, jiff::tz::TimeZone)>,
    site: Option<String>,
}

/// What is remembered between two looks.
#[derive(Serialize, Deserialize, Default)]
struct Remembered {
    state: State,
    /// Runs with smaller numbers were told.
    runs_told: i64,
    /// Later runs that ended and were told.
    ended: BTreeSet<i64>,
    /// When digests were last looked at.
    digests: Option<Timestamp>,
}

impl Notices {
    /// Rules and targets as they are configured; nothing is sent yet.
    pub(crate) fn new(config: &Config<Job>) -> Result<Self> {
        let notifications = &config.notifications;
        let routes = notifications.routes.iter().enumerate();
        let named: Vec<(String, &RouteEntry)> = routes
            .map(|(number, it)| (format!("route {}", number + 1), it))
            .collect();
        let escalations = notifications
            .escalations
            .iter()
            .map(|(name, it)| Escalation {
                name: name.clone(),
                levels: it
                    .levels
                    .iter()
                    .map(|level| Level {
                        targets: level.to.clone(),
                        respond_within: level.respond_within,
                    })
                    .collect(),
            });
        let rules = Rules {
            label: config.site.clone().unwrap_or_else(|| "lifeboat".to_owned()),
            routes: named.iter().map(|(name, it)| route(name, it)).collect(),
            escalations: escalations.collect(),
            runs: named.iter().filter_map(|(_, it)| run_rule(it)).collect(),
            digests: named
                .iter()
                .filter(|(_, it)| it.digest.is_some())
                .map(|(name, it)| DigestRule {
                    name: name.clone(),
                    at: None,
                    zone: it.zone.clone(),
                    targets: it.to.clone(),
                })
                .collect(),
        };
        let digests = named
            .iter()
            .filter_map(|(name, it)| Some((name.clone(), it.digest.clone()?, it.zone.clone())));
        Ok(Self {
            digests: digests.collect(),
            router: Router::new(rules)?,
            targets: targets(notifications)?,
            site: config.site.clone(),
        })
    }

    /// One look: what is new is told, what could not be told is tried again.
    pub(crate) fn look(&self, catalog: &Catalog, node: &str) -> Result<()> {
        if !catalog.lead(NOTE, node, LEAD)? {
            return Ok(());
        }
        let now = catalog.now();
        let mut remembered = match catalog.note::<Remembered>(NOTE)? {
            Some(remembered) => remembered,
            None => Remembered {
                runs_told: newest_run(catalog)?,
                digests: Some(now),
                ..Remembered::default()
            },
        };
        self.tell_runs(catalog, &mut remembered, now)?;
        self.tell_digests(catalog, &mut remembered, now)?;
        let alerts = catalog.open_alerts()?;
        let conditions: Vec<Condition> = alerts.iter().map(condition).collect();
        let seen = alerts.iter().filter_map(|alert| {
            let by = alert.acknowledged.as_ref()?;
            Some(Acknowledgement {
                key: alert.subject.clone(),
                at: by.at,
                by: by.by.clone(),
            })
        });
        let seen: Vec<Acknowledgement> = seen.collect();
        let state = std::mem::take(&mut remembered.state);
        let step = self.router.step(state, now, &conditions, &seen);
        remembered.state = step.state;
        // Kept before anything is sent: a crash tells twice under one id, never not at all.
        catalog.set_note(NOTE, &remembered)?;
        for delivery in &step.send {
            let id = &delivery.notice.id;
            match self.targets.send(&delivery.notice) {
                Ok(()) => remembered.state.outbox.delivered(id, catalog.now()),
                Err(error) => {
                    count_failure(catalog, &delivery.notice.target)?;
                    let text = error.to_string();
                    remembered.state.outbox.failed(id, catalog.now(), &text);
                }
            }
        }
        match step.send.is_empty() {
            true => Ok(()),
            false => Ok(catalog.set_note(NOTE, &remembered)?),
        }
    }

    fn tell_runs(&self, catalog: &Catalog, kept: &mut Remembered, now: Timestamp) -> Result<()> {
        let filter = RunFilter {
            count: 10_000,
            ..RunFilter::default()
        };
        let mut runs = catalog.runs(&filter)?;
        runs.retain(|run| run.id.0 > kept.runs_told);
        runs.reverse();
        for run in runs.iter().filter(|run| run.state != RunState::Open) {
            if kept.ended.insert(run.id.0) {
                let state = std::mem::take(&mut kept.state);
                kept.state = self.router.run(state, now, &self.told_run(run));
            }
        }
        // Everything before the first open run is told.
        let first_open = runs.iter().find(|run| run.state == RunState::Open);
        kept.runs_told = match (first_open, runs.last()) {
            (Some(run), _) => run.id.0 - 1,
            (None, Some(run)) => run.id.0,
            (None, None) => kept.runs_told,
        };
        let told = kept.runs_told;
        kept.ended.retain(|id| *id > told);
        Ok(())
    }

    fn told_run(&self, run: &CatalogRun) -> Run {
        Run {
            id: run.id.to_string(),
            job: run.job.clone(),
            site: self.site.clone(),
            outcome: match run.state {
                RunState::Open => None,
                RunState::Succeeded => Some(Outcome::Success),
                _ => Some(Outcome::Failure),
            },
            began: run.created,
            ended: run.ended,
            text: format!("run {} of {}: {}", run.id, run.job, run.state),
            link: None,
        }
    }

    fn tell_digests(&self, catalog: &Catalog, kept: &mut Remembered, now: Timestamp) -> Result<()> {
        let since = kept.digests.unwrap_or(now);
        kept.digests = Some(now);
        for (name, schedule, zone) in &self.digests {
            let due = schedule.next(since, zone).filter(|due| *due <= now);
            if due.is_some_and(|due| now.duration_since(due) <= DIGEST_LATE) {
                let digest = digest(catalog, now)?;
                let state = std::mem::take(&mut kept.state);
                kept.state = self.router.digest(state, now, name, &digest);
            }
        }
        Ok(())
    }
}

/// Counts for the metrics.
fn count_failure(catalog: &Catalog, target: &str) -> Result<()> {
    let mut failures: BTreeMap<String, u64> = catalog.note(FAILURES)?.unwrap_or_default();
    *failures.entry(target.to_owned()).or_default() += 1;
    Ok(catalog.set_note(FAILURES, &failures)?)
}

fn newest_run(catalog: &Catalog) -> Result<i64> {
    let filter = RunFilter {
        count: 1,
        ..RunFilter::default()
    };
    Ok(catalog.runs(&filter)?.first().map_or(0, |run| run.id.0))
}

/// What happened in the last day.
fn digest(catalog: &Catalog, now: Timestamp) -> Result<Digest> {
    let day = now
        .checked_sub(SignedDuration::from_hours(24))
        .unwrap_or(now);
    let filter = RunFilter {
        since: Some(day),
        count: 10_000,
        ..RunFilter::default()
    };
    let runs = catalog.runs(&filter)?;
    let alerts = catalog.open_alerts()?;
    let failed = runs.iter().filter(|run| is_failed(run)).count();
    let rows = runs
        .iter()
        .filter(|run| is_failed(run))
        .take(50)
        .map(|run| {
            (
                format!("{} (run {})", run.job, run.id),
                run.state.to_string(),
            )
        });
    let open = alerts.iter().take(50);
    let open = open.map(|alert| (alert.subject.clone(), alert.text.clone()));
    Ok(Digest {
        summary: format!(
            "{} runs in the last day, {failed} not well; {} alerts are open",
            runs.len(),
            alerts.len()
        ),
        severity: match (failed, alerts.iter().map(|alert| alert.severity).max()) {
            (_, Some(severity)) => self::severity(severity),
            (0, None) => Severity::Info,
            _ => Severity::Warning,
        },
        sections: vec![
            Section {
                title: "Runs that did not end well".to_owned(),
                rows: rows.collect(),
            },
            Section {
                title: "Open alerts".to_owned(),
                rows: open.collect(),
            },
        ],
        link: None,
    })
}

fn is_failed(run: &CatalogRun) -> bool {
    matches!(run.state, RunState::Failed | RunState::Partial)
}

fn condition(alert: &Alert) -> Condition {
    Condition {
        key: alert.subject.clone(),
        severity: severity(alert.severity),
        subject: Subject {
            site: alert.site.clone(),
            job: alert.job.clone(),
            machine: alert.machine.clone(),
            repository: alert.repository.clone(),
        },
        text: alert.text.clone(),
        since: alert.since,
        cleared: alert.cleared,
        link: None,
    }
}

fn severity(severity: AlertSeverity) -> Severity {
    match severity {
        AlertSeverity::Info => Severity::Info,
        AlertSeverity::Warning => Severity::Warning,
        AlertSeverity::Critical => Severity::Critical,
    }
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(Pattern::new).collect()
}

fn route(name: &str, entry: &RouteEntry) -> Route {
    let severities = entry.severities.iter().map(|severity| match severity {
        NoticeSeverity::Info => Severity::Info,
        NoticeSeverity::Warning => Severity::Warning,
        NoticeSeverity::Critical => Severity::Critical,
    });
    Route {
        name: name.to_owned(),
        severities: severities.collect(),
        sites: patterns(&entry.sites),
        jobs: patterns(&entry.jobs),
        machines: patterns(&entry.machines),
        repositories: Vec::new(),
        targets: entry.to.clone(),
        escalation: entry.escalation.clone(),
        group_wait: entry.group_wait,
        repeat_every: Some(entry.repeat_every),
        per_hour: Some(entry.per_hour),
    }
}

fn run_rule(entry: &RouteEntry) -> Option<RunRule> {
    let when = match entry.per_run {
        PerRun::Never => return None,
        PerRun::Always => When::Always,
        PerRun::Failure => When::Failure,
    };
    Some(RunRule {
        sites: patterns(&entry.sites),
        jobs: patterns(&entry.jobs),
        when,
        beginnings: false,
        targets: entry.to.clone(),
    })
}

impl From<lifeboat_notify::Error> for Error {
    fn from(error: lifeboat_notify::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
