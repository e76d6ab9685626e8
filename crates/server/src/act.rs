//! Answers that begin, stop or acknowledge something.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as In;
use axum::http::StatusCode;
use axum::response::Response;
use lifeboat_api as api;
use lifeboat_api::FailureKind;
use lifeboat_catalog::{Action, Role, RunId, Task, TaskId};
use lifeboat_scheduler::{Request, is_replacing};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{Asked, At, Sent};
use crate::guard::{Caller, noted};
use crate::refusal::{Answer, Refusal};
use crate::routes::Access;
use crate::shapes;
use crate::state::State;

type Shared = In<Arc<State>>;

async fn begun(state: Arc<State>, caller: Caller, request: Request) -> Answer<Response> {
    let details = serde_json::to_string(&request).unwrap_or_default();
    let work = state.work(move |state| state.node.begin(&request, &caller.name));
    match work.await? {
        Ok(RunId(run)) => {
            let details = format!("run {run}: {details}");
            let answer = (StatusCode::CREATED, Json(api::Begun { run }));
            Ok(noted(answer, details))
        }
        Err(error) => Ok(noted(Refusal::from(error), details)),
    }
}

/// Begins a run.
#[utoipa::path(post, path = "/api/v1/runs", request_body = api::RunRequest,
    responses((status = 201, body = api::Begun)))]
pub(crate) async fn begin(
    In(state): Shared,
    caller: Caller,
    Sent(request): Sent<api::RunRequest>,
) -> Answer<Response> {
    begun(state, caller, shapes::request(request)).await
}

/// Begins to bring a machine back.
#[utoipa::path(post, path = "/api/v1/restores", request_body = api::RestoreRequest,
    responses((status = 201, body = api::Begun)))]
pub(crate) async fn restore(
    In(state): Shared,
    caller: Caller,
    Sent(request): Sent<api::RestoreRequest>,
) -> Answer<Response> {
    check_restore(&request)?;
    begun(state, caller, shapes::restore(request)).await
}

/// What becomes a word of a command line must not look like an option.
pub(crate) fn check_restore(request: &api::RestoreRequest) -> Answer<()> {
    let is_digit = |letter: char| matches!(letter, '0'..='9' | 'a'..='f');
    let snapshot = &request.snapshot;
    if !(4..=64).contains(&snapshot.len()) || !snapshot.chars().all(is_digit) {
        let text = "a snapshot is named by at least 4 of the 64 digits of its id";
        return Err(Refusal::invalid(text));
    }
    let is_fine = |name: &str| {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        (1..=63).contains(&name.len()) && !name.starts_with('-') && name.chars().all(is_letter)
    };
    if !request.name.as_deref().is_none_or(is_fine) {
        let text = "a machine's new name has 1 to 63 letters and digits, also . _ and -, not first";
        return Err(Refusal::invalid(text));
    }
    if !request.to.as_deref().is_none_or(is_place) {
        let text = "to is pool:NAME, or a folder as /folder/, of letters, digits, . _ and -";
        return Err(Refusal::invalid(text));
    }
    Ok(())
}

/// A pool, or a folder: nothing that is there is written over.
fn is_place(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let is_name = |name: &str| !name.is_empty() && name != ".." && name.chars().all(is_letter);
    let inner = match text.strip_prefix("pool:") {
        Some(pool) => Some(pool),
        None => text.strip_prefix('/').and_then(|it| it.strip_suffix('/')),
    };
    text.len() <= 600 && inner.is_some_and(|inner| inner.split('/').all(is_name))
}

/// Asks for the end of a run.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", params(("id" = i64, Path)),
    responses((status = 204)))]
pub(crate) async fn cancel_run(
    In(state): Shared,
    caller: Caller,
    At(id): At<i64>,
) -> Answer<StatusCode> {
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        catalog.cancel_run(RunId(id), &caller.name)?;
        Ok(StatusCode::NO_CONTENT)
    });
    work.await?
}

/// Asks for the end of a task.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/cancel", params(("id" = i64, Path)),
    responses((status = 204)))]
