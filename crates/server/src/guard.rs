//! Who asks, whether they may, and the line about it in the audit log.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State as In};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use lifeboat_api::FailureKind;
use lifeboat_catalog::{AuditEntry, Role};

use crate::accounts::is_same;
use crate::limiter::{Verdict, neighbourhood};
use crate::refusal::{Answer, Refusal};
use crate::routes::{Access, Route};
use crate::state::State;
use crate::visitor::{Visitor, digest, session_digest};

/// The header that changes bring along with a cookie.
pub(crate) const FORM_KEY: &str = "x-lifeboat-form-key";

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user's name, or `token ` and its id.
    pub(crate) name: String,
    /// What may be done.
    pub(crate) role: Role,
    /// Only routes with these beginnings; all if there are none.
    pub(crate) scopes: Vec<String>,
    /// The digest of the cookie, and what changes must bring along with it.
    pub(crate) session: Option<(String, String)>,
}

/// What an answer says for the audit log beyond what its route says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Who, where nobody was in before.
    pub(crate) who: Option<String>,
    /// More, in a sentence.
    pub(crate) details: String,
    /// It was refused, though the answer sends the browser elsewhere.
    pub(crate) is_refused: bool,
    /// It is not to be written down: too many of these come.
    pub(crate) is_silent: bool,
}

/// What the guard of a route knows.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) state: Arc<State>,
    pub(crate) route: &'static Route,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        parts.extensions.get().cloned().ok_or_else(sign_in_needed)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let found = parts.extensions.get().copied();
        found.ok_or_else(|| Refusal::new(FailureKind::Broken, "the connection has no address"))
    }
}

/// Stands before every route of the API.
pub(crate) async fn guard(In(post): In<Post>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match post.route.access {
        Access::Open => Ok(None),
        _ if post.state.is_metrics_open && post.route.is_metrics() => Ok(None),
        _ => admit(&post, &parts).await.map(Some),
    };
    let is_written_down = post.route.is_written_down();
    let (path, peer) = (parts.uri.path().to_owned(), parts.extensions.get().copied());
    let name = caller
        .as_ref()
        .ok()
        .and_then(|it| Some(it.as_ref()?.name.clone()));
    let name = name.or_else(|| caller.as_ref().err().and_then(|(name, _)| name.clone()));
    let answer = match caller {
        Ok(caller) => {
            parts.extensions.extend(caller_extension(caller));
            next.run(Request::from_parts(parts, body)).await
        }
        Err((_, refusal)) => refusal.into_response(),
    };
    match is_written_down {
        true => written_down(&post, name, &path, peer, answer).await,
        false => answer,
    }
}

fn caller_extension(caller: Option<Caller>) -> axum::http::Extensions {
    let mut extensions = axum::http::Extensions::new();
    if let Some(caller) = caller {
        extensions.insert(caller);
    }
    extensions
}

/// Gives whoever asks if they may; else who it was, if that is known, and the refusal.
async fn admit(post: &Post, parts: &Parts) -> Result<Caller, (Option<String>, Refusal)> {
    let caller = identify(&post.state, parts).await;
    let caller = caller.map_err(|refusal| (None, refusal))?;
    match check(&caller, post.route, parts) {
        Ok(()) => Ok(caller),
        Err(refusal) => Err((Some(caller.name), refusal)),
    }
}

/// Finds out who asks; says nothing about what they may.
pub(crate) async fn identify(state: &Arc<State>, parts: &Parts) -> Answer<Caller> {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let header = header.to_str().unwrap_or_default();
        let (scheme, secret) = header.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(sign_in_needed());
        }
        let digest = digest(secret.trim());
        return state.work(move |state| by_token(state, &digest)).await?;
    }
    let cookie = session_digest(parts).ok_or_else(sign_in_needed)?;
    let found = state.work(move |state| {
        let session = state.node.catalog().session(&cookie)?;
        Ok::<_, Refusal>((cookie, session))
    });
    let (cookie, session) = found.await??;
    let (session, user) = session.ok_or_else(sign_in_needed)?;
    let visitor = Visitor::of(session, user);
    Ok(Caller {
        name: visitor.name,
        role: visitor.role,
        scopes: Vec::new(),
        session: Some((cookie, visitor.form_key)),
    })
}

