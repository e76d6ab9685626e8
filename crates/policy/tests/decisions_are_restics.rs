//! What restic keeps is kept, for the same reasons in the same order.
//!
//! The answers in `data` were recorded from the real programs by `record_answers` below; a
//! smaller set is asked anew in every run.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{DateTime, date};
use lifeboat_testkit::{SeededEntropy, tool};
use serde_json::Value;

use crate::restic::{Backup, Judge, compare};

const BERLIN: &str = "Europe/Berlin";

/// Histories by host, as people have them, and as they should not be.
fn backups() -> Vec<Backup> {
    let mut backups = Vec::new();
    backups.extend(clocks_that_change());
    backups.extend(machines_that_travel());
    backups.extend(rare_ones_with_tags());
    backups.extend(many_in_one_hour());
    let mut add = |host, zone, time: &str, tags| backups.push((host, zone, time.to_owned(), tags));
    for time in [
        "2026-01-05 10:00:00",
        "2026-01-05 11:00:00",
        "2025-12-31 23:59:59",
    ] {
        add("future", "UTC", time, "");
    }
    for year in [2097, 2098, 2099] {
        add("future", "UTC", &format!("{year}-01-01 00:00:00"), "");
        add("future-only", "UTC", &format!("{year}-06-01 12:00:00"), "");
    }
    add("single", BERLIN, "2024-02-29 23:30:00", "");
    for time in [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-05-31",
        "2024-12-31",
    ] {
        add("month-ends", "UTC", &format!("{time} 12:00:00"), "");
        add("month-ends", "UTC", &format!("{time} 12:00:01"), "");
    }
    for time in [
        "2023-01-31",
        "2023-03-01",
        "2023-03-02",
        "2023-03-03",
        "2023-03-31",
    ] {
        add("month-ends", "UTC", &format!("{time} 12:00:00"), "");
    }
    backups
}

/// Every 5 hours over both changes of the clocks, and some days around.
fn clocks_that_change() -> Vec<Backup> {
    let mut backups = Vec::new();
    for start in [date(2024, 3, 28), date(2024, 10, 24)] {
        let start = start.at(0, 30, 0, 0);
        for step in 0..18 {
            let time = start + (step * 5).hours();
            backups.push(("berlin", BERLIN, shown(time), ""));
        }
    }
    backups
}

fn shown(time: DateTime) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Every 11 hours over a new year, each time from another zone.
fn machines_that_travel() -> Vec<Backup> {
    let zones = [
        "UTC",
        "Asia/Kolkata",
        "America/New_York",
        "Pacific/Auckland",
        BERLIN,
    ];
    let start = date(2020, 12, 24).at(3, 15, 7, 0);
    let steps = (0..30i32).map(|step| {
        let time = start + (step * 11).hours();
        let zone = zones[usize::try_from(step).unwrap() * 7 % zones.len()];
        ("traveller", zone, shown(time), "")
    });
    steps.collect()
}

/// Random gaps of up to half a year, some with tags.
fn rare_ones_with_tags() -> Vec<Backup> {
    let entropy = SeededEntropy::new(4);
    let mut time = date(2014, 5, 17).at(4, 5, 6, 0);
    let mut backups = Vec::new();
    for _ in 0..28 {
        time += (1 + i64::try_from(entropy.below(4400)).unwrap()).hours();
        let tags = ["", "gold", "gold,hand", "hand", "", ""][entropy.below(6) as usize];
        backups.push(("rare", BERLIN, shown(time), tags));
    }
    backups
}

/// Minutes and seconds apart, two of them at the same moment.
fn many_in_one_hour() -> Vec<Backup> {
    let start = date(2025, 6, 30).at(22, 50, 0, 0);
    let seconds = [
        0, 1, 1, 2, 60, 61, 300, 599, 600, 601, 1800, 3599, 3600, 4199, 4200, 7200,
    ];
    let times = seconds.iter().map(|second| start + second.seconds());
    times
        .map(|time| ("burst", "UTC", shown(time), ""))
        .collect()
}

