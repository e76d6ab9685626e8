//! `lifeboat schedule`

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_model::ErrorKind;
use lifeboat_policy::{Occurrence, Schedule, Timing};
use serde::Serialize;

use crate::args::{ScheduleCommand, SchedulePreviewArguments};
use crate::context::{Context, parse_span};
use crate::error::{Error, Result};
use crate::select::parse_time;
use crate::tables::Table;

/// Limit: runs in one list.
const COUNT_MAX: usize = 100_000;

#[derive(Serialize)]
struct Shown {
    planned: String,
    begins: String,
    held_up: bool,
}

/// Shows when runs would begin.
pub(crate) fn run(context: &Context, command: &ScheduleCommand) -> Result<u8> {
    let ScheduleCommand::Preview(arguments) = command;
    let timing = timing(arguments)?;
    let from = match &arguments.from {
        Some(text) => parse_time(text)?,
        None => context.environment.clock.now(),
    };
    if arguments.count > COUNT_MAX {
        return Err(Error::usage(format!("--count is {COUNT_MAX} at most")));
    }
    let found: Vec<_> = timing
        .after(from, &arguments.job)
        .take(arguments.count)
        .collect();
    if found.is_empty() && arguments.count > 0 {
        let message = format!("'{}' never begins", timing.schedule);
        return Err(Error::new(ErrorKind::Invalid, message));
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

fn timing(arguments: &SchedulePreviewArguments) -> Result<Timing> {
    let schedule: Schedule = arguments.words.join(" ").parse()?;
    let zone = match &arguments.zone {
        None => TimeZone::system(),
        Some(name) => TimeZone::get(name).map_err(|_| {
            let rule = "names are like Europe/Berlin, America/New_York or UTC";
            Error::usage(format!("no time zone \"{name}\" is known: {rule}"))
        })?,
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
