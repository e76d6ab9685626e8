//! Variables as their program writes them: every setting means what it meant there.
//!
//! When runs begin is asked of the whole program, a year of every form.

use crate::trial::{imported, loaded, notes, refused};
use lifeboat_config::{ImportKind, Imported, PolicyEntry};

/// The shape of real files, with other names.
const REAL: &str = r#"{
  "source_ovirt_url": "https://manager.example.com/ovirt-engine/api",
  "source_ovirt_user": "admin@internal",
  "source_ovirt_password": "geheim1",
  "source_ovirt_cert_path": "/opt/certs/ca.pem",
  "backup_directory": "/opt/backups",
  "checkpoints_file": "/opt/config/checkpoints.json",
  "target_ovirt_password": "geheim2",
  "backup_settings": {"incremental_enabled": true, "max_incremental_chain_length": 10,
    "force_full_backup_days": 7, "default_backup_time": "02:00"},
  "restore_settings": {"target_cluster_name": "Default",
    "target_storage_domain_name": "storage-dr", "disk_interface": "SATA"},
  "vms_config": {
    "daily": {"enabled": true,
      "schedule": {"type": "simple", "pattern": "daily", "time": "02:00"},
      "backup_type": {"incremental_enabled": true, "full_backup_frequency": "weekly",
        "full_backup_day": "sunday"},
      "retention": {"keep_daily": 7, "keep_weekly": 4, "keep_monthly": 3,
        "max_backup_age_days": 90},
      "auto_restore": true},
    "twin": {"schedule": {"type": "simple", "pattern": "daily"}},
    "always": {"enabled": false, "schedule": {"type": "custom", "pattern": "1010101"},
      "backup_type": {"full_backup_frequency": "always"},
      "retention": {"keep_daily": 0, "keep_weekly": 0, "max_backup_age_days": "14"},
      "auto_restore": false, "retries": 2, "retry_delay_minutes": 10},
    "oldest": {"backup_policy": "1000001", "retention_days": "30"}
  }
}"#;

fn policy(imported: &Imported, job: &str) -> PolicyEntry {
    let mut config = loaded(imported).config;
    let name = config.jobs[job].policy.clone().unwrap();
    config.policies.remove(&name).unwrap()
}

fn days(policy: &PolicyEntry) -> u64 {
    policy.age_max.unwrap().as_secs() / 86_400
}

#[test]
fn policies_are_those_of_the_program() {
    let imported = imported(REAL).unwrap();
    let config = loaded(&imported).config;
    // What is not written is what the program takes then: one policy for both.
    assert_eq!(config.jobs["twin"].policy, config.jobs["daily"].policy);
    let daily = policy(&imported, "daily");
    let full = &daily.full;
    assert_eq!((full.is_incremental, full.weekdays), (true, 1 << 6));
    assert_eq!((full.increments_max, full.days_max), (Some(10), Some(7)));
    assert_eq!(days(&daily), 90);
    let kept = daily.retention.unwrap();
    let counts = [kept.daily, kept.weekly, kept.monthly].map(|it| it.unwrap().to_string());
    assert_eq!(counts, ["7", "4", "3"]);
    let always = policy(&imported, "always");
    assert!(!always.full.is_incremental && always.retention.is_none());
    assert_eq!((days(&always), always.retry.times), (14, 2));
    assert_eq!(always.retry.after.as_secs(), 600);
    let oldest = policy(&imported, "oldest");
    assert!(oldest.retention.is_none());
    assert_eq!(days(&oldest), 30);
    assert_eq!(
        oldest.timing.unwrap().schedule.to_string(),
        "days 1000001 02:00"
    );
}

#[test]
fn only_what_nothing_here_does_is_carried_over_and_each_is_told() {
    let imported = imported(REAL).unwrap();
    let carried = loaded(&imported).config.carried_over;
    let carried: Vec<_> = carried.keys().map(String::as_str).collect();
    let expected = [
        "auto_restore",
        "checkpoints_file",
        "restore_settings",
        "source_ovirt",
        "target_ovirt",
    ];
    assert_eq!(carried, expected);
    let notes = notes(&imported);
    assert!(!notes.contains("nobody knows"), "{notes}");
    for told in [
        "old:7:3: warning: checkpoints_file: the memory of that program is not read",
        "old:20:7: warning: daily: auto_restore: carried over, not carried out",
        "old:21:5: warning: twin: no retention: that program keeps 7 daily",
        "old:26:5: warning: oldest, twin: no backup_type: that program reads everything on Sundays",
        "warning: always: retention keeps nothing: here everything stays",
        "default_timezone says another; write zone = \"UTC\" into the policies then",
    ] {
        assert!(notes.contains(told), "{told}\n{notes}");
    }
}

#[test]
fn increments_that_are_switched_off_for_all_are_off_for_each() {
    let text = REAL.replacen(
        "\"incremental_enabled\": true",
        "\"incremental_enabled\": \"False\"",
        1,
    );
    let imported = imported(&text).unwrap();
    for job in ["daily", "twin", "oldest"] {
        assert!(!policy(&imported, job).full.is_incremental, "{job}");
    }
}

#[test]
fn variables_that_airflow_exports_as_texts_are_the_same() {
    let mut exported: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(REAL).unwrap();
    for key in ["backup_settings", "restore_settings", "vms_config"] {
        let text = exported[key].to_string();
        exported.insert(key.to_owned(), text.into());
    }
    let exported = serde_json::to_string(&exported).unwrap();
    assert_eq!(
        imported(&exported).unwrap().text,
        imported(REAL).unwrap().text
    );
    refused(
        ImportKind::Variables,
        &[
            (
                "{\n\"vms_config\": \"{\\\"a\\\": \"}",
                "old:2:1: error: vms_config: in its text: it is no JSON",
            ),
            (
                "{\"vms_config\": \"{\\\"a\\\": {}, \\\"a\\\": {}}\"}",
                "vms_config: in its text: /a: it stands there twice",
            ),
        ],
    );
}

#[test]
fn schedules_that_mean_something_else_here_are_told() {
    for (schedule, told) in [
        (
            r#"{"type": "simple", "pattern": "biweekly"}"#,
            "warning: a: biweekly means the days 1 to 7",
        ),
        (
            r#"{"type": "simple", "pattern": "hourly"}"#,
            "a: \"hourly\" is no pattern: that program runs every day",
        ),
        (
            r#"{"pattern": "weekly", "day": "friday"}"#,
            "the schedule has no type: that program runs every day",
        ),
        (
            r#"{"pattern": "weekly"}"#,
            "a/schedule/pattern: this kind of schedule does not look at it",
        ),
        (
            r#"{"type": "custom", "pattern": "0000000"}"#,
            "no day is set: that program then runs every day at 02:00",
        ),
        (
            r#"{"type": "cron", "expression": "0 2 */2 * 1"}"#,
            "a day must fit both here",
        ),
        (
            r#"{"type": "cron", "expression": "0 2 * * * 30"}"#,
            "five fields here; where seconds stand differs",
        ),
        (
            r#"{"type": "hourly", "start_hour": 9, "end_hour": 8}"#,
            "not understood: no hour is in it",
        ),
        (
            r#"{"type": "advanced", "pattern": "yearly"}"#,
            "advanced has no pattern \"yearly\"",
        ),
    ] {
        let text = format!(
            r#"{{"backup_directory": "/b", "vms_config": {{"a": {{"schedule": {schedule}}}}}}}"#
        );
        let imported = imported(&text).unwrap();
        loaded(&imported);
        let notes = notes(&imported);
        assert!(notes.contains(told), "{told}\n{notes}");
    }
}
