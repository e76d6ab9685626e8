//! What can go wrong with a disk that is elsewhere.

use std::borrow::Cow;
use std::fmt;

use lifeboat_model::ErrorKind;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An operation that failed: what was done, with which disk, where on it, what was seen.
///
/// `Corrupt` says that the other side broke the protocol, or that a file of an overlay is
/// damaged; `Unreachable` that the connection failed and further attempts did too.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: &'static str,
    place: String,
    offset: Option<u64>,
    seen: Cow<'static, str>,
    source: Option<Cause>,
}

impl Error {
    /// Begins an error, also for exports outside this crate.
    ///
    /// `doing` is a participle as in "reading"; `place` an address, a path or an export's name.
    pub fn new(kind: ErrorKind, doing: &'static str, place: impl fmt::Display) -> Self {
        Self {
            kind,
            doing,
            place: place.to_string(),
            offset: None,
            seen: Cow::Borrowed(""),
            source: None,
        }
    }

    /// A failure that the operating system reported.
    pub fn io(
        doing: &'static str,
        place: impl fmt::Display,
        cause: impl Into<std::io::Error>,
    ) -> Self {
        let cause = cause.into();
        let kind = match cause.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::WouldBlock => ErrorKind::Unreachable,
            std::io::ErrorKind::InvalidData => ErrorKind::Corrupt,
            std::io::ErrorKind::FileTooLarge => ErrorKind::Full,
            _ => ErrorKind::of_io(&cause),
        };
        Self::new(kind, doing, place).because(cause)
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

    /// The byte offset on the disk, where it happened at one.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

/// Text from the other side as it may be shown: escaped, at most 200 characters.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.doing, self.place)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match (self.seen.as_ref(), &self.source) {
            ("", Some(_)) => Ok(()),
            ("", None) => write!(f, ": {}", self.kind),
            (seen, _) => write!(f, ": {seen}"),
        }
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
        let error = Error::new(ErrorKind::Corrupt, "reading", "nbd://host/web")
            .at(512)
            .seen("a chunk came twice");
        assert_eq!(
            error.to_string(),
            "reading nbd://host/web at byte 512: a chunk came twice"
        );
        let eof = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let lost = Error::io("reading", "x", eof);
        assert_eq!(lost.kind(), ErrorKind::Unreachable);
        assert_eq!(shown(b"a\x1b[0m\n"), "a\\u{1b}[0m\\n");
    }
}
