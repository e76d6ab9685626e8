//! Answers that change nothing.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as In;
use axum::http::Uri;
use jiff::{SignedDuration, Timestamp};
use lifeboat_api as api;
use lifeboat_catalog::{
    Alert, AlertSeverity, AuditEntry, LogLine, Point, PointFilter, PointKey, Run, RunFilter, RunId,
    Task, TaskFilter, TaskId, TaskState,
};
use lifeboat_scheduler::{
    ADVISED_MAX, PlannedRun, RunPlace, advise_all, upcoming as upcoming_runs,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{Asked, At};
use crate::lookup::refused;
use crate::paging::{Part, part};
use crate::refusal::{Answer, Refusal};
use crate::shapes;
use crate::state::State;

/// Rows of an answer at most, unless it says otherwise.
const ROWS_MAX: u32 = 1_000;
/// Points of an answer at most.
pub(crate) const POINTS_MAX: u32 = 10_000;

type Shared = In<Arc<State>>;

/// Which entries.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntriesAsked {
    /// Only those with smaller numbers.
    before: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// Which machines.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MachinesAsked {
    /// Only those after this `platform/name`.
    #[param(pattern = "^[^/]*/.*$")]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// Which machine, where several platforms have one of that name.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MachineAsked {
    /// Its platform's name.
    platform: Option<String>,
}

/// Which points.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PointsAsked {
    /// Those of one machine.
    machine: Option<String>,
    /// Those that are known to be from one platform.
    platform: Option<String>,
    /// Those in one repository.
    repository: Option<String>,
    /// Only those after this one: microseconds since 1970, snapshot, repository.
    #[param(pattern = "^[0-9]{1,17}/[^/]+/.+$")]
    after: Option<String>,
    /// At most so many, the newest.
    #[param(minimum = 1, maximum = 10000)]
    count: Option<u32>,
}

/// Which runs.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsAsked {
    /// Those of one job.
    job: Option<String>,
    /// Those in one state.
    #[param(inline)]
    state: Option<api::RunState>,
    /// Only those with smaller numbers.
    before: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// Which tasks.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TasksAsked {
    /// Those of one run.
    run: Option<i64>,
    /// Those of one machine or repository.
    subject: Option<String>,
    /// Those that are known to be of one platform's machines.
    platform: Option<String>,
    /// Those in one state.
    #[param(inline)]
    state: Option<api::TaskState>,
    /// Only those with smaller numbers.
    before: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// Which lines.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinesAsked {
    /// Only those with greater numbers.
    after: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// How far to look.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DaysAsked {
    /// So many days.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
}

/// Which runs to come.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UpcomingAsked {
    /// Those of so many days.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
    /// Only those behind this one: when it begins and its planned moment, both in microseconds
    /// since 1970, and its job.
    #[param(pattern = "^[0-9]{1,17}/[0-9]{1,17}/.+$")]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// Which alerts.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlertsAsked {
    /// Also those that are over and began in the last so many days, newest first.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
    /// Only those after the one with this number.
    after: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

pub(crate) fn within(name: &str, asked: Option<u32>, usual: u32, most: u32) -> Answer<u32> {
    match asked.unwrap_or(usual) {
        number @ 1.. if number <= most => Ok(number),
        _ => Err(Refusal::invalid(format!("{name} is from 1 to {most}"))),
    }
}

fn days_of(asked: Option<u32>, usual: u32, most: u32) -> Answer<SignedDuration> {
    let days = within("days", asked, usual, most)?;
    Ok(SignedDuration::from_hours(24 * i64::from(days)))
}

