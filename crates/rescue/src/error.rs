//! What can go wrong with a rescue VM, and at which file.

use std::borrow::Cow;
use std::fmt;

use lifeboat_model::ErrorKind;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An operation that failed: what was done, to what, and what was seen.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: &'static str,
    object: String,
    seen: Cow<'static, str>,
    source: Option<Cause>,
}

impl Error {
    /// Begins an error. `doing` is a participle as in "starting"; `object` a file, a path in a
    /// disk, a program.
    pub(crate) fn new(kind: ErrorKind, doing: &'static str, object: impl Into<String>) -> Self {
        Self {
            kind,
            doing,
            object: object.into(),
            seen: Cow::Borrowed(""),
            source: None,
        }
    }

    /// A failure that the operating system reported.
    pub(crate) fn io(
        doing: &'static str,
        object: impl Into<String>,
        cause: impl Into<std::io::Error>,
    ) -> Self {
        let cause = cause.into();
        Self::new(ErrorKind::of_io(&cause), doing, object).because(cause)
    }

    /// Adds what was seen and, where not obvious, what to do next.
    pub(crate) fn seen(self, seen: impl Into<Cow<'static, str>>) -> Self {
        Self {
            seen: seen.into(),
            ..self
        }
    }

    /// Adds the failure below this one.
    pub(crate) fn because(self, cause: impl Into<Cause>) -> Self {
        Self {
            source: Some(cause.into()),
            ..self
        }
    }

    /// Says what sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.doing, shown(&self.object, 300))?;
        if !self.seen.is_empty() {
            write!(f, ": {}", shown(&self.seen, 2000))?;
        }
        Ok(())
    }
}

/// Words from inside a disk are hostile: no control characters, no more than fits.
fn shown(text: &str, letters_max: usize) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(letters_max).map(plain).collect()
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}
