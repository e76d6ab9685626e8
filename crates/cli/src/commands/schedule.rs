//! `lifeboat schedule`

mod simulate;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_model::{ErrorKind, parse_span};
use lifeboat_policy::{Occurrence, Schedule, Timing, parse_zone};
use serde::Serialize;

use crate::args::{ScheduleCommand, SchedulePreviewArguments, TimingArguments};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select::parse_time_in;
use crate::tables::Table;

/// Limit: runs in one list.
const COUNT_MAX: usize = 100_000;

#[derive(Serialize)]
struct Shown {
    planned: String,
    begins: String,
    held_up: bool,
}

/// Shows when runs would begin, and what they leave.
pub(crate) fn run(context: &Context, command: &ScheduleCommand) -> Result<u8> {
    match command {
        ScheduleCommand::Preview(arguments) => preview(context, arguments),
        ScheduleCommand::Simulate(arguments) => simulate::run(context, arguments),
    }
}

fn preview(context: &Context, arguments: &SchedulePreviewArguments) -> Result<u8> {
    let timing = timing(context, &arguments.timing)?;
    let from = from(context, &arguments.timing, &timing)?;
    if arguments.count > COUNT_MAX {
        return Err(Error::usage(format!("--count is {COUNT_MAX} at most")));
    }
    let found: Vec<_> = timing
        .after(from, job_name(&arguments.timing))
        .take(arguments.count)
        .collect();
    if found.is_empty() && arguments.count > 0 {
        return Err(never(&timing));
    }
    if context.output.is_json() {
        for one in found {
            let shown = Shown {
                planned: one.planned.to_string(),
                begins: one.begins.to_string(),
                held_up: one.is_held_up,
            };
            context.output.message("occurrence", &shown)?;
        }
        return Ok(0);
    }
    let mut table = Table::new(&["Planned", "Begins", ""]);
    for one in found {
        table.row(row(&one, &timing.zone));
    }
    for line in table.lines() {
        context.output.result(line)?;
    }
    Ok(0)
}

fn never(timing: &Timing) -> Error {
    let message = format!("'{}' never begins", timing.schedule);
    Error::new(ErrorKind::Invalid, message)
}

fn from(context: &Context, arguments: &TimingArguments, timing: &Timing) -> Result<Timestamp> {
    match &arguments.from {
        Some(text) => parse_time_in(text, &timing.zone),
        None => Ok(context.environment.clock.now()),
    }
}

/// The job that is meant by `@NAME` in place of a schedule.
fn configured_job(arguments: &TimingArguments) -> Option<&str> {
    match &arguments.words[..] {
        [word] => word.strip_prefix('@'),
        _ => None,
    }
}

/// The job whose share of the jitter counts.
fn job_name(arguments: &TimingArguments) -> &str {
    let typed = arguments.job.as_deref().or(configured_job(arguments));
    typed.unwrap_or("job")
}

/// The timing of a job's policy, as it stands in the configuration.
fn timing_of_job(context: &Context, arguments: &TimingArguments, job: &str) -> Result<Timing> {
    let is_typed = arguments.zone.is_some() || arguments.jitter.is_some();
    if is_typed || !arguments.blackout.is_empty() {
        return Err(Error::usage(format!(
            "@{job} brings its zone, jitter and blackouts: leave them out, or type a schedule"
        )));
    }
    let timing = context.policy_of_job(job)?.timing.clone();
    timing.ok_or_else(|| {
        let message = format!("the policy of job \"{job}\" has no schedule");
        Error::new(ErrorKind::Invalid, message)
    })
}

fn timing(context: &Context, arguments: &TimingArguments) -> Result<Timing> {
    if let Some(job) = configured_job(arguments) {
        return timing_of_job(context, arguments, job);
    }
    let schedule: Schedule = arguments.words.join(" ").parse()?;
    let zone = match &arguments.zone {
        None => TimeZone::system(),
        Some(name) => parse_zone(name)?,
    };
    let mut timing = Timing::new(schedule, zone);
    if let Some(text) = &arguments.jitter {
        timing.jitter = parse_span(text)?;
    }
    let blackouts = arguments.blackout.iter().map(|text| text.parse());
    timing.blackouts = blackouts.collect::<std::result::Result<_, _>>()?;
    Ok(timing)
}

fn row(one: &Occurrence, zone: &TimeZone) -> [String; 3] {
    let shown = |moment: Timestamp| {
        let local = moment.to_zoned(zone.clone());
        local.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()
    };
    let begins = match one.begins == one.planned {
        true => "then".to_owned(),
        false => shown(one.begins),
    };
    let note = if one.is_held_up {
        "after a blackout"
    } else {
        ""
    };
    [shown(one.planned), begins, note.to_owned()]
}