pub(crate) async fn cancel_task(
    In(state): Shared,
    caller: Caller,
    At(id): At<i64>,
) -> Answer<StatusCode> {
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        catalog.cancel_task(TaskId(id), &caller.name)?;
        Ok(StatusCode::NO_CONTENT)
    });
    work.await?
}

/// What a task would do once more, before anybody asks for it.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/retry", params(("id" = i64, Path)),
    responses((status = 200, body = api::RetryPlan)))]
pub(crate) async fn plan_retry(In(state): Shared, At(id): At<i64>) -> Answer<Json<api::RetryPlan>> {
    let found = state.work(move |state| state.node.catalog().task(TaskId(id)));
    let task = found.await??;
    let is_replacing = is_replacing(&task);
    let task = shapes::task(task);
    Ok(Json(api::RetryPlan {
        action: task.action,
        command: format!("lifeboat {}", task.words.join(" ")),
        subject: task.subject,
        job: task.job,
        is_replacing,
    }))
}

/// How a task is to be done once more.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RetryAsked {
    /// The plan was looked at, and may replace what is there.
    is_confirmed: Option<bool>,
}

/// Begins a run that does what a task did that has ended.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/retry", params(("id" = i64, Path), RetryAsked),
    responses((status = 201, body = api::Begun)))]
pub(crate) async fn retry_task(
    In(state): Shared,
    caller: Caller,
    At(id): At<i64>,
    Asked(asked): Asked<RetryAsked>,
) -> Answer<Response> {
    let work = state.work(move |state| {
        let task = state.node.catalog().task(TaskId(id))?;
        may_retry(&task, caller.role, asked.is_confirmed.unwrap_or(false))?;
        let RunId(run) = state.node.retry(&task, &caller.name)?;
        let details = format!("run {run}: {} {} once more", task.action, task.subject);
        let answer = (StatusCode::CREATED, Json(api::Begun { run }));
        Ok(noted(answer, details))
    });
    work.await?
}

/// A restore is begun once more by those only who may begin one; one that replaces a machine only
/// when its plan was looked at.
fn may_retry(task: &Task, role: Role, is_confirmed: bool) -> Answer<()> {
    if task.action == Action::Restore && !Access::Restore.allows(role) {
        let text = format!("the role {role} may not restore");
        let hint = "ask somebody with the role restore or admin";
        return Err(Refusal::new(FailureKind::Denied, text).with_hint(hint));
    }
    if is_replacing(task) && !is_confirmed {
        let text = format!(
            "task {} puts a machine into the place of the one of its name",
            task.id
        );
        let hint = format!(
            "look at GET /api/v1/tasks/{}/retry, then ask with is_confirmed=true",
            task.id
        );
        return Err(Refusal::new(FailureKind::Conflict, text).with_hint(hint));
    }
    Ok(())
}

/// Says that an alert was seen.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", params(("id" = i64, Path)),
    responses((status = 204)))]
pub(crate) async fn acknowledge(
    In(state): Shared,
    caller: Caller,
    At(id): At<i64>,
) -> Answer<StatusCode> {
    let work = state.work(move |state| {
        state.node.catalog().acknowledge(id, &caller.name)?;
        Ok(StatusCode::NO_CONTENT)
    });
    work.await?
}

/// Reads anew what every repository holds, and writes it into the catalog.
#[utoipa::path(post, path = "/api/v1/catalog/rebuild",
    responses((status = 201, body = Vec<api::Begun>)))]
pub(crate) async fn rebuild(In(state): Shared, caller: Caller) -> Answer<Response> {
    let work = state.work(move |state| {
        let settings = state.node.settings();
        let begin = |repository: &String| {
            let repository = repository.clone();
            let run = state
                .node
                .begin(&Request::Look { repository }, &caller.name)?;
            Ok::<_, Refusal>(api::Begun { run: run.0 })
        };
        let runs: Vec<_> = settings
            .repositories
            .keys()
            .map(begin)
            .collect::<Answer<_>>()?;
        let details = format!("{} repositories", runs.len());
        Ok(noted((StatusCode::CREATED, Json(runs)), details))
    });
    work.await?
}