/// Whether the server answers.
#[utoipa::path(get, path = "/api/v1/health", responses((status = 200, body = api::Health)))]
pub(crate) async fn health() -> Json<api::Health> {
    Json(api::Health {
        is_up: true,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Whether everything can be recovered now.
#[utoipa::path(get, path = "/api/v1/overview", responses((status = 200, body = api::Overview)))]
pub(crate) async fn overview(In(state): Shared) -> Answer<Json<api::Overview>> {
    state.work(|state| summary(state).map(Json)).await?
}

fn summary(state: &Arc<State>) -> Answer<api::Overview> {
    let seen = state.node.overview()?;
    let catalog = state.node.catalog();
    let queue = catalog.queue()?;
    let count = |wanted| {
        let found = queue.iter().find(|(state, _)| *state == wanted);
        found.map_or(0, |(_, count)| count.unsigned_abs())
    };
    Ok(api::Overview {
        site: seen.site.clone(),
        node: state.node.name().to_owned(),
        machines: shapes::counts(&seen.counts()),
        jobs: seen.jobs.iter().map(shapes::job).collect(),
        repositories: seen.repositories.iter().map(shapes::repository).collect(),
        queue: api::QueueCounts {
            queued: count(TaskState::Queued),
            running: count(TaskState::Running),
        },
        alerts: catalog.open_alerts()?.len() as u64,
        proved: seen.proved,
        at: seen.at,
    })
}

/// Machines by platform and name.
#[utoipa::path(get, path = "/api/v1/machines", params(MachinesAsked),
    responses((status = 200, body = Vec<api::Machine>)))]
pub(crate) async fn machines(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<MachinesAsked>,
) -> Answer<Part<api::Machine>> {
    let count = within("count", asked.count, ROWS_MAX, ROWS_MAX)?;
    let after = match &asked.after {
        None => None,
        Some(text) => Some(text.split_once('/').map(owned).ok_or_else(|| {
            Refusal::invalid("after is a platform and a machine's name with / between them")
        })?),
    };
    let work = state.work(move |state| {
        let seen = state.node.overview()?;
        let mut sorted: Vec<_> = seen.machines.iter().collect();
        sorted.sort_by(|a, b| (&a.platform, &a.name).cmp(&(&b.platform, &b.name)));
        let is_after = |machine: &&lifeboat_scheduler::MachineStatus| {
            let key = (machine.platform.clone(), machine.name.clone());
            after.as_ref().is_none_or(|after| key > *after)
        };
        let wanted = sorted.into_iter().filter(is_after).take(count as usize + 1);
        let place = |machine: &&lifeboat_scheduler::MachineStatus| {
            ("after", format!("{}/{}", machine.platform, machine.name))
        };
        Ok(part(
            &uri,
            (wanted.collect(), count),
            place,
            shapes::machine,
        ))
    });
    work.await?
}

fn owned((platform, name): (&str, &str)) -> (String, String) {
    (platform.to_owned(), name.to_owned())
}

/// A machine with its points, proofs and tasks.
///
/// A name that machines of several platforms have is refused without a platform.
#[utoipa::path(get, path = "/api/v1/machines/{name}",
    params(("name" = String, Path), MachineAsked),
    responses((status = 200, body = api::MachineDetails)))]
pub(crate) async fn machine(
    In(state): Shared,
    At(name): At<String>,
    Asked(asked): Asked<MachineAsked>,
) -> Answer<Json<api::MachineDetails>> {
    let work = state.work(move |state| {
        let (node, asked) = (&state.node, asked.platform.as_deref());
        let seen = node.overview()?;
        let found = seen.named(&name, asked);
        let platform = match found.as_slice() {
            [] => asked,
            [one] => one.distinct_platform(),
            _ => return Err(refused(&seen, &name, asked)),
        };
        let points = node.points_of(&name, platform, ROWS_MAX)?;
        if name.is_empty() || found.is_empty() && points.is_empty() {
            return Err(refused(&seen, &name, asked));
        }
        let filter = TaskFilter {
            subject: Some(name.clone()),
            count: 100,
            ..TaskFilter::default()
        };
        let tasks = node.tasks(&filter, platform)?;
        let proofs = node.proofs_of(&name, platform, 100)?;
        Ok(Json(api::MachineDetails {
            machines: found.into_iter().map(shapes::machine).collect(),
            points: points.into_iter().map(shapes::point).collect(),
            proofs: proofs.into_iter().map(shapes::proof).collect(),
            tasks: tasks.into_iter().map(shapes::task).collect(),
        }))
    });
    work.await?
}

