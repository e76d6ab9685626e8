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

/// A recovery point that is there when the play begins.
#[derive(Clone, Debug)]
pub struct PointBefore {
    /// Its time.
    pub time: Zoned,
    /// Its tags: rules and pins may go by them.
    pub tags: Vec<String>,
    /// Whether it stays because it was proved to come back.
    pub is_spared: bool,
}

impl From<Zoned> for PointBefore {
    fn from(time: Zoned) -> Self {
        Self {
            time,
            tags: Vec::new(),
            is_spared: false,
        }
    }
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
    /// `existing` are the machine's points of today, of which none is in the future.
    ///
    /// Errors: `Invalid` if the rules would remove every point.
    pub fn play(
        &self,
        existing: &[Zoned],
        history: FullHistory,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<SimulatedPoint>> {
        let existing: Vec<_> = existing.iter().cloned().map(PointBefore::from).collect();
        self.play_from(&existing, history, (from, until))
    }

    /// The same from points of which more is known than their times.
    ///
    /// Errors: as [`Simulator::play`].
    pub fn play_from(
        &self,
        existing: &[PointBefore],
        history: FullHistory,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<SimulatedPoint>> {
        let mut points: Vec<_> = existing.iter().map(before).collect();
        let spared: Vec<bool> = existing.iter().map(|point| point.is_spared).collect();
        let mut alive: Vec<RecoveryPoint<usize>> = Vec::new();
        for (key, point) in existing.iter().enumerate() {
            alive.push(RecoveryPoint {
                tags: point.tags.clone(),
                ..self.recovery_point(&point.time, key)
            });
        }
        let mut history = history;
        let runs = self.timing.after(from, self.job);
        for occurrence in runs.take_while(|run| run.begins <= until) {
            let time = occurrence.begins.to_zoned(self.timing.zone.clone());
            let full = self.full.cause(&time, &history);
            history = history.with(&time, full.is_some());
            alive.push(self.recovery_point(&time, points.len()));
            points.push(SimulatedPoint {
                time,
                run: Some(SimulatedRun { occurrence, full }),
                removed: None,
                reasons: Vec::new(),
            });
            self.forget((&mut points, &spared), &mut alive, occurrence.begins)?;
        }
        points.sort_by_key(|point| point.time.timestamp());
        Ok(points)
    }

    fn recovery_point(&self, time: &Zoned, key: usize) -> RecoveryPoint<usize> {
        RecoveryPoint {
            time: time.clone(),
            host: String::new(),
            paths: Vec::new(),
            tags: Vec::new(),
            key,
        }
    }

    fn forget(
        &self,
        (points, spared): (&mut [SimulatedPoint], &[bool]),
        alive: &mut Vec<RecoveryPoint<usize>>,
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
        let spares = |key: &usize| spared.get(*key).copied().unwrap_or(false);
        let mut plans = plan_guarded(rules, Grouping::NONE, alive, after, &spares)?;
        let decisions = plans.pop().map(|plan| plan.decisions).unwrap_or_default();
        let mut kept = Vec::new();
        for decision in decisions {
            let Some(point) = points.get_mut(decision.point.key) else {
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

fn before(point: &PointBefore) -> SimulatedPoint {
    SimulatedPoint {
        time: point.time.clone(),
        run: None,
        removed: None,
        reasons: Vec::new(),
    }
}
