//! Asks the real restic what it keeps, and ourselves the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use lifeboat_policy::{
    Grouping, KeepCount, KeepDuration, RecoveryPoint, RemovingAll, Retention, localized, plan,
};
use lifeboat_testkit::lighten_key;
use serde_json::{Value, json};

/// What is kept, by host: sorted times with their reasons.
pub(crate) type Kept = BTreeMap<String, Vec<(String, Vec<String>)>>;

/// A backup to make: host, zone of the machine, its clock, tags.
pub(crate) type Backup = (&'static str, &'static str, String, &'static str);

/// A repository of the real program.
pub(crate) struct Judge {
    program: PathBuf,
    place: tempfile::TempDir,
    /// Version 0.14, which knows neither `unlimited` nor a refusal.
    is_old: bool,
}

impl Judge {
    pub(crate) fn new(program: &Path) -> Self {
        let mut judge = Self {
            program: PathBuf::new(),
            place: tempfile::tempdir().unwrap(),
            is_old: false,
        };
        judge.replace(program);
        judge.run(&["init"], "UTC", b"");
        lighten_key(judge.place.path(), "test");
        judge
    }

    /// Lets another version answer about the same repository.
    pub(crate) fn replace(&mut self, program: &Path) {
        let version = Command::new(program).arg("version").output().unwrap();
        self.program = program.to_owned();
        self.is_old = version.stdout.starts_with(b"restic 0.14");
    }

    pub(crate) fn is_old(&self) -> bool {
        self.is_old
    }

    pub(crate) fn back_up(&self, backup: &Backup) {
        let (host, zone, time, tags) = backup;
        let mut arguments = vec!["backup", "--stdin", "--host", host, "--time", time];
        if !tags.is_empty() {
            arguments.extend(["--tag", tags]);
        }
        self.run(&arguments, zone, b"tiny");
    }

    /// All snapshots as restic stores them.
    pub(crate) fn snapshots(&self) -> Vec<Value> {
        let output = self.run(&["snapshots", "--json"], "UTC", b"");
        let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let slim = listed.into_iter().map(|snapshot| {
            json!({
                "time": snapshot["time"],
                "host": snapshot["hostname"],
                "paths": snapshot["paths"],
                "tags": snapshot.get("tags").cloned().unwrap_or(json!([])),
            })
        });
        slim.collect()
    }

    /// What `rules` keep on a machine in `zone`, and for which hosts that would be nothing.
    pub(crate) fn forget(&self, rules: &[&str], zone: &str) -> Value {
        let mut refused = Vec::new();
        let kept = self.forget_once(rules, zone, &[]).unwrap_or_else(|| {
            // Version 0.19 refuses all when it refuses one group: ask for one after the other.
            let mut kept = Kept::new();
            for host in self.hosts() {
                match self.forget_once(rules, zone, &["--host", &host]) {
                    Some(of_host) => kept.extend(of_host),
                    None => refused.push(host),
                }
            }
            kept
        });
        json!({ "rules": rules, "zone": zone, "refused": refused, "kept": kept })
    }

    /// None when restic refuses because a group would be emptied.
    fn forget_once(&self, rules: &[&str], zone: &str, filter: &[&str]) -> Option<Kept> {
        let mut arguments = vec!["forget", "--dry-run", "--json", "--group-by", "host,paths"];
        arguments.extend(rules);
        arguments.extend(filter);
        let output = self.start(&arguments, zone, b"");
        if !output.status.success() {
            let problem = String::from_utf8_lossy(&output.stderr);
            assert!(
                problem.contains("refusing to delete last snapshot"),
                "{problem}"
            );
            return None;
        }
        let groups: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        Some(groups.iter().map(kept_of_group).collect())
    }

    fn hosts(&self) -> BTreeSet<String> {
        let snapshots = self.snapshots();
        snapshots
            .iter()
            .map(|snapshot| text(&snapshot["host"]))
            .collect()
    }

    fn run(&self, arguments: &[&str], zone: &str, input: &[u8]) -> Output {
        let output = self.start(arguments, zone, input);
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {problems}");
        output
    }

    fn start(&self, arguments: &[&str], zone: &str, input: &[u8]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .arg("-r")
            .arg(self.place.path())
            .args(["--no-cache", "-q"])
            .args(arguments);
        command.env("RESTIC_PASSWORD", "test").env("TZ", zone);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

fn kept_of_group(group: &Value) -> (String, Vec<(String, Vec<String>)>) {
    let reasons = group["reasons"].as_array().cloned().unwrap_or_default();
    let mut kept: Vec<_> = reasons
        .iter()
        .map(|reason| (text(&reason["snapshot"]["time"]), words(&reason["matches"])))
        .collect();
    kept.sort();
    (text(&group["host"]), kept)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words.map(text).collect()
}

/// Snapshots as points; the key is the time as written.
pub(crate) fn points(snapshots: &[Value], zone: &TimeZone) -> Vec<RecoveryPoint<String>> {
    let points = snapshots.iter().map(|snapshot| RecoveryPoint {
        time: localized(&as_written(&text(&snapshot["time"])), zone),
        host: text(&snapshot["host"]),
        paths: words(&snapshot["paths"]),
        tags: words(&snapshot["tags"]),
        key: text(&snapshot["time"]),
    });
    points.collect()
}

fn as_written(time: &str) -> Zoned {
    let moment: Timestamp = time.parse().unwrap();
    match Pieces::parse(time).unwrap().to_numeric_offset() {
        Some(offset) if !time.ends_with('Z') => moment.to_zoned(TimeZone::fixed(offset)),
        _ => moment.to_zoned(TimeZone::UTC),
    }
}

/// Reads restic's own arguments.
pub(crate) fn retention(rules: &[String]) -> Retention {
    let mut retention = Retention::default();
    for pair in rules.chunks(2) {
        let (name, value) = (pair[0].trim_start_matches("--keep-"), pair[1].as_str());
        let duration = || Some(KeepDuration::parse(value).unwrap());
        let count = || KeepCount::parse(value).unwrap();
        match name {
            "last" => retention.last = count(),
            "hourly" => retention.hourly = count(),
            "daily" => retention.daily = count(),
            "weekly" => retention.weekly = count(),
            "monthly" => retention.monthly = count(),
            "yearly" => retention.yearly = count(),
            "within" => retention.within = duration(),
            "within-hourly" => retention.within_hourly = duration(),
            "within-daily" => retention.within_daily = duration(),
            "within-weekly" => retention.within_weekly = duration(),
            "within-monthly" => retention.within_monthly = duration(),
            "within-yearly" => retention.within_yearly = duration(),
            "tag" => retention
                .tags
                .push(value.split(',').map(str::to_owned).collect()),
            _ => panic!("{name} is no rule"),
        }
    }
    retention
}

/// Compares one recorded or fresh answer of restic with ours.
pub(crate) fn compare(snapshots: &[Value], answer: &Value, now: Timestamp, is_old: bool) {
    let zone = match answer["zone"].as_str().unwrap() {
        "UTC" => TimeZone::UTC,
        "Europe/Berlin" => TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
        zone => panic!("{zone} is not known here"),
    };
    let rules = words(&answer["rules"]);
    let retention = retention(&rules);
    let points = points(snapshots, &zone);
    let planned = |removing_all| plan(&retention, Grouping::default(), &points, now, removing_all);
    let refused = words(&answer["refused"]);
    let refusal = planned(RemovingAll::Refused).err();
    let refused_host = refusal.and_then(|error| error.group()?.host.clone());
    assert!(
        is_old || refused_host.as_ref() == refused.first(),
        "{rules:?}: {refused:?}"
    );
    let mut kept = Kept::new();
    for group in planned(RemovingAll::Allowed).unwrap() {
        let shown = group.decisions.iter().map(|decision| {
            let reasons = decision.reasons.iter().map(ToString::to_string);
            (
                decision.point.key.clone(),
                old_words(reasons.collect(), is_old),
            )
        });
        let mut shown: Vec<_> = shown.filter(|(_, reasons)| !reasons.is_empty()).collect();
        shown.sort();
        kept.insert(group.group.host.unwrap(), shown);
    }
    let expected: Kept = serde_json::from_value(answer["kept"].clone()).unwrap();
    let nothing = Vec::new();
    for (host, kept) in &kept {
        let expected = match refused.contains(host) {
            true => &nothing,
            false => &expected[host],
        };
        let zone = &answer["zone"];
        assert_eq!(kept, expected, "{rules:?} for {host}, {zone}");
    }
    assert_eq!(kept.len(), expected.len() + refused.len());
}

/// Version 0.14 keeps no point only because it is the oldest.
fn old_words(mut reasons: Vec<String>, is_old: bool) -> Vec<String> {
    reasons.retain(|reason| !is_old || !reason.starts_with("oldest "));
    reasons
}
