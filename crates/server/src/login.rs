//! Coming in and going out.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Form;
use axum::Json;
use axum::extract::{FromRequest, Request, State as In};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use lifeboat_api as api;
use lifeboat_api::FailureKind;
use lifeboat_catalog::{Session, User};
use serde::Deserialize;

use crate::accounts::{PASSWORD_MAX, is_same, new_secret};
use crate::extract::Sent;
use crate::guard::{Caller, Noted, Peer};
use crate::limiter::{Verdict, neighbourhood};
use crate::people::make_user;
use crate::refusal::{Answer, Refusal};
use crate::shapes;
use crate::state::State;
use crate::visitor::{COOKIE_NAME, Visitor, digest, session_digest};

/// Pairs of user and address that are remembered.
const KNOWN_MAX: usize = 10_000;

type Shared = In<Arc<State>>;

/// Someone who came in, and the cookie for the browser.
struct Entered {
    user: User,
    form_key: String,
    cookie: String,
}

/// Signs in; the cookie of the session comes with the answer.
#[utoipa::path(post, path = "/api/v1/sessions", request_body = api::SignIn, security(()),
    responses((status = 201, body = api::SignedIn)))]
pub(crate) async fn sign_in(
    In(state): Shared,
    peer: Peer,
    Sent(asked): Sent<api::SignIn>,
) -> Response {
    let name = asked.name.clone();
    let entered = enter(&state, peer.0.ip(), asked).await;
    let answer = match entered {
        Ok(entered) => {
            let shown = api::SignedIn {
                name: entered.user.name,
                role: shapes::role(entered.user.role),
                form_key: entered.form_key,
            };
            with_cookie((StatusCode::CREATED, Json(shown)), &entered.cookie)
        }
        Err((refusal, is_silent)) => silenced(refusal.into_response(), is_silent),
    };
    named(answer, &name)
}

/// The form of the page.
#[derive(Deserialize)]
pub(crate) struct SignInForm {
    name: String,
    password: String,
}

/// Signs in by the form of the page.
pub(crate) async fn form(In(state): Shared, peer: Peer, Form(asked): Form<SignInForm>) -> Response {
    let name = asked.name.clone();
    let asked = api::SignIn {
        name: asked.name,
        password: asked.password,
    };
    let answer = match enter(&state, peer.0.ip(), asked).await {
        Ok(entered) => with_cookie(Redirect::to("/"), &entered.cookie),
        Err((refusal, is_silent)) => back_to("/login", refusal, is_silent),
    };
    named(answer, &name)
}

/// Sends a browser back to the form, which says why: `failed=1`, or `wait` and the seconds. What
/// is broken here is no matter of the form.
fn back_to(page: &str, refusal: Refusal, is_silent: bool) -> Response {
    let query = match (refusal.retry_after(), refusal.0.kind.status()) {
        (Some(seconds), _) => format!("wait={seconds}"),
        (None, 400..=499) => "failed=1".to_owned(),
        _ => return silenced(refusal.into_response(), is_silent),
    };
    let mut answer = silenced(Redirect::to(&format!("{page}?{query}")), is_silent);
    answer.extensions_mut().insert(refusal);
    answer
}

fn with_cookie(answer: impl IntoResponse, cookie: &str) -> Response {
    let mut answer = answer.into_response();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, value);
    }
    answer
}

fn named(mut answer: Response, name: &str) -> Response {
    let refusal = answer.extensions_mut().remove::<Refusal>();
    let noted = answer.extensions_mut().get_or_insert_default::<Noted>();
    noted.who = Some(name.chars().take(64).collect());
    if let Some(refusal) = refusal {
        noted.is_refused = true;
        noted.details = refusal.0.message;
    }
    answer
}

fn silenced(answer: impl IntoResponse, is_silent: bool) -> Response {
    let mut answer = answer.into_response();
    answer.extensions_mut().insert(Noted {
        is_silent,
        ..Noted::default()
    });
    answer
}

