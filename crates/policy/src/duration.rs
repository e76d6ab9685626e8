//! Spans of calendar time, as keep rules write them.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use lifeboat_model::ParseError;

/// Years, months, days and hours, as in `1y5m7d2h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeepDuration {
    /// Calendar years.
    pub years: u32,
    /// Calendar months.
    pub months: u32,
    /// Calendar days.
    pub days: u32,
    /// Hours of 3600 seconds.
    pub hours: u32,
}

impl KeepDuration {
    /// Reads `1y5m7d2h`: any order, no part twice.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let rule = "write years, months, days and hours like 1y5m7d2h";
        let wrong = || ParseError::new("keep duration", text, rule);
        let mut duration = Self::default();
        let mut seen = [false; 4];
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let (index, part) = match tail.as_bytes().first() {
                Some(b'y') => (0, &mut duration.years),
                Some(b'm') => (1, &mut duration.months),
                Some(b'd') => (2, &mut duration.days),
                Some(b'h') => (3, &mut duration.hours),
                _ => return Err(wrong()),
            };
            if std::mem::replace(&mut seen[index], true) {
                return Err(wrong());
            }
            *part = number.parse().map_err(|_| wrong())?;
            rest = &tail[1..];
        }
        Ok(duration)
    }

    /// Says whether it spans no time; such a rule keeps nothing.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The moment this long before `time`; none if that is before all representable time.
    ///
    /// Years, months and days are subtracted on the calendar of `time`'s zone, and days beyond
    /// a month's end run into the next month: one month before March 31 is March 3 (or 2).
    ///
    /// Source: Go's `Time.AddDate`, which restic uses.
    pub fn before(self, time: &Zoned) -> Option<Timestamp> {
        let date = time.date();
        let months = i64::from(date.year()) * 12 + i64::from(date.month())
            - 1
            - i64::from(self.years) * 12
            - i64::from(self.months);
        let year = i16::try_from(months.div_euclid(12)).ok()?;
        let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
        let days = i64::from(date.day()) - 1 - i64::from(self.days);
        let first = Date::new(year, month, 1).ok()?;
        let day = first.checked_add(Span::new().try_days(days).ok()?).ok()?;
        let moment = moment_of(day.to_datetime(time.time()), time.time_zone())?;
        moment
            .checked_sub(SignedDuration::from_hours(i64::from(self.hours)))
            .ok()
    }
}

/// The moment when clocks of a zone show `local`; where they skip or repeat it, Go's choice.
fn moment_of(local: jiff::civil::DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let as_utc = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let guess = zone.to_offset(as_utc);
    let near = as_utc.checked_sub(seconds_of(guess)).ok()?;
    as_utc.checked_sub(seconds_of(zone.to_offset(near))).ok()
}

fn seconds_of(offset: jiff::tz::Offset) -> SignedDuration {
    SignedDuration::from_secs(i64::from(offset.seconds()))
}

impl FromStr for KeepDuration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for KeepDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.years, "y"),
            (self.months, "m"),
            (self.days, "d"),
            (self.hours, "h"),
        ];
        if self.is_zero() {
            return f.write_str("0h");
        }
        let mut written = parts.iter().filter(|(number, _)| *number > 0);
        written.try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_follow_their_rule() {
        let parsed = |years, months, days, hours| KeepDuration {
            years,
            months,
            days,
            hours,
        };
        for (text, expected) in [
            ("1y5m7d2h", parsed(1, 5, 7, 2)),
            (" 37h ", parsed(0, 0, 0, 37)),
            ("2h1y", parsed(1, 0, 0, 2)),
            ("0d", parsed(0, 0, 0, 0)),
            ("4294967295d", parsed(0, 0, u32::MAX, 0)),
        ] {
            assert_eq!(KeepDuration::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            " ",
            "7",
            "d",
            "-1d",
            "1w",
            "1d2d",
            "4294967296d",
            "1y 2d",
            "٣d",
            "1dé",
            "1D",
        ] {
            assert!(KeepDuration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn calendars_are_counted_as_go_does() {
        let winter = "CET-1CEST,M3.5.0,M10.5.0/3";
        for (time, zone, back, expected) in [
            ("2024-03-31T12:00:00", "UTC0", "1m", "2024-03-02T12:00:00Z"),
            ("2023-03-31T12:00:00", "UTC0", "1m", "2023-03-03T12:00:00Z"),
            ("2024-02-29T00:00:00", "UTC0", "1y", "2023-03-01T00:00:00Z"),
            (
                "2024-01-01T00:30:00",
                "UTC0",
                "1d1h",
                "2023-12-30T23:30:00Z",
            ),
            ("2024-04-01T12:00:00", winter, "1d", "2024-03-31T10:00:00Z"),
            ("2024-04-01T12:00:00", winter, "2d", "2024-03-30T11:00:00Z"),
            ("2024-04-01T12:00:00", winter, "48h", "2024-03-30T10:00:00Z"),
            // Skipped by the clocks of that zone, and shown twice by them.
            ("2024-04-01T02:30:00", winter, "1d", "2024-03-31T01:30:00Z"),
            ("2024-10-28T02:30:00", winter, "1d", "2024-10-27T01:30:00Z"),
        ] {
            let zone = TimeZone::posix(zone).unwrap();
            let local: jiff::civil::DateTime = time.parse().unwrap();
            let zoned = local.to_zoned(zone).unwrap();
            let moment = KeepDuration::parse(back).unwrap().before(&zoned);
            assert_eq!(moment, Some(expected.parse().unwrap()), "{time} - {back}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(
            years in 0u32..99, months: u32, days in 0u32..99, hours: u32,
        ) {
            let duration = KeepDuration { years, months, days, hours };
            prop_assert_eq!(KeepDuration::parse(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn any_duration_reaches_back_or_before_all_time(
            years: u32, months: u32, days: u32, hours: u32,
            second in -9_999_999_999i64..99_999_999_999,
        ) {
            let time = Timestamp::from_second(second).unwrap().to_zoned(TimeZone::UTC);
            let duration = KeepDuration { years, months, days, hours };
            if let Some(moment) = duration.before(&time) {
                prop_assert!(moment <= time.timestamp() + SignedDuration::from_hours(72));
            }
        }
    }
}
