//! When runs begin.

use clap::{Args, Subcommand};

use super::keep::KeepArguments;

const FORMS: &str = "Schedules:
  hourly | hourly :20 | every 15m | every 4h
  daily 02:00 | daily 02:00, 14:00 | weekdays 22:00 | weekends 03:00
  weekly sun 03:00 | biweekly sun 03:00 | biweekly sun from 2026-01-04 03:00
  monthly 1, 15 02:00 | monthly last day 02:00 | monthly 2nd tue 02:00 | monthly last fri 02:00
  days 1111100 02:00                 seven bits, Monday to Sunday
  cron 0 2 * * 1-5                   five fields, or six with seconds in front
  calendar Mon..Fri *-*-* 02:00      systemd's calendar events";

/// `schedule`
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the next runs of a schedule
    Preview(SchedulePreviewArguments),
    /// Show which recovery points a schedule and keep rules will have made, or those of a job
    Simulate(Box<ScheduleSimulateArguments>),
}

/// What decides when runs begin.
#[derive(Debug, Args)]
pub(crate) struct TimingArguments {
    /// The schedule, as in 'weekdays 02:00', or that of a job: @NAME
    #[arg(value_name = "SCHEDULE", required = true)]
    pub(crate) words: Vec<String>,
    /// Zone of its times, as in Europe/Berlin; this computer's unless given
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// After this moment, in the zone of the schedule; now unless given
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Runs begin later by up to this, as in 30m
    #[arg(long, value_name = "SPAN")]
    pub(crate) jitter: Option<String>,
    /// The job whose share of the jitter is shown
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Nothing begins then: 'weekdays 08:00-18:00'; may be given again
    #[arg(long, value_name = "SPAN")]
    pub(crate) blackout: Vec<String>,
}

/// `schedule preview`
#[derive(Debug, Args)]
#[command(after_help = FORMS)]
pub(crate) struct SchedulePreviewArguments {
    #[command(flatten)]
    pub(crate) timing: TimingArguments,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) count: usize,
}

/// `schedule simulate`
#[derive(Debug, Args)]
#[command(after_help = FORMS)]
pub(crate) struct ScheduleSimulateArguments {
    #[command(flatten)]
    pub(crate) timing: TimingArguments,
    #[command(flatten)]
    pub(crate) keep: KeepArguments,
    /// Keep nothing older, except pins and the newest few, as in 90d
    #[arg(long, value_name = "SPAN")]
    pub(crate) max_age: Option<String>,
    /// Keep so many of the newest points in any case
    #[arg(long, value_name = "N")]
    pub(crate) min_points: Option<u32>,
    /// How many days are played
    #[arg(long, value_name = "N", default_value_t = 90)]
    pub(crate) days: u32,
    /// Begin with this machine's snapshots in the repository
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// Read everything on these days: 'sun', or seven bits, Monday to Sunday
    #[arg(long, value_name = "DAYS")]
    pub(crate) full_on: Option<String>,
    /// Read everything at the latest so many days after the last time
    #[arg(long, value_name = "N")]
    pub(crate) full_days: Option<u32>,
    /// Read everything at the latest after so many increments
    #[arg(long, value_name = "N")]
    pub(crate) full_after: Option<u32>,
}
