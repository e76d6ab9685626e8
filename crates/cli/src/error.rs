//! Failures as people and scripts meet them: a message, what to do next, an exit code.

use std::fmt;

use lifeboat_model::{ErrorKind, ParseError};
use lifeboat_repository::Cause;

/// Exit code: some of the source could not be read, or only a part was done.
pub(crate) const EXIT_PARTIAL: u8 = 3;
/// The configuration cannot be used.
pub(crate) const EXIT_WRONG: u8 = 1;
/// Exit code: something is damaged.
pub(crate) const EXIT_DAMAGED: u8 = 1;
/// Exit code: a verify or a comparison has found a difference.
pub(crate) const EXIT_VERIFY: u8 = 20;
/// Exit code: a safety rule refused the action.
pub(crate) const EXIT_REFUSED: u8 = 22;

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    code: u8,
    /// What sort of failure it is, where the code does not say it.
    kind: Option<ErrorKind>,
}

/// Result of a command or of a part of it.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A request that is wrong: exit code 2, like clap's own.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 2,
            kind: Some(ErrorKind::Invalid),
        }
    }

    /// A failure with the exit code of its kind.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: code_of(kind),
            kind: Some(kind),
        }
    }

    /// A failure with an exit code of its own.
    pub(crate) fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code,
            kind: None,
        }
    }

    /// The same failure in other words.
    pub(crate) fn in_words(self, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..self
        }
    }

    /// What sort of failure it is, where that is known.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// Whether there was no space left.
    pub(crate) fn is_full(&self) -> bool {
        self.code == code_of(ErrorKind::Full)
    }

    /// Whether this program is not made for it.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.code == code_of(ErrorKind::Unsupported)
    }

    /// Adds what more there is to say.
    pub(crate) fn add(mut self, text: &str) -> Self {
        self.message.push_str(text);
        self
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

/// The one table from kind to exit code; restic's codes where restic has one.
///
/// Source: reference ecosystem 3.2; 24 to 26 are ours.
fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid => 2,
        ErrorKind::Cancelled => 130,
        ErrorKind::Unreachable => 23,
        ErrorKind::Full => 24,
        ErrorKind::Corrupt => 25,
        ErrorKind::Unsupported => 26,
        ErrorKind::NotFound
        | ErrorKind::Exists
        | ErrorKind::Denied
        | ErrorKind::Busy
        | ErrorKind::Io => 1,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

pub(crate) use lifeboat_control::chain;

impl From<lifeboat_repository::Error> for Error {
    fn from(error: lifeboat_repository::Error) -> Self {
        let code = match error.cause() {
            Cause::NoRepository => 10,
            Cause::Locked => 11,
            Cause::WrongPassword => 12,
            Cause::Other => code_of(error.kind()),
        };
        Self {
            message: chain(&error),
            code,
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_engine::Error> for Error {
    fn from(error: lifeboat_engine::Error) -> Self {
        let code = match error.repository().map(lifeboat_repository::Error::cause) {
            Some(Cause::Locked) => 11,
            _ => code_of(error.kind()),
        };
        Self {
            message: chain(&error),
            code,
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_control::Error> for Error {
    fn from(error: lifeboat_control::Error) -> Self {
        let code = match error.repository().map(lifeboat_repository::Error::cause) {
            Some(Cause::Locked) => 11,
            _ => code_of(error.kind()),
        };
        Self {
            message: chain(&error),
            code,
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_platform::Error> for Error {
    fn from(error: lifeboat_platform::Error) -> Self {
        Self {
            message: chain(&error),
            code: code_of(error.kind()),
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_backend::Error> for Error {
    fn from(error: lifeboat_backend::Error) -> Self {
        Self {
            message: chain(&error),
            code: code_of(error.kind()),
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_disk::Error> for Error {
    fn from(error: lifeboat_disk::Error) -> Self {
        Self {
            message: chain(&error),
            code: code_of(error.kind()),
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_format::Error> for Error {
    fn from(error: lifeboat_format::Error) -> Self {
        Self {
            message: chain(&error),
            code: code_of(error.kind()),
            kind: Some(error.kind()),
        }
    }
}

impl From<lifeboat_mount::Error> for Error {
    fn from(error: lifeboat_mount::Error) -> Self {
        Self {
            message: error.to_string(),
            code: code_of(error.kind()),
            kind: Some(error.kind()),
        }
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    /// Writing to standard output is the only input or output that commands do themselves.
    fn from(error: std::io::Error) -> Self {
        let kind = ErrorKind::of_io(&error);
        Self {
            message: format!("cannot write to standard output: {error}"),
            code: code_of(kind),
            kind: Some(kind),
        }
    }
}
