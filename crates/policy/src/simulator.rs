//! What a schedule and rules will have made of a machine's recovery points.
//!
//! It decides with the very functions that runs use: [`Timing::after`], [`FullRule::cause`] and
//! [`plan_guarded`].

use jiff::{Timestamp, Zoned};

use crate::{
    FullCause, FullHistory, FullRule, Grouping, Guard, KeepReason, Occurrence, RecoveryPoint,
    Result, Retention, Timing, plan_guarded,
};

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
    /// Errors: `Invalid` if the rules would remove every point.
    pub fn play(
        &self,
        existing: &[RecoveryPoint<bool>],
        history: FullHistory,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<SimulatedPoint>> {
        let mut points: Vec<_> = existing.iter().map(before).collect();
        let mut alive: Vec<_> = existing.iter().enumerate().map(begun).collect();
        let mut history = history;
        let runs = self.timing.after(from, self.job);
        for occurrence in runs.take_while(|run| run.begins <= until) {
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
            self.forget(&mut points, &mut alive, occurrence.begins)?;
        }
        points.sort_by_key(|point| point.time.timestamp());
        Ok(points)
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
