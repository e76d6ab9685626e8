//! The simulator of the schedule page: a job's runs with its rules, or with others.

use std::str::FromStr;

use jiff::Timestamp;
use lifeboat_catalog::Point;
use lifeboat_policy::{KeepCount, KeepDuration, Retention, SimulatedPoint};
use lifeboat_scheduler::{Settings, simulate_job};

use super::SimulatorQuery;

/// Days that are played at most.
const DAYS_MAX: u32 = 1_000;

/// Plays what was asked from the points that are there; an error is a sentence for the reader.
pub(crate) fn simulate(
    settings: &Settings,
    (query, existing): (&SimulatorQuery, &[Point]),
    now: Timestamp,
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
        job.retention = Some(rules(query)?);
    }
    let words = match &job.retention {
        Some(retention) => retention.to_string(),
        None => "everything is kept".to_owned(),
    };
    let points = simulate_job(&settings, &query.job, existing, (now, days));
    points
        .map(|points| (words, points))
        .map_err(|error| error.to_string())
}

fn rules(query: &SimulatorQuery) -> Result<Retention, String> {
    let count = |name: &str| match query.rules.get(name) {
        Some(text) => KeepCount::parse(text).map_err(|error| format!("{name}: {error}")),
        None => Ok(None),
    };
    let within = query
        .rules
        .get("within")
        .map(|text| KeepDuration::parse(text));
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
