//! What goes wrong while work is handed out.

use std::error::Error as StdError;
use std::fmt;

use lifeboat_model::ErrorKind;

/// The result of handing out work.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed request: what was being done, what was seen.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: String,
    source: Option<lifeboat_catalog::Error>,
}

impl Error {
    /// `doing` is a sentence's beginning.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self {
            kind,
            doing: doing.into(),
            source: None,
        }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.doing),
            None => f.write_str(&self.doing),
        }
    }
}

impl StdError for Error {}

impl From<lifeboat_catalog::Error> for Error {
    fn from(source: lifeboat_catalog::Error) -> Self {
        Self {
            kind: source.kind(),
            doing: "the catalog refused".to_owned(),
            source: Some(source),
        }
    }
}
