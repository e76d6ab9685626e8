//! What can go wrong with a disk, and where.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A disk operation that failed: what was done to which file, where, and what was seen.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: &'static str,
    path: PathBuf,
    offset: Option<u64>,
    seen: Cow<'static, str>,
    source: Option<Cause>,
}

impl Error {
    /// Begins an error, also for readers and writers outside this crate.
    ///
    /// `doing` is a participle as in "reading"; a `path` may also be a URL.
    pub fn new(kind: ErrorKind, doing: &'static str, path: &Path) -> Self {
        let seen = Cow::Borrowed("");
        Self {
            kind,
            doing,
            path: path.to_owned(),
            offset: None,
            seen,
            source: None,
        }
    }

    /// A failure that the operating system reported.
    pub fn io(doing: &'static str, path: &Path, cause: impl Into<std::io::Error>) -> Self {
        let cause = cause.into();
        let kind = match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
            std::io::ErrorKind::FileTooLarge => ErrorKind::Full,
            std::io::ErrorKind::NotADirectory | std::io::ErrorKind::IsADirectory => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::of_io(&cause),
        };
        Self {
            source: Some(cause.into()),
            ..Self::new(kind, doing, path)
        }
    }

    /// Adds the byte offset at which it happened.
    pub fn at(self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
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

    /// The file or device that was worked on.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Text from an image or a path as it may be shown: escaped and at most 120 characters.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.doing, self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if !self.seen.is_empty() {
            write!(f, ": {}", self.seen)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_where_and_what_was_seen() {
        let error = Error::new(ErrorKind::Corrupt, "reading", Path::new("a.qcow2"))
            .at(512)
            .seen("the table is not aligned");
        assert_eq!(
            error.to_string(),
            "reading a.qcow2 at byte 512: the table is not aligned"
        );
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(
            Error::io("writing", Path::new("x"), full).kind(),
            ErrorKind::Full
        );
        assert_eq!(shown(b"a\x1b[0m\n"), "a\\u{1b}[0m\\n");
    }
}
