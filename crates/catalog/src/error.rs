//! What goes wrong with the catalog.

use std::error::Error as StdError;
use std::fmt;

use jiff::SignedDuration;
use lifeboat_model::ErrorKind;

/// The result of asking the catalog.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed request: what was being done, what was seen.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `doing` is a fragment.
    pub(crate) fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self {
            kind,
            doing: doing.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// A row that nobody can have written.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    /// The lease of a task is over: another node may have it.
    pub(crate) fn lost_lease(task: i64) -> Self {
        let text = format!("task {task} is no longer this node's: its lease is over");
        Self::new(ErrorKind::Denied, text)
    }

    /// A clock that would date backups wrongly.
    pub(crate) fn wrong_clock(ahead: SignedDuration) -> Self {
        let seconds = ahead.abs().as_secs();
        let side = if ahead.is_positive() {
            "ahead of"
        } else {
            "behind"
        };
        let text = format!(
            "the clock of this computer is {seconds} s {side} that of the catalog's database: \
             nothing is begun here until they agree; set both by NTP ('timedatectl set-ntp true')"
        );
        Self::new(ErrorKind::Denied, text)
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