/// Looks at a name and a password. A refusal says whether it is one of too many to write down.
async fn enter(
    state: &Arc<State>,
    from: IpAddr,
    asked: api::SignIn,
) -> Result<Entered, (Refusal, bool)> {
    let from = neighbourhood(from).to_string();
    let now = state.clock.monotonic();
    match state.attempts.count(&from, now) {
        Verdict::Fine => {}
        verdict => {
            let pause = state.attempts.pause(&from, now);
            return Err((too_many(pause), verdict == Verdict::Beyond));
        }
    }
    let is_known = knows(state, &asked.name, &from);
    if !is_known && state.failures.is_full(&asked.name, now) {
        let pause = state.failures.pause(&asked.name, now);
        return Err((too_many(pause), true));
    }
    let entered = look(state, &asked)
        .await
        .map_err(|refusal| (refusal, false))?;
    match entered {
        Some(user) => {
            remember(state, &user.name, &from);
            state.attempts.forgive(&from);
            let session = begin(state, user).await;
            session.map_err(|refusal| (refusal, false))
        }
        None => {
            state.failures.count(&asked.name, now);
            let text = "name and password do not fit";
            Err((Refusal::new(FailureKind::SignInNeeded, text), false))
        }
    }
}

pub(crate) fn too_many(pause: Duration) -> Refusal {
    let minutes = pause.as_secs() / 60 + 1;
    let plural = if minutes == 1 { "" } else { "s" };
    let text = format!("too many attempts to sign in: try again in {minutes} minute{plural}");
    Refusal::new(FailureKind::TooMany, text).after(pause)
}

async fn look(state: &Arc<State>, asked: &api::SignIn) -> Answer<Option<User>> {
    if asked.name.len() > 64 || asked.password.len() > PASSWORD_MAX {
        return Ok(None);
    }
    let name = asked.name.clone();
    let user = state.work(move |state| state.node.catalog().user(&name));
    let user = user.await??.filter(|user| user.is_enabled);
    let digest = user.as_ref().map(|user| user.password_digest.clone());
    let fits = state.passwords.fits(digest, asked.password.clone()).await?;
    Ok(user.filter(|_| fits))
}

/// Someone who came in from an address before is not kept out by others who guess.
fn knows(state: &State, name: &str, from: &str) -> bool {
    let known = state.known.lock().unwrap_or_else(PoisonError::into_inner);
    known.contains(&(name.to_owned(), from.to_owned()))
}

fn remember(state: &State, name: &str, from: &str) {
    let mut known = state.known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < KNOWN_MAX {
        known.insert((name.to_owned(), from.to_owned()));
    }
}

async fn begin(state: &Arc<State>, user: User) -> Answer<Entered> {
    let cookie = new_secret(&*state.entropy);
    let form_key = new_secret(&*state.entropy);
    let created = state.clock.now();
    let lasts = state.session();
    let session = Session {
        digest: digest(&cookie),
        user: user.name.clone(),
        form_key: form_key.clone(),
        created,
        expires: created.checked_add(lasts).unwrap_or(Timestamp::MAX),
    };
    state
        .work(move |state| state.node.catalog().add_session(&session))
        .await??;
    let seconds = lasts.as_secs();
    let rules = format!("Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    Ok(Entered {
        user,
        form_key,
        cookie: format!("{COOKIE_NAME}={cookie}; {rules}"),
    })
}

fn no_cookie(answer: impl IntoResponse) -> Response {
    let rules = "Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict";
    with_cookie(answer, &format!("{COOKIE_NAME}=; {rules}"))
}

/// Signs out: the session ends.
#[utoipa::path(delete, path = "/api/v1/sessions", responses((status = 204)))]
pub(crate) async fn sign_out(In(state): Shared, caller: Caller) -> Answer<Response> {
    let Some((digest, _)) = caller.session else {
        let text = "a token has no session: remove the token instead";
        return Err(Refusal::new(FailureKind::Conflict, text));
    };
    state
        .work(move |state| state.node.catalog().end_session(&digest))
        .await??;
    Ok(no_cookie(StatusCode::NO_CONTENT))
}

