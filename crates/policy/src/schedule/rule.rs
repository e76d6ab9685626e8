//! Which days, and which times of them.

use jiff::civil::{Date, DateTime, Time, Weekday, time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Limit: days that are looked at for a day that fits. February 29 on a given weekday comes after
/// at most forty years.
const DAYS_MAX: usize = 366 * 60;
/// Clocks are put back by less than this.
const FOLD_MAX: SignedDuration = SignedDuration::from_hours(3);
/// All hours of a day.
const EVERY_HOUR: u32 = (1 << 24) - 1;

/// A set of days and a set of times: a moment fits when both fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) days: Days,
    pub(super) times: Times,
}

/// Days of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// Every one, where it is empty.
    pub(super) years: Vec<Years>,
    /// Bits 1 to 12.
    pub(super) months: u16,
    /// Bits 1 to 31.
    pub(super) of_month: u32,
    /// Bits 1 to 31, counted from the month's end: 1 is the last day.
    pub(super) from_end: u32,
    /// Bit 0 is Monday.
    pub(super) weekdays: u8,
    /// The n-th such weekday of the month, 1 to 5; -1 is the last.
    pub(super) nth: Vec<(Weekday, i8)>,
    /// A day fits by its number or its weekday; else by both.
    pub(super) is_either: bool,
    /// Only every n-th week, counted from that of a date.
    pub(super) weeks: Option<(i32, Date)>,
}

/// From a year to another, every n-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Years {
    pub(super) first: i16,
    pub(super) last: i16,
    pub(super) step: i16,
}

/// Times of a day: every combination of these hours, minutes and seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) hours: u32,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
}

impl Days {
    pub(super) const EVERY: Self = Self {
        years: Vec::new(),
        months: 0x1ffe,
        of_month: u32::MAX - 1,
        from_end: 0,
        weekdays: 0x7f,
        nth: Vec::new(),
        is_either: false,
        weeks: None,
    };

    fn fit(&self, date: Date) -> bool {
        let is_year = |years: &Years| {
            let since = i32::from(date.year()) - i32::from(years.first);
            date.year() <= years.last && since >= 0 && since % i32::from(years.step) == 0
        };
        if !(self.years.is_empty() || self.years.iter().any(is_year)) {
            return false;
        }
        if self.months >> date.month() & 1 == 0 || !self.fit_week(date) {
            return false;
        }
        let (of_month, of_week) = (self.fit_number(date), self.fit_weekday(date));
        match self.is_either {
            true => of_month || of_week,
            false => of_month && of_week,
        }
    }

    fn fit_number(&self, date: Date) -> bool {
        let left = date.days_in_month() - date.day() + 1;
        self.of_month >> date.day() & 1 == 1 || self.from_end >> left & 1 == 1
    }

    fn fit_weekday(&self, date: Date) -> bool {
        let weekday = date.weekday();
        let from_start = (date.day() - 1) / 7 + 1;
        let is_last = date.day() + 7 > date.days_in_month();
        let is_nth = |(day, nth): &(Weekday, i8)| {
            *day == weekday && (*nth == from_start || *nth == -1 && is_last)
        };
        self.weekdays >> weekday.to_monday_zero_offset() & 1 == 1 || self.nth.iter().any(is_nth)
    }

    fn fit_week(&self, date: Date) -> bool {
        let Some((every, anchor)) = self.weeks else {
            return true;
        };
        match (monday(anchor), monday(date)) {
            (Some(first), Some(this)) => {
                let days = this.since(first).map_or(0, |span| span.get_days());
                (days / 7).rem_euclid(every) == 0
            }
            _ => false,
        }
    }
}

fn monday(date: Date) -> Option<Date> {
    let days = date.weekday().to_monday_zero_offset();
    date.checked_sub(i64::from(days).days()).ok()
}

impl Times {
    /// One moment of the day.
    pub(super) fn at(hour: i8, minute: i8, second: i8) -> Self {
        Self {
            hours: 1 << hour,
            minutes: 1 << minute,
            seconds: 1 << second,
        }
    }

