//! What is wrong with an image, before it is known which file it is in.

use std::borrow::Cow;
use std::path::Path;

use lifeboat_model::ErrorKind;

use crate::Error;

/// A rule of the format that is broken, or a variant that is not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: ErrorKind,
    seen: Cow<'static, str>,
}

pub(crate) type Checked<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(crate) fn corrupt(seen: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::Corrupt,
            seen: seen.into(),
        }
    }

    pub(crate) fn unsupported(seen: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::Unsupported,
            seen: seen.into(),
        }
    }

    pub(crate) fn invalid(seen: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::Invalid,
            seen: seen.into(),
        }
    }

    pub(crate) fn of(self, doing: &'static str, path: &Path) -> Error {
        Error::new(self.kind, doing, path).seen(self.seen)
    }
}

/// Breaks off with `Corrupt` unless the rule holds.
pub(crate) fn require(holds: bool, seen: &'static str) -> Checked<()> {
    if holds {
        Ok(())
    } else {
        Err(Fault::corrupt(seen))
    }
}
