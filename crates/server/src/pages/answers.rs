//! From addresses to pages: looks up what a page shows, and gives it.

mod points;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State as In};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Point, Role, Run, RunFilter, RunId, Task, TaskFilter, TaskState};
use lifeboat_scheduler::{ADVISED_MAX, Overview, PlannedDay, advise_all};
use maud::Markup;

use points::{browse, can_restore, restore};

use super::simulation::simulate;
use super::{
    AlertsShown, Coming, Frame, MachineView, MachinesQuery, Moment, OverviewView, RULES, Reader,
    RepositoryView, RunView, RunsView, ScheduleView, Setting, SettingsView, SimulatorQuery,
    Stretch, TaskView,
};
use crate::assets;
use crate::lookup::missing;
use crate::refusal::{Answer, Refusal};
use crate::simulation::turn;
use crate::state::State;
use crate::visitor::Visitor;

/// Points of a machine that its page knows.
const POINTS: u32 = 20_000;
/// Rows of a page of runs or of the audit log.
const ROWS: u32 = 100;
/// Tasks of a run whose steps and logs are looked up.
const TASKS: u32 = 50;
/// Lines of a log that a page shows.
const LINES: u32 = 200;
/// Tasks that run, and tasks that wait, that are looked up.
const RUNNING: u32 = 200;
const WAITING: u32 = 1_000;
/// Repositories whose failures are looked up.
const TILES: usize = 50;
/// Runs of 30 days that strips are made of.
const STRIP_RUNS: u32 = 20_000;

type Shared = In<Arc<State>>;
type Asked = Query<HashMap<String, String>>;

/// All pages.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/", get(overview))
        .route("/machines", get(machines))
        .route("/machines/{name}", get(machine))
        .route("/machines/{name}/restore", get(restore))
        .route("/machines/{name}/browse", get(browse))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/repositories", get(repositories))
        .route("/repositories/{name}", get(repository))
        .route("/schedule", get(schedule))
        .route("/alerts", get(alerts))
        .route("/audit", get(audit))
        .route("/settings", get(settings))
        .route("/search", get(search))
        .route("/help", get(help))
        .route("/login", get(login))
        .route("/setup", get(setup))
        .route("/assets/{name}", get(asset))
}

/// Looks up and makes a page beside the threads that answer.
async fn page(
    state: &Arc<State>,
    visitor: Visitor,
    asked: HashMap<String, String>,
    make: impl FnOnce(&Look<'_>) -> Answer<Markup> + Send + 'static,
) -> Response {
    let work = state.work(move |state| {
        let alerts = state.node.catalog().open_alerts()?;
        let open = alerts.iter().filter(|it| it.acknowledged.is_none()).count();
        let running = state.node.catalog().tasks(&TaskFilter {
            state: Some(TaskState::Running),
            count: RUNNING,
            ..TaskFilter::default()
        })?;
        let frame = Frame {
            site: state.node.settings().site.clone(),
            reader: Reader {
                name: visitor.name,
                role: visitor.role,
                form_key: visitor.form_key,
            },
            moment: Moment {
                now: state.clock.now(),
                zone: TimeZone::system(),
            },
            alerts: open,
            active: running.iter().map(|task| task.run).collect(),
            is_fragment: asked.contains_key("fragment"),
        };
        let made = make(&Look {
            state,
            frame: &frame,
            asked: &asked,
            running: &running,
        });
        Ok::<_, Refusal>(match made {
            Ok(markup) => markup.into_response(),
            Err(refusal) => {
                let (status, title, text) = words_of(&refusal);
                let page = super::simple::failure_inside(&frame, title, &text);
                with_pause((status, page).into_response(), &refusal)
            }
        })
    });
    match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => refused(&refusal),
        Err(stopped) => refused(&stopped.into()),
    }
}

/// What making a page needs.
struct Look<'a> {
    state: &'a Arc<State>,
    frame: &'a Frame,
    asked: &'a HashMap<String, String>,
    running: &'a [Task],
}

