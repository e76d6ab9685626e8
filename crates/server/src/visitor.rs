//! Who looks at a page.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::response::Redirect;
use lifeboat_catalog::{Role, Session, User};
use sha2::{Digest, Sha256};

use crate::state::State;

/// The cookie's name; the prefix makes browsers keep it to this host and to TLS.
pub(crate) const COOKIE_NAME: &str = "__Host-lifeboat";

/// Somebody who is in with a browser. As an extractor it sends all others to `/login`.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// The user's name.
    pub(crate) name: String,
    /// What the user may do.
    pub(crate) role: Role,
    /// What changes must bring along: in `X-Lifeboat-Form-Key`, or in the field `form_key`.
    pub(crate) form_key: String,
}

impl FromRequestParts<Arc<State>> for Visitor {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Redirect> {
        let Some(digest) = session_digest(parts) else {
            return Err(Redirect::to("/login"));
        };
        let found = state.work(move |state| state.node.catalog().session(&digest));
        match found.await {
            Ok(Ok(Some((session, user)))) => Ok(Self::of(session, user)),
            _ => Err(Redirect::to("/login")),
        }
    }
}

impl Visitor {
    pub(crate) fn of(session: Session, user: User) -> Self {
        Self {
            name: user.name,
            role: user.role,
            form_key: session.form_key,
        }
    }
}

/// The digest of the session's cookie, if the browser brought one.
pub(crate) fn session_digest(parts: &Parts) -> Option<String> {
    let lines = parts.headers.get_all(COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let value = pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })?;
    Some(digest(value))
}

/// The SHA-256 of a secret, in digits.
pub(crate) fn digest(secret: &str) -> String {
    digits(&Sha256::digest(secret.as_bytes()))
}

/// Bytes as digits.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
