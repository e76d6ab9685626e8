//! How a retention is refused, and how a simulation is.

use std::fmt;

use lifeboat_model::ErrorKind;

use crate::{Brake, GroupKey};

/// The answer of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A retention that must not be applied without an explicit permission, or a simulation that
/// does not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    refusal: Refusal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    NoRule,
    NothingKept {
        group: GroupKey,
        count: usize,
    },
    TooMany {
        group: GroupKey,
        going: usize,
        all: usize,
        brake: Brake,
    },
    TooManyRuns {
        most: usize,
        days: i64,
    },
    TooManyLooks {
        days: i64,
    },
    Cancelled,
}

impl Error {
    pub(crate) fn no_rule() -> Self {
        Self {
            refusal: Refusal::NoRule,
        }
    }

    pub(crate) fn nothing_kept(group: GroupKey, count: usize) -> Self {
        Self {
            refusal: Refusal::NothingKept { group, count },
        }
    }

    pub(crate) fn too_many(group: GroupKey, (going, all): (usize, usize), brake: Brake) -> Self {
        Self {
            refusal: Refusal::TooMany {
                group,
                going,
                all,
                brake,
            },
        }
    }

    /// `days` are whole days that are within the limit.
    pub(crate) fn too_many_runs(most: usize, days: i64) -> Self {
        Self {
            refusal: Refusal::TooManyRuns { most, days },
        }
    }

    pub(crate) fn too_many_looks(days: i64) -> Self {
        Self {
            refusal: Refusal::TooManyLooks { days },
        }
    }

    pub(crate) fn cancelled() -> Self {
        Self {
            refusal: Refusal::Cancelled,
        }
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self.refusal {
            Refusal::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Invalid,
        }
    }

    /// The group that would lose all its points, if it is about one.
    pub fn group(&self) -> Option<&GroupKey> {
        match &self.refusal {
            Refusal::NothingKept { group, .. } | Refusal::TooMany { group, .. } => Some(group),
            Refusal::NoRule
            | Refusal::TooManyRuns { .. }
            | Refusal::TooManyLooks { .. }
            | Refusal::Cancelled => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refusal {
            Refusal::NoRule => f.write_str(
                "applying the retention: it has no rule and would keep nothing; name at least \
                 one, like keep_daily = 7 (typed: --keep-daily 7)",
            ),
            Refusal::NothingKept { group, count } => write!(
                f,
                "applying the retention to {group}: it would remove all {count} recovery points; \
                 add a rule that keeps some, or permit the removal of all explicitly"
            ),
            Refusal::TooMany {
                group,
                going,
                all,
                brake,
            } => write!(
                f,
                "applying the retention to {group}: it would remove {going} of {all} recovery \
                 points, more than {brake}; see which by 'lifeboat forget --job JOB --dry-run', \
                 then allow it with --allow-many"
            ),
            Refusal::TooManyRuns { most, days: 0 } => write!(
                f,
                "playing the schedule: one day of it would be more than {most} runs, and so many \
                 are played at most; ask for a schedule that begins less often"
            ),
            Refusal::TooManyRuns { most, days } => write!(
                f,
                "playing the schedule: this would be more than {most} runs, and so many are \
                 played at most; ask for fewer days, {days} at most"
            ),
            Refusal::TooManyLooks { days } => write!(
                f,
                "playing the schedule: the rules leave so many points that only {days} days can \
                 be played; ask for fewer days, or for rules that keep less"
            ),
            Refusal::Cancelled => f.write_str("playing the schedule: it was asked to stop"),
        }
    }
}

impl std::error::Error for Error {}
