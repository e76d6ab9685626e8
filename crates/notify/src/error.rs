//! What goes wrong while people are told.

use std::fmt;

use lifeboat_model::ErrorKind;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A notice that was not delivered, or settings that cannot work.
///
/// Names the target and its host, never an address with a path, a password or a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    /// An error about settings or a target, in words of the caller.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// A notice that did not reach its target, with what was seen and what to do next.
    pub(crate) fn sending(kind: ErrorKind, target: &str, host: &str, seen: &str) -> Self {
        let next = match kind {
            ErrorKind::Denied => "; check the user, the password or token, and what they may do",
            ErrorKind::NotFound => "; check the address",
            ErrorKind::Invalid => "; check the settings of the target",
            ErrorKind::Unreachable if seen.contains("certificate") => {
                "; check ca_file, and the name that its certificate is for"
            }
            ErrorKind::Unreachable => "; check that it runs and can be reached from here",
            ErrorKind::Busy => "; it wants to be asked later",
            _ => "",
        };
        Self::new(
            kind,
            format!("sending a notice to \"{target}\" ({host}): {seen}{next}"),
        )
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
