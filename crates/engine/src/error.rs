//! What goes wrong while data moves.

use std::error::Error as StdError;
use std::fmt;

use lifeboat_model::ErrorKind;

/// A failed movement of data.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Result of moving data.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `doing` is a fragment: what was done, to what, what was seen, what to do next.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self {
            kind,
            doing: doing.into(),
            source: None,
        }
    }

    /// Adds what caused it.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
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

    /// The repository's own error, if that is what failed.
    pub fn repository(&self) -> Option<&lifeboat_repository::Error> {
        self.source.as_deref()?.downcast_ref()
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

impl<T> Doing<T> for lifeboat_repository::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(source.kind(), doing()).with_source(source))
    }
}

impl<T> Doing<T> for lifeboat_disk::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(source.kind(), doing()).with_source(source))
    }
}

impl<T> Doing<T> for lifeboat_format::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(source.kind(), doing()).with_source(source))
    }
}

impl From<lifeboat_repository::Error> for Error {
    fn from(source: lifeboat_repository::Error) -> Self {
        let doing = match source.kind() {
            ErrorKind::Cancelled => "stopped",
            _ => "the repository failed",
        };
        Self::new(source.kind(), doing).with_source(source)
    }
}
