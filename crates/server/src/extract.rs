//! What requests bring along, refused in the one shape when it is wrong.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use lifeboat_api::FailureKind;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// From the path.
pub(crate) struct At<T>(pub(crate) T);

/// From the query.
pub(crate) struct Asked<T>(pub(crate) T);

/// From the body, as JSON.
pub(crate) struct Sent<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::invalid(error.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::invalid(error.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Json::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::new(kind(&error), error.body_text())),
        }
    }
}

fn kind(error: &JsonRejection) -> FailureKind {
    match (error, error.status().as_u16()) {
        (JsonRejection::MissingJsonContentType(_), _) => FailureKind::WrongType,
        (_, 413) => FailureKind::TooLarge,
        _ => FailureKind::Invalid,
    }
}
