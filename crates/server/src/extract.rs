//! What requests bring along, refused in the one shape when it is wrong.

use std::error::Error;

use axum::Json;
use axum::extract::path::ErrorKind as PathFault;
use axum::extract::rejection::{JsonRejection, PathRejection};
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
            Err(error) => Err(Refusal::invalid(wrong_path(&error))),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => {
                let text = format!("the query is wrong: {}", innermost(&error));
                Err(Refusal::invalid(text))
            }
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Json(value): Json<serde_json::Value> = Json::from_request(request, state)
            .await
            .map_err(|error| wrong_body(&error))?;
        // A list in the order of the fields would be read as an object, too.
        if !value.is_object() {
            return Err(Refusal::invalid("the body is no object of JSON"));
        }
        let read = serde_json::from_value(value);
        read.map(Self)
            .map_err(|error| Refusal::invalid(error.to_string()))
    }
}

fn wrong_path(error: &PathRejection) -> String {
    let fault = match error {
        PathRejection::FailedToDeserializePathParams(error) => Some(error.kind()),
        _ => None,
    };
    match fault {
        Some(
            PathFault::ParseError { value, .. }
            | PathFault::ParseErrorAtKey { value, .. }
            | PathFault::ParseErrorAtIndex { value, .. },
        ) => format!("the path has \"{value}\" where another sort of value belongs"),
        Some(PathFault::InvalidUtf8InPathParam { key }) => {
            format!("the path has a {key} that is no UTF-8")
        }
        _ => format!("the path is wrong: {}", innermost(error)),
    }
}

fn wrong_body(error: &JsonRejection) -> Refusal {
    match (error, error.status().as_u16()) {
        (JsonRejection::MissingJsonContentType(_), _) => {
            Refusal::new(FailureKind::WrongType, "the body is not said to be JSON")
                .with_hint("send the header content-type: application/json")
        }
        (_, 413) => Refusal::new(
            FailureKind::TooLarge,
            "the body is larger than is taken here",
        ),
        (JsonRejection::JsonSyntaxError(_), _) => {
            Refusal::invalid(format!("the body is no JSON: {}", innermost(error)))
        }
        _ => Refusal::invalid(format!("the body cannot be read: {}", innermost(error))),
    }
}

/// What the first of a row of errors says: those around it are of the framework.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
