//! How far apart runs of a schedule begin.
//!
//! A year that is always the same one is played: what is told of a file depends on nothing else.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_policy::Timing;

/// The first of September 2026: clocks change twice in the year after it, once in its first part.
const FROM: Timestamp = Timestamp::constant(1_788_220_800, 0);
const YEAR: SignedDuration = SignedDuration::from_hours(366 * 24);
/// What begins more often than every few days is played for a part of the year only.
const PART: SignedDuration = SignedDuration::from_hours(130 * 24);
const FEW: usize = 100;
/// Limit: runs that are played.
const RUNS_MAX: usize = 400;

/// The times between runs, without jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Between two moments of the schedule.
    pub(crate) shortest: Duration,
    /// Between the begins of two runs, which blackouts hold up.
    pub(crate) longest: Duration,
}

/// The gaps of a schedule; none for one that does not begin twice.
pub(crate) fn gaps(timing: &Timing) -> Option<Gaps> {
    let plain = Timing {
        jitter: Duration::ZERO,
        ..timing.clone()
    };
    let runs = plain.after(FROM, "").take(RUNS_MAX).enumerate();
    let runs = runs.take_while(|(number, run)| {
        let played = run.planned.duration_since(FROM);
        *number < 3 || played < if *number < FEW { YEAR } else { PART }
    });
    let runs: Vec<_> = runs.map(|(_, run)| run).collect();
    let pairs = || runs.iter().zip(runs.iter().skip(1));
    let planned = pairs().map(|(one, next)| next.planned.duration_since(one.planned));
    let begins = pairs().map(|(one, next)| next.begins.duration_since(one.begins));
    Some(Gaps {
        shortest: planned.min()?.unsigned_abs(),
        longest: begins.max()?.unsigned_abs(),
    })
}

/// Whether blackouts leave no time for any run.
pub(crate) fn is_never(timing: &Timing) -> bool {
    let is_planned = timing.schedule.next(FROM, &timing.zone).is_some();
    is_planned && timing.next(FROM, "").is_none()
}

/// A span as it is written: `2d1h`, to the minute.
pub(crate) fn written(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    let parts = [
        (minutes / 1440, 'd'),
        (minutes / 60 % 24, 'h'),
        (minutes % 60, 'm'),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    parts
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect()
}
