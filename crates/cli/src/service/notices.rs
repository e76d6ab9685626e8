//! Telling people what holds: from alerts and runs of the catalog to targets.

mod alerts;
mod digest;
mod rules;
mod runs;
mod sending;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Alert, Catalog, RunState};
use lifeboat_config::Config;
use lifeboat_control::Job;
use lifeboat_notify::{Acknowledgement, Condition, Router, State};
use lifeboat_policy::Schedule;
use lifeboat_scheduler::UNDELIVERED;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use alerts::Links;
use sending::{Attempt, Ended, Sending};

pub(crate) use rules::label;
pub(crate) use runs::exit_code;
pub(crate) use targets::send;

/// The note under which the state is kept.
const NOTE: &str = "notices";
/// The note under which failures are counted, by target.
const FAILURES: &str = "notice failures";
/// One node tells people; another does when it was not heard for so long.
const LEAD: Duration = Duration::from_secs(60);
/// How long a look waits for targets; what they say later is heard by the next one.
const WAIT: Duration = Duration::from_secs(5);
/// A digest that could not be written in time is left out after this.
const DIGEST_LATE: SignedDuration = SignedDuration::from_hours(6);
/// A digest tells at least of this time.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Tells people.
pub(crate) struct Notices {
    settings: Settings,
    sending: Sending,
    is_leading: bool,
}

/// What is configured.
struct Settings {
    router: Router,
    /// What is carried out: jobs with their repositories.
    carried_out: lifeboat_scheduler::Settings,
    targets: targets::Entries,
    digests: Vec<(String, Schedule, TimeZone)>,
    links: Links,
}

/// What is remembered between two looks.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Remembered {
    state: State,
    /// Runs with smaller numbers were told.
    runs_told: i64,
    /// Later runs whose beginning was told.
    begun: BTreeSet<i64>,
    /// Later runs that ended and were told.
    ended: BTreeSet<i64>,
    /// When digests were last looked at.
    digests: Option<Timestamp>,
}

impl Notices {
    /// Rules and targets as they are configured; nothing is sent yet.
    pub(crate) fn new(config: &Config<Job>) -> Result<Self> {
        Ok(Self {
            settings: Settings::new(config)?,
            sending: Sending::new(),
            is_leading: false,
        })
    }

    /// Goes on by other settings; what is on its way is still heard of.
    pub(crate) fn replace_settings(&mut self, fresh: Self) {
        self.settings = fresh.settings;
    }

    /// Remembers which runs were over before anybody told of runs; call it before any is carried
    /// out, or one that ends before the first look is told to nobody.
    pub(crate) fn begin(&self, catalog: &Catalog, node: &str) -> Result<()> {
        if !catalog.lead(NOTE, node, LEAD)? || catalog.note::<Remembered>(NOTE)?.is_some() {
            return Ok(());
        }
        Ok(catalog.set_note(NOTE, &remembered(catalog, catalog.now())?)?)
    }

    /// One look: what is new is told, what could not be told is tried again.
    ///
    /// `say` is told what does not arrive.
    pub(crate) fn look(
        &mut self,
        catalog: &Catalog,
        node: &str,
        say: &dyn Fn(String),
    ) -> Result<()> {
        if !catalog.lead(NOTE, node, LEAD)? {
            self.is_leading = false;
            return Ok(());
        }
        let now = catalog.now();
        let mut kept = remembered(catalog, now)?;
        if !std::mem::replace(&mut self.is_leading, true) {
            // Whoever was sending before is gone.
            kept.state.outbox.resume(now);
        }
        while let Some(attempt) = self.sending.heard(Duration::ZERO) {
            note(catalog, &mut kept, attempt, say)?;
        }
        self.settings.tell_runs(catalog, &mut kept, now)?;
        self.settings.tell_digests(catalog, &mut kept, now)?;
        let (conditions, seen) = self.settings.holding(catalog)?;
        let state = std::mem::take(&mut kept.state);
        let step = self.settings.router.step(state, now, &conditions, &seen);
        kept.state = step.state;
        // Kept before anything is sent: a crash tells twice under one id, never not at all.
        catalog.set_note(NOTE, &kept)?;
        show_undelivered(catalog, &kept)?;
        let notices = step.send.into_iter().map(|it| it.notice);
        let refused = self.sending.begin(&self.settings.targets, notices);
        for id in &refused {
            kept.state.outbox.returned(id, now);
        }
        if !refused.is_empty() {
            catalog.set_note(NOTE, &kept)?;
        }
        let began = Instant::now();
        while self.sending.is_busy()
            && let Some(attempt) = self.sending.heard(WAIT.saturating_sub(began.elapsed()))
        {
            note(catalog, &mut kept, attempt, say)?;
            catalog.set_note(NOTE, &kept)?;
        }
        Ok(())
    }
}

