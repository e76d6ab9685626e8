//! Answers about users, tokens and oneself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as In;
use axum::http::StatusCode;
use axum::response::Response;
use lifeboat_api as api;
use lifeboat_api::FailureKind;
use lifeboat_catalog::{Role, User};

use crate::accounts;
use crate::extract::{At, Sent};
use crate::guard::{Caller, noted};
use crate::login::too_many;
use crate::refusal::{Answer, Refusal};
use crate::shapes;
use crate::state::State;

type Shared = In<Arc<State>>;

/// Who asks, and what may be done.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = api::Me)))]
pub(crate) async fn me(caller: Caller) -> Json<api::Me> {
    Json(api::Me {
        name: caller.name,
        role: shapes::role(caller.role),
        scopes: caller.scopes,
    })
}

/// Changes one's own password; all sessions end.
#[utoipa::path(post, path = "/api/v1/me/password", request_body = api::NewPassword,
    responses((status = 204)))]
pub(crate) async fn change_password(
    In(state): Shared,
    caller: Caller,
    Sent(asked): Sent<api::NewPassword>,
) -> Answer<StatusCode> {
    if caller.session.is_none() {
        let text = "a token has no password: only a user who is signed in can change one";
        return Err(Refusal::new(FailureKind::Conflict, text));
    }
    let name = caller.name;
    let now = state.clock.monotonic();
    if state.failures.is_full(&name, now) {
        return Err(too_many(state.failures.pause(&name, now)));
    }
    let found = state.work({
        let name = name.clone();
        move |state| state.node.catalog().user(&name)
    });
    let user = found.await??;
    let user = user.ok_or_else(|| Refusal::missing("there is no such user any more"))?;
    let digest = Some(user.password_digest.clone());
    if !state.passwords.fits(digest, asked.old).await? {
        state.failures.count(&name, now);
        let text = "the old password is another one";
        return Err(Refusal::new(FailureKind::Denied, text));
    }
    let digest = digest_of(&state, asked.new).await?;
    let user = User {
        password_digest: digest,
        ..user
    };
    state
        .work(move |state| state.node.catalog().set_user(&user))
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn digest_of(state: &Arc<State>, password: String) -> Answer<String> {
    let entropy = Arc::clone(&state.entropy);
    let work = move || accounts::new_digest(&password, &*entropy);
    let digest = state.passwords.compute(work).await?;
    digest.map_err(Refusal::invalid)
}

/// All users.
#[utoipa::path(get, path = "/api/v1/users", responses((status = 200, body = Vec<api::User>)))]
pub(crate) async fn users(In(state): Shared) -> Answer<Json<Vec<api::User>>> {
    let work = state.work(|state| {
        let users = state.node.catalog().users()?;
        Ok(Json(users.into_iter().map(shapes::user).collect()))
    });
    work.await?
}

/// Makes a user.
#[utoipa::path(post, path = "/api/v1/users", request_body = api::NewUser,
    responses((status = 201, body = api::User)))]
pub(crate) async fn add_user(
    In(state): Shared,
    Sent(asked): Sent<api::NewUser>,
) -> Answer<Response> {
    let details = format!(
        "{} with the role {}",
        asked.name,
        shapes::role_inside(asked.role)
    );
    let user = make_user(&state, asked).await?;
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        if catalog.user(&user.name)?.is_some() {
            let text = format!("there is a user \"{}\" already", user.name);
            return Err(Refusal::new(FailureKind::Conflict, text));
        }
        catalog.set_user(&user)?;
        Ok((StatusCode::CREATED, Json(shapes::user(user))))
    });
    Ok(noted(work.await??, details))
}

/// A user with a computed password; refused if name or password are not fit.
pub(crate) async fn make_user(state: &Arc<State>, asked: api::NewUser) -> Answer<User> {
    let (entropy, now) = (Arc::clone(&state.entropy), state.clock.now());
    let work = move || {
        let role = shapes::role_inside(asked.role);
        accounts::new_user(&asked.name, &asked.password, role, now, &*entropy)
    };
    let user = state.passwords.compute(work).await?;
    user.map_err(Refusal::invalid)
}

/// Changes a user; sessions of the user end.
#[utoipa::path(patch, path = "/api/v1/users/{name}", params(("name" = String, Path)),
    request_body = api::UserChange, responses((status = 200, body = api::User)))]
