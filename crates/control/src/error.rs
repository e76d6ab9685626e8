//! What goes wrong while a job is carried out.

use std::error::Error as StdError;
use std::fmt;

use lifeboat_model::ErrorKind;

/// The result of carrying something out.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed part of a run: what was being done, to what, what was seen, what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `doing` is a fragment.
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

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The repository's own error, if that is what failed.
    pub fn repository(&self) -> Option<&lifeboat_repository::Error> {
        let source = self.source.as_deref()?;
        let engine = source.downcast_ref::<lifeboat_engine::Error>();
        engine
            .and_then(lifeboat_engine::Error::repository)
            .or_else(|| source.downcast_ref())
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

impl From<lifeboat_engine::Error> for Error {
    fn from(source: lifeboat_engine::Error) -> Self {
        Self::new(source.kind(), "cannot store what was read").with_source(source)
    }
}

impl From<lifeboat_repository::Error> for Error {
    fn from(source: lifeboat_repository::Error) -> Self {
        Self::new(source.kind(), "cannot store what was read").with_source(source)
    }
}

/// Adds what was being done to a failure from a lower row; the kind stays.
pub(crate) trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

macro_rules! from_lower_rows {
    ($($lower:ident),+) => {
        $(impl<T> Doing<T> for $lower::Result<T> {
            fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
                self.map_err(|source| Error::new(source.kind(), doing()).with_source(source))
            }
        })+
    };
}

from_lower_rows!(
    lifeboat_engine,
    lifeboat_format,
    lifeboat_platform,
    lifeboat_repository
);

/// An error and its causes in one line, joined by colons.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
