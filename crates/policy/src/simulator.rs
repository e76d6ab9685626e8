//! What a schedule and rules will have made of a machine's recovery points.
//!
//! It decides with the very functions that runs use: [`Timing::after`], [`FullRule::cause`] and
//! [`plan_guarded`].

use jiff::{Timestamp, Zoned};
use lifeboat_model::CancelToken;

use crate::{
    Error, FullCause, FullHistory, FullRule, Grouping, Guard, KeepCount, KeepReason, Occurrence,
    RecoveryPoint, Result, Retention, Timing, plan_guarded,
};

/// Limit: runs that are played.
const RUNS_MAX: usize = 20_000;
/// Limit: points that rules look at, those of each run counted anew; some seconds of a core.
const LOOKS_MAX: usize = 5_000_000;

/// What is played.
#[derive(Clone, Debug)]
pub struct Simulator<'a> {
    /// When runs begin.
    pub timing: &'a Timing,
    /// The job's name: it decides its share of the jitter.
    pub job: &'a str,
    /// What is kept; applied after every run.
    pub retention: &'a Retention,
    /// What holds beside the keep rules; its brake is not played.
    pub guard: &'a Guard,
    /// Which runs read everything.
    pub full: &'a FullRule,
}

/// A recovery point of the simulation.
#[derive(Clone, Debug)]
pub struct SimulatedPoint {
    /// Its time, in the zone of the schedule.
    pub time: Zoned,
    /// The run that made it; none for one that was there before.
    pub run: Option<SimulatedRun>,
    /// After which run it was removed; none for one that is there at the end.
    pub removed: Option<Timestamp>,
    /// Why it is there at the end.
    pub reasons: Vec<KeepReason>,
}

/// A run of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimulatedRun {
    /// When it was planned and began.
    pub occurrence: Occurrence,
    /// Why it read everything; none for an increment.
    pub full: Option<FullCause>,
}

impl Simulator<'_> {
    /// Plays all runs that begin after `from` and not after `until`; gives every point that was
    /// there at any time, in order of time.
    ///
    /// `existing` are the machine's points of today, of which none is in the future; the key of
    /// one says whether it was proved to come back, so that no rule removes it.
    ///
    /// Errors: `Invalid` if the rules would remove every point, and if it is more than 20,000
    /// runs, or 5,000,000 points that rules look at; `Cancelled`.
    pub fn play(
        &self,
        existing: &[RecoveryPoint<bool>],
        history: FullHistory,
        (from, until): (Timestamp, Timestamp),
        cancel: &CancelToken,
    ) -> Result<Vec<SimulatedPoint>> {
        let runs = self.runs(from, until)?;
        let keeps_all = self.retention.last == Some(KeepCount::Unlimited);
        let last = runs.len().saturating_sub(1);
        let mut points: Vec<_> = existing.iter().map(before).collect();
        let mut alive: Vec<_> = existing.iter().enumerate().map(begun).collect();
        let mut history = history;
        let mut looks = 0;
        for (number, occurrence) in runs.into_iter().enumerate() {
            let time = occurrence.begins.to_zoned(self.timing.zone.clone());
            let full = self.full.cause(&time, &history);
            history = history.with(&time, full.is_some());
            alive.push(RecoveryPoint {
                time: time.clone(),
                host: String::new(),
                paths: Vec::new(),
                tags: Vec::new(),
                key: (points.len(), false),
            });
            points.push(SimulatedPoint {
                time,
                run: Some(SimulatedRun { occurrence, full }),
                removed: None,
                reasons: Vec::new(),
            });
            // What no rule removes is looked at once, for the reasons.
            if keeps_all && number < last {
                continue;
            }
            looks += alive.len();
            if looks > LOOKS_MAX {
                return Err(Error::too_many_looks(days(from, occurrence.begins)));
            }
            if cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            self.forget(&mut points, &mut alive, occurrence.begins)?;
        }
        points.sort_by_key(|point| point.time.timestamp());
        Ok(points)
    }

    /// What begins after `from` and not after `until`, if it is not too much.
    fn runs(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Occurrence>> {
        let runs = self.timing.after(from, self.job);
        let runs = runs.take_while(|run| run.begins <= until);
        let runs: Vec<_> = runs.take(RUNS_MAX + 1).collect();
        match runs.get(RUNS_MAX) {
            Some(beyond) => Err(Error::too_many_runs(RUNS_MAX, days(from, beyond.begins))),
            None => Ok(runs),
        }
    }

    fn forget(
        &self,
        points: &mut [SimulatedPoint],
        alive: &mut Vec<RecoveryPoint<Key>>,
        now: Timestamp,
    ) -> Result<()> {
        // The point of this very run is not in the future.
        let after = now.checked_add(jiff::SignedDuration::from_secs(1));
        let after = after.unwrap_or(now);
        let guard = Guard {
            at_most: None,
            ..self.guard.clone()
        };
        let rules = (self.retention, &guard);
        let mut plans = plan_guarded(rules, Grouping::NONE, alive, after, &|key| key.1)?;
        let decisions = plans.pop().map(|plan| plan.decisions).unwrap_or_default();
        let mut kept = Vec::new();
        for decision in decisions {
            let Some(point) = points.get_mut(decision.point.key.0) else {
                continue;
            };
            match decision.keep() {
                true => kept.push(decision.point.clone()),
                false => point.removed = Some(now),
            }
            point.reasons = decision.reasons;
        }
        *alive = kept;
        Ok(())
    }
}

/// Whole days that end before a moment.
fn days(from: Timestamp, before: Timestamp) -> i64 {
    let seconds = before.duration_since(from).as_secs() - 1;
    seconds.max(0) / (24 * 3600)
}

/// Its number among all points, and whether it was proved.
type Key = (usize, bool);

/// All points are of one machine: only their times and tags decide.
fn begun((number, point): (usize, &RecoveryPoint<bool>)) -> RecoveryPoint<Key> {
    RecoveryPoint {
        time: point.time.clone(),
        host: String::new(),
        paths: Vec::new(),
        tags: point.tags.clone(),
        key: (number, point.key),
    }
}

fn before(point: &RecoveryPoint<bool>) -> SimulatedPoint {
    SimulatedPoint {
        time: point.time.clone(),
        run: None,
        removed: None,
        reasons: Vec::new(),
    }
}
