//! What can go wrong with a mount.

use std::fmt;
use std::path::Path;

use lifeboat_model::ErrorKind;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A mount that failed: where, what was seen, what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, place: &Path, seen: impl fmt::Display) -> Self {
        let text = format!("cannot mount at {}: {seen}", place.display());
        Self { kind, text }
    }

    pub(crate) fn io(place: &Path, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::of_io(error), place, error)
    }

    /// Says what sort of failure it is.
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
