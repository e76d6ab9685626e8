//! Answers that say no.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use lifeboat_api::{Failure, FailureKind};

use crate::state::Stopped;

/// Why a request was refused, as an answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(pub(crate) Failure);

/// What answers give.
pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self(Failure {
            kind,
            message: message.into(),
            hint: None,
        })
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Invalid, message)
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(FailureKind::NotFound, message)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = self.0.kind;
        let mut answer = (status, Json(self.0)).into_response();
        let header = match kind {
            FailureKind::SignInNeeded => Some((WWW_AUTHENTICATE, "Bearer")),
            FailureKind::TooMany => Some((RETRY_AFTER, "60")),
            FailureKind::Unavailable => Some((RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = header {
            let value = axum::http::HeaderValue::from_static(value);
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<lifeboat_catalog::Error> for Refusal {
    fn from(error: lifeboat_catalog::Error) -> Self {
        Self::new(FailureKind::of(error.kind()), error.to_string())
    }
}

impl From<lifeboat_scheduler::Error> for Refusal {
    fn from(error: lifeboat_scheduler::Error) -> Self {
        Self::new(FailureKind::of(error.kind()), error.to_string())
    }
}

impl From<Stopped> for Refusal {
    fn from(_: Stopped) -> Self {
        let text = "the work for this answer was broken off: the server's log says more";
        Self::new(FailureKind::Broken, text)
    }
}
