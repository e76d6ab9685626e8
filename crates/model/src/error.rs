//! The one vocabulary of failure.
//!
//! Every crate has an error type of its own; all of them answer with one of these kinds,
//! and three tables interpret a kind: repetition (here), exit codes (`cli`), HTTP (`api`).

use std::fmt;

/// Says what sort of failure happened, for whoever must act on it.
///
/// Closed on purpose: a new kind does not compile until every table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; the caller must change it.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The thing to be made exists already.
    Exists,
    /// Credentials or permissions are missing; the operator must act.
    Denied,
    /// Somebody else holds it now; later it may work.
    Busy,
    /// No space left.
    Full,
    /// The other side did not answer.
    Unreachable,
    /// Stored data is not what its name or checksum says.
    Corrupt,
    /// The request is sound, but this version or this target cannot do it.
    Unsupported,
    /// The run was asked to stop.
    Cancelled,
    /// The operating system reported an input or output error.
    Io,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::NotFound,
        Self::Exists,
        Self::Denied,
        Self::Busy,
        Self::Full,
        Self::Unreachable,
        Self::Corrupt,
        Self::Unsupported,
        Self::Cancelled,
        Self::Io,
    ];

    /// The kind that is shown in this way; nothing for other words.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == text)
    }

    /// Says whether the same call may succeed when it is repeated after a while.
    pub fn is_repeatable(self) -> bool {
        match self {
            Self::Busy | Self::Unreachable | Self::Io => true,
            Self::Invalid
            | Self::NotFound
            | Self::Exists
            | Self::Denied
            | Self::Full
            | Self::Corrupt
            | Self::Unsupported
            | Self::Cancelled => false,
        }
    }

    /// Classifies an operating-system error.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Os;
        match error.kind() {
            Os::NotFound => Self::NotFound,
            Os::AlreadyExists => Self::Exists,
            Os::PermissionDenied | Os::ReadOnlyFilesystem => Self::Denied,
            Os::StorageFull | Os::QuotaExceeded => Self::Full,
            Os::ResourceBusy | Os::ExecutableFileBusy => Self::Busy,
            Os::ConnectionRefused
            | Os::ConnectionReset
            | Os::ConnectionAborted
            | Os::HostUnreachable
            | Os::NetworkUnreachable
            | Os::NetworkDown
            | Os::NotConnected
            | Os::TimedOut => Self::Unreachable,
            Os::InvalidInput => Self::Invalid,
            Os::Unsupported => Self::Unsupported,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Exists => "exists",
            Self::Denied => "denied",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Io => "io",
        })
    }
}

/// Text from outside that does not follow its rule: shows the text and the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl ParseError {
    /// Keeps at most 80 characters of `text`, escaped for display.
    pub fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        Self {
            what,
            text: shown,
            rule,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a {}: {}", self.text, self.what, self.rule)
    }
}

impl std::error::Error for ParseError {}
