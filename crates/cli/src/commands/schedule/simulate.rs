//! `lifeboat schedule simulate`

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use lifeboat_model::parse_span;
use lifeboat_policy::{
    FullCause, FullHistory, FullRule, Guard, RecoveryPoint, Retention, SimulatedPoint, Simulator,
    Timing, parse_weekdays,
};
use serde::Serialize;

use super::{configured_job, from, job_name, never, timing};
use crate::args::{FilterArguments, ScheduleSimulateArguments};
use crate::commands::forget::retention;
use crate::context::Context;
use crate::error::{EXIT_REFUSED, Error, Result, chain};
use crate::select;
use crate::service::{guard, job_tag};
use crate::tables::{Table, count};

/// Limit: days that are played.
const DAYS_MAX: u32 = 3660;

#[derive(Serialize)]
struct Shown {
    time: String,
    planned: Option<String>,
    full: Option<String>,
    removed: Option<String>,
    reasons: Vec<String>,
}

/// Plays a schedule and rules; shows a calendar, and what is left with the reasons.
pub(super) fn run(context: &Context, arguments: &ScheduleSimulateArguments) -> Result<u8> {
    if !(1..=DAYS_MAX).contains(&arguments.days) {
        return Err(Error::usage(format!("--days is 1 to {DAYS_MAX}")));
    }
    let timing = timing(context, &arguments.timing)?;
    let begin = from(context, &arguments.timing, &timing)?;
    let until = begin.to_zoned(timing.zone.clone());
    let until = until.checked_add(i64::from(arguments.days).days());
    let until = until.map_err(|_| Error::usage("--from and --days reach beyond all time"))?;
    let existing = existing(context, arguments, &timing, begin)?;
    let rules = Rules::of(context, arguments)?;
    let simulator = Simulator {
        guard: &rules.guard,
        timing: &timing,
        job: job_name(&arguments.timing),
        retention: &rules.retention,
        full: &rules.full,
    };
    let history = FullHistory {
        last_full: existing.last().map(|point| point.time.clone()),
        increments: 0,
    };
    let points = simulator
        .play(
            &existing,
            history,
            (begin, until.timestamp()),
            &context.environment.cancel,
        )
        .map_err(|error| Error::with_code(EXIT_REFUSED, chain(&error)))?;
    if points.iter().all(|point| point.run.is_none()) {
        return Err(never(&timing));
    }
    show(context, &points)
}

/// What decides which points stay, and which runs read everything.
struct Rules {
    retention: Retention,
    guard: Guard,
    full: FullRule,
}

impl Rules {
    /// What was typed; what was not, of the job.
    fn of(context: &Context, arguments: &ScheduleSimulateArguments) -> Result<Self> {
        let typed = Self {
            retention: retention(&arguments.keep)?,
            guard: beside(arguments, &Guard::default())?,
            full: full_rule(arguments)?,
        };
        let Some(job) = configured_job(&arguments.timing) else {
            return Ok(typed);
        };
        let policy = context.policy_of_job(job)?;
        let of_job = policy.retention.clone().unwrap_or_default();
        let is_full_typed = typed.full != FullRule::default();
        Ok(Self {
            retention: match typed.retention.is_empty() {
                true => of_job,
                false => typed.retention,
            },
            guard: beside(arguments, &guard(policy))?,
            full: match is_full_typed {
                true => typed.full,
                false => policy.full.clone(),
            },
        })
    }
}

/// The rules beside the keep rules: what was typed in place of what is there.
fn beside(arguments: &ScheduleSimulateArguments, guard: &Guard) -> Result<Guard> {
    let age = arguments.max_age.as_deref();
    Ok(Guard {
        age_max: age.map(parse_span).transpose()?.or(guard.age_max),
        points_min: arguments.min_points.unwrap_or(guard.points_min),
        at_most: guard.at_most,
    })
}

fn full_rule(arguments: &ScheduleSimulateArguments) -> Result<FullRule> {
    let days = arguments.full_on.as_deref();
    Ok(FullRule {
        is_incremental: true,
        weekdays: days.map(parse_weekdays).transpose()?.unwrap_or(0),
        days_max: arguments.full_days,
        increments_max: arguments.full_after,
    })
}

