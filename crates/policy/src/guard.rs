//! What holds beside the keep rules: pins, proofs, ages, and a brake against mass deletion.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::ParseError;

use crate::{
    Decision, Error, GroupPlan, Grouping, KeepReason, RecoveryPoint, RemovingAll, Result,
    Retention, plan,
};

/// The tag of a point that stays until the end of a day: `pinned-until=2027-01-31`.
pub const PIN: &str = "pinned-until=";

/// How much may be forgotten at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// This share of a machine's points: 1 to 100.
    Percent(u8),
    /// So many points of a machine.
    Points(u32),
}

/// Rules beside the keep rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Nothing older stays, except pins, spared points and the newest few.
    pub age_max: Option<Duration>,
    /// So many of the newest points stay, whatever the rules say.
    pub points_min: u32,
    /// More is not forgotten at once.
    pub at_most: Option<Brake>,
}

/// The last day on which a pin holds a point, if one of its tags is a pin.
pub fn pinned_until(tags: &[String]) -> Option<jiff::civil::Date> {
    let days = tags
        .iter()
        .filter_map(|tag| tag.strip_prefix(PIN)?.parse().ok());
    days.max()
}

/// Decides about all points, each among those of its group, by the keep rules and the guard;
/// `spares` says which points stay because they were proved to come back.
///
/// Errors: `Invalid` as for [`plan`], and if more would go than the brake allows.
pub fn plan_guarded<'a, T>(
    (retention, guard): (&Retention, &Guard),
    grouping: Grouping,
    points: &'a [RecoveryPoint<T>],
    now: Timestamp,
    spares: &dyn Fn(&T) -> bool,
) -> Result<Vec<GroupPlan<'a, T>>> {
    // What the rules leave without any point is saved by the guard, or refused below.
    let mut plans = plan(retention, grouping, points, now, RemovingAll::Allowed)?;
    if retention.is_empty() && guard.age_max.is_none() {
        return Err(Error::no_rule());
    }
    for group in &mut plans {
        for (number, decision) in group.decisions.iter_mut().enumerate() {
            guard.judge(retention, decision, (number, now), spares);
        }
        guard.refuse(group)?;
    }
    Ok(plans)
}

impl Guard {
    fn judge<T>(
        &self,
        retention: &Retention,
        decision: &mut Decision<'_, T>,
        (number, now): (usize, Timestamp),
        spares: &dyn Fn(&T) -> bool,
    ) {
        let point = decision.point;
        if retention.is_empty() {
            decision.reasons.push(KeepReason::Young);
        }
        let age = now.duration_since(point.time.timestamp());
        let limit = self
            .age_max
            .map(|age| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX));
        if limit.is_some_and(|limit| age > limit) {
            decision.reasons.clear();
        }
        let today = now.to_zoned(point.time.time_zone().clone()).date();
        if let Some(day) = pinned_until(&point.tags).filter(|day| *day >= today) {
            decision.reasons.push(KeepReason::Pinned(day));
        }
        if spares(&point.key) {
            decision.reasons.push(KeepReason::Proved);
        }
        if number < self.points_min as usize && decision.reasons.is_empty() {
            decision
                .reasons
                .push(KeepReason::AmongNewest(self.points_min));
        }
    }

    fn refuse<T>(&self, group: &GroupPlan<'_, T>) -> Result<()> {
        let all = group.decisions.len();
        let going = group.decisions.iter().filter(|it| !it.keep()).count();
        if going == all && all > 0 {
            return Err(Error::nothing_kept(group.group.clone(), all));
        }
        let is_too_many = match self.at_most {
            None => false,
            Some(Brake::Percent(share)) => going * 100 > all * usize::from(share),
            Some(Brake::Points(most)) => going > most as usize,
        };
        match (is_too_many, self.at_most) {
            (true, Some(brake)) => Err(Error::too_many(group.group.clone(), (going, all), brake)),
            _ => Ok(()),
        }
    }
}

impl FromStr for Brake {
    type Err = ParseError;

    /// Reads `50%` or `20`.
    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        let rule = "write a share as in 50%, or a number of points as in \"20\"";
        let wrong = || ParseError::new("limit", text, rule);
        match text.strip_suffix('%') {
            Some(share) => {
                let share = share.trim().parse().map_err(|_| wrong())?;
                let is_share = (1..=100).contains(&share);
                is_share.then_some(Self::Percent(share)).ok_or_else(wrong)
            }
            None => Ok(Self::Points(text.trim().parse().map_err(|_| wrong())?)),
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(share) => write!(f, "{share}%"),
            Self::Points(points) => write!(f, "{points}"),
        }
    }
}
