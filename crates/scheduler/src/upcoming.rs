//! Runs that schedules will begin: one by one, or counted by days.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_policy::{Occurrence, Timing};
use serde::{Deserialize, Serialize};

use crate::due::{Scheduled, scheduled};
use crate::settings::Settings;

/// Limit: runs of one thing that are counted in a day; one each minute.
const RUNS_OF_DAY_MAX: u64 = 1_440;
/// Limit: runs that are counted in all, unless days have very few.
const COUNTED_MAX: u64 = 500_000;
/// Runs of a day whose moments are listed.
const LISTED: usize = 24;

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

/// Where a run stands among all: when it begins, its planned moment, its job.
pub type RunPlace = (Timestamp, Timestamp, String);

/// Runs of a job on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDay {
    /// The day.
    pub day: Date,
    /// The job; of upkeep as in `check main`.
    pub job: String,
    /// When the first of them begin; no more than 24 are listed.
    pub begins: Vec<Timestamp>,
    /// How many there are.
    pub runs: u64,
    /// There are more than were counted.
    pub is_more: bool,
    /// Whether a blackout holds one of them up.
    pub is_held_up: bool,
    /// Jobs that have to end well before them.
    pub after: Vec<String>,
}

/// Runs that begin after `from` and not after `until`: the first `most` behind a place, in order
/// of time.
pub fn upcoming(
    settings: &Settings,
    (from, until): (Timestamp, Timestamp),
    behind: Option<&RunPlace>,
    most: usize,
) -> Vec<PlannedRun> {
    let (mut runs, mut until) = (Vec::new(), until);
    // What begins with the one at the place may come behind it.
    let just_before = |place: &RunPlace| place.0.checked_sub(SignedDuration::from_nanos(1));
    let from = behind.map_or(from, |place| just_before(place).unwrap_or(place.0));
    let is_behind = |run: &PlannedRun| {
        behind.is_none_or(|it| (run.begins, run.planned, &run.job) > (it.0, it.1, &it.2))
    };
    for it in scheduled(settings) {
        let own = between(&it, from, until).map(|run| PlannedRun {
            begins: run.begins,
            planned: run.planned,
            job: it.job(),
            is_held_up: run.is_held_up,
            after: it.after.to_vec(),
        });
        runs.extend(soonest(own.filter(is_behind), most));
        if runs.len() / 2 >= most {
            runs.sort();
            runs.truncate(most);
            until = runs.last().map_or(until, |run| run.begins);
        }
    }
    runs.sort();
    runs.truncate(most);
    runs
}

/// Occurrences that begin after `from` and not after `until`, in order of their planned moments.
fn between<'a>(
    it: &Scheduled<'a>,
    from: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Occurrence> + use<'a> {
    let occurrences = it.timing.after(earliest(it.timing, from), it.name);
    let planned = occurrences.take_while(move |run| run.planned <= until);
    planned.filter(move |run| run.begins > from && run.begins <= until)
}

/// No run that is planned before it begins after `from`.
fn earliest(timing: &Timing, from: Timestamp) -> Timestamp {
    let held_up = match timing.blackout_end(from) {
        Some(_) => SignedDuration::from_hours(7 * 24),
        None => SignedDuration::ZERO,
    };
    let jitter = SignedDuration::try_from(timing.jitter).unwrap_or(SignedDuration::MAX);
    from.checked_sub(jitter.saturating_add(held_up))
        .unwrap_or(from)
}

/// Those of the first `most` in order of time, and maybe others. They come by their planned
/// moments, before which none begins.
fn soonest(runs: impl Iterator<Item = PlannedRun>, most: usize) -> Vec<PlannedRun> {
    let mut found: Vec<PlannedRun> = Vec::new();
    let mut last = None;
    for run in runs {
        if last.is_some_and(|last| run.planned > last) {
            break;
        }
        found.push(run);
        if found.len() == most {
            last = found.iter().map(|run| run.begins).max();
        }
    }
    found
}

/// Runs that begin after `from` and not after `until`, by the days of a zone.
pub fn upcoming_days(
    settings: &Settings,
    (from, until): (Timestamp, Timestamp),
    zone: &TimeZone,
) -> Vec<PlannedDay> {
    let days = until.duration_since(from).as_hours() / 24 + 1;
    let all = scheduled(settings).count() as u64 * days.unsigned_abs();
    let most = (COUNTED_MAX / all.max(1)).clamp(LISTED as u64, RUNS_OF_DAY_MAX);
    let of_each = scheduled(settings).flat_map(|it| days_of(&it, (from, until), zone, most));
    let mut found: Vec<_> = of_each.collect();
    found.sort_by(|a, b| (a.day, &a.begins, &a.job).cmp(&(b.day, &b.begins, &b.job)));
    found
}

fn days_of(
    it: &Scheduled<'_>,
    (from, until): (Timestamp, Timestamp),
    zone: &TimeZone,
    most: u64,
) -> impl Iterator<Item = PlannedDay> + use<> {
    let mut days: BTreeMap<Date, PlannedDay> = BTreeMap::new();
    let mut next = it.timing.next(earliest(it.timing, from), it.name);
    while let Some(run) = next.filter(|run| run.planned <= until) {
        let mut onward = run.planned;
        if run.begins > from && run.begins <= until {
            let day = run.begins.to_zoned(zone.clone()).date();
            let found = days.entry(day).or_insert_with(|| PlannedDay {
                day,
                job: it.job(),
                begins: Vec::new(),
                runs: 0,
                is_more: false,
                is_held_up: false,
                after: it.after.to_vec(),
            });
            found.is_held_up |= run.is_held_up;
            if found.runs == most {
                found.is_more = true;
                onward = onward.max(end_of(day, zone, it.timing).unwrap_or(onward));
            } else {
                found.runs += 1;
            }
            if found.begins.len() < LISTED {
                found.begins.push(run.begins);
            }
        }
        next = it.timing.next(onward, it.name);
    }
    days.into_values().map(|mut day| {
        day.begins.sort();
        day
    })
}

/// Before this nothing is planned that jitter leads out of the day.
fn end_of(day: Date, zone: &TimeZone, timing: &Timing) -> Option<Timestamp> {
    let next = day.tomorrow().ok()?.to_zoned(zone.clone()).ok()?;
    let jitter = SignedDuration::try_from(timing.jitter).ok()?;
    let before = jitter.checked_add(SignedDuration::from_secs(1))?;
    next.timestamp().checked_sub(before).ok()
}