fn remembered(catalog: &Catalog, now: Timestamp) -> Result<Remembered> {
    Ok(match catalog.note::<Remembered>(NOTE)? {
        Some(remembered) => remembered,
        None => {
            let (runs_told, ended) = runs::over(catalog)?;
            Remembered {
                runs_told,
                ended,
                digests: Some(now),
                ..Remembered::default()
            }
        }
    })
}

/// Writes down what came of an attempt.
fn note(
    catalog: &Catalog,
    kept: &mut Remembered,
    attempt: Attempt,
    say: &dyn Fn(String),
) -> Result<()> {
    let (outbox, now) = (&mut kept.state.outbox, catalog.now());
    match attempt.ended {
        Ended::Delivered => outbox.delivered(&attempt.id, now),
        Ended::NotTried => outbox.returned(&attempt.id, now),
        Ended::Failed(error) => {
            count_failure(catalog, &attempt.target)?;
            say(format!("{error}; it is tried again"));
            outbox.failed(&attempt.id, now, &error);
        }
    }
    Ok(())
}

/// Lets targets that take no notices be alerts, which can be seen and acknowledged.
fn show_undelivered(catalog: &Catalog, kept: &Remembered) -> Result<()> {
    let shown: BTreeMap<String, String> = catalog.note(UNDELIVERED)?.unwrap_or_default();
    let found = kept.state.outbox.undeliverable();
    match found == shown {
        true => Ok(()),
        false => Ok(catalog.set_note(UNDELIVERED, &found)?),
    }
}

/// Counts for the metrics.
fn count_failure(catalog: &Catalog, target: &str) -> Result<()> {
    let mut failures: BTreeMap<String, u64> = catalog.note(FAILURES)?.unwrap_or_default();
    *failures.entry(target.to_owned()).or_default() += 1;
    Ok(catalog.set_note(FAILURES, &failures)?)
}

impl Settings {
    fn new(config: &Config<Job>) -> Result<Self> {
        let notifications = &config.notifications;
        let digests = notifications
            .routes
            .iter()
            .filter_map(|it| Some((it.name.clone(), it.digest.clone()?, it.zone.clone())));
        Ok(Self {
            router: Router::new(rules::rules(config))?,
            carried_out: super::settings(config),
            targets: targets::Entries::new(notifications.targets.clone()),
            digests: digests.collect(),
            links: Links::new(notifications.dashboard.clone()),
        })
    }

    /// What holds now, and who has seen what.
    fn holding(&self, catalog: &Catalog) -> Result<(Vec<Condition>, Vec<Acknowledgement>)> {
        let alerts = catalog.open_alerts()?;
        let seen = alerts.iter().filter_map(|alert: &Alert| {
            let by = alert.acknowledged.as_ref()?;
            Some(Acknowledgement {
                key: alert.subject.clone(),
                at: by.at,
                by: by.by.clone(),
            })
        });
        let seen = seen.collect();
        let undelivered = alerts.iter().filter(|it| it.condition == "notices");
        let undelivered: BTreeSet<String> = undelivered.map(|it| it.subject.clone()).collect();
        let mut conditions = alerts::conditions(catalog, &self.carried_out, &alerts, &self.links)?;
        // The router finds these by itself, and tells others of them.
        conditions.retain(|it| !undelivered.contains(&it.key));
        Ok((conditions, seen))
    }

    fn tell_runs(&self, catalog: &Catalog, kept: &mut Remembered, now: Timestamp) -> Result<()> {
        let runs = runs::after(catalog, kept.runs_told)?;
        for run in &runs {
            let is_over = run.state != RunState::Open;
            let known = if is_over {
                &mut kept.ended
            } else {
                &mut kept.begun
            };
            if known.insert(run.id.0) {
                let told = runs::told(catalog, run, &self.carried_out, &self.links)?;
                let state = std::mem::take(&mut kept.state);
                kept.state = self.router.run(state, now, &told);
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
        kept.begun.retain(|id| *id > told);
        kept.ended.retain(|id| *id > told);
        Ok(())
    }

    fn tell_digests(&self, catalog: &Catalog, kept: &mut Remembered, now: Timestamp) -> Result<()> {
        let since = kept.digests.unwrap_or(now);
        kept.digests = Some(now);
        for (name, schedule, zone) in &self.digests {
            let due = schedule.next(since, zone).filter(|due| *due <= now);
            if due.is_some_and(|due| now.duration_since(due) <= DIGEST_LATE) {
                let day = now.checked_sub(DAY).unwrap_or(now);
                let last = kept.state.last_digest(name);
                let since = last.map_or(day, |last| last.min(day));
                let digest = digest::digest(catalog, (since, now), &self.links)?;
                let state = std::mem::take(&mut kept.state);
                kept.state = self.router.digest(state, now, name, &digest);
            }
        }
        Ok(())
    }
}

impl From<lifeboat_notify::Error> for Error {
    fn from(error: lifeboat_notify::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