impl Look<'_> {
    fn text(&self, name: &str) -> &str {
        self.asked.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }

    fn is_set(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    fn page(&self) -> usize {
        self.text("page").parse().unwrap_or(0)
    }

    fn overview(&self) -> Answer<Arc<Overview>> {
        Ok(self.state.node.overview()?)
    }

    fn days_ago(&self, days: i64) -> Timestamp {
        let now = self.frame.moment.now;
        now.checked_sub(SignedDuration::from_hours(24 * days))
            .unwrap_or(now)
    }

    /// Tasks that wait since an attempt failed, or are held up; those that begin first come first.
    fn waiting(&self) -> Answer<Vec<Task>> {
        let filter = TaskFilter {
            state: Some(TaskState::Queued),
            count: WAITING,
            ..TaskFilter::default()
        };
        let mut tasks = self.state.node.catalog().tasks(&filter)?;
        tasks.retain(|it| super::task::setback(it).is_some() || it.held_up.is_some());
        tasks.sort_by_key(|it| (it.not_before, it.id));
        Ok(tasks)
    }

    /// The newest failure of each repository that could not be worked with.
    fn setbacks(&self) -> Answer<Vec<Task>> {
        let overview = self.overview()?;
        let of =
            |name: &str| Ok::<_, Refusal>(newest_setback(&self.tasks_of(name, None)?).cloned());
        let names = overview
            .repositories
            .iter()
            .map(|it| it.facts.name.as_str());
        let found: Vec<Option<Task>> = names.take(TILES).map(of).collect::<Answer<_>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The point that a run brings back, if it is a restore.
    fn restored(&self, run: &Run) -> Answer<Option<Point>> {
        let Some(("restore", snapshot)) = run.job.split_once(' ') else {
            return Ok(None);
        };
        let catalog = self.state.node.catalog();
        for repository in self.state.node.settings().repositories.keys() {
            let found = catalog.points_starting(repository, snapshot)?;
            if let [point] = found.as_slice() {
                return Ok(Some(point.clone()));
            }
        }
        Ok(None)
    }

    /// The platform that is asked for, where a name alone means several machines.
    fn platform(&self) -> Option<&str> {
        Some(self.text("platform")).filter(|platform| !platform.is_empty())
    }

    fn tasks_of(&self, subject: &str, platform: Option<&str>) -> Answer<Vec<Task>> {
        let filter = TaskFilter {
            subject: Some(subject.to_owned()),
            count: 20,
            ..TaskFilter::default()
        };
        Ok(self.state.node.tasks(&filter, platform)?)
    }
}

/// Why the newest attempt of anything failed, if it did; newest first.
fn newest_setback(tasks: &[Task]) -> Option<&Task> {
    let tried = tasks
        .iter()
        .filter(|it| it.started.is_some() && it.state != TaskState::Running);
    let newest = tried.max_by_key(|it| it.ended.or(it.started))?;
    let is_failed = newest.state == TaskState::Failed || super::task::setback(newest).is_some();
    is_failed.then_some(newest)
}

fn refused(refusal: &Refusal) -> Response {
    let (status, title, text) = words_of(refusal);
    let page = super::failure_page(status.as_u16(), title, &text);
    with_pause((status, page).into_response(), refusal)
}

/// The answer with how long to wait before it is asked for again, if that is known.
fn with_pause(mut answer: Response, refusal: &Refusal) -> Response {
    if let Some(seconds) = refusal.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

fn words_of(refusal: &Refusal) -> (StatusCode, &'static str, String) {
    let status = StatusCode::from_u16(refusal.0.kind.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = match status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::FORBIDDEN => "Your role may not see this",
        _ => "This page could not be made",
    };
    let text = match &refusal.0.hint {
        Some(hint) => format!("{}; {hint}", refusal.0.message),
        None => refusal.0.message.clone(),
    };
    (status, title, text)
}

async fn overview(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        let catalog = look.state.node.catalog();
        let runs = catalog.runs(&RunFilter {
            since: Some(look.days_ago(30)),
            count: STRIP_RUNS,
            ..RunFilter::default()
        })?;
        let overview = look.overview()?;
        let broken = look.state.broken_config();
        let view = OverviewView {
            overview: &overview,
            runs: &runs,
            running: look.running,
            waiting: &look.waiting()?,
            setbacks: &look.setbacks()?,
            alerts: &catalog.open_alerts()?,
            broken: broken.as_ref(),
        };
        Ok(super::overview_page(look.frame, &view))
    })
    .await
}

