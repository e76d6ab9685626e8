//! Applies keep rules to points.

use jiff::{Timestamp, Zoned};

use crate::period::Stretch;
use crate::{
    Error, GroupKey, Grouping, KeepCount, KeepDuration, KeepReason, Period, RecoveryPoint, Result,
    Retention,
};

/// Whether a group may lose all its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovingAll {
    /// It is an error.
    Refused,
    /// Somebody asked for it.
    Allowed,
}

/// What becomes of a point.
#[derive(Debug)]
pub struct Decision<'a, T> {
    /// The point.
    pub point: &'a RecoveryPoint<T>,
    /// Every rule that keeps it, in restic's order; none for one to be removed.
    pub reasons: Vec<KeepReason>,
}

impl<T> Decision<'_, T> {
    /// Says whether the point stays.
    pub fn keep(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// The decisions of one group.
#[derive(Debug)]
pub struct GroupPlan<'a, T> {
    /// What its points have in common.
    pub group: GroupKey,
    /// One for each point, newest first.
    pub decisions: Vec<Decision<'a, T>>,
}

/// Decides about the points of one group; newest first, equal times in the given order.
///
/// `now` tells which points are in the future: durations do not count back from those.
///
/// Errors: `Invalid` if the retention has no rule, or all points would go, unless allowed.
pub fn apply<'a, T>(
    retention: &Retention,
    points: &'a [RecoveryPoint<T>],
    now: Timestamp,
    removing_all: RemovingAll,
) -> Result<Vec<Decision<'a, T>>> {
    let group = Grouping::NONE;
    let mut plans = plan(retention, group, points, now, removing_all)?;
    Ok(plans.pop().map(|plan| plan.decisions).unwrap_or_default())
}

/// Decides about all points, each among those of its group.
///
/// Errors: as for [`apply`], for the first group that would be emptied.
pub fn plan<'a, T>(
    retention: &Retention,
    grouping: Grouping,
    points: &'a [RecoveryPoint<T>],
    now: Timestamp,
    removing_all: RemovingAll,
) -> Result<Vec<GroupPlan<'a, T>>> {
    if retention.is_empty() && removing_all == RemovingAll::Refused {
        return Err(Error::no_rule());
    }
    let groups = grouping.split(points).into_iter().map(|(group, points)| {
        let decisions = decide(retention, points, now);
        let is_emptied = !decisions.iter().any(Decision::keep);
        if is_emptied && removing_all == RemovingAll::Refused {
            return Err(Error::nothing_kept(group, decisions.len()));
        }
        Ok(GroupPlan { group, decisions })
    });
    groups.collect()
}

fn decide<'a, T>(
    retention: &Retention,
    mut points: Vec<&'a RecoveryPoint<T>>,
    now: Timestamp,
) -> Vec<Decision<'a, T>> {
    points.sort_by_key(|point| std::cmp::Reverse(point.time.timestamp()));
    // The newest that is not in the future; of equal ones the first.
    let newest = points.iter().find(|point| point.time.timestamp() < now);
    let mut rules = Rules::new(retention, newest.map(|point| &point.time));
    let last = points.len().saturating_sub(1);
    let decide_one = |(number, point)| Decision {
        point,
        reasons: rules.reasons(point, number, number == last),
    };
    points.into_iter().enumerate().map(decide_one).collect()
}

/// All rules at work on one group, newest point first.
struct Rules<'r> {
    tags: &'r [Vec<String>],
    within: Option<Reach>,
    counted: Vec<CountedRule>,
    counted_within: Vec<CountedWithinRule>,
}

/// A duration and the moment it reaches back to.
#[derive(Clone, Copy)]
struct Reach {
    duration: KeepDuration,
    /// None if before all time.
    until: Option<Timestamp>,
}

struct CountedRule {
    period: Period,
    left: Option<u32>,
    latest: Option<Stretch>,
}

struct CountedWithinRule {
    period: Period,
    reach: Reach,
    latest: Option<Stretch>,
}

impl Reach {
    fn new(duration: KeepDuration, newest: Option<&Zoned>) -> Self {
        Self {
            duration,
            until: newest.and_then(|time| duration.before(time)),
        }
    }

    fn holds(self, time: &Zoned) -> bool {
        self.until.is_none_or(|until| time.timestamp() > until)
    }
}

impl<'r> Rules<'r> {
    fn new(retention: &'r Retention, newest: Option<&Zoned>) -> Self {
        let counted = retention
            .counts()
            .into_iter()
            .map(|(period, count)| CountedRule {
                period,
                left: match count {
                    KeepCount::Newest(count) => Some(count.get()),
                    KeepCount::Unlimited => None,
                },
                latest: None,
            });
        let durations = retention.durations().into_iter();
        let counted_within = durations.map(|(period, duration)| CountedWithinRule {
            period,
            reach: Reach::new(duration, newest),
            latest: None,
        });
        let within = retention.within();
        Self {
            tags: &retention.tags,
            within: within.map(|duration| Reach::new(duration, newest)),
            counted: counted.collect(),
            counted_within: counted_within.collect(),
        }
    }

    /// Every rule that keeps the next point; the last is the oldest of all.
    fn reasons<T>(
        &mut self,
        point: &RecoveryPoint<T>,
        number: usize,
        is_last: bool,
    ) -> Vec<KeepReason> {
        let time = &point.time;
        let tagged = self.tags.iter().filter(|tags| point.has_tags(tags));
        let mut reasons: Vec<_> = tagged.cloned().map(KeepReason::Tags).collect();
        let within = self.within.filter(|reach| reach.holds(time));
        reasons.extend(within.map(|reach| KeepReason::Within(reach.duration)));
        let counted = self.counted.iter_mut();
        reasons.extend(counted.filter_map(|rule| rule.reason(time, number, is_last)));
        let counted_within = self.counted_within.iter_mut();
        reasons.extend(counted_within.filter_map(|rule| rule.reason(time, number, is_last)));
        reasons
    }
}

impl CountedRule {
    fn reason(&mut self, time: &Zoned, number: usize, is_last: bool) -> Option<KeepReason> {
        if self.left == Some(0) {
            return None;
        }
        let stretch = self.period.stretch(time, number);
        let is_new = self.latest != Some(stretch);
        if !is_new && !is_last {
            return None;
        }
        self.latest = Some(stretch);
        self.left = self.left.map(|left| left - 1);
        Some(KeepReason::Counted {
            period: self.period,
            is_oldest: !is_new,
        })
    }
}

impl CountedWithinRule {
    fn reason(&mut self, time: &Zoned, number: usize, is_last: bool) -> Option<KeepReason> {
        let stretch = self.period.stretch(time, number);
        let is_new = self.latest != Some(stretch);
        if !self.reach.holds(time) || !is_new && !is_last {
            return None;
        }
        self.latest = Some(stretch);
        Some(KeepReason::CountedWithin {
            period: self.period,
            duration: self.reach.duration,
            is_oldest: !is_new,
        })
    }
}
