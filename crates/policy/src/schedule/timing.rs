//! From planned moments to the moments at which runs begin.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use lifeboat_model::ParseError;

use super::{Schedule, simple};

/// Limit: blackouts that follow each other without a gap, in days; beyond it nothing ever begins.
const BLACKOUT_DAYS_MAX: usize = 14;
/// Limit: missed moments that are counted one by one.
const MISSED_MAX: u64 = 100_000;

/// A schedule with everything that decides when its runs begin.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The planned moments.
    pub schedule: Schedule,
    /// The zone of their times.
    pub zone: TimeZone,
    /// Runs begin later by up to this, each job by its own share of it.
    pub jitter: Duration,
    /// A run that was missed, because nobody was there, begins as soon as somebody is. Without,
    /// one that is late by more than [`Timing::LATE_MAX`] is left out.
    pub is_caught_up: bool,
    /// Spans of the week in which nothing begins: runs wait for their end.
    pub blackouts: Vec<Blackout>,
}

/// A span of some days of the week in which no run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blackout {
    /// The days on which it begins; bit 0 is Monday.
    pub weekdays: u8,
    /// Its begin.
    pub from: Time,
    /// Its end, on the next day if it is not later than the begin.
    pub to: Time,
}

/// One planned moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// The moment of the schedule; it names the run.
    pub planned: Timestamp,
    /// The moment at which it begins, after jitter and blackouts.
    pub begins: Timestamp,
    /// Whether a blackout holds it up.
    pub is_held_up: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A run is due.
    Now {
        /// The newest moment that has come.
        occurrence: Occurrence,
        /// Older ones that have come since the last run and never began.
        missed: u64,
    },
    /// Nothing before this.
    Later(Occurrence),
    /// Nothing any more.
    Never,
}

impl Timing {
    /// How late a run may begin that is not caught up.
    pub const LATE_MAX: Duration = Duration::from_secs(15 * 60);

    /// A schedule in a zone; late runs are caught up.
    pub fn new(schedule: Schedule, zone: TimeZone) -> Self {
        Self {
            schedule,
            zone,
            jitter: Duration::ZERO,
            is_caught_up: true,
            blackouts: Vec::new(),
        }
    }

    /// The first occurrence whose planned moment is after `after`; `job` is its name.
    pub fn next(&self, after: Timestamp, job: &str) -> Option<Occurrence> {
        let planned = self.schedule.next(after, &self.zone)?;
        let delayed = planned.checked_add(self.delay(planned, job)).ok()?;
        let begins = self.after_blackouts(delayed)?;
        Some(Occurrence {
            planned,
            begins,
            is_held_up: begins != delayed,
        })
    }

    /// All occurrences whose planned moments are after `after`, in order of those.
    pub fn after<'a>(
        &'a self,
        after: Timestamp,
        job: &'a str,
    ) -> impl Iterator<Item = Occurrence> + 'a {
        std::iter::successors(self.next(after, job), move |last| {
            self.next(last.planned, job)
        })
    }

    /// What is to be done at `now`, if `last` is the planned moment of the newest run, or the
    /// moment from which on the job counts.
    pub fn due(&self, last: Timestamp, now: Timestamp, job: &str) -> Due {
        let Some(mut newest) = self.next(last, job) else {
            return Due::Never;
        };
        if newest.begins > now {
            return Due::Later(newest);
        }
        let mut missed = 0;
        while let Some(later) = self.next(newest.planned, job) {
            if later.begins > now || missed == MISSED_MAX {
                break;
            }
            newest = later;
            missed += 1;
        }
        let late = now.duration_since(newest.begins);
        if self.is_caught_up || late.unsigned_abs() <= Self::LATE_MAX {
            return Due::Now {
                occurrence: newest,
                missed,
            };
        }
        let later = self.next(newest.planned, job);
        later.map_or(Due::Never, Due::Later)
    }

    /// The share of the jitter that one run of a job gets: always the same one.
    fn delay(&self, planned: Timestamp, job: &str) -> SignedDuration {
        let most = i64::try_from(self.jitter.as_secs()).unwrap_or(i64::MAX);
        if most == 0 {
            return SignedDuration::ZERO;
        }
        let seconds = planned.as_second().to_le_bytes();
        let words = job.bytes().chain(seconds);
        // FNV-1a: spread, no secret.
        let digest = words.fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let share = i64::try_from((digest >> 16) % most.unsigned_abs()).unwrap_or(0);
        SignedDuration::from_secs(share)
    }

    /// When the blackouts end that `moment` is in; nothing if it is in none, or they never end.
    pub fn blackout_end(&self, moment: Timestamp) -> Option<Timestamp> {
        self.after_blackouts(moment).filter(|end| *end != moment)
    }

    fn after_blackouts(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut moment = moment;
        for _ in 0..BLACKOUT_DAYS_MAX * self.blackouts.len().max(1) {
            let ends = self.blackouts.iter();
            match ends.filter_map(|it| it.end_at(moment, &self.zone)).max() {
                Some(end) => moment = end,
                None => return Some(moment),
            }
        }
        None
    }
}

impl FromStr for Blackout {
    type Err = ParseError;

    /// Reads `22:00-04:00`, `weekdays 08:00-18:00`, `sat, sun 00:00-12:00`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = "write days and times as in weekdays 22:00-04:00; without days it is every day";
        simple::blackout(text).ok_or_else(|| ParseError::new("blackout", text, rule))
    }
}

impl Blackout {
    /// The end of the span, if `moment` is in it.
    fn end_at(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.to_datetime(moment);
        let today = local.date();
        let starts = [today.yesterday().ok(), Some(today)];
        let spans = starts.into_iter().flatten().filter_map(|day| {
            let is_day = self.weekdays >> offset(day.weekday()) & 1 == 1;
            let last = match self.to > self.from {
                true => day,
                false => day.checked_add(1.day()).ok()?,
            };
            let start = zone.to_timestamp(day.to_datetime(self.from)).ok()?;
            let end = zone.to_timestamp(last.to_datetime(self.to)).ok()?;
            (is_day && start <= moment && moment < end).then_some(end)
        });
        spans.max()
    }
}

fn offset(weekday: Weekday) -> i8 {
    weekday.to_monday_zero_offset()
}
