//! Machines of a `variables.json` are backed up when the program that wrote it did it: the times
//! of a whole year are counted here from what that program tells cron, and asked of lifeboat.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};
use serde_json::{Map, Value};

use crate::trial::lifeboat;

const FIRST: Date = date(2026, 11, 22);
const DAYS: i64 = 400;

/// A schedule as it is written, the days and the times (hour and minute) that it means.
struct Form {
    written: &'static str,
    days: fn(Date) -> bool,
    times: &'static [(i8, i8)],
}

const fn form(written: &'static str, days: fn(Date) -> bool, times: &'static [(i8, i8)]) -> Form {
    Form {
        written,
        days,
        times,
    }
}

fn is(date: Date, day: Weekday) -> bool {
    date.weekday() == day
}

fn is_weekend(date: Date) -> bool {
    is(date, Weekday::Saturday) || is(date, Weekday::Sunday)
}

/// Days 1 to 7 and 15 to 21 of a month.
fn is_in_odd_week(date: Date) -> bool {
    matches!(date.day(), 1..=7 | 15..=21)
}

const EVERY: fn(Date) -> bool = |_| true;
const USUAL: &[(i8, i8)] = &[(1, 30)];
const HOURS: [(i8, i8); 24] = {
    let mut hours = [(0, 45); 24];
    let mut hour = 0;
    while hour < 24 {
        hours[hour].0 = hour as i8;
        hour += 1;
    }
    hours
};

