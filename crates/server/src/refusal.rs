//! Answers that say no.

use std::time::Duration;

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lifeboat_api::{Failure, FailureKind};

use crate::state::Stopped;

/// Why a request was refused, as an answer; and after which time it may be asked again, if that
/// is known.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(pub(crate) Failure, Option<Duration>);

/// What answers give.
pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let failure = Failure {
            kind,
            message: message.into(),
            hint: None,
        };
        Self(failure, None)
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

    pub(crate) fn after(mut self, pause: Duration) -> Self {
        self.1 = Some(pause);
        self
    }

    /// Seconds after which it may be asked again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let usual = match self.0.kind {
            FailureKind::TooMany => Some(60),
            FailureKind::Unavailable => Some(5),
            _ => None,
        };
        let known = self.1.map(|pause| pause.as_secs().saturating_add(1));
        known.or(usual)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, pause) = (self.0.kind, self.retry_after());
        let mut answer = (status, Json(self.0)).into_response();
        if kind == FailureKind::SignInNeeded {
            let way = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, way);
        }
        if let Some(seconds) = pause {
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
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
