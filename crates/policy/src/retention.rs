//! The rules what to keep.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use lifeboat_model::ParseError;

use crate::{KeepDuration, Period};

/// How many stretches a rule keeps a point of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeepCount {
    /// The newest so many that have a point.
    Newest(NonZeroU32),
    /// All that have a point.
    Unlimited,
}

impl KeepCount {
    /// The newest `count`; none for zero, which is no rule.
    pub fn newest(count: u32) -> Option<Self> {
        NonZeroU32::new(count).map(Self::Newest)
    }

    /// Reads a number or `unlimited`; zero is no rule.
    pub fn parse(text: &str) -> Result<Option<Self>, ParseError> {
        let rule = "write a number, or unlimited to keep all";
        match text.trim() {
            "unlimited" => Ok(Some(Self::Unlimited)),
            number => match u32::from_str(number) {
                Ok(count) => Ok(Self::newest(count)),
                Err(_) => Err(ParseError::new("number of points to keep", text, rule)),
            },
        }
    }
}

impl fmt::Display for KeepCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(count) => write!(f, "{count}"),
            Self::Unlimited => f.write_str("all"),
        }
    }
}

/// Keep rules; a point is kept when any of them keeps it.
///
/// Rules by count look only at stretches that have points: a machine that was off for a month
/// loses nothing. Rules by duration reach back from the newest point that is not in the future,
/// not from today: nothing is lost by time alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest points.
    pub last: Option<KeepCount>,
    /// The newest point of each hour.
    pub hourly: Option<KeepCount>,
    /// The newest point of each day.
    pub daily: Option<KeepCount>,
    /// The newest point of each week.
    pub weekly: Option<KeepCount>,
    /// The newest point of each month.
    pub monthly: Option<KeepCount>,
    /// The newest point of each year.
    pub yearly: Option<KeepCount>,
    /// All points that are so new.
    pub within: Option<KeepDuration>,
    /// The newest point of each hour so new.
    pub within_hourly: Option<KeepDuration>,
    /// The newest point of each day so new.
    pub within_daily: Option<KeepDuration>,
    /// The newest point of each week so new.
    pub within_weekly: Option<KeepDuration>,
    /// The newest point of each month so new.
    pub within_monthly: Option<KeepDuration>,
    /// The newest point of each year so new.
    pub within_yearly: Option<KeepDuration>,
    /// Points that have all tags of one of these lists; an empty tag stands for having none.
    pub tags: Vec<Vec<String>>,
}

impl Retention {
    /// Says whether no rule could keep anything.
    pub fn is_empty(&self) -> bool {
        let within = self.within();
        within.is_none()
            && self.counts().is_empty()
            && self.durations().is_empty()
            && self.tags.is_empty()
    }

    /// The rule that keeps all of a time, unless it spans none.
    pub(crate) fn within(&self) -> Option<KeepDuration> {
        self.within.filter(|duration| !duration.is_zero())
    }

    /// The rules that count stretches.
    pub(crate) fn counts(&self) -> Vec<(Period, KeepCount)> {
        let rules = [
            (Period::Each, self.last),
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ];
        let set = rules
            .into_iter()
            .filter_map(|(period, count)| Some((period, count?)));
        set.collect()
    }

    /// The rules that keep one point of each stretch of a time.
    pub(crate) fn durations(&self) -> Vec<(Period, KeepDuration)> {
        let rules = [
            (Period::Hour, self.within_hourly),
            (Period::Day, self.within_daily),
            (Period::Week, self.within_weekly),
            (Period::Month, self.within_monthly),
            (Period::Year, self.within_yearly),
        ];
        let set = rules
            .into_iter()
            .filter_map(|(period, duration)| Some((period, duration?)));
        set.filter(|(_, duration)| !duration.is_zero()).collect()
    }
}

impl fmt::Display for Retention {
    /// As in `keep 3 last, 7 daily, monthly within 1y, all within 2d, tags [a, b]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self
            .counts()
            .into_iter()
            .map(|(period, count)| format!("{count} {period}"));
        let durations = self.durations().into_iter();
        let durations = durations.map(|(period, duration)| format!("{period} within {duration}"));
        let within = self
            .within()
            .map(|duration| format!("all within {duration}"));
        let tags = self
            .tags
            .iter()
            .map(|tags| format!("tags [{}]", tags.join(", ")));
        let parts: Vec<_> = counts.chain(durations).chain(within).chain(tags).collect();
        if parts.is_empty() {
            return f.write_str("keep nothing");
        }
        write!(f, "keep {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_numbers_or_unlimited() {
        assert_eq!(KeepCount::parse("7"), Ok(KeepCount::newest(7)));
        assert_eq!(KeepCount::parse("0"), Ok(None));
        assert_eq!(
            KeepCount::parse("unlimited"),
            Ok(Some(KeepCount::Unlimited))
        );
        for text in ["", "-1", "all", "4294967296", "1.5"] {
            assert!(KeepCount::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_are_shown_in_one_line() {
        let retention = Retention {
            last: KeepCount::newest(3),
            yearly: Some(KeepCount::Unlimited),
            within: KeepDuration::parse("2d").ok(),
            within_monthly: KeepDuration::parse("1y").ok(),
            tags: vec![vec!["a".to_owned(), "b".to_owned()]],
            ..Retention::default()
        };
        let shown = "keep 3 last, all yearly, monthly within 1y, all within 2d, tags [a, b]";
        assert_eq!(retention.to_string(), shown);
        assert_eq!(Retention::default().to_string(), "keep nothing");
    }

    #[test]
    fn rules_that_keep_nothing_are_none() {
        let retention = Retention {
            within: KeepDuration::parse("0d").ok(),
            within_daily: KeepDuration::parse("0h").ok(),
            last: KeepCount::newest(0),
            ..Retention::default()
        };
        assert!(retention.is_empty());
    }
}
