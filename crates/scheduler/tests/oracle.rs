//! What keep rules keep, told a second time and as plainly as possible.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Numbers of days, weeks and months whose newest points stay, and days in which all stay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) daily: usize,
    pub(crate) weekly: usize,
    pub(crate) monthly: usize,
    pub(crate) within_days: i64,
}

/// The points that stay, of one machine's points in any order.
pub(crate) fn kept(points: &[Timestamp], rules: Rules, zone: &TimeZone) -> BTreeSet<Timestamp> {
    let mut all: Vec<Timestamp> = points.to_vec();
    all.sort_unstable();
    all.reverse();
    let local = |at: &Timestamp| at.to_zoned(zone.clone());
    let day = |at: &Timestamp| local(at).date();
    let week = |at: &Timestamp| {
        let date = day(at);
        // The Monday before.
        date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
            .unwrap()
    };
    let month = |at: &Timestamp| day(at).first_of_month();
    let mut kept = BTreeSet::new();
    kept.extend(newest_of_each(&all, day, rules.daily));
    kept.extend(newest_of_each(&all, week, rules.weekly));
    kept.extend(newest_of_each(&all, month, rules.monthly));
    if let Some(newest) = all.first()
        && rules.within_days > 0
    {
        let from = local(newest).checked_sub(rules.within_days.days()).unwrap();
        kept.extend(all.iter().filter(|at| **at > from.timestamp()));
    }
    kept
}

/// The newest point of each of the newest `count` stretches that have one; while there are fewer
/// stretches the oldest point stays too.
fn newest_of_each(
    newest_first: &[Timestamp],
    stretch: impl Fn(&Timestamp) -> Date,
    count: usize,
) -> Vec<Timestamp> {
    let mut kept = Vec::new();
    let mut last = None;
    for at in newest_first {
        if kept.len() < count && last != Some(stretch(at)) {
            last = Some(stretch(at));
            kept.push(*at);
        }
    }
    let oldest = newest_first.last();
    if kept.len() < count {
        kept.extend(oldest);
    }
    kept
}