const POLICIES: [&[&str]; 46] = [
    &["--keep-last", "1"],
    &["--keep-last", "5"],
    &["--keep-last", "unlimited"],
    &["--keep-hourly", "3"],
    &["--keep-hourly", "24"],
    &["--keep-hourly", "unlimited"],
    &["--keep-daily", "1"],
    &["--keep-daily", "7"],
    &["--keep-daily", "100"],
    &["--keep-weekly", "2"],
    &["--keep-weekly", "52"],
    &["--keep-monthly", "3"],
    &["--keep-monthly", "unlimited"],
    &["--keep-yearly", "1"],
    &["--keep-yearly", "20"],
    &[
        "--keep-last",
        "3",
        "--keep-daily",
        "7",
        "--keep-weekly",
        "4",
        "--keep-monthly",
        "12",
    ],
    &["--keep-daily", "unlimited", "--keep-yearly", "2"],
    &[
        "--keep-hourly",
        "1",
        "--keep-daily",
        "1",
        "--keep-weekly",
        "1",
        "--keep-monthly",
        "1",
    ],
    &["--keep-within", "1h"],
    &["--keep-within", "1d"],
    &["--keep-within", "1d2h"],
    &["--keep-within-hourly", "1d2h"],
    &["--keep-within", "2d5h"],
    &["--keep-within", "1m"],
    &["--keep-within", "1y1m1d1h"],
    &["--keep-within", "2000y"],
    &["--keep-within-hourly", "1d"],
    &["--keep-within-hourly", "10y"],
    &["--keep-within-daily", "3d"],
    &["--keep-within-daily", "7m"],
    &["--keep-within-weekly", "1m"],
    &["--keep-within-weekly", "2y"],
    &["--keep-within-monthly", "1y"],
    &["--keep-within-monthly", "100y"],
    &["--keep-within-yearly", "5y"],
    &["--keep-within-yearly", "48h"],
    &[
        "--keep-within-hourly",
        "2d",
        "--keep-within-daily",
        "7d",
        "--keep-within-weekly",
        "1m",
    ],
    &[
        "--keep-within",
        "2d",
        "--keep-last",
        "2",
        "--keep-within-yearly",
        "75y",
    ],
    &["--keep-tag", "gold"],
    &["--keep-tag", "gold,hand"],
    &[
        "--keep-tag",
        "gold",
        "--keep-tag",
        "hand",
        "--keep-last",
        "1",
    ],
    &["--keep-tag", ""],
    &["--keep-tag", "absent", "--keep-within", "1m"],
    &["--keep-last", "0", "--keep-daily", "2"],
    &["--keep-within", "0h", "--keep-weekly", "3"],
    &[
        "--keep-monthly",
        "5",
        "--keep-within-daily",
        "1m",
        "--keep-tag",
        "hand",
    ],
];

/// Counting back over a change of the clocks depends on the zone of the one who forgets.
fn zones(policy: &[&str]) -> &'static [&'static str] {
    match policy.iter().any(|word| word.starts_with("--keep-within")) {
        true => &["UTC", BERLIN],
        false => &["UTC"],
    }
}

fn recorded(version: &str) -> PathBuf {
    let name = format!("tests/data/restic-{version}.json");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn replay(version: &str, is_old: bool) {
    let text = std::fs::read_to_string(recorded(version)).unwrap();
    let recording: Value = serde_json::from_str(&text).unwrap();
    let now = recording["now"].as_str().unwrap().parse().unwrap();
    let snapshots = recording["snapshots"].as_array().unwrap();
    let answers = recording["answers"].as_array().unwrap();
    assert!(snapshots.len() > 130 && answers.len() > 55);
    for answer in answers {
        compare(snapshots, answer, now, is_old);
    }
}

#[test]
fn as_recorded_from_restic_0_19() {
    replay("0.19.1", false);
}

#[test]
fn as_recorded_from_restic_0_14() {
    replay("0.14.0", true);
}

#[test]
fn as_asked_now() {
    let policies: [&[&str]; 3] = [
        &[
            "--keep-last",
            "2",
            "--keep-hourly",
            "4",
            "--keep-weekly",
            "2",
            "--keep-yearly",
            "9",
        ],
        &[
            "--keep-within",
            "1d",
            "--keep-daily",
            "3",
            "--keep-monthly",
            "2",
        ],
        &[
            "--keep-within-daily",
            "2d",
            "--keep-within-hourly",
            "30h",
            "--keep-tag",
            "gold",
        ],
    ];
    let programs: Vec<_> = ["restic", "restic-new"]
        .into_iter()
        .filter_map(tool)
        .collect();
    let Some(first) = programs.first() else {
        return;
    };
    let mut judge = Judge::new(first);
    let some = backups().into_iter().step_by(16);
    some.for_each(|backup| judge.back_up(&backup));
    let snapshots = judge.snapshots();
    for program in &programs {
        judge.replace(program);
        for policy in policies {
            let answer = judge.forget(policy, BERLIN);
            compare(&snapshots, &answer, Timestamp::now(), judge.is_old());
        }
    }
}

/// Writes the files in `data` when `LIFEBOAT_RECORD` is set; takes minutes.
#[test]
fn record_answers() {
    if std::env::var_os("LIFEBOAT_RECORD").is_none() {
        return;
    }
    for (name, version) in [("restic", "0.14.0"), ("restic-new", "0.19.1")] {
        let Some(program) = tool(name) else { continue };
        let judge = Judge::new(&program);
        backups().iter().for_each(|backup| judge.back_up(backup));
        let mut answers = Vec::new();
        let known = |policy: &&&[&str]| !judge.is_old() || !policy.contains(&"unlimited");
        for policy in POLICIES.iter().filter(known) {
            let asked = zones(policy).iter().map(|zone| judge.forget(policy, zone));
            answers.extend(asked);
        }
        let lines = |values: Vec<Value>| {
            let lines: Vec<_> = values.iter().map(Value::to_string).collect();
            lines.join(",\n")
        };
        let text = format!(
            "{{\"producer\":\"restic {version}\",\"now\":\"{}\",\n\"snapshots\":[\n{}\n],\n\
             \"answers\":[\n{}\n]}}\n",
            Timestamp::now(),
            lines(judge.snapshots()),
            lines(answers)
        );
        std::fs::write(recorded(version), text).unwrap();
    }
}