fn by_token(state: &Arc<State>, digest: &str) -> Answer<Caller> {
    let now = state.clock.now();
    let catalog = state.node.catalog();
    let token = catalog.token_by_digest(digest)?;
    let token = token.ok_or_else(sign_in_needed)?;
    if token.expires.is_some_and(|end| end <= now) {
        let text = format!("token {} has ended", token.id);
        return Err(Refusal::new(FailureKind::SignInNeeded, text).with_hint("make another one"));
    }
    let hour = SignedDuration::from_hours(1);
    if token
        .used
        .is_none_or(|used| now.duration_since(used) >= hour)
    {
        catalog.touch_token(&token.id)?;
    }
    Ok(Caller {
        name: format!("token {}", token.id),
        role: token.role,
        scopes: token.scopes,
        session: None,
    })
}

fn check(caller: &Caller, route: &Route, parts: &Parts) -> Answer<()> {
    let denied = |message: String| Refusal::new(FailureKind::Denied, message);
    if !route.access.allows(caller.role) {
        let (name, role) = (&caller.name, caller.role);
        let text = format!("{name} has the role {role}, which may not: {}", route.what);
        return Err(denied(text));
    }
    let path = parts.uri.path();
    let is_inside = |scope: &String| {
        let rest = path.strip_prefix(scope.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if !caller.scopes.is_empty() && !caller.scopes.iter().any(is_inside) {
        return Err(denied(format!("{} has no scope for {path}", caller.name)));
    }
    let key = parts
        .headers
        .get(FORM_KEY)
        .and_then(|key| key.to_str().ok());
    match &caller.session {
        Some((_, wanted)) if route.is_change() && !is_same(wanted, key.unwrap_or_default()) => {
            let text = "a change that comes with a cookie needs the header X-Lifeboat-Form-Key";
            Err(denied(text.to_owned()).with_hint("the key is in the answer to signing in"))
        }
        _ => Ok(()),
    }
}

/// Writes a change down, done or refused.
async fn written_down(
    post: &Post,
    name: Option<String>,
    path: &str,
    peer: Option<Peer>,
    answer: Response,
) -> Response {
    let noted = answer
        .extensions()
        .get::<Noted>()
        .cloned()
        .unwrap_or_default();
    let status = answer.status();
    let is_done = !noted.is_refused && !status.is_client_error() && !status.is_server_error();
    let is_anonymous = name.is_none() && noted.who.is_none();
    if noted.is_silent || is_anonymous && is_flood(&post.state, peer) {
        return answer;
    }
    let entry = AuditEntry {
        number: 0,
        at: post.state.clock.now(),
        who: noted.who.or(name).unwrap_or_else(|| "nobody".to_owned()),
        from: peer.map(|peer| peer.0.ip().to_string()),
        action: post.route.what.to_owned(),
        subject: subject(path),
        details: match (noted.details, is_done) {
            (details, true) => details,
            (details, false) if details.is_empty() => format!("refused: {status}"),
            (details, false) => format!("refused: {status}: {details}"),
        },
        is_done,
    };
    let write = move |state: &Arc<State>| state.node.catalog().audit(&state.audit_key, &entry);
    match post.state.work(write).await {
        Ok(Ok(_)) => answer,
        _ => {
            let text = "the audit log cannot be written; what was asked may have been done";
            Refusal::new(FailureKind::Unavailable, text).into_response()
        }
    }
}

/// Strangers can fill the log with refusals: only some of each are written down.
fn is_flood(state: &State, peer: Option<Peer>) -> bool {
    let from = peer.map(|peer| neighbourhood(peer.0.ip()).to_string());
    let verdict = state
        .strangers
        .count(&from.unwrap_or_default(), state.clock.monotonic());
    verdict != Verdict::Fine
}

/// What a change was about: the path without the beginning that all share.
fn subject(path: &str) -> String {
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    path.chars().take(200).collect()
}

fn sign_in_needed() -> Refusal {
    Refusal::new(FailureKind::SignInNeeded, "nobody is signed in here")
        .with_hint("send a token as Authorization: Bearer lb_..., or sign in at /login")
}

/// An answer with words for the audit log.
pub(crate) fn noted(answer: impl IntoResponse, details: impl Into<String>) -> Response {
    let mut answer = answer.into_response();
    answer.extensions_mut().insert(Noted {
        details: details.into(),
        ..Noted::default()
    });
    answer
}

/// The answer for paths that nobody knows.
pub(crate) async fn unknown_path(method: Method) -> Response {
    let text = format!("there is nothing to {method} at this path");
    let hint = "paths of the API stand in /api/v1/openapi.json";
    Refusal::missing(text).with_hint(hint).into_response()
}

/// The answer for methods that a path does not know.
pub(crate) async fn wrong_method(method: Method) -> Response {
    let text = format!("this path does not know {method}");
    let mut answer = Refusal::new(FailureKind::WrongMethod, text).into_response();
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer
}
