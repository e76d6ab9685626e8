//! What a job's schedule and rules will have made of a machine's points: a few are played at a
//! time, and none for somebody who has gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as In;
use lifeboat_api as api;
use lifeboat_api::FailureKind;
use lifeboat_model::CancelToken;
use lifeboat_policy::{KeepCount, KeepDuration, Retention};
use lifeboat_scheduler::{Settings, simulate_job};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use crate::extract::{Asked, At};
use crate::look::{POINTS_MAX, within};
use crate::refusal::{Answer, Refusal};
use crate::shapes;
use crate::state::State;

/// Simulations that are played at the same time.
pub(crate) const TURNS: usize = 2;
/// Days that are played at most.
const DAYS_MAX: u32 = 3_660;

/// How far to play, and by which rules.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SimulationAsked {
    /// Begins with the points of this machine; with none if there is none.
    machine: Option<String>,
    /// So many days; no more than 20,000 runs are played.
    #[param(minimum = 1, maximum = 3660)]
    days: Option<u32>,
    /// Rules in place of the job's, if one is given: keeps the newest so many points.
    #[param(pattern = "^(unlimited|[0-9]{1,9})$")]
    last: Option<String>,
    /// The newest point of each of so many hours.
    #[param(pattern = "^(unlimited|[0-9]{1,9})$")]
    hourly: Option<String>,
    /// The same of days.
    #[param(pattern = "^(unlimited|[0-9]{1,9})$")]
    daily: Option<String>,
    /// The same of weeks.
    #[param(pattern = "^(unlimited|[0-9]{1,9})$")]
    weekly: Option<String>,
    /// The same of months.
    #[param(pattern = "^(unlimited|[0-9]{1,9})$")]
    monthly: Option<String>,
    /// The same of years.
    #[param(pattern = "^(unlimited|[0-9]{1,9})$")]
    yearly: Option<String>,
    /// All points that are so new, as in `1y5m7d2h`.
    #[param(pattern = "^[0-9]{1,4}[ymdh]$")]
    within: Option<String>,
}

/// The right to play, for as long as it is held.
pub(crate) struct Turn {
    /// Is set when whoever asked has gone.
    pub(crate) cancel: CancelToken,
    _permit: OwnedSemaphorePermit,
}

/// Ends the playing when it is dropped: nobody waits for what it gives.
pub(crate) struct Waiting(CancelToken);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A turn, which goes where it is played, and what stays with whoever asked.
pub(crate) fn turn(state: &State) -> Answer<(Turn, Waiting)> {
    let permit = Arc::clone(&state.simulation_turns).try_acquire_owned();
    let permit = permit.map_err(|_| {
        let text = format!("{TURNS} simulations are played already");
        Refusal::new(FailureKind::Unavailable, text).with_hint("try again in some seconds")
    })?;
    let cancel = CancelToken::new();
    let turn = Turn {
        cancel: cancel.clone(),
        _permit: permit,
    };
    Ok((turn, Waiting(cancel)))
}

/// Which points a job's schedule and retention will have made of a machine.
#[utoipa::path(get, path = "/api/v1/jobs/{name}/simulate",
    params(("name" = String, Path), SimulationAsked),
    responses((status = 200, body = Vec<api::SimulatedPoint>)))]
pub(crate) async fn simulate(
    In(state): In<Arc<State>>,
    At(name): At<String>,
    Asked(asked): Asked<SimulationAsked>,
) -> Answer<Json<Vec<api::SimulatedPoint>>> {
    let days = within("days", asked.days, 90, DAYS_MAX)?;
    let (turn, _waiting) = turn(&state)?;
    let work = state.work(move |state| {
        let mut settings = Settings::clone(&state.node.settings());
        let missing = || Refusal::missing(format!("there is no job \"{name}\""));
        let job = settings.jobs.get_mut(&name).ok_or_else(missing)?;
        let tried = tried(&asked);
        if !tried.is_empty() {
            job.retention = Some(rules(&tried).map_err(Refusal::invalid)?);
        }
        let existing = match &asked.machine {
            Some(machine) => state.node.catalog().points(Some(machine), POINTS_MAX)?,
            None => Vec::new(),
        };
        let span = (state.clock.now(), days);
        let points = simulate_job(&settings, &name, &existing, span, &turn.cancel)?;
        Ok(Json(points.iter().map(shapes::simulated).collect()))
    });
    work.await?
}

/// The rules that were asked for, as they were written.
fn tried(asked: &SimulationAsked) -> BTreeMap<String, String> {
    let rules = [
        ("last", &asked.last),
        ("hourly", &asked.hourly),
        ("daily", &asked.daily),
        ("weekly", &asked.weekly),
        ("monthly", &asked.monthly),
        ("yearly", &asked.yearly),
        ("within", &asked.within),
    ];
    let given = rules.into_iter();
    given
        .filter_map(|(name, text)| Some((name.to_owned(), text.clone()?)))
        .collect()
}

/// Rules by their names: `last`, `hourly`, `daily`, `weekly`, `monthly`, `yearly`, `within`. An
/// error is a sentence for the reader.
pub(crate) fn rules(written: &BTreeMap<String, String>) -> Result<Retention, String> {
    let count = |name: &str| match written.get(name) {
        Some(text) => KeepCount::parse(text).map_err(|error| format!("{name}: {error}")),
        None => Ok(None),
    };
    let within = written.get("within").map(|text| KeepDuration::parse(text));
    Ok(Retention {
        last: count("last")?,
        hourly: count("hourly")?,
        daily: count("daily")?,
        weekly: count("weekly")?,
        monthly: count("monthly")?,
        yearly: count("yearly")?,
        within: within
            .transpose()
            .map_err(|error| format!("within: {error}"))?,
        ..Retention::default()
    })
}
