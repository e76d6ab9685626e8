//! When runs begin, what they read, and what is kept.

use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_model::parse_span;
use lifeboat_policy::{
    FullRule, KeepCount, KeepDuration, Retention, Schedule, Timing, parse_weekdays, parse_zone,
};

use crate::section::Section;

/// A named set of rules.
#[derive(Clone, Debug)]
pub struct PolicyEntry {
    /// When runs begin; none for jobs that somebody else starts.
    pub timing: Option<Timing>,
    /// Which runs read everything.
    pub full: FullRule,
    /// What is kept; none keeps everything.
    pub retention: Option<Retention>,
    /// What is promised of each machine.
    pub objectives: Objectives,
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
        let timing = timing(&section);
        let entry = Self {
            timing,
            full: full(&section),
            retention: retention(&section),
            objectives: Objectives {
                recovery_point: section.parsed_by("rpo", parse_span),
                recovery_time: section.parsed_by("rto", parse_span),
                copies: section.number("copies", (1, 16)),
                proof: section.parsed_by("proof", parse_span),
            },
        };
        section.finish();
        entry
    }
}

fn timing(section: &Section<'_>) -> Option<Timing> {
    let schedule: Option<Schedule> = section.parsed("schedule");
    let zone = section.parsed_by("zone", parse_zone);
    let jitter = section.parsed_by("jitter", parse_span);
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
        zone: zone.unwrap_or_else(TimeZone::system),
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