async fn machines(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        let query = MachinesQuery {
            text: look.text("q").to_owned(),
            state: look.text("state").to_owned(),
            sort: look.text("sort").to_owned(),
            page: look.page(),
        };
        Ok(super::machines_page(look.frame, &*look.overview()?, &query))
    })
    .await
}

async fn machine(
    In(state): Shared,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Asked,
) -> Response {
    page(&state, visitor, asked, move |look| {
        let (overview, asked) = (look.overview()?, look.platform());
        let found = overview.named(&name, asked);
        let machine = match found.as_slice() {
            [] => return Err(missing(&name, asked)),
            [one] => one,
            several => return Ok(super::which_page(look.frame, several, "")),
        };
        let (node, platform) = (&look.state.node, machine.distinct_platform());
        let view = MachineView {
            can_restore: can_restore(look, &machine.platform),
            machine,
            points: &node.points_of(&name, platform, POINTS)?,
            proofs: &node.proofs_of(&name, platform, 20)?,
            tasks: &look.tasks_of(&name, platform)?,
            page: look.page(),
            until: look.text("until").parse().ok(),
        };
        Ok(super::machine_page(look.frame, &view))
    })
    .await
}

async fn runs(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        let (job, state) = (look.text("job"), look.text("state"));
        let before = look.number("before");
        let mut runs = look.state.node.catalog().runs(&RunFilter {
            job: look.is_set("job").then(|| job.to_owned()),
            state: super::runs::state_of(state),
            before: before.map(RunId),
            since: None,
            count: ROWS + 1,
        })?;
        let is_more = runs.len() > ROWS as usize;
        runs.truncate(ROWS as usize);
        let mut restored = BTreeMap::new();
        for run in &runs {
            restored.extend(look.restored(run)?.map(|point| (run.id, point)));
        }
        let view = RunsView {
            runs: &runs,
            running: look.running,
            waiting: &look.waiting()?,
            restored: &restored,
            job,
            state,
            is_more,
            is_later: before.is_some(),
        };
        Ok(super::runs_page(look.frame, &view))
    })
    .await
}

async fn run(
    In(state): Shared,
    visitor: Visitor,
    Path(id): Path<i64>,
    Query(asked): Asked,
) -> Response {
    page(&state, visitor, asked, move |look| {
        let catalog = look.state.node.catalog();
        let run = catalog.run(RunId(id))?;
        let mut tasks = catalog.tasks(&TaskFilter {
            run: Some(RunId(id)),
            count: 10_000,
            ..TaskFilter::default()
        })?;
        let states: Vec<_> = tasks.iter().map(|task| task.state).collect();
        tasks.sort_by_key(|task| (order(task.state), task.stage, task.id));
        tasks.truncate(TASKS as usize);
        let mut views = Vec::new();
        for task in tasks {
            views.push(TaskView {
                steps: catalog.steps(task.id)?,
                log: last_lines(look, &task)?,
                task,
            });
        }
        let restored = look.restored(&run)?;
        let view = RunView {
            run: &run,
            tasks: &views,
            states: &states,
            restored: restored.as_ref(),
        };
        Ok(super::run_page(look.frame, &view))
    })
    .await
}