/// The machine's snapshots until now, in order of time; of a job's those that it made.
fn existing(
    context: &Context,
    arguments: &ScheduleSimulateArguments,
    timing: &Timing,
    begin: Timestamp,
) -> Result<Vec<RecoveryPoint<bool>>> {
    let Some(machine) = &arguments.machine else {
        return Ok(Vec::new());
    };
    let mut filter = FilterArguments {
        machine: vec![machine.clone()],
        ..FilterArguments::default()
    };
    let repository = match configured_job(&arguments.timing) {
        None => context.open()?,
        Some(job) => {
            filter.tag.push(job_tag(job));
            let (_, repository) = context.ends_of_job(job)?;
            context.with_repository(repository).open()?
        }
    };
    let snapshots = select::many(&repository, &[], &filter)?;
    let point = |snapshot: lifeboat_repository::Snapshot| RecoveryPoint {
        time: snapshot.file.time.timestamp().to_zoned(timing.zone.clone()),
        host: snapshot.file.hostname,
        paths: snapshot.file.paths,
        tags: snapshot.file.tags,
        // Repositories do not know what was proved.
        key: false,
    };
    let mut points: Vec<_> = snapshots.into_iter().map(point).collect();
    points.retain(|point| point.time.timestamp() <= begin);
    points.sort_by_key(|point| point.time.timestamp());
    if points.is_empty() {
        context.output.warn(format!(
            "machine {} has no snapshots there: it begins with none",
            crate::tables::shown(machine)
        ));
    }
    Ok(points)
}

fn show(context: &Context, points: &[SimulatedPoint]) -> Result<u8> {
    if context.output.is_json() {
        for point in points {
            context.output.message("recovery_point", &shown(point))?;
        }
        return Ok(0);
    }
    for line in calendar(points) {
        context.output.tell(line)?;
    }
    let mut table = Table::new(&["Recovery point", "Read", "Kept as"]);
    for point in points.iter().filter(|point| point.removed.is_none()) {
        let time = point.time.strftime("%a %Y-%m-%d %H:%M:%S %Z");
        let reasons: Vec<_> = point.reasons.iter().map(ToString::to_string).collect();
        table.row([time.to_string(), read(point), reasons.join(", ")]);
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    let kept = points
        .iter()
        .filter(|point| point.removed.is_none())
        .count();
    let runs = points.iter().filter(|point| point.run.is_some()).count();
    let most = most_at_once(points);
    context.output.tell(format!(
        "{}; {} left, {most} at most at once",
        count(runs as u64, "run"),
        count(kept as u64, "recovery point"),
    ))?;
    Ok(0)
}

fn read(point: &SimulatedPoint) -> String {
    match point.run.map(|run| run.full) {
        None => "was there".to_owned(),
        Some(None) => "changes".to_owned(),
        Some(Some(cause)) => format!("everything: {cause}"),
    }
}

fn shown(point: &SimulatedPoint) -> Shown {
    let full = point.run.and_then(|run| run.full);
    Shown {
        time: point.time.timestamp().to_string(),
        planned: point.run.map(|run| run.occurrence.planned.to_string()),
        full: full.as_ref().map(FullCause::to_string),
        removed: point.removed.map(|moment| moment.to_string()),
        reasons: point.reasons.iter().map(ToString::to_string).collect(),
    }
}

/// A line for each week: days on which a point is left, those whose points are gone, others.
fn calendar(points: &[SimulatedPoint]) -> Vec<String> {
    let mut days: BTreeMap<Date, bool> = BTreeMap::new();
    for point in points {
        *days.entry(point.time.date()).or_default() |= point.removed.is_none();
    }
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return Vec::new();
    };
    let back = i64::from(first.weekday().to_monday_zero_offset()).days();
    let monday = first.checked_sub(back).unwrap_or(*first);
    let mut lines =
        vec!["week of      Mo Tu We Th Fr Sa Su   # left  + was removed  . none".into()];
    for week in monday.series(7.days()).take_while(|day| day <= last) {
        let marks = week
            .series(1.day())
            .take(7)
            .map(|day| match days.get(&day) {
                Some(true) => " #",
                Some(false) => " +",
                None => " .",
            });
        let marks: Vec<_> = marks.collect();
        // Weeks without anything are left out.
        if marks.iter().any(|mark| *mark != " .") {
            lines.push(format!("{week}   {}", marks.join(" ")));
        }
    }
    lines
}

/// After each run and what it removed.
fn most_at_once(points: &[SimulatedPoint]) -> i64 {
    let come = points.iter().map(|point| (point.time.timestamp(), 1));
    let gone = points.iter().filter_map(|point| Some((point.removed?, -1)));
    let mut changes: Vec<(Timestamp, i64)> = come.chain(gone).collect();
    // Order: what a run removes is gone when its own point counts.
    changes.sort_unstable();
    let alive = changes.iter().scan(0, |alive, (_, change)| {
        *alive += change;
        Some(*alive)
    });
    alive.max().unwrap_or(0)
}
