//! How a retention is refused.

use std::fmt;

use lifeboat_model::ErrorKind;

use crate::GroupKey;

/// The answer of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A retention that must not be applied without an explicit permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    refusal: Refusal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    NoRule,
    NothingKept { group: GroupKey, count: usize },
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

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The group that would lose all its points, if it is about one.
    pub fn group(&self) -> Option<&GroupKey> {
        match &self.refusal {
            Refusal::NoRule => None,
            Refusal::NothingKept { group, .. } => Some(group),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refusal {
            Refusal::NoRule => f.write_str(
                "applying the retention: it has no rule and would keep nothing; name at least \
                 one, like daily = 7",
            ),
            Refusal::NothingKept { group, count } => write!(
                f,
                "applying the retention to {group}: it would remove all {count} recovery points; \
                 add a rule that keeps some, or permit the removal of all explicitly"
            ),
        }
    }
}

impl std::error::Error for Error {}
