//! Why a request was refused: one shape, and one table of statuses.

use lifeboat_model::ErrorKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A sort of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request itself is wrong.
    Invalid,
    /// Nobody is signed in, or the token is not known.
    SignInNeeded,
    /// Whoever asks may not.
    Denied,
    /// There is no such thing.
    NotFound,
    /// The path knows other methods.
    WrongMethod,
    /// It took too long.
    TooSlow,
    /// It exists already, or somebody holds it.
    Conflict,
    /// The request is too large.
    TooLarge,
    /// The body is not `application/json`.
    WrongType,
    /// It is well said, but cannot be done.
    Unsupported,
    /// Too many of these came from there.
    TooMany,
    /// Something is broken here: the server's log says more.
    Broken,
    /// The other side does not answer.
    Unreachable,
    /// The server stops, or has too much to do.
    Unavailable,
    /// No space is left.
    Full,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl FailureKind {
    /// The status of HTTP that tells it.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::SignInNeeded => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::WrongMethod => 405,
            Self::TooSlow => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::WrongType => 415,
            Self::Unsupported => 422,
            Self::TooMany => 429,
            Self::Broken => 500,
            Self::Unreachable => 502,
            Self::Unavailable => 503,
            Self::Full => 507,
        }
    }

    /// What a kind of failure inside is to whoever asked.
    pub fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Exists | ErrorKind::Busy | ErrorKind::Cancelled => Self::Conflict,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Full => Self::Full,
            ErrorKind::Unreachable => Self::Unreachable,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Corrupt | ErrorKind::Io => Self::Broken,
        }
    }

    /// What it is to a program that asked.
    pub fn to_error(self) -> ErrorKind {
        match self {
            Self::Invalid | Self::TooLarge | Self::WrongType | Self::WrongMethod => {
                ErrorKind::Invalid
            }
            Self::SignInNeeded | Self::Denied => ErrorKind::Denied,
            Self::NotFound => ErrorKind::NotFound,
            Self::Conflict | Self::TooMany => ErrorKind::Busy,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::TooSlow | Self::Unreachable | Self::Unavailable => ErrorKind::Unreachable,
            Self::Full => ErrorKind::Full,
            Self::Broken => ErrorKind::Io,
        }
    }
}

/// The status of HTTP that tells a kind of failure.
pub fn status_of(kind: ErrorKind) -> u16 {
    FailureKind::of(kind).status()
}
