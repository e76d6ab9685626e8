//! What ends a request, before it is known what to call it.

use std::fmt;
use std::io;

use lifeboat_model::ErrorKind;

use crate::wire::reply::Failure;
use crate::wire::{Malformed, errors};
use crate::{Error, Result};

/// Why a connection cannot go on.
#[derive(Debug)]
pub(super) enum Fault {
    /// It failed; another may do.
    Lost(io::Error),
    /// The server broke the protocol.
    Broken(Malformed),
    /// TLS does not open, or the other side refuses our certificate.
    Tls(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Tls(error),
            io::ErrorKind::WouldBlock => Self::Lost(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server did not answer in time",
            )),
            _ => Self::Lost(error),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Broken(malformed)
    }
}

impl Fault {
    /// The fault as an error of `doing` something with `place`.
    pub(super) fn named(self, doing: &'static str, place: &dyn fmt::Display) -> Error {
        match self {
            Self::Lost(cause) => {
                let seen = format!("the connection failed: {cause}");
                Error::new(ErrorKind::Unreachable, doing, place)
                    .seen(seen)
                    .because(cause)
            }
            Self::Tls(cause) => Error::new(ErrorKind::Denied, doing, place)
                .seen(format!("TLS failed: {cause}"))
                .because(cause),
            Self::Broken(malformed) => Error::new(ErrorKind::Corrupt, doing, place)
                .seen(format!("the server broke the protocol: {malformed}")),
        }
    }
}

/// What sort of failure a server reports.
pub(super) fn kind_of(error: u32) -> ErrorKind {
    match error {
        errors::NOT_PERMITTED => ErrorKind::Denied,
        errors::INVALID => ErrorKind::Invalid,
        errors::NO_SPACE => ErrorKind::Full,
        errors::OVERFLOW | errors::NOT_SUPPORTED => ErrorKind::Unsupported,
        errors::SHUTDOWN => ErrorKind::Unreachable,
        _ => ErrorKind::Io,
    }
}

/// The server's refusal of a request at `offset`.
pub(super) fn refused(
    doing: &'static str,
    place: &dyn fmt::Display,
    offset: u64,
    failure: &Failure,
) -> Error {
    let reason = match failure.error {
        errors::NOT_PERMITTED => "not permitted",
        errors::IO => "input/output error",
        errors::NO_MEMORY => "no memory",
        errors::INVALID => "invalid request",
        errors::NO_SPACE => "no space",
        errors::OVERFLOW => "too large",
        errors::NOT_SUPPORTED => "not supported",
        errors::SHUTDOWN => "shutting down",
        _ => "an unknown error",
    };
    let mut seen = format!("the server answered \"{reason}\" ({})", failure.error);
    if !failure.text.is_empty() {
        seen.push_str(": ");
        seen.push_str(&failure.text);
    }
    Error::new(kind_of(failure.error), doing, place)
        .at(failure.offset.unwrap_or(offset))
        .seen(seen)
}

/// A request that this side refuses before it is sent.
pub(super) fn invalid<T>(
    doing: &'static str,
    place: &dyn fmt::Display,
    offset: u64,
    seen: impl Into<String>,
) -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, doing, place)
        .at(offset)
        .seen(seen.into()))
}