/// What runs or failed comes first.
fn order(state: TaskState) -> u8 {
    match state {
        TaskState::Failed => 0,
        TaskState::Running => 1,
        TaskState::Queued => 2,
        _ => 3,
    }
}

fn last_lines(look: &Look<'_>, task: &Task) -> Answer<Vec<lifeboat_catalog::LogLine>> {
    let mut lines = look.state.node.catalog().log_after(task.id, 0, u32::MAX)?;
    let old = lines.len().saturating_sub(LINES as usize);
    Ok(lines.split_off(old))
}

async fn repositories(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        Ok(super::repositories_page(
            look.frame,
            &look.overview()?.repositories,
            &look.setbacks()?,
        ))
    })
    .await
}

async fn repository(
    In(state): Shared,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Asked,
) -> Response {
    page(&state, visitor, asked, move |look| {
        let overview = look.overview()?;
        let found = overview
            .repositories
            .iter()
            .find(|it| it.facts.name == name);
        let missing = || Refusal::missing(format!("there is no repository \"{name}\""));
        let tasks = look.tasks_of(&name, None)?;
        let view = RepositoryView {
            repository: found.ok_or_else(missing)?,
            sizes: &look
                .state
                .node
                .catalog()
                .repository_sizes(&name, look.days_ago(366))?,
            setback: newest_setback(&tasks),
            tasks: &tasks,
        };
        Ok(super::repository_page(look.frame, &view))
    })
    .await
}

async fn schedule(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    // What is refreshed by itself is not played once more.
    let is_asked = asked.get("job").is_some_and(|job| !job.is_empty());
    let is_asked = is_asked && !asked.contains_key("fragment");
    let (turn, _waiting) = match is_asked.then(|| turn(&state)).transpose() {
        Ok(turn) => turn.unzip(),
        Err(refusal) => return refused(&refusal),
    };
    page(&state, visitor, asked, move |look| {
        let settings = look.state.node.settings();
        let (stretch, days) = match look.text("show") {
            "month" => (Stretch::Month, 35),
            _ => (Stretch::Week, 7),
        };
        let now = look.frame.moment.now;
        let until = now
            .checked_add(SignedDuration::from_hours(24 * days))
            .unwrap_or(now);
        let zone = &look.frame.moment.zone;
        let days = lifeboat_scheduler::upcoming_days(&settings, (now, until), zone);
        let coming: Vec<_> = days.into_iter().flat_map(coming).collect();
        let rules = RULES
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| look.is_set(name));
        let query = SimulatorQuery {
            job: look.text("job").to_owned(),
            machine: look.text("machine").trim().to_owned(),
            days: look.text("days").to_owned(),
            rules: rules
                .map(|name| (name.to_owned(), look.text(name).to_owned()))
                .collect(),
        };
        let existing = match query.machine.as_str() {
            "" => Vec::new(),
            machine => look.state.node.catalog().points(Some(machine), POINTS)?,
        };
        let simulated = turn.map(|turn| match (query.machine.is_empty(), existing.len()) {
            (false, 0) => Err(format!("{} has no recovery point", query.machine)),
            _ => simulate(&settings, (&query, &existing), now, &turn.cancel),
        });
        let overview = look.overview()?;
        let view = ScheduleView {
            jobs: &overview.jobs,
            machines: &overview.machines,
            coming: &coming,
            stretch,
            query: &query,
            simulated,
        };
        Ok(super::schedule_page(look.frame, &view))
    })
    .await
}

/// The runs of a day that are listed; the first stands for those that are not, too.
fn coming(day: PlannedDay) -> impl Iterator<Item = Coming> {
    let listed = day.begins.len() as u64;
    let further = day.runs.saturating_sub(listed);
    day.begins
        .into_iter()
        .enumerate()
        .map(move |(at, begins)| Coming {
            job: day.job.clone(),
            at: begins,
            is_held_up: day.is_held_up,
            after: day.after.clone(),
            further: if at == 0 { further } else { 0 },
            is_more: day.is_more,
        })
}

