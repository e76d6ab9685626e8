//! The simulator of the schedule page: a job's runs with its rules, or with others.

use std::str::FromStr;

use jiff::Timestamp;
use lifeboat_catalog::Point;
use lifeboat_model::CancelToken;
use lifeboat_policy::SimulatedPoint;
use lifeboat_scheduler::{Settings, simulate_job};

use super::SimulatorQuery;
use crate::simulation::rules;

/// Days that are played at most.
const DAYS_MAX: u32 = 1_000;

/// Plays what was asked from the points that are there; an error is a sentence for the reader.
pub(crate) fn simulate(
    settings: &Settings,
    (query, existing): (&SimulatorQuery, &[Point]),
    now: Timestamp,
    cancel: &CancelToken,
) -> Result<(String, Vec<SimulatedPoint>), String> {
    let days = match query.days.trim() {
        "" => 90,
        text => u32::from_str(text).map_err(|_| format!("\"{text}\" is no number of days"))?,
    };
    let days = days.clamp(1, DAYS_MAX);
    let mut settings = settings.clone();
    let missing = || format!("there is no job \"{}\"", query.job);
    let job = settings.jobs.get_mut(&query.job).ok_or_else(missing)?;
    if !query.rules.is_empty() {
        job.retention = Some(rules(&query.rules)?);
    }
    let words = match &job.retention {
        Some(retention) => retention.to_string(),
        None => "everything is kept".to_owned(),
    };
    let points = simulate_job(&settings, &query.job, existing, (now, days), cancel);
    points
        .map(|points| (words, points))
        .map_err(|error| error.to_string())
}
