//! When runs begin, what they read, and what is kept.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_model::ParseError;
use lifeboat_policy::{
    FullRule, KeepCount, KeepDuration, Retention, Schedule, Timing, parse_weekdays, parse_zone,
};

use crate::place::carried_over;
use crate::section::Section;

/// A named set of rules.
#[derive(Clone, Debug)]
pub struct PolicyEntry {
    /// When runs begin; none for jobs that somebody else starts.
    pub timing: Option<Timing>,
    /// The zone of all times.
    pub zone: TimeZone,
    /// Which runs read everything.
    pub full: FullRule,
    /// What is kept; none keeps everything.
    pub retention: Option<Retention>,
    /// Nothing older stays, except pins and the newest verified point.
    pub age_max: Option<Duration>,
    /// So many points of a machine stay, whatever the rules say.
    pub points_min: u32,
    /// A run that would forget more asks first.
    pub forget_at_most: Brake,
    /// When the newest point is read back.
    pub verify: Option<Schedule>,
    /// What happens when a run fails.
    pub retry: Retry,
    /// What is promised of each machine.
    pub objectives: Objectives,
    /// Why it is not carried out, if it came from another program.
    pub carried_over: Option<String>,
}

/// How much may be forgotten at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// This share of a machine's points: 1 to 100.
    Percent(u8),
    /// So many points of a machine.
    Points(u32),
}

/// How often, and when, a failed task is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first.
    pub times: u32,
    /// The wait before the first of them; it doubles each time.
    pub after: Duration,
}

/// What is promised of a machine; what is not set is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Objectives {
    /// The newest recovery point is never older.
    pub recovery_point: Option<Duration>,
    /// A recovery takes no longer.
    pub recovery_time: Option<Duration>,
    /// Places that hold it.
    pub copies: Option<u32>,
    /// A verified restore is never older.
    pub proof: Option<Duration>,
}

impl PolicyEntry {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let zone = section.parsed_by("zone", parse_zone);
        let zone = zone.unwrap_or_else(TimeZone::system);
        let entry = Self {
            timing: timing(&section, &zone),
            zone,
            full: full(&section),
            retention: retention(&section),
            age_max: section.span("max_age"),
            points_min: section.number_or("min_points", (1, 1000), 1),
            forget_at_most: section
                .parsed_or("forget_at_most", Brake::parse, "50%")
                .unwrap_or(Brake::Percent(50)),
            verify: section.schedule("verify"),
            retry: Retry {
                times: section.number_or("retry_times", (0, 20), 3),
                after: section.span_or("retry_after", "5m"),
            },
            objectives: Objectives {
                recovery_point: section.span("rpo"),
                recovery_time: section.span("rto"),
                copies: section.number("copies", (1, 16)),
                proof: section.span("proof"),
            },
            carried_over: carried_over(&section),
        };
        entry.warn(&section);
        section.finish();
        entry
    }
}

impl PolicyEntry {
    /// Says what can never come true.
    fn warn(&self, section: &Section<'_>) {
        let promise = &self.objectives;
        if promise.proof.is_some() && self.verify.is_none() && !section.holds("verify") {
            let why = "nothing is read back by itself, so it will be missed";
            section.warn("proof", why, "write verify = \"weekly sun 06:00\"");
        }
        if promise.recovery_point.is_some() && self.timing.is_none() && !section.holds("schedule") {
            let why = "nothing begins by itself, so somebody else must see to it";
            section.warn("rpo", why, "write schedule = \"daily 02:00\"");
        }
    }
}

impl Brake {
    /// Reads `50%` or `20`.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let rule = "write a share as in 50%, or a number of points as in \"20\"";
        let wrong = || ParseError::new("limit", text, rule);
        match text.strip_suffix('%') {
            Some(share) => {
                let share = share.trim().parse().map_err(|_| wrong())?;
                let is_share = (1..=100).contains(&share);
                is_share.then_some(Self::Percent(share)).ok_or_else(wrong)
            }
            None => Ok(Self::Points(text.trim().parse().map_err(|_| wrong())?)),
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(share) => write!(f, "{share}%"),
            Self::Points(points) => write!(f, "{points}"),
        }
    }
}

fn timing(section: &Section<'_>, zone: &TimeZone) -> Option<Timing> {
    let schedule = section.schedule("schedule");
    let jitter = section.span("jitter");
    let is_caught_up = section.flag("catch_up", true);
    let mut blackouts = Vec::new();
    for text in section.texts("blackouts") {
        match text.parse() {
            Ok(blackout) => blackouts.push(blackout),
            Err(error) => section.refuse("blackouts", error),
        }
    }
    Some(Timing {
        schedule: schedule?,
        zone: zone.clone(),
        jitter: jitter.unwrap_or_default(),
        is_caught_up,
        blackouts,
    })
}

fn full(section: &Section<'_>) -> FullRule {
    let weekdays = section.parsed_by("full_on", parse_weekdays);
    FullRule {
        is_incremental: section.flag("incremental", true),
        weekdays: weekdays.unwrap_or(0),
        days_max: section.number("full_days", (1, 3650)),
        increments_max: section.number("full_after", (1, 10_000)),
    }
}

fn retention(section: &Section<'_>) -> Option<Retention> {
    let count = |key| {
        let text = section.number_or_text(key)?;
        match KeepCount::parse(&text) {
            Ok(count) => count,
            Err(error) => {
                section.refuse(key, error);
                None
            }
        }
    };
    let within = |key| section.parsed_by(key, KeepDuration::parse);
    let tags = section.texts("keep_tags").into_iter();
    let retention = Retention {
        last: count("keep_last"),
        hourly: count("keep_hourly"),
        daily: count("keep_daily"),
        weekly: count("keep_weekly"),
        monthly: count("keep_monthly"),
        yearly: count("keep_yearly"),
        within: within("keep_within"),
        within_hourly: within("keep_within_hourly"),
        within_daily: within("keep_within_daily"),
        within_weekly: within("keep_within_weekly"),
        within_monthly: within("keep_within_monthly"),
        within_yearly: within("keep_within_yearly"),
        tags: tags
            .map(|text| text.split(',').map(str::to_owned).collect())
            .collect(),
    };
    (!retention.is_empty()).then_some(retention)
}
