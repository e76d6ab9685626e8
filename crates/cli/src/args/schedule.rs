//! When runs begin.

use clap::{Args, Subcommand};

/// `schedule`
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the next runs of a schedule
    Preview(SchedulePreviewArguments),
}

/// `schedule preview`
#[derive(Debug, Args)]
#[command(after_help = "Schedules:\n  \
    hourly | hourly :20 | every 15m | every 4h\n  \
    daily 02:00 | daily 02:00, 14:00 | weekdays 22:00 | weekends 03:00\n  \
    weekly sun 03:00 | biweekly sun 03:00 | biweekly sun from 2026-01-04 03:00\n  \
    monthly 1, 15 02:00 | monthly last day 02:00 | monthly 2nd tue 02:00 | monthly last fri 02:00\n  \
    days 1111100 02:00                 seven bits, Monday to Sunday\n  \
    cron 0 2 * * 1-5                   five fields, or six with seconds in front\n  \
    calendar Mon..Fri *-*-* 02:00      systemd's calendar events")]
pub(crate) struct SchedulePreviewArguments {
    /// The schedule, as in 'weekdays 02:00'
    #[arg(value_name = "SCHEDULE", required = true)]
    pub(crate) words: Vec<String>,
    /// Zone of its times, as in Europe/Berlin; this computer's unless given
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) count: usize,
    /// After this moment; now unless given
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Runs begin later by up to this, as in 30m
    #[arg(long, value_name = "SPAN")]
    pub(crate) jitter: Option<String>,
    /// The job whose share of the jitter is shown
    #[arg(long, value_name = "NAME", default_value = "job")]
    pub(crate) job: String,
    /// Nothing begins then: 'weekdays 08:00-18:00'; may be given again
    #[arg(long, value_name = "SPAN")]
    pub(crate) blackout: Vec<String>,
}