/// The entry of a machine; `"schedule"` is written around those that begin with `type`.
const FORMS: [Form; 29] = [
    form(
        r#""type": "simple", "pattern": "daily", "time": "02:00""#,
        EVERY,
        &[(2, 0)],
    ),
    form(r#""type": "simple", "pattern": "daily""#, EVERY, USUAL),
    form(
        r#""type": "simple", "pattern": "weekdays", "time": "9:05""#,
        |it| !is_weekend(it),
        &[(9, 5)],
    ),
    form(
        r#""type": "simple", "pattern": "weekends", "time": "23:59""#,
        is_weekend,
        &[(23, 59)],
    ),
    form(
        r#""type": "simple", "pattern": "weekly", "day": "friday""#,
        |it| is(it, Weekday::Friday),
        USUAL,
    ),
    form(
        r#""type": "simple", "pattern": "weekly""#,
        |it| is(it, Weekday::Sunday),
        USUAL,
    ),
    form(
        r#""type": "simple", "pattern": "biweekly", "day": "Wednesday", "time": "04:00""#,
        |it| is(it, Weekday::Wednesday) && is_in_odd_week(it),
        &[(4, 0)],
    ),
    form(
        r#""type": "simple", "pattern": "biweekly""#,
        |it| is(it, Weekday::Sunday) && is_in_odd_week(it),
        USUAL,
    ),
    form(
        r#""type": "simple", "pattern": "monthly", "day_of_month": 15"#,
        |it| it.day() == 15,
        USUAL,
    ),
    form(
        r#""type": "simple", "pattern": "monthly", "day_of_month": "31""#,
        |it| it.day() == 31,
        USUAL,
    ),
    form(
        r#""type": "simple", "pattern": "monthly""#,
        |it| it.day() == 1,
        USUAL,
    ),
    form(
        r#""type": "simple", "pattern": "fortnightly", "time": "05:00""#,
        EVERY,
        &[(5, 0)],
    ),
    form(r#""type": "hourly", "time": "22:45""#, EVERY, &HOURS),
    form(
        r#""type": "hourly", "interval": 4, "start_hour": 8, "end_hour": 20,
            "days": ["mon", "friday"],
            "time": "00:10""#,
        |it| is(it, Weekday::Monday) || is(it, Weekday::Friday),
        &[(8, 10), (12, 10), (16, 10), (20, 10)],
    ),
    form(
        r#""type": "hourly", "interval": "5", "start_hour": 21, "days": [0, 6]"#,
        is_weekend,
        &[(21, 30)],
    ),
    form(
        r#""type": "advanced", "pattern": "monthly", "weeks": [1, 3], "day": "tuesday""#,
        |it| is(it, Weekday::Tuesday) && is_in_odd_week(it),
        USUAL,
    ),
    form(
        r#""type": "advanced", "pattern": "monthly", "weeks": [5]"#,
        |it| is(it, Weekday::Sunday) && it.day() > 28,
        USUAL,
    ),
    form(
        r#""type": "advanced", "pattern": "monthly", "days": [1, 15]"#,
        |it| matches!(it.day(), 1 | 15),
        USUAL,
    ),
    form(
        r#""type": "advanced", "pattern": "monthly""#,
        |it| it.day() == 1,
        USUAL,
    ),
    form(
        r#""type": "custom", "pattern": "1010101", "time": "22:00""#,
        |it| {
            matches!(
                it.weekday(),
                Weekday::Monday | Weekday::Wednesday | Weekday::Friday | Weekday::Sunday
            )
        },
        &[(22, 0)],
    ),
    form(
        r#""type": "legacy", "backup_policy": "0000011""#,
        is_weekend,
        USUAL,
    ),
    form(r#""type": "legacy", "time": "06:00""#, EVERY, &[(6, 0)]),
    form(
        r#""backup_policy": "1111100", "retention_days": "30""#,
        |it| !is_weekend(it),
        USUAL,
    ),
    form(
        r#""type": "cron", "expression": "30 4 * * 1-5""#,
        |it| !is_weekend(it),
        &[(4, 30)],
    ),
    // Cron takes both days: either will do.
    form(
        r#""type": "cron", "expression": "15 3 1-7 * 0""#,
        |it| it.day() < 8 || is(it, Weekday::Sunday),
        &[(3, 15)],
    ),
    form(
        r#""type": "cron", "expression": "@weekly""#,
        |it| is(it, Weekday::Sunday),
        &[(0, 0)],
    ),
    form(
        r#""type": "simple", "pattern": "daily", "day": "sunday""#,
        EVERY,
        USUAL,
    ),
    form(
        r#""schedule": {"pattern": "weekly", "time": "07:00"}"#,
        EVERY,
        &[(7, 0)],
    ),
    form(r#""enabled": true"#, EVERY, USUAL),
];

fn entry(form: &Form) -> Value {
    let written = match form.written.starts_with("\"type\"") {
        true => format!(r#"{{"schedule": {{{}}}}}"#, form.written),
        false => format!("{{{}}}", form.written),
    };
    serde_json::from_str(&written).unwrap()
}

fn expected(form: &Form) -> Vec<String> {
    let mut expected = Vec::new();
    for day in 0..DAYS {
        let date = FIRST.checked_add(day.days()).unwrap();
        if (form.days)(date) {
            let times = form.times.iter();
            expected
                .extend(times.map(|(hour, minute)| format!("{date}T{hour:02}:{minute:02}:00Z")));
        }
    }
    expected
}

fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(lifeboat());
    command.args(words).current_dir(folder).env("TZ", "UTC");
    command.env("LIFEBOAT_CONFIG", folder.join("lifeboat.toml"));
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}\n{complaint}");
    output
}

fn messages(folder: &Path, words: &[&str]) -> Vec<Value> {
    let output = String::from_utf8(run(folder, words).stdout).unwrap();
    let lines = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn a_year_of_every_form_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let names: Vec<_> = (0..FORMS.len())
        .map(|number| format!("vm{number}"))
        .collect();
    let machines: Map<_, _> = names.iter().cloned().zip(FORMS.iter().map(entry)).collect();
    let variables = serde_json::json!({
        "source_ovirt_url": "https://manager.example.com/ovirt-engine/api",
        "source_ovirt_password": "geheim",
        "backup_directory": "/srv/backups",
        "backup_settings": {"default_backup_time": "01:30"},
        "vms_config": machines,
    });
    fs::write(folder.join("variables.json"), variables.to_string()).unwrap();
    run(
        folder,
        &["config", "import", "variables.json", "-o", "lifeboat.toml"],
    );
    let validated = String::from_utf8(run(folder, &["config", "validate"]).stdout).unwrap();
    for line in validated.lines() {
        assert!(
            line.contains("carried over") || line.starts_with("it is sound"),
            "{line}"
        );
    }
    let settings = messages(folder, &["config", "show", "--json"]);
    let settings: BTreeMap<&str, &str> = settings
        .iter()
        .map(|it| {
            (
                it["path"].as_str().unwrap(),
                it["value"].as_str().unwrap().trim_matches('"'),
            )
        })
        .collect();
    for (form, name) in FORMS.iter().zip(&names) {
        let policy = settings[&*format!("jobs.{name}.policy")];
        let schedule = settings[&*format!("policies.{policy}.schedule")];
        let expected = expected(form);
        assert!(!expected.is_empty(), "{}", form.written);
        let count = (expected.len() + 1).to_string();
        let words = [
            "--from",
            "2026-11-21T23:59:59Z",
            "--zone",
            "UTC",
            "--count",
            &count,
        ];
        let words = ["schedule", "preview", "--json"].into_iter().chain(words);
        let words: Vec<_> = words.chain(schedule.split(' ')).collect();
        let shown = messages(folder, &words);
        let mut planned: Vec<_> = shown
            .iter()
            .map(|it| it["planned"].as_str().unwrap())
            .collect();
        let beyond = planned.pop().unwrap();
        assert!(
            expected == planned,
            "{}: {schedule}\n{expected:?}\n{planned:?}",
            form.written
        );
        let end = FIRST.checked_add(DAYS.days()).unwrap().to_string();
        assert!(*beyond >= *end, "{}: {schedule}: {beyond}", form.written);
    }
}
