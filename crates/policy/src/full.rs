//! When a backup reads everything although it need not.

use std::fmt;

use jiff::Zoned;

/// What asks for a full read. Snapshots never depend on each other here; a full read guards
/// against platforms that lose track of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullRule {
    /// Increments are made at all.
    pub is_incremental: bool,
    /// The first run of these days reads everything; bit 0 is Monday.
    pub weekdays: u8,
    /// At the latest so many days after the last full read.
    pub days_max: Option<u32>,
    /// At the latest after so many increments in a row.
    pub increments_max: Option<u32>,
}

/// What is known of the machine's earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FullHistory {
    /// When everything was last read.
    pub last_full: Option<Zoned>,
    /// Increments since then.
    pub increments: u32,
}

/// Why a run reads everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullCause {
    /// Increments are switched off.
    Always,
    /// Nothing was ever read.
    First,
    /// It is the day for it.
    Weekday,
    /// The last one is so many days old, or older.
    Days(u32),
    /// So many increments were made.
    Increments(u32),
}

impl Default for FullRule {
    fn default() -> Self {
        Self {
            is_incremental: true,
            weekdays: 0,
            days_max: None,
            increments_max: None,
        }
    }
}

impl FullRule {
    /// Why a run at `now` is to read everything; none if an increment will do.
    pub fn cause(&self, now: &Zoned, history: &FullHistory) -> Option<FullCause> {
        if !self.is_incremental {
            return Some(FullCause::Always);
        }
        let Some(last) = &history.last_full else {
            return Some(FullCause::First);
        };
        let last_day = last.with_time_zone(now.time_zone().clone()).date();
        let is_day = self.weekdays >> now.weekday().to_monday_zero_offset() & 1 == 1;
        if is_day && last_day < now.date() {
            return Some(FullCause::Weekday);
        }
        let days = now.date().since(last_day).map_or(0, |span| span.get_days());
        let is_old = |max: &u32| i64::from(days) >= i64::from(*max);
        if let Some(max) = self.days_max.filter(is_old) {
            return Some(FullCause::Days(max));
        }
        let is_long = |max: &u32| history.increments >= *max;
        self.increments_max
            .filter(is_long)
            .map(FullCause::Increments)
    }
}

impl FullHistory {
    /// The same after a run at `now`.
    pub fn with(self, now: &Zoned, is_full: bool) -> Self {
        match is_full {
            true => Self {
                last_full: Some(now.clone()),
                increments: 0,
            },
            false => Self {
                increments: self.increments.saturating_add(1),
                ..self
            },
        }
    }
}

impl fmt::Display for FullCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("increments are switched off"),
            Self::First => f.write_str("nothing was read before"),
            Self::Weekday => f.write_str("the weekday for it"),
            Self::Days(1) => f.write_str("a day after the last"),
            Self::Days(days) => write!(f, "{days} days after the last"),
            Self::Increments(1) => f.write_str("after 1 increment"),
            Self::Increments(count) => write!(f, "after {count} increments"),
        }
    }
}
