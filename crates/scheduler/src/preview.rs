//! What rules will have made of recovery points.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::Point;
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_policy::{
    FullHistory, KeepCount, RecoveryPoint, Retention, SimulatedPoint, Simulator,
};

use crate::settings::Settings;
use crate::{Error, Result};

/// Plays the runs of a job and its keep rules over days to come, from `existing` points of a
/// machine on: those of the job in its repository count, others live by other rules.
///
/// Errors: `NotFound` for an unknown job; `Invalid` if it has no schedule, its rules would
/// remove every point, or it is more than is played; `Cancelled`.
pub fn simulate_job(
    settings: &Settings,
    job: &str,
    existing: &[Point],
    (from, days): (Timestamp, u32),
    cancel: &CancelToken,
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
    let own = existing
        .iter()
        .filter(|it| it.key.repository == found.repository && it.job.as_deref() == Some(job))
        .filter(|it| it.at <= from);
    let mut own: Vec<&Point> = own.collect();
    own.sort_by_key(|point| point.at);
    let points = recovery_points(&own, zone);
    let until = from.checked_add(SignedDuration::from_hours(i64::from(days) * 24));
    let until = until.map_err(|error| invalid(format!("{days} days: {error}")))?;
    simulator
        .play(&points, history(&own, zone), (from, until), cancel)
        .map_err(|error| Error::new(error.kind(), format!("job \"{job}\": {error}")))
}

/// Points in order of time, as rules see them; the newest that was proved is marked.
fn recovery_points(points: &[&Point], zone: &TimeZone) -> Vec<RecoveryPoint<bool>> {
    let is_proved = |it: &&&Point| it.verified.is_some_and(|(_, is_ok)| is_ok);
    let proved = points.iter().rev().find(is_proved).map(|it| &it.key);
    let one = |it: &&Point| RecoveryPoint {
        time: it.at.to_zoned(zone.clone()),
        host: it.machine.clone(),
        paths: Vec::new(),
        tags: it.tags.clone(),
        key: proved == Some(&it.key),
    };
    points.iter().map(one).collect()
}

/// What is known of the full reads of a machine's points.
fn history(points: &[&Point], zone: &TimeZone) -> FullHistory {
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
