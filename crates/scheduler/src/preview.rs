//! What will be: coming runs, and what rules will have made of recovery points.

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::Point;
use lifeboat_model::ErrorKind;
use lifeboat_policy::{FullHistory, KeepCount, PointBefore, Retention, SimulatedPoint, Simulator};
use serde::{Deserialize, Serialize};

use crate::due::scheduled;
use crate::settings::{JobSettings, Settings};
use crate::{Error, Result};

/// Limit: runs of one thing in a preview.
const RUNS_MAX: usize = 1_000;

/// A run that will be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlannedRun {
    /// When it begins.
    pub begins: Timestamp,
    /// The moment of its schedule.
    pub planned: Timestamp,
    /// The job; of upkeep as in `check main`.
    pub job: String,
    /// Whether a blackout holds it up.
    pub is_held_up: bool,
    /// Jobs that have to end well before it.
    pub after: Vec<String>,
}

/// Runs that begin after `from` and not after `until`, in order of time.
pub fn upcoming(settings: &Settings, from: Timestamp, until: Timestamp) -> Vec<PlannedRun> {
    let mut runs = Vec::new();
    for it in scheduled(settings) {
        let occurrences = it.timing.after(from, it.name);
        let until = occurrences
            .take_while(|run| run.begins <= until)
            .take(RUNS_MAX);
        runs.extend(until.map(|run| PlannedRun {
            begins: run.begins,
            planned: run.planned,
            job: it.job(),
            is_held_up: run.is_held_up,
            after: it.after.to_vec(),
        }));
    }
    runs.sort();
    runs
}

/// Plays the runs of a job and its keep rules over days to come. Of the points that are there
/// those of the job in its repository count, as for a forget.
///
/// Errors: `NotFound` for an unknown job; `Invalid` if it has no schedule, or its rules would
/// remove every point.
pub fn simulate_job(
    settings: &Settings,
    job: &str,
    existing: &[Point],
    (from, days): (Timestamp, u32),
) -> Result<Vec<SimulatedPoint>> {
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no job \"{job}\""));
    let found = settings.jobs.get(job).ok_or_else(unknown)?;
    let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
    let timing = found.timing.as_ref();
    let timing = timing.ok_or_else(|| invalid(format!("job \"{job}\" has no schedule")))?;
    let everything = Retention {
        last: Some(KeepCount::Unlimited),
        ..Retention::default()
    };
    let simulator = Simulator {
        timing,
        job,
        retention: found.retention.as_ref().unwrap_or(&everything),
        guard: &found.guard,
        full: &found.full,
    };
    let zone = &timing.zone;
    let mut existing: Vec<Point> = existing
        .iter()
        .filter(|it| is_of_job(it, (job, found)) && it.at <= from)
        .cloned()
        .collect();
    existing.sort_by_key(|point| point.at);
    let proved = existing.iter().filter(|it| is_proved(it)).map(|it| it.at);
    let spared = proved.max();
    let before: Vec<_> = existing
        .iter()
        .map(|point| PointBefore {
            time: point.at.to_zoned(zone.clone()),
            tags: point.tags.clone(),
            is_spared: is_proved(point) && Some(point.at) == spared,
        })
        .collect();
    let until = from.checked_add(SignedDuration::from_hours(i64::from(days) * 24));
    let until = until.map_err(|error| invalid(format!("{days} days: {error}")))?;
    simulator
        .play_from(&before, history(&existing, zone), (from, until))
        .map_err(|error| invalid(error.to_string()))
}

fn is_of_job(point: &Point, (name, job): (&str, &JobSettings)) -> bool {
    let is_its = |it: &String| it == name;
    point.key.repository == job.repository && point.job.as_ref().is_none_or(is_its)
}

fn is_proved(point: &Point) -> bool {
    point.verified.is_some_and(|(_, is_ok)| is_ok)
}

/// What is known of the full reads of a machine's points.
pub(crate) fn history(points: &[Point], zone: &jiff::tz::TimeZone) -> FullHistory {
    let last = points
        .iter()
        .filter(|point| point.is_full)
        .map(|point| point.at)
        .max();
    let since = last.unwrap_or(Timestamp::MIN);
    let increments = points.iter().filter(|point| point.at > since).count();
    FullHistory {
        last_full: last.map(|at| at.to_zoned(zone.clone())),
        increments: u32::try_from(increments).unwrap_or(u32::MAX),
    }
}
