//! Times as Go writes them: RFC 3339 with up to nine digits of a second, and the zone's offset.
//!
//! Does not know zones or clocks.
//!
//! Not a `jiff::Timestamp` inside, for files carry times that it cannot hold: restic writes any
//! year from 0 to 9999 to its last second, under offsets that were cut to minutes.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::tz::Offset;
use jiff::{Timestamp, Zoned};
use lifeboat_model::ParseError;

/// A moment and the offset it was written with; written again it gives the same bytes.
///
/// To the nanosecond, in the years 0 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoTime {
    /// Seconds of the written (local) time since 1970-01-01T00:00:00 of the same offset.
    local_seconds: i64,
    nanoseconds: u32,
    offset_minutes: i16,
}

const DAY_SECONDS: i64 = 86_400;
/// 0000-01-01T00:00:00 and 9999-12-31T23:59:59, as seconds since 1970.
const LOCAL_SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl GoTime {
    /// What Go writes for a time that was never set: 0001-01-01T00:00:00Z.
    const UNSET: Self = Self {
        local_seconds: -62_135_596_800,
        nanoseconds: 0,
        offset_minutes: 0,
    };

    /// The moment; the nearest that `jiff` can hold for the last days of the year 9999.
    pub fn timestamp(&self) -> Timestamp {
        let seconds = self.unix_seconds();
        let edge = if seconds < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        let nanoseconds = i32::try_from(self.nanoseconds).unwrap_or(0);
        Timestamp::new(seconds, nanoseconds).unwrap_or(edge)
    }

    /// The moment in the zone it was written in.
    pub fn zoned(&self) -> Zoned {
        let seconds = i32::from(self.offset_minutes) * 60;
        let offset = Offset::from_seconds(seconds).unwrap_or(Offset::UTC);
        self.timestamp().to_zoned(offset.to_time_zone())
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    fn unix_seconds(&self) -> i64 {
        self.local_seconds - i64::from(self.offset_minutes) * 60
    }

    /// The moment under an offset; years outside 0 to 9999 become the nearest edge.
    fn at(timestamp: Timestamp, offset_minutes: i16) -> Self {
        let nanoseconds = timestamp.subsec_nanosecond();
        let borrow = i32::from(nanoseconds < 0);
        let seconds = timestamp.as_second() - i64::from(borrow);
        let local_seconds = seconds + i64::from(offset_minutes) * 60;
        Self {
            local_seconds: local_seconds.clamp(*LOCAL_SECONDS.start(), *LOCAL_SECONDS.end()),
            nanoseconds: u32::try_from(nanoseconds + borrow * 1_000_000_000).unwrap_or(0),
            offset_minutes,
        }
    }

    /// Appends the text: nanoseconds without trailing zeros, `Z` for UTC.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let (year, month, day) = civil_from_days(self.local_seconds.div_euclid(DAY_SECONDS));
        let clock = self.local_seconds.rem_euclid(DAY_SECONDS);
        push_digits(out, year, 4);
        for (mark, part) in [
            (b'-', month),
            (b'-', day),
            (b'T', clock / 3600),
            (b':', clock / 60 % 60),
            (b':', clock % 60),
        ] {
            out.push(mark);
            push_digits(out, part, 2);
        }
        if self.nanoseconds != 0 {
            out.push(b'.');
            push_digits(out, i64::from(self.nanoseconds), 9);
            let zeros = out.iter().rev().take_while(|digit| **digit == b'0');
            out.truncate(out.len() - zeros.count());
        }
        if self.offset_minutes == 0 {
            return out.push(b'Z');
        }
        out.push(if self.offset_minutes < 0 { b'-' } else { b'+' });
        let minutes = i64::from(self.offset_minutes.unsigned_abs());
        push_digits(out, minutes / 60, 2);
        out.push(b':');
        push_digits(out, minutes % 60, 2);
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_first_chunk::<19>()?;
        let number = |at: usize, count: usize| decimal(&date[at..at + count]);
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| date[*at] != *mark) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let date_is_real =
            (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
        if !date_is_real || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (nanoseconds, zone) = parse_fraction(rest)?;
        let clock = i64::from(hour * 3600 + minute * 60 + second);
        Some(Self {
            local_seconds: days_from_civil(year, month, day) * DAY_SECONDS + clock,
            nanoseconds,
            offset_minutes: parse_zone(zone)?,
        })
    }
}

/// Nanoseconds and what follows them; digits beyond the ninth are dropped.
fn parse_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = digits
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .count();
    let (digits, zone) = digits.split_at(count);
    let kept = &digits[..count.min(9)];
    let scale = 10u32.pow(u32::try_from(9 - kept.len()).ok()?);
    Some((decimal(kept)? * scale, zone))
}

fn parse_zone(text: &[u8]) -> Option<i16> {
    let (sign, hours, minutes) = match text {
        b"Z" => return Some(0),
        [sign, h1, h2, b':', m1, m2] => (sign, decimal(&[*h1, *h2])?, decimal(&[*m1, *m2])?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = i16::try_from(hours * 60 + minutes).ok()?;
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// Appends the last `count` decimal digits, at most nine.
fn push_digits(out: &mut Vec<u8>, number: i64, count: u32) {
    out.extend((0..count).rev().map(|place| {
        let digit = number / 10i64.pow(place) % 10;
        b'0' + u8::try_from(digit).unwrap_or(0)
    }));
}

/// At most nine digits, at least one.
fn decimal(digits: &[u8]) -> Option<u32> {
    let sound = !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    sound.then(|| {
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    })
}

fn month_days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that start in March.
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl Default for GoTime {
    /// Go's zero time.
    fn default() -> Self {
        Self::UNSET
    }
}

impl From<Timestamp> for GoTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::at(timestamp, 0)
    }
}

impl From<Zoned> for GoTime {
    fn from(zoned: Zoned) -> Self {
        let minutes = i16::try_from(zoned.offset().seconds() / 60).unwrap_or(0);
        Self::at(zoned.timestamp(), minutes)
    }
}

impl Ord for GoTime {
    /// By moment; equal moments by offset.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |time: &Self| (time.unix_seconds(), time.nanoseconds, time.offset_minutes);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for GoTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for GoTime {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text.as_bytes()).ok_or_else(|| {
            ParseError::new("time", text, "write it like 2026-11-20T03:00:00.5+01:00")
        })
    }
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(40);
        self.write(&mut text);
        f.pad(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for GoTime {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for GoTime {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
