//! Bytes that do not follow the format.

use std::error::Error as StdError;
use std::fmt;

use lifeboat_model::ErrorKind;

use crate::json::Malformed;

/// Bytes could not be read as what they should be, or a value cannot be written.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Result of reading or writing the format.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self {
            kind,
            doing: doing.into(),
            source: None,
        }
    }

    pub(crate) fn corrupt(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, doing)
    }

    pub(crate) fn json(what: &str, source: serde_json::Error) -> Self {
        Self {
            kind: ErrorKind::Corrupt,
            doing: format!("{what} is not valid JSON of its kind"),
            source: Some(Box::new(source)),
        }
    }

    pub(crate) fn malformed(what: &str, source: Malformed) -> Self {
        Self {
            kind: ErrorKind::Corrupt,
            doing: format!("{what} is not valid JSON of its kind"),
            source: Some(Box::new(source)),
        }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
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
