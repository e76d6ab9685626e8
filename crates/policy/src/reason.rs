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
        }
    }
}
