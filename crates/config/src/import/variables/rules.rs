//! What a machine's policy says beside its schedule.

use std::collections::BTreeMap;

use super::super::draft::{Draft, quoted};
use super::UNKNOWN;
use super::fields::Fields;
use super::week::weekday;

/// Settings of a policy as TOML, by name.
pub(super) type Settings = BTreeMap<&'static str, String>;

/// Limits of what is written, that of the policies for most.
const COUNT_MAX: u32 = 1_000_000;
pub(super) const DAYS_MAX: u32 = 3650;
pub(super) const CHAIN_MAX: u32 = 10_000;
const RETRIES_MAX: u32 = 20;
const MINUTES_MAX: u32 = 7 * 24 * 60;
const AGE_DAYS_MAX: u32 = 36_500;

/// When everything is read.
pub(super) fn backup_type(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    name: &str,
    settings: &mut Settings,
) {
    let at = fields.place("backup_type");
    if let Some(word) = fields.text_if("backup_type") {
        match word.as_str() {
            "full" => drop(settings.insert("incremental", "false".to_owned())),
            "incremental" => {}
            _ => {
                let message = format!("{name}: backup_type {word:?} was not understood");
                draft.refuse(at, &message, Some("write full or incremental"));
            }
        }
        return;
    }
    let Some(mut inner) = fields.table(draft, "backup_type") else {
        if !fields.has("backup_type") && !settings.contains_key("incremental") {
            let told = "no backup_type: that program reads everything on Sundays then";
            draft.note_of(name, at, told);
            settings.insert("full_on", quoted("sun"));
        }
        return;
    };
    if inner.flag(draft, "incremental_enabled") == Some(false) {
        settings.insert("incremental", "false".to_owned());
    }
    frequency(draft, &mut inner, name, settings);
    let entry = format!("{name}_backup_type");
    let from = format!("vms_config, {name}, backup_type");
    inner.carry_rest(draft, &entry, &from, UNKNOWN);
}

fn frequency(draft: &mut Draft<'_>, inner: &mut Fields<'_>, name: &str, settings: &mut Settings) {
    let day = inner.text_if("full_backup_day");
    let day = day.as_deref().unwrap_or("sunday");
    let Some(day) = weekday(day) else {
        let at = inner.place("full_backup_day");
        let message = format!("{name}: full_backup_day {day:?} is no weekday");
        return draft.refuse(at, &message, Some("write a weekday by its name"));
    };
    let frequency = inner.text_if("full_backup_frequency");
    let frequency = frequency
        .unwrap_or_else(|| "weekly".to_owned())
        .to_ascii_lowercase();
    match frequency.as_str() {
        "weekly" => drop(settings.insert("full_on", quoted(day))),
        "monthly" => drop(settings.insert("full_days", "30".to_owned())),
        "daily" | "always" => drop(settings.insert("incremental", "false".to_owned())),
        "never" => {}
        word => {
            let at = inner.place("full_backup_frequency");
            let message = format!("{name}: full_backup_frequency {word:?} was not understood");
            let next = "write daily, weekly, monthly or never";
            draft.refuse(at, &message, Some(next));
        }
    }
}

/// What is kept.
pub(super) fn retention(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    name: &str,
    settings: &mut Settings,
) {
    let at = fields.located.place(&fields.path);
    let Some(mut inner) = fields.table(draft, "retention") else {
        return old_retention(draft, fields, name, settings);
    };
    let keys = [
        "keep_last",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
    ];
    let is_empty = keys.iter().all(|key| !inner.has(key));
    let mut kept = 0;
    for key in keys {
        if let Some(count) = inner.number(draft, key, COUNT_MAX).filter(|it| *it > 0) {
            settings.insert(key, count.to_string());
            kept += 1;
        }
    }
    if kept == 0 && !is_empty {
        draft.note_of(
            name,
            at,
            "retention keeps nothing: here everything stays, up to its age",
        );
    }
    age(draft, &mut inner, "max_backup_age_days", settings);
    let entry = format!("{name}_retention");
    inner.carry_rest(
        draft,
        &entry,
        &format!("vms_config, {name}, retention"),
        UNKNOWN,
    );
}

/// The oldest files count days; newer ones may say nothing.
fn old_retention(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    name: &str,
    settings: &mut Settings,
) {
    if fields.has("retention_days") {
        return age(draft, fields, "retention_days", settings);
    }
    if fields.has("retention") {
        return;
    }
    let at = fields.located.place(&fields.path);
    let told = "no retention: that program keeps 7 daily, 4 weekly and 3 monthly points then, \
                none older than 90 days, and so does this";
    draft.note_of(name, at, told);
    for (key, count) in [
        ("keep_daily", "7"),
        ("keep_weekly", "4"),
        ("keep_monthly", "3"),
    ] {
        settings.insert(key, count.to_owned());
    }
    settings.insert("max_age", quoted("90d"));
}

fn age(draft: &mut Draft<'_>, fields: &mut Fields<'_>, key: &str, settings: &mut Settings) {
    let days = fields.number(draft, key, AGE_DAYS_MAX);
    if let Some(days) = days.filter(|it| *it > 0) {
        settings.insert("max_age", quoted(&format!("{days}d")));
    }
}

/// What happens when a run fails.
pub(super) fn retries(draft: &mut Draft<'_>, fields: &mut Fields<'_>, settings: &mut Settings) {
    if let Some(times) = fields.number(draft, "retries", RETRIES_MAX) {
        settings.insert("retry_times", times.to_string());
    }
    if let Some(minutes) = fields.number(draft, "retry_delay_minutes", MINUTES_MAX) {
        settings.insert("retry_after", quoted(&format!("{minutes}m")));
    }
}
