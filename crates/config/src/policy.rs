//! When runs begin, what they read, and what is kept.

use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_model::parse_span;
use lifeboat_policy::{
    Brake, FullRule, KeepCount, KeepDuration, Retention, Schedule, Timing, parse_weekdays,
};

use crate::gaps::{is_never, written};
use crate::place::carried_over;
use crate::section::Section;

/// Runs are not spread over more.
const JITTER_MAX: Duration = Duration::from_secs(31 * 86_400);

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
        let zone = section.zone("zone");
        let zone = zone.unwrap_or_else(TimeZone::system);
        let entry = Self {
            timing: timing(&section, &zone),
            zone,
            full: full(&section),
            retention: retention(&section),
            age_max: section.span("max_age"),
            points_min: section.number_or("min_points", (1, 1000), 1),
            forget_at_most: section
                .parsed_or("forget_at_most", str::parse, "50%")
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
        self.warn_of_missing(section);
        self.warn_of_gaps(section);
        self.warn_of_age(section);
    }

    /// Promises that wait for a schedule which somebody else has.
    fn warn_of_missing(&self, section: &Section<'_>) {
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

    /// Promises and delays that do not fit to the times between runs.
    fn warn_of_gaps(&self, section: &Section<'_>) {
        let promise = &self.objectives;
        if let (Some(promised), Some(verify)) = (promise.proof, &self.verify) {
            let timing = Timing::new(verify.clone(), self.zone.clone());
            let apart = section.gaps(&timing).map(|it| it.longest);
            if let Some(apart) = apart.filter(|apart| *apart >= promised) {
                let apart = written(apart);
                let why = format!("points are read back up to {apart} apart, so it will be missed");
                section.warn(
                    "proof",
                    why,
                    "write more than that, or read back more often",
                );
            }
        }
        let Some(timing) = &self.timing else {
            return;
        };
        let is_plain = timing.jitter.is_zero() && timing.blackouts.is_empty();
        if is_plain && promise.recovery_point.is_none() {
            return;
        }
        if is_never(timing) {
            section.refuse("blackouts", "they leave no time: nothing ever begins");
            return;
        }
        let Some(gaps) = section.gaps(timing) else {
            return;
        };
        let apart = gaps.longest.saturating_add(timing.jitter);
        if promise.recovery_point.is_some_and(|it| it <= apart) {
            let apart = written(apart);
            let why = format!("runs begin up to {apart} apart, so it will be missed");
            section.warn(
                "rpo",
                why,
                "write more than that, or a schedule with more runs",
            );
        }
        if timing.jitter >= gaps.shortest {
            let shortest = written(gaps.shortest);
            let why = format!("the next run may be due before: they are {shortest} apart");
            section.warn("jitter", why, "write less than that");
        }
    }

    /// Keep rules that a limit of age takes away again.
    fn warn_of_age(&self, section: &Section<'_>) {
        let (Some(most), Some(rules)) = (self.age_max, &self.retention) else {
            return;
        };
        let days = [
            ("keep_daily", rules.daily, 1),
            ("keep_weekly", rules.weekly, 7),
            ("keep_monthly", rules.monthly, 28),
            ("keep_yearly", rules.yearly, 365),
        ];
        for (key, count, days) in days {
            let Some(KeepCount::Newest(count)) = count else {
                continue;
            };
            let oldest = u64::from(count.get() - 1) * days * 86_400;
            if Duration::from_secs(oldest) > most {
                let most = written(most);
                let why = format!("the oldest of them go earlier: max_age is {most}");
                section.warn(key, why, "write a longer max_age, or keep fewer");
            }
        }
    }
}

fn timing(section: &Section<'_>, zone: &TimeZone) -> Option<Timing> {
    let schedule = section.schedule("schedule");
    let jitter = section.parsed_span("jitter", |text| {
        let jitter = parse_span(text).map_err(|error| error.to_string())?;
        let is_short = jitter <= JITTER_MAX;
        is_short
            .then_some(jitter)
            .ok_or("write at most 31d".to_owned())
    });
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