async fn alerts(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        let alerts = look
            .state
            .node
            .catalog()
            .alerts_since(look.days_ago(90), 1_000)?;
        let shown = AlertsShown::parse(look.text("show"));
        let node = &look.state.node;
        let advised = advise_all(node.catalog(), &node.settings(), &alerts, ADVISED_MAX)?;
        let overview = look.overview()?;
        let alerts = (alerts.as_slice(), &advised);
        Ok(super::alerts_page(look.frame, &overview, alerts, shown))
    })
    .await
}

async fn audit(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        if !look.frame.may(Role::Auditor) {
            let text = "the audit log is for auditors and administrators";
            return Err(Refusal::new(lifeboat_api::FailureKind::Denied, text));
        }
        let before = look.number("before");
        let mut entries = look.state.node.catalog().audit_entries(before, ROWS + 1)?;
        let is_more = entries.len() > ROWS as usize;
        entries.truncate(ROWS as usize);
        Ok(super::audit_page(
            look.frame,
            &entries,
            is_more,
            before.is_some(),
        ))
    })
    .await
}

async fn settings(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        let catalog = look.state.node.catalog();
        let settings: Vec<_> = look
            .state
            .config()
            .into_iter()
            .map(|(path, value, origin)| Setting {
                path,
                value,
                origin: Some(origin).filter(|origin| !origin.is_empty()),
            })
            .collect();
        let is_admin = look.frame.may(Role::Admin);
        let broken = look.state.broken_config();
        let view = SettingsView {
            settings: &settings,
            broken: broken.as_ref(),
            nodes: &catalog.nodes()?,
            users: &if is_admin {
                catalog.users()?
            } else {
                Vec::new()
            },
            tokens: &if is_admin {
                catalog.tokens()?
            } else {
                Vec::new()
            },
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(super::settings_page(look.frame, &view))
    })
    .await
}

async fn search(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        Ok(super::search_page(
            look.frame,
            &*look.overview()?,
            look.text("q"),
        ))
    })
    .await
}

async fn help(In(state): Shared, visitor: Visitor, Query(asked): Asked) -> Response {
    page(&state, visitor, asked, |look| {
        Ok(super::help_page(look.frame))
    })
    .await
}

async fn login(In(state): Shared, Query(asked): Asked) -> Markup {
    let failed = asked
        .contains_key("failed")
        .then(|| "That name and password do not fit.".to_owned());
    let refusal = failed.or_else(|| waits(&asked));
    super::login_page(state.node.settings().site.as_deref(), refusal.as_deref())
}

async fn setup(In(state): Shared, Query(asked): Asked) -> Response {
    let users = state.work(|state| state.node.catalog().users()).await;
    if users.is_ok_and(|users| users.is_ok_and(|users| !users.is_empty())) {
        return Redirect::to("/login").into_response();
    }
    let text = "The key does not fit, or the password is too short. The key is in the log of the \
                server.";
    let failed = asked.contains_key("failed").then(|| text.to_owned());
    let refusal = failed.or_else(|| waits(&asked));
    let key = asked.get("key").map_or("", String::as_str);
    super::setup_page(key, refusal.as_deref()).into_response()
}

/// What is said to whoever tried too often, by the seconds of `wait`.
fn waits(asked: &HashMap<String, String>) -> Option<String> {
    let seconds: u64 = asked.get("wait")?.parse().ok()?;
    let minutes = super::words::count(seconds.div_ceil(60).max(1), "minute");
    Some(format!(
        "Too many attempts from there. Try again in {minutes}."
    ))
}

async fn asset(uri: Uri) -> Response {
    match assets::find(uri.path()) {
        Some(asset) => {
            let headers = [
                (CONTENT_TYPE, asset.media_type),
                (CACHE_CONTROL, assets::CACHE_CONTROL),
            ];
            (headers, asset.text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
