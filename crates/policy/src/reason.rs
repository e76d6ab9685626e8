//! Why a point is kept.

use std::fmt;

use crate::{KeepDuration, Period};

/// One rule that keeps a point; shown as restic words it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeepReason {
    /// It has all these tags.
    Tags(Vec<String>),
    /// It is no older than this before the newest.
    Within(KeepDuration),
    /// It is among the newest of as many stretches as the rule counts.
    Counted {
        /// The rule.
        period: Period,
        /// Kept only as the oldest of all while the rule had counts left.
        is_oldest: bool,
    },
    /// It is the newest of its stretch and no older than this before the newest of all.
    CountedWithin {
        /// The rule.
        period: Period,
        /// How far back it reaches.
        duration: KeepDuration,
        /// Kept only as the oldest of all.
        is_oldest: bool,
    },
    /// A pin holds it until the end of this day.
    Pinned(jiff::civil::Date),
    /// It is the newest that was proved to come back.
    Proved,
    /// It is among so many newest, which always stay.
    AmongNewest(u32),
    /// It is not too old, and there is no other rule.
    Young,
}

fn oldest(is_oldest: bool) -> &'static str {
    if is_oldest { "oldest " } else { "" }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tags(tags) => write!(f, "has tags [{}]", tags.join(", ")),
            Self::Within(duration) => write!(f, "within {duration}"),
            Self::Counted { period, is_oldest } => {
                write!(f, "{}{period} snapshot", oldest(*is_oldest))
            }
            Self::CountedWithin {
                period,
                duration,
                is_oldest,
            } => write!(f, "{}{period} within {duration}", oldest(*is_oldest)),
            Self::Pinned(day) => write!(f, "pinned until {day}"),
            Self::Proved => f.write_str("newest proved to come back"),
            Self::AmongNewest(1) => f.write_str("newest"),
            Self::AmongNewest(count) => write!(f, "among the newest {count}"),
            Self::Young => f.write_str("young enough"),
        }
    }
}