/// The form that signs out.
#[derive(Deserialize)]
pub(crate) struct SignOutForm {
    form_key: String,
}

/// Signs out by the form of the page. Who is not in is sent to where one comes in.
pub(crate) async fn sign_out_form(
    In(state): Shared,
    visitor: Result<Visitor, Redirect>,
    request: Request,
) -> Response {
    let visitor = match visitor {
        Ok(visitor) => visitor,
        Err(elsewhere) => return silenced(elsewhere.into_response(), true),
    };
    let name = visitor.name.clone();
    let answer = end_by_form(&state, visitor, request).await;
    named(answer.into_response(), &name)
}

async fn end_by_form(state: &Arc<State>, visitor: Visitor, request: Request) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let cookie = session_digest(&parts).unwrap_or_default();
    let request = Request::from_parts(parts, body);
    let form = <Form<SignOutForm> as FromRequest<()>>::from_request(request, &());
    let key = form.await.map(|Form(form)| form.form_key);
    if !is_same(&key.unwrap_or_default(), &visitor.form_key) {
        let text = "the form does not bring its key along: load the page again";
        return Err(Refusal::new(FailureKind::Denied, text));
    }
    state
        .work(move |state| state.node.catalog().end_session(&cookie))
        .await??;
    Ok(no_cookie(Redirect::to("/login")))
}

/// Makes the first user, with the key that was printed.
#[utoipa::path(post, path = "/api/v1/setup", request_body = api::Setup, security(()),
    responses((status = 201, body = api::User)))]
pub(crate) async fn set_up(
    In(state): Shared,
    peer: Peer,
    Sent(asked): Sent<api::Setup>,
) -> Response {
    let name = asked.name.clone();
    let answer = match first_user(&state, peer.0.ip(), asked).await {
        Ok(user) => (StatusCode::CREATED, Json(shapes::user(user))).into_response(),
        Err((refusal, is_silent)) => silenced(refusal.into_response(), is_silent),
    };
    named(answer, &name)
}

/// The form of the first user.
#[derive(Deserialize)]
pub(crate) struct SetupForm {
    key: String,
    name: String,
    password: String,
}

/// Makes the first user by the form of the page.
pub(crate) async fn setup_form(
    In(state): Shared,
    peer: Peer,
    Form(asked): Form<SetupForm>,
) -> Response {
    let name = asked.name.clone();
    let asked = api::Setup {
        key: asked.key,
        name: asked.name,
        password: asked.password,
    };
    let answer = match first_user(&state, peer.0.ip(), asked).await {
        Ok(_) => Redirect::to("/login").into_response(),
        Err((refusal, is_silent)) => back_to("/setup", refusal, is_silent),
    };
    named(answer, &name)
}

async fn first_user(
    state: &Arc<State>,
    from: IpAddr,
    asked: api::Setup,
) -> Result<User, (Refusal, bool)> {
    let from = neighbourhood(from).to_string();
    let now = state.clock.monotonic();
    match state.attempts.count(&from, now) {
        Verdict::Fine => {}
        verdict => {
            let pause = state.attempts.pause(&from, now);
            return Err((too_many(pause), verdict == Verdict::Beyond));
        }
    }
    make_first(state, asked)
        .await
        .map_err(|refusal| (refusal, false))
}

async fn make_first(state: &Arc<State>, asked: api::Setup) -> Answer<User> {
    if !state.is_setup_key(&asked.key) {
        let text = "this is not the key that lifeboat serve printed, or a user is there already";
        return Err(Refusal::new(FailureKind::Denied, text));
    }
    let asked = api::NewUser {
        name: asked.name,
        password: asked.password,
        role: api::Role::Admin,
    };
    let user = make_user(state, asked).await?;
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        let is_first = catalog.users()?.is_empty() && state.take_setup_key();
        if !is_first {
            let text = "a user is there already";
            return Err(Refusal::new(FailureKind::Conflict, text));
        }
        catalog.set_user(&user)?;
        Ok(user)
    });
    work.await?
}
