//! What goes wrong in a repository, and what was being done then.

use std::error::Error as StdError;
use std::fmt;

use lifeboat_model::ErrorKind;

/// Failures that scripts tell apart by exit code, as restic does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no repository at the place.
    NoRepository,
    /// Somebody else holds a lock that excludes us.
    Locked,
    /// No key file opens with the password.
    WrongPassword,
    /// Anything else; the kind says more.
    Other,
}

/// A failed repository operation.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    cause: Cause,
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Result of a repository operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `doing` is a fragment: what was done, to what, what was seen, what to do next.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self {
            kind,
            cause: Cause::Other,
            doing: doing.into(),
            source: None,
        }
    }

    pub(crate) fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(
            ErrorKind::Cancelled,
            "stopped on request; what is stored so far stays usable",
        )
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it is one of those with an exit code of its own.
    pub fn cause(&self) -> Cause {
        self.cause
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Adds what was being done to a failure from a lower row; the kind stays.
pub(crate) trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for lifeboat_backend::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(source.kind(), doing()).with_source(source))
    }
}

impl<T> Doing<T> for lifeboat_format::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(source.kind(), doing()).with_source(source))
    }
}
