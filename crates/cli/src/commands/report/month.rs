//! A month of the calendar, in the zone of this computer.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use lifeboat_model::ParseError;

use crate::error::{Error, Result};

/// From its first moment to the first one after it.
#[derive(Clone, Debug)]
pub(super) struct Month {
    first: Date,
    zone: TimeZone,
    pub(super) from: Timestamp,
    /// Where it ends, or now if that is sooner.
    pub(super) to: Timestamp,
    /// Whether it is over.
    pub(super) is_over: bool,
}

impl Month {
    /// Reads `2026-11`.
    ///
    /// Errors: another form, and months that have not begun.
    pub(super) fn parse(text: &str, now: Timestamp) -> Result<Self> {
        let wrong = |rule| ParseError::new("month", text, rule);
        let form = "write a year and a month, as in 2026-11";
        let (year, month) = text.split_once('-').ok_or_else(|| wrong(form))?;
        let year = year.parse().map_err(|_| wrong(form))?;
        let month = month.parse().map_err(|_| wrong(form))?;
        let first = Date::new(year, month, 1).map_err(|_| wrong(form))?;
        let month = Self::of(first, now)?;
        match month.from > now {
            true => Err(wrong("it has not begun").into()),
            false => Ok(month),
        }
    }

    /// The last one that is over.
    pub(super) fn before(now: Timestamp) -> Result<Self> {
        let today = now.to_zoned(TimeZone::system()).date();
        let before = today
            .first_of_month()
            .yesterday()
            .map_err(|e| unknown(&e))?;
        Self::of(before.first_of_month(), now)
    }

    fn of(first: Date, now: Timestamp) -> Result<Self> {
        let zone = TimeZone::system();
        let begin = |date: Date| -> Result<Timestamp> {
            Ok(date
                .to_zoned(zone.clone())
                .map_err(|e| unknown(&e))?
                .timestamp())
        };
        let next = first.checked_add(1.month()).map_err(|e| unknown(&e))?;
        let (from, end) = (begin(first)?, begin(next)?);
        Ok(Self {
            first,
            from,
            to: end.min(now),
            is_over: end <= now,
            zone,
        })
    }

    pub(super) fn holds(&self, at: Timestamp) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// Its days.
    pub(super) fn days(&self) -> usize {
        self.first.days_in_month().unsigned_abs().into()
    }

    /// The day of a moment inside it, from 0 on.
    pub(super) fn day(&self, at: Timestamp) -> usize {
        let day = at.to_zoned(self.zone.clone()).day();
        usize::from(day.unsigned_abs()).saturating_sub(1)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

fn unknown(error: &jiff::Error) -> Error {
    Error::usage(format!("the calendar has no such month: {error}"))
}