    /// The first time that is not before `from`.
    pub(super) fn first(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let start = u64::from(from.subsec_nanosecond() > 0);
        let in_minute = || bit_from(self.seconds, second as u64 + start);
        let in_hour = |first: u64| bit_from(self.minutes, first);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = in_minute()
            {
                return Some(time(hour, minute, second, 0));
            }
            if let Some(minute) = in_hour(minute as u64 + 1) {
                return Some(time(hour, minute, bit_from(self.seconds, 0)?, 0));
            }
        }
        let hour = bit_from(u64::from(self.hours), hour as u64 + 1)?;
        Some(time(hour, in_hour(0)?, bit_from(self.seconds, 0)?, 0))
    }
}

/// The lowest bit that is set and not below `start`.
fn bit_from(bits: u64, start: u64) -> Option<i8> {
    let left = bits.checked_shr(u32::try_from(start).ok()?)?;
    (left != 0).then(|| start as i8 + left.trailing_zeros() as i8)
}

impl Rule {
    /// The first moment after `after`.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.to_datetime(after);
        // Moments before this one come again only where clocks are put back.
        let from = match has_change(zone, after) {
            true => local.checked_sub(FOLD_MAX).unwrap_or(DateTime::MIN),
            false => local,
        };
        let is_hourly = self.times.hours == EVERY_HOUR;
        let mut best: Option<Timestamp> = None;
        for moment in self.moments(from) {
            let instants = Instants::of(moment, zone)?;
            // Order: the first instants of later moments are no earlier.
            if best.is_some_and(|best| instants.first >= best) {
                break;
            }
            let found = match is_hourly {
                true => {
                    [instants.first, instants.second].map(|it| (!instants.is_gap).then_some(it))
                }
                false => [Some(instants.first), None],
            };
            let found = found.into_iter().flatten().filter(|it| *it > after);
            best = best.into_iter().chain(found).min();
        }
        best
    }

    /// The moments of the civil calendar from `from` on, in order.
    fn moments(&self, from: DateTime) -> impl Iterator<Item = DateTime> + '_ {
        let dates = std::iter::successors(Some(from.date()), |date| date.tomorrow().ok());
        let fitting = dates.take(DAYS_MAX).filter(|date| self.days.fit(*date));
        fitting.flat_map(move |date| {
            let start = match date == from.date() {
                true => from.time(),
                false => Time::midnight(),
            };
            let next = |last: &Time| {
                let later = last.checked_add(1.second()).ok()?;
                self.times.first(later)
            };
            std::iter::successors(self.times.first(start), next)
                .map(move |time| date.to_datetime(time))
        })
    }
}

/// Whether clocks are put back or forward near a moment.
fn has_change(zone: &TimeZone, near: Timestamp) -> bool {
    let begin = near.checked_sub(FOLD_MAX).unwrap_or(Timestamp::MIN);
    let end = near.checked_add(FOLD_MAX).unwrap_or(Timestamp::MAX);
    let next = zone.following(begin).next();
    next.is_some_and(|change| change.timestamp() <= end)
        || zone.to_offset(begin) != zone.to_offset(end)
}

/// The instants of a civil moment: two where clocks are put back, else the same one twice.
struct Instants {
    first: Timestamp,
    second: Timestamp,
    /// The moment does not exist; this is the end of the gap.
    is_gap: bool,
}

impl Instants {
    fn of(moment: DateTime, zone: &TimeZone) -> Option<Self> {
        let is_gap = false;
        match zone.to_ambiguous_timestamp(moment).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                let first = offset.to_timestamp(moment).ok()?;
                let second = first;
                Some(Self {
                    first,
                    second,
                    is_gap,
                })
            }
            AmbiguousOffset::Fold { before, after } => {
                let first = before.to_timestamp(moment).ok()?;
                let second = after.to_timestamp(moment).ok()?;
                Some(Self {
                    first,
                    second,
                    is_gap,
                })
            }
            AmbiguousOffset::Gap { after, .. } => {
                let early = after.to_timestamp(moment).ok()?;
                let first = zone.following(early).next()?.timestamp();
                let second = first;
                Some(Self {
                    first,
                    second,
                    is_gap: true,
                })
            }
        }
    }
}
