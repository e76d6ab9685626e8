//! Stretches of the calendar of which a rule keeps one point each.

use std::fmt;

use jiff::Zoned;

/// How long a stretch is; by the clock that was shown where the point was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// No stretch: every point counts.
    Each,
    /// A clock hour. The hour that a clock shows twice in autumn counts once.
    Hour,
    /// A calendar day.
    Day,
    /// A week of ISO 8601, from Monday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// Equal for points of the same stretch.
pub(crate) type Stretch = [i64; 4];

impl Period {
    /// The stretch of the point that is `number`th in its list.
    pub(crate) fn stretch(self, time: &Zoned, number: usize) -> Stretch {
        let year = i64::from(time.year());
        let (month, day) = (i64::from(time.month()), i64::from(time.day()));
        match self {
            Self::Each => [number as i64, 0, 0, 0],
            Self::Hour => [year, month, day, i64::from(time.hour())],
            Self::Day => [year, month, day, 0],
            Self::Week => {
                let week = time.date().iso_week_date();
                [i64::from(week.year()), i64::from(week.week()), 0, 0]
            }
            Self::Month => [year, month, 0, 0],
            Self::Year => [year, 0, 0, 0],
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Each => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}
