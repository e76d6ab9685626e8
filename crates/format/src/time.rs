//! Times as Go writes them: RFC 3339 with up to nine digits of a second, and the zone's offset.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Timestamp, Zoned};
use lifeboat_model::ParseError;

/// A moment and the offset it was written with; written again it gives the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoTime {
    timestamp: Timestamp,
    offset_minutes: i32,
}

impl GoTime {
    /// The moment.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The moment in the zone it was written in.
    pub fn zoned(&self) -> Zoned {
        let offset = Offset::from_seconds(self.offset_minutes * 60).unwrap_or(Offset::UTC);
        self.timestamp.to_zoned(offset.to_time_zone())
    }
}

impl Default for GoTime {
    /// Go's zero time.
    fn default() -> Self {
        let zero = jiff::civil::date(1, 1, 1).at(0, 0, 0, 0);
        let timestamp = Offset::UTC.to_timestamp(zero).unwrap_or(Timestamp::MIN);
        Self {
            timestamp,
            offset_minutes: 0,
        }
    }
}

impl From<Timestamp> for GoTime {
    fn from(timestamp: Timestamp) -> Self {
        Self {
            timestamp,
            offset_minutes: 0,
        }
    }
}

impl From<Zoned> for GoTime {
    fn from(zoned: Zoned) -> Self {
        Self {
            timestamp: zoned.timestamp(),
            offset_minutes: zoned.offset().seconds() / 60,
        }
    }
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = Offset::from_seconds(self.offset_minutes * 60).unwrap_or(Offset::UTC);
        let local = offset.to_datetime(self.timestamp);
        write!(
            f,
            "{:04}-{:02}-{:02}T",
            local.year(),
            local.month(),
            local.day()
        )?;
        write!(
            f,
            "{:02}:{:02}:{:02}",
            local.hour(),
            local.minute(),
            local.second()
        )?;
        if local.subsec_nanosecond() != 0 {
            let digits = format!("{:09}", local.subsec_nanosecond());
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl FromStr for GoTime {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = "write it like 2026-11-20T03:00:00.5+01:00";
        let wrong = || ParseError::new("time", text, rule);
        if text.len() > 40 || !text.is_ascii() {
            return Err(wrong());
        }
        let (local, offset_minutes) = match text.strip_suffix('Z') {
            Some(local) => (local, 0),
            None => {
                let (local, offset) = text.split_at(text.len().checked_sub(6).ok_or_else(wrong)?);
                (local, parse_offset(offset).ok_or_else(wrong)?)
            }
        };
        let local: DateTime = local.parse().map_err(|_| wrong())?;
        let offset = Offset::from_seconds(offset_minutes * 60).map_err(|_| wrong())?;
        let timestamp = offset.to_timestamp(local).map_err(|_| wrong())?;
        Ok(Self {
            timestamp,
            offset_minutes,
        })
    }
}

/// Minutes of an offset like `+01:30`.
fn parse_offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes() {
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let hours: i32 = text.get(1..3)?.parse().ok()?;
    let minutes: i32 = text.get(4..6)?.parse().ok()?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

impl serde::Serialize for GoTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for GoTime {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