/// Recovery points, newest first.
#[utoipa::path(get, path = "/api/v1/points", params(PointsAsked),
    responses((status = 200, body = Vec<api::Point>)))]
pub(crate) async fn points(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<PointsAsked>,
) -> Answer<Part<api::Point>> {
    let count = within("count", asked.count, ROWS_MAX, POINTS_MAX)?;
    let filter = PointFilter {
        machine: asked.machine,
        repository: asked.repository,
        behind: asked.after.as_deref().map(point_place).transpose()?,
        count: count + 1,
    };
    let work = state.work(move |state| {
        let points = state.node.points(&filter, asked.platform.as_deref())?;
        let place = |point: &Point| {
            let (at, key) = (point.at.as_microsecond(), &point.key);
            ("after", format!("{at}/{}/{}", key.snapshot, key.repository))
        };
        Ok(part(&uri, (points, count), place, shapes::point))
    });
    work.await?
}

fn point_place(text: &str) -> Answer<(Timestamp, PointKey)> {
    let mut words = text.splitn(3, '/');
    let at = words.next().and_then(|word| word.parse().ok());
    let at = at.and_then(|at| Timestamp::from_microsecond(at).ok());
    match (at, words.next(), words.next()) {
        (Some(at), Some(snapshot), Some(repository)) => {
            let (snapshot, repository) = (snapshot.to_owned(), repository.to_owned());
            let key = PointKey {
                repository,
                snapshot,
            };
            Ok((at, key))
        }
        _ => Err(Refusal::invalid(
            "after is a moment, a snapshot and a repository with / between them, as the header \
             Link of the part before gives it",
        )),
    }
}

/// Runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", params(RunsAsked),
    responses((status = 200, body = Vec<api::Run>)))]
pub(crate) async fn runs(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<RunsAsked>,
) -> Answer<Part<api::Run>> {
    let count = within("count", asked.count, 100, ROWS_MAX)?;
    let filter = RunFilter {
        job: asked.job,
        state: asked.state.map(shapes::run_state_inside),
        before: asked.before.map(RunId),
        since: None,
        count: count + 1,
    };
    let work = state.work(move |state| {
        let runs = state.node.catalog().runs(&filter)?;
        let place = |run: &Run| ("before", run.id.to_string());
        Ok(part(&uri, (runs, count), place, shapes::run))
    });
    work.await?
}

/// A run with its tasks.
#[utoipa::path(get, path = "/api/v1/runs/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = api::RunDetails)))]
pub(crate) async fn run(In(state): Shared, At(id): At<i64>) -> Answer<Json<api::RunDetails>> {
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        let run = catalog.run(RunId(id))?;
        let filter = TaskFilter {
            run: Some(RunId(id)),
            count: POINTS_MAX,
            ..TaskFilter::default()
        };
        let tasks = catalog.tasks(&filter)?;
        Ok(Json(api::RunDetails {
            run: shapes::run(run),
            tasks: tasks.into_iter().map(shapes::task).collect(),
        }))
    });
    work.await?
}

/// Tasks, newest first.
#[utoipa::path(get, path = "/api/v1/tasks", params(TasksAsked),
    responses((status = 200, body = Vec<api::Task>)))]
pub(crate) async fn tasks(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<TasksAsked>,
) -> Answer<Part<api::Task>> {
    let count = within("count", asked.count, 100, ROWS_MAX)?;
    let filter = TaskFilter {
        run: asked.run.map(RunId),
        subject: asked.subject,
        state: asked.state.map(shapes::task_state_inside),
        before: asked.before.map(TaskId),
        count: count + 1,
        ..TaskFilter::default()
    };
    let work = state.work(move |state| {
        let tasks = state.node.tasks(&filter, asked.platform.as_deref())?;
        let place = |task: &Task| ("before", task.id.to_string());
        Ok(part(&uri, (tasks, count), place, shapes::task))
    });
    work.await?
}

