//! What goes wrong while a server starts.

use std::fmt;

use lifeboat_model::ErrorKind;

/// The result of starting a server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server does not start: what was being done, what was seen.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    pub(crate) fn of_io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::of_io(error), format!("{doing}: {error}"))
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
