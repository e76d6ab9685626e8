//! How keeping a file fails.

use std::fmt;

use lifeboat_model::ErrorKind;

use crate::{Call, FileHandle, FileKind};

/// The answer of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Understanding a location as written.
    ParseLocation,
    /// Making a location usable.
    Open,
    /// One of the calls of [`crate::Backend`].
    Call(Call),
    /// Completing what was written.
    Finish,
    /// Looking for files that do not belong.
    FindStrays,
    /// Removing what dead writers left.
    SweepLeftovers,
    /// Holding bytes ready for the day the place is full.
    HoldReserve,
    /// Freeing those bytes.
    GiveUpReserve,
}

/// A failure at a place that keeps files: what was done, to which file, where.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: Doing,
    listed: Option<FileKind>,
    file: Option<FileHandle>,
    location: String,
    seen: Option<String>,
    source: Option<Cause>,
}

impl Error {
    /// A failure at `location`, which must not hold a secret.
    pub fn new(kind: ErrorKind, doing: Doing, location: impl Into<String>) -> Self {
        Self {
            kind,
            doing,
            listed: None,
            file: None,
            location: location.into(),
            seen: None,
            source: None,
        }
    }

    /// Names the file it was about.
    pub fn on(mut self, file: FileHandle) -> Self {
        self.file = Some(file);
        self
    }

    /// Names the kind of file that was listed.
    pub fn listing(mut self, kind: FileKind) -> Self {
        self.listed = Some(kind);
        self
    }

    /// Says what was seen and, where not obvious, what to do.
    pub fn seen(mut self, text: impl Into<String>) -> Self {
        self.seen = Some(text.into());
        self
    }

    /// Keeps the error beneath.
    pub fn caused_by(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done.
    pub fn doing(&self) -> Doing {
        self.doing
    }

    /// The file it was about, if it was about one.
    pub fn file(&self) -> Option<FileHandle> {
        self.file
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ParseLocation => "reading the location",
            Self::Open => "opening",
            Self::Finish => "completing",
            Self::Call(Call::Create) => "creating the repository layout",
            Self::Call(Call::List) => "listing",
            Self::Call(Call::Size) => "asking the size of",
            Self::Call(Call::Load) => "loading",
            Self::Call(Call::Read) => "reading",
            Self::Call(Call::Save) => "saving",
            Self::Call(Call::Remove) => "removing",
            Self::FindStrays => "looking for files that do not belong",
            Self::SweepLeftovers => "removing what interrupted writers left",
            Self::HoldReserve => "holding a reserve",
            Self::GiveUpReserve => "freeing the reserve",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.doing)?;
        if let Some(kind) = self.listed {
            write!(f, " {kind} files")?;
        }
        if let Some(file) = self.file {
            write!(f, " {file}")?;
        }
        if !self.location.is_empty() {
            write!(f, " at {}", self.location)?;
        }
        match &self.seen {
            Some(seen) => write!(f, ": {seen}"),
            None => write!(f, ": {}", self.kind),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
