//! The program checks a configuration and shows what schedules mean, without a repository.

use std::fs;
use std::process::{Command, Output};

use crate::trial::lifeboat;

const CONFIG: &str = r#"include = ["conf.d/*.toml"]
[repositories.main]
place = "/srv/backup"
password_env = "SECRET"
[platforms.local]
uri = "qemu:///system"
[policies.gold]
schedule = "dayly 02:00"
[jobs.web]
platform = "lokal"
repository = "main"
quiesce = "sometimes"
"#;

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(lifeboat());
    command.args(words).env("TZ", "UTC");
    command.env_remove("RESTIC_REPOSITORY").output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn value(line: &str, key: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line[key].as_str().unwrap().to_owned()
}

#[test]
fn a_configuration_is_told_all_its_mistakes_and_then_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lifeboat.toml");
    let name = path.to_str().unwrap();
    let validate = ["config", "validate", "--config", name];
    fs::write(&path, CONFIG).unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let more = "[jobs.db]\nplatform = 'local'\nrepository = 'main'\nnice = 'high'\n";
    fs::write(folder.path().join("conf.d/db.toml"), more).unwrap();
    let output = run(&validate);
    assert_eq!(output.status.code(), Some(1));
    let all = told(&output);
    for mistake in [
        ":8:12: error: policies.gold.schedule: \"dayly 02:00\" is not a schedule",
        ":10:12: error: jobs.web.platform: there is no platform \"lokal\"; did you mean",
        "error: jobs.web: quiesce: write never, if_possible or required",
        "conf.d/db.toml:4:8: error: jobs.db: invalid type",
        "4 errors",
    ] {
        assert!(all.contains(mistake), "{mistake}\n{all}");
    }
    let sound = CONFIG.replace("dayly", "daily").replace("lokal", "local");
    fs::write(&path, sound.replace("sometimes", "required")).unwrap();
    fs::write(folder.path().join("conf.d/db.toml"), "").unwrap();
    assert!(told(&run(&validate)).contains("it is sound; jobs: 1"));
    let shown = told(&run(&["config", "show", "--config", name]));
    assert!(
        shown.contains("lifeboat.toml:8:12") && shown.contains("usual"),
        "{shown}"
    );
    let absent = run(&["config", "validate", "--config", "/nowhere/lifeboat.toml"]);
    let complaint = String::from_utf8(absent.stderr).unwrap();
    assert!(
        complaint.contains("cannot read the configuration /nowhere"),
        "{complaint}"
    );
}

#[test]
fn schedules_are_listed_and_played() {
    let from = ["--from", "2026-03-28T00:00", "--zone", "Europe/Berlin"];
    let preview = [
        "--json", "schedule", "preview", "daily", "02:30", "--count", "2",
    ];
    let shown = told(&run(&[&preview[..], &from].concat()));
    let planned: Vec<_> = shown.lines().map(|line| value(line, "planned")).collect();
    // The clocks leave the hour of the second run out.
    assert_eq!(planned, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"]);
    let simulate = [
        "schedule",
        "simulate",
        "daily",
        "02:30",
        "--days",
        "30",
        "--keep-daily",
        "7",
    ];
    let shown = told(&run(&[&simulate[..], &from].concat()));
    assert!(
        shown.contains("30 runs; 7 recovery points left, 7 at most at once"),
        "{shown}"
    );
    let refused = run(&["schedule", "simulate", "daily", "02:30"]);
    assert_eq!(refused.status.code(), Some(22));
}