/// A task with its steps.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = api::TaskDetails)))]
pub(crate) async fn task(In(state): Shared, At(id): At<i64>) -> Answer<Json<api::TaskDetails>> {
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        let task = catalog.task(TaskId(id))?;
        let steps = catalog.steps(TaskId(id))?;
        Ok(Json(api::TaskDetails {
            task: shapes::task(task),
            steps: steps.into_iter().map(shapes::step).collect(),
        }))
    });
    work.await?
}

/// What a task said.
#[utoipa::path(get, path = "/api/v1/tasks/{id}/log", params(("id" = i64, Path), LinesAsked),
    responses((status = 200, body = Vec<api::LogLine>)))]
pub(crate) async fn log(
    In(state): Shared,
    At(id): At<i64>,
    uri: Uri,
    Asked(asked): Asked<LinesAsked>,
) -> Answer<Part<api::LogLine>> {
    let count = within("count", asked.count, ROWS_MAX, ROWS_MAX)?;
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        catalog.task(TaskId(id))?;
        let lines = catalog.log_after(TaskId(id), asked.after.unwrap_or(0), count + 1)?;
        let place = |line: &LogLine| ("after", line.number.to_string());
        Ok(part(&uri, (lines, count), place, shapes::line))
    });
    work.await?
}

/// Jobs by name.
#[utoipa::path(get, path = "/api/v1/jobs", responses((status = 200, body = Vec<api::Job>)))]
pub(crate) async fn jobs(In(state): Shared) -> Answer<Json<Vec<api::Job>>> {
    let work = state.work(|state| {
        let seen = state.node.overview()?;
        Ok(Json(seen.jobs.iter().map(shapes::job).collect()))
    });
    work.await?
}

/// Runs that schedules will begin, soonest first.
#[utoipa::path(get, path = "/api/v1/upcoming", params(UpcomingAsked),
    responses((status = 200, body = Vec<api::PlannedRun>)))]
pub(crate) async fn upcoming(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<UpcomingAsked>,
) -> Answer<Part<api::PlannedRun>> {
    let days = days_of(asked.days, 7, 366)?;
    let count = within("count", asked.count, ROWS_MAX, ROWS_MAX)?;
    let behind = asked.after.as_deref().map(run_place).transpose()?;
    let work = state.work(move |state| {
        let now = state.clock.now();
        let (settings, span) = (state.node.settings(), (now, now + days));
        let runs = upcoming_runs(&settings, span, behind.as_ref(), count as usize + 1);
        let place = |run: &PlannedRun| {
            let (begins, planned) = (run.begins.as_microsecond(), run.planned.as_microsecond());
            ("after", format!("{begins}/{planned}/{}", run.job))
        };
        part(&uri, (runs, count), place, shapes::planned)
    });
    Ok(work.await?)
}

fn run_place(text: &str) -> Answer<RunPlace> {
    let moment = |word: Option<&str>| {
        let micros = word.and_then(|word| word.parse().ok());
        micros.and_then(|at| Timestamp::from_microsecond(at).ok())
    };
    let mut words = text.splitn(3, '/');
    match (moment(words.next()), moment(words.next()), words.next()) {
        (Some(begins), Some(planned), Some(job)) => Ok((begins, planned, job.to_owned())),
        _ => Err(Refusal::invalid(
            "after is two moments and a job with / between them, as the header Link of the part \
             before gives it",
        )),
    }
}

/// Repositories by name.
#[utoipa::path(get, path = "/api/v1/repositories",
    responses((status = 200, body = Vec<api::Repository>)))]
pub(crate) async fn repositories(In(state): Shared) -> Answer<Json<Vec<api::Repository>>> {
    let work = state.work(|state| {
        let seen = state.node.overview()?;
        let repositories = seen.repositories.iter().map(shapes::repository);
        Ok(Json(repositories.collect()))
    });
    work.await?
}

/// How a repository grew, oldest first.
#[utoipa::path(get, path = "/api/v1/repositories/{name}/sizes",
    params(("name" = String, Path), DaysAsked),
    responses((status = 200, body = Vec<api::RepositorySize>)))]
