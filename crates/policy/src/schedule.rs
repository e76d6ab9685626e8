//! When something is to be done: moments of the civil calendar, in a time zone.
//!
//! All ways to write a schedule become the same rules: the simple words, cron's five fields,
//! systemd's calendar events, seven bits for Monday to Sunday.
//! Does not read a clock: whoever asks says after which moment.
//!
//! Clocks that change: a time that does not exist on a day is taken at the first moment after the
//! gap. A time that comes twice is taken once, the first time. A rule for every hour goes by the
//! hours that pass: it is taken both times, and not in a gap.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_model::ParseError;

mod cron;
mod field;
mod rule;
mod simple;
mod systemd;
mod timing;

use rule::Rule;

pub use timing::{Blackout, Due, Occurrence, Timing};

/// Reads days of the week; bit 0 is Monday.
///
/// Written as `daily`, `weekdays`, `weekends`, `sun`, `mon, thu`, or seven bits, Monday to Sunday.
pub fn parse_weekdays(text: &str) -> Result<u8, ParseError> {
    let rule = "write days as in sun, or mon, thu, or seven bits for Monday to Sunday";
    let lower = text.trim().to_ascii_lowercase();
    simple::days_of_week(&lower).ok_or_else(|| ParseError::new("list of weekdays", text, rule))
}

/// Finds a time zone by its name, as in `Europe/Berlin`.
pub fn parse_zone(name: &str) -> Result<TimeZone, ParseError> {
    let rule = "names are like Europe/Berlin, America/New_York or UTC";
    TimeZone::get(name).map_err(|_| ParseError::new("time zone", name, rule))
}

/// Moments, in no zone yet.
///
/// Written as `daily 02:00`, `weekdays 02:00, 14:00`, `weekly sun 03:00`, `biweekly sun 03:00`,
/// `monthly 1 02:00`, `monthly last fri 22:00`, `hourly`, `every 15m`, `days 1111100 02:00`,
/// `cron 0 2 * * 1-5`, `calendar Mon..Fri *-*-* 02:00`.
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    rules: Vec<Rule>,
    /// A zone that the text itself names, as calendar events may.
    zone: Option<TimeZone>,
}

impl Schedule {
    /// The first moment after `after`; none if there is none within sixty years.
    ///
    /// `zone` counts unless the text names one.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        let each = self.rules.iter();
        each.filter_map(|rule| rule.next(after, zone)).min()
    }

    /// All moments after `after`, in order.
    pub fn after<'a>(
        &'a self,
        after: Timestamp,
        zone: &'a TimeZone,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        std::iter::successors(self.next(after, zone), |last| self.next(*last, zone))
    }
}

impl FromStr for Schedule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let (rules, zone) = match word.to_ascii_lowercase().as_str() {
            "cron" => (cron::parse(rest)?, None),
            "calendar" => systemd::parse(rest)?,
            _ => (simple::parse(&text)?, None),
        };
        Ok(Self { text, rules, zone })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({})", self.text)
    }
}
