//! Answers that begin, stop or acknowledge something.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as In;
use axum::http::StatusCode;
use axum::response::Response;
use lifeboat_api as api;
use lifeboat_api::FailureKind;
use lifeboat_catalog::{Action, RunId, Task, TaskId};
use lifeboat_scheduler::Request;

use crate::extract::{At, Sent};
use crate::guard::{Caller, noted};
use crate::refusal::{Answer, Refusal};
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
fn check_restore(request: &api::RestoreRequest) -> Answer<()> {
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
    Ok(())
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

/// Begins a run that does what a task did that has ended.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/retry", params(("id" = i64, Path)),
    responses((status = 201, body = api::Begun)))]
pub(crate) async fn retry_task(
    In(state): Shared,
    caller: Caller,
    At(id): At<i64>,
) -> Answer<Response> {
    let found = state.work(move |state| state.node.catalog().task(TaskId(id)));
    let request = again(&found.await??)?;
    begun(state, caller, request).await
}

fn again(task: &Task) -> Answer<Request> {
    if !task.state.is_over() {
        let text = format!("task {} has not ended", task.id);
        return Err(Refusal::new(FailureKind::Conflict, text));
    }
    let subject = task.subject.clone();
    let job = task.job.clone();
    Ok(match task.action {
        Action::Backup => Request::Backup {
            job,
            machines: vec![subject],
            is_forced: false,
        },
        Action::Resolve => Request::Backup {
            job,
            machines: Vec::new(),
            is_forced: false,
        },
        Action::Verify => Request::Verify { machine: subject },
        Action::Check => Request::Check {
            repository: subject,
        },
        Action::Prune => Request::Prune {
            repository: subject,
        },
        Action::Look => Request::Look {
            repository: subject,
        },
        Action::Copy | Action::Forget | Action::Restore => {
            let text = format!("a task that does {} is not begun alone", task.action);
            let hint = "begin a run of its job, or the restore anew";
            return Err(Refusal::new(FailureKind::Unsupported, text).with_hint(hint));
        }
    })
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