pub(crate) async fn sizes(
    In(state): Shared,
    At(name): At<String>,
    Asked(asked): Asked<DaysAsked>,
) -> Answer<Json<Vec<api::RepositorySize>>> {
    let days = days_of(asked.days, 90, 366)?;
    let work = state.work(move |state| {
        let since = state.clock.now() - days;
        let sizes = state.node.catalog().repository_sizes(&name, since)?;
        Ok(Json(sizes.into_iter().map(shapes::size).collect()))
    });
    work.await?
}

/// Alerts that hold, worst first.
#[utoipa::path(get, path = "/api/v1/alerts", params(AlertsAsked),
    responses((status = 200, body = Vec<api::Alert>)))]
pub(crate) async fn alerts(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<AlertsAsked>,
) -> Answer<Part<api::Alert>> {
    let days = days_of(asked.days, 1, 366)?;
    let count = within("count", asked.count, ROWS_MAX, ROWS_MAX)?;
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        let alerts = match (asked.days, asked.after) {
            (Some(_), after) => {
                let (after, since) = (after.unwrap_or(i64::MAX), state.clock.now() - days);
                catalog.alerts_before(after, since, count + 1)?
            }
            (None, None) => catalog.open_alerts()?,
            (None, Some(after)) => {
                // One that is over by now still has its place.
                let last = catalog.alert(after)?;
                let mut alerts = catalog.open_alerts()?;
                alerts.retain(|alert| worst_first(alert) > worst_first(&last));
                alerts
            }
        };
        let settings = state.node.settings();
        let mut advised = advise_all(catalog, &settings, &alerts, ADVISED_MAX)?;
        let place = |alert: &Alert| ("after", alert.id.to_string());
        let shape = |alert: Alert| {
            let advice = advised.remove(&alert.id).unwrap_or_default();
            shapes::alert(alert, advice)
        };
        Ok(part(&uri, (alerts, count), place, shape))
    });
    work.await?
}

/// Where an alert stands among those that hold.
fn worst_first(alert: &Alert) -> (Reverse<AlertSeverity>, Timestamp, i64) {
    (Reverse(alert.severity), alert.since, alert.id)
}

/// Values of the configuration that count, and where each was written.
#[utoipa::path(get, path = "/api/v1/config",
    responses((status = 200, body = Vec<api::ConfigValue>)))]
pub(crate) async fn config(In(state): Shared) -> Json<Vec<api::ConfigValue>> {
    let values = state.config().into_iter();
    let shown = values.map(|(path, value, origin)| api::ConfigValue {
        path,
        value,
        origin,
    });
    Json(shown.collect())
}

/// Who did what, newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(EntriesAsked),
    responses((status = 200, body = Vec<api::AuditEntry>)))]
pub(crate) async fn audit(
    In(state): Shared,
    uri: Uri,
    Asked(asked): Asked<EntriesAsked>,
) -> Answer<Part<api::AuditEntry>> {
    let count = within("count", asked.count, 100, ROWS_MAX)?;
    let work = state.work(move |state| {
        let catalog = state.node.catalog();
        let entries = catalog.audit_entries(asked.before, count + 1)?;
        let place = |entry: &AuditEntry| ("before", entry.number.to_string());
        Ok(part(&uri, (entries, count), place, shapes::audit_entry))
    });
    work.await?
}

/// Looks at the seal of every entry of the audit log.
#[utoipa::path(get, path = "/api/v1/audit/verify",
    responses((status = 200, body = api::AuditFindings)))]
pub(crate) async fn verify_audit(In(state): Shared) -> Answer<Json<api::AuditFindings>> {
    let work = state.work(|state| {
        let report = state.node.catalog().verify_audit(&state.audit_key, None)?;
        Ok(Json(api::AuditFindings {
            entries: report.entries,
            flaws: report.flaws.iter().map(ToString::to_string).collect(),
        }))
    });
    work.await?
}

/// A moment as answers round it: what has no part of a second stays as it is.
pub(crate) fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
