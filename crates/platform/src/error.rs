//! What can go wrong on a platform, and with which machine.

use std::borrow::Cow;
use std::fmt;

use lifeboat_model::ErrorKind;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An operation on a platform that failed: what was done, to what, and what was seen.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: Cow<'static, str>,
    object: String,
    seen: Cow<'static, str>,
    source: Option<Cause>,
}

impl Error {
    /// Begins an error. `doing` is a participle as in "capturing"; `object` a machine, a disk,
    /// a volume or a URI.
    pub fn new(
        kind: ErrorKind,
        doing: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            doing: doing.into(),
            object: object.into(),
            seen: Cow::Borrowed(""),
            source: None,
        }
    }

    /// A failure that the operating system reported.
    pub fn io(
        doing: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        cause: impl Into<std::io::Error>,
    ) -> Self {
        let cause = cause.into();
        Self::new(ErrorKind::of_io(&cause), doing, object).because(cause)
    }

    /// Adds what was seen and, where not obvious, what to do next.
    pub fn seen(self, seen: impl Into<Cow<'static, str>>) -> Self {
        Self {
            seen: seen.into(),
            ..self
        }
    }

    /// Adds the failure below this one.
    pub fn because(self, cause: impl Into<Cause>) -> Self {
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
        write!(f, "{} {}", self.doing, shown(&self.object))?;
        if !self.seen.is_empty() {
            write!(f, ": {}", self.seen)?;
        }
        Ok(())
    }
}

/// Names come from machines that may be hostile: no control characters, at most 200 characters.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(200).map(plain).collect()
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

impl From<lifeboat_disk::Error> for Error {
    fn from(error: lifeboat_disk::Error) -> Self {
        let place = error.path().display().to_string();
        Self::new(error.kind(), "working on the disk", place).because(error)
    }
}