pub(crate) async fn change_user(
    In(state): Shared,
    At(name): At<String>,
    Sent(asked): Sent<api::UserChange>,
) -> Answer<Response> {
    let digest = match asked.password {
        Some(password) => Some(digest_of(&state, password).await?),
        None => None,
    };
    let mut details = Vec::new();
    details.extend(digest.as_ref().map(|_| "another password".to_owned()));
    let role = asked.role.map(shapes::role_inside);
    details.extend(role.map(|role| format!("the role {role}")));
    details.extend(asked.is_enabled.map(|is_enabled| match is_enabled {
        true => "may come in".to_owned(),
        false => "may not come in".to_owned(),
    }));
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        let mut user = catalog.user(&name)?.ok_or_else(|| no_user(&name))?;
        user.password_digest = digest.unwrap_or(user.password_digest);
        user.role = role.unwrap_or(user.role);
        user.is_enabled = asked.is_enabled.unwrap_or(user.is_enabled);
        if user.role != Role::Admin || !user.is_enabled {
            keep_an_admin(state, &name)?;
        }
        catalog.set_user(&user)?;
        Ok::<_, Refusal>(Json(shapes::user(user)))
    });
    Ok(noted(work.await??, details.join(", ")))
}

/// Removes a user with all sessions.
#[utoipa::path(delete, path = "/api/v1/users/{name}", params(("name" = String, Path)),
    responses((status = 204)))]
pub(crate) async fn remove_user(In(state): Shared, At(name): At<String>) -> Answer<StatusCode> {
    let work = state.work(move |state| {
        keep_an_admin(state, &name)?;
        state.node.catalog().remove_user(&name)?;
        Ok(StatusCode::NO_CONTENT)
    });
    work.await?
}

fn no_user(name: &str) -> Refusal {
    Refusal::missing(format!("there is no user \"{name}\""))
}

/// Refuses what would leave nobody who can make users.
fn keep_an_admin(state: &Arc<State>, name: &str) -> Answer<()> {
    let users = state.node.catalog().users()?;
    let is_admin = |user: &&User| user.role == Role::Admin && user.is_enabled;
    let mut admins = users.iter().filter(is_admin);
    let is_one = users
        .iter()
        .any(|user| user.name == name && is_admin(&user));
    match is_one && !admins.any(|user| user.name != name) {
        false => Ok(()),
        true => {
            let text = format!("{name} is the only administrator who may come in");
            let refusal = Refusal::new(FailureKind::Conflict, text);
            Err(refusal.with_hint("give another user the role admin first"))
        }
    }
}

/// All tokens.
#[utoipa::path(get, path = "/api/v1/tokens", responses((status = 200, body = Vec<api::Token>)))]
pub(crate) async fn tokens(In(state): Shared) -> Answer<Json<Vec<api::Token>>> {
    let work = state.work(|state| {
        let tokens = state.node.catalog().tokens()?;
        Ok(Json(tokens.into_iter().map(shapes::token).collect()))
    });
    work.await?
}

/// Makes a token; its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", request_body = api::NewToken,
    responses((status = 201, body = api::TokenMade)))]
pub(crate) async fn add_token(
    In(state): Shared,
    caller: Caller,
    Sent(asked): Sent<api::NewToken>,
) -> Answer<Response> {
    if !caller.scopes.is_empty() {
        let text = format!("{} has scopes, and can make no token without", caller.name);
        return Err(Refusal::new(FailureKind::Denied, text));
    }
    let made = accounts::new_token(&asked, &caller.name, &*state.clock, &*state.entropy);
    let (token, secret) = made.map_err(Refusal::invalid)?;
    let id = token.id.clone();
    let details = format!("{id} with the role {}: {}", token.role, token.title);
    state
        .work(move |state| state.node.catalog().set_token(&token))
        .await??;
    let answer = (StatusCode::CREATED, Json(api::TokenMade { id, secret }));
    Ok(noted(answer, details))
}

/// Removes a token.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", params(("id" = String, Path)),
    responses((status = 204)))]
pub(crate) async fn remove_token(In(state): Shared, At(id): At<String>) -> Answer<StatusCode> {
    let work = state.work(move |state| {
        state.node.catalog().remove_token(&id)?;
        Ok(StatusCode::NO_CONTENT)
    });
    work.await?
}
