//! What other programs were told becomes a configuration: nothing is dropped, nothing is guessed,
//! no secret stands in it.

use lifeboat_config::{ImportKind, Imported, Loaded, SecretSource};
use proptest::prelude::*;

use crate::trial::{imported, loaded, of_kind, refused};

const VARIABLES: &str = r#"{
  "source_ovirt_url": "https://engine.example.org/ovirt-engine/api",
  "source_ovirt_username": "admin@internal",
  "source_ovirt_password": "geheim1",
  "target_ovirt_url": "https://second.example.org/ovirt-engine/api",
  "target_ovirt_password": "geheim2",
  "backup_directory": "/backup/",
  "backup_settings": {
    "incremental_enabled": true,
    "max_incremental_chain_length": 7,
    "force_full_backup_days": 30,
    "default_backup_time": "01:30"
  },
  "restore_settings": {
    "target_cluster": "Default", "target_storage_domain": "data",
    "disk_interface": "virtio_scsi", "timeout_minutes": 60,
    "auto_start_restored_vm": false, "vm_name_suffix": "_restored",
    "replace_existing_vm": false, "backup_old_vm": true
  },
  "colour": {"deep": [1, 2.5, null], "password": "geheim3"},
  "vms_config": [
    {"vm_name": "web01", "enabled": true,
     "schedule": {"type": "simple", "frequency": "weekdays"},
     "backup_type": {"full_backup_frequency": "weekly", "full_backup_day": "Sunday"},
     "retention": {"keep_daily": 7, "keep_weekly": 4, "keep_monthly": 12,
                   "max_backup_age_days": 365},
     "auto_restore": {"enabled": true, "target_vm": "web01-copy"}},
    {"vm_name": "db01",
     "schedule": {"type": "advanced", "week_of_month": "last", "day": "fri",
                  "times": ["03:00", "15:00"]}},
    {"vm_name": "mail", "schedule": {"type": "cron", "expression": "30 2 * * 1-5"}},
    {"vm_name": "files", "schedule": {"type": "custom", "days": "1111100", "time": "23:00"}},
    {"vm_name": "lab \"x\"", "enabled": false, "schedule": "weekends", "owner": "me"},
    {"vm_name": "odd", "schedule": {"type": "lunar", "phase": 3}}
  ]
}"#;

#[test]
fn variables_of_ovirt_become_jobs_and_policies() {
    let imported = imported(VARIABLES).unwrap();
    let config = loaded(&imported).config;
    let schedule = |job: &str| {
        let policy = config.jobs[job].policy.as_ref()?;
        let timing = config.policies[policy].timing.as_ref()?;
        Some(timing.schedule.to_string())
    };
    for (job, expected) in [
        ("web01", Some("weekdays 01:30")),
        ("db01", Some("monthly last fri 03:00, 15:00")),
        ("mail", Some("cron 30 2 * * 1-5")),
        ("files", Some("days 1111100 23:00")),
        ("lab \"x\"", Some("weekends 01:30")),
        ("odd", None),
    ] {
        assert_eq!(schedule(job).as_deref(), expected, "{job}");
    }
    let policy = &config.policies[config.jobs["web01"].policy.as_deref().unwrap()];
    let full = &policy.full;
    assert_eq!((full.increments_max, full.days_max), (Some(7), Some(30)));
    assert_eq!((full.is_incremental, full.weekdays), (true, 1 << 6));
    assert_eq!(policy.age_max.unwrap().as_secs(), 365 * 86_400);
    let kept = policy.retention.as_ref().unwrap();
    assert!(kept.daily.is_some() && kept.weekly.is_some() && kept.monthly.is_some());
    assert_eq!(config.repositories["main"].place, "/backup/lifeboat");
    let uri = "ovirt://engine.example.org/ovirt-engine/api";
    assert_eq!(config.platforms["source"].uri, uri);
    // Nothing runs on a platform that nobody reaches.
    assert!(config.jobs.values().all(|job| !job.is_enabled));
    let carried: Vec<_> = config.carried_over.keys().map(String::as_str).collect();
    let expected = [
        "auto_restore",
        "lab \"x\"_settings",
        "odd_schedule",
        "restore_settings",
        "source_ovirt",
        "target_ovirt",
        "variables",
    ];
    assert_eq!(carried, expected);
}

#[test]
fn every_word_of_the_variables_is_in_the_text_or_in_a_secret() {
    let imported = imported(VARIABLES).unwrap();
    assert!(!imported.text.contains("geheim"), "{}", imported.text);
    let secrets: Vec<_> = imported
        .secrets
        .iter()
        .map(|it| it.secret.expose())
        .collect();
    let expected: [&[u8]; 3] = [b"geheim1", b"geheim2", b"geheim3"];
    assert_eq!(secrets, expected);
    for secret in &imported.secrets {
        let path = format!("/etc/lifeboat/secrets/{}", secret.file);
        assert!(imported.text.contains(&path), "{path}\n{}", imported.text);
    }
    for word in [
        "admin@internal",
        "virtio_scsi",
        "_restored",
        "web01-copy",
        "2.5",
        "lunar",
        "owner",
        "second.example.org",
        "backup_old_vm",
        "timeout_minutes",
    ] {
        assert!(imported.text.contains(word), "{word}\n{}", imported.text);
    }
    let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
    for note in [
        "warning: colour: nobody knows this setting; carried over",
        "old:14:3: warning: restore_settings: carried over, not carried out",
        "warning: odd: the schedule was not understood: \"lunar\" is none of",
        "warning: vms_config/4/owner: nobody knows this setting",
        "warning: web01: auto_restore: carried over, not carried out",
    ] {
        let is_there = notes.iter().any(|it| it.contains(note));
        assert!(is_there, "{note}\n{notes:#?}");
    }
}

fn with_schedule(schedule: &str) -> Loaded<toml::Table> {
    let text = format!(
        r#"{{"backup_directory": "/b", "vms_config": {{"a": {{"schedule": {schedule}}}}}}}"#
    );
    loaded(&imported(&text).unwrap())
}

#[test]
fn schedules_that_are_not_understood_are_kept_and_never_bent() {
    for schedule in [
        r#"{"type": "custom", "days": "0000000"}"#,
        r#"{"type": "custom", "days": [1, 1, 1]}"#,
        r#"{"type": "cron", "expression": "every full moon"}"#,
        r#"{"type": "simple", "frequency": "daily", "days": ["mon"]}"#,
        r#"{"type": "simple"}"#,
        r#"{"type": "advanced", "week_of_month": 7, "day": "mon"}"#,
        r#"{"type": "simple", "frequency": "monthly", "day_of_month": 32}"#,
        r#""sometimes""#,
    ] {
        let config = with_schedule(schedule).config;
        let policy = config.jobs["a"].policy.as_deref().unwrap();
        assert!(config.policies[policy].timing.is_none(), "{schedule}");
        assert!(config.carried_over.contains_key("a_schedule"), "{schedule}");
    }
    for (schedule, expected) in [
        (r#""biweekly""#, "biweekly sun 02:00"),
        (
            r#"{"type": "simple", "frequency": "Monthly", "day_of_month": "last"}"#,
            "monthly last day 02:00",
        ),
        (
            r#"{"type": "advanced", "days": ["monday", "thu"], "time": "04:00"}"#,
            "weekly mon, thu 04:00",
        ),
        (
            r#"{"type": "advanced", "days_of_month": [1, 15]}"#,
            "monthly 1, 15 02:00",
        ),
        (
            r#"{"type": "custom", "days": [true, false, false, false, false, false, true]}"#,
            "days 1000001 02:00",
        ),
    ] {
        let config = with_schedule(schedule).config;
        let policy = config.jobs["a"].policy.as_deref().unwrap();
        let timing = config.policies[policy].timing.as_ref().unwrap();
        assert_eq!(timing.schedule.to_string(), expected);
    }
}

#[test]
fn broken_variables_are_refused_with_their_places() {
    refused(
        ImportKind::Variables,
        &[
            (
                "{\n \"a\": ,\n}",
                "old:2:7: error: it is no JSON: expected value",
            ),
            ("[1]", "old:1:1: error: it is no table of settings"),
            ("{}", "old:1:1: error: it has no backup_directory"),
            (
                "{\"a\": {\"b\": 1,\n \"b\": 2}}",
                "old:2:2: error: /a/b: it stands there twice",
            ),
            (
                "{\"backup_directory\": 7, \"vms_config\": []}",
                "old:1:2: error: backup_directory: it must be a text",
            ),
            (
                "{\"vms_config\": [{\"name\": \"a\"},\n {\"name\": \"a\"}]}",
                "old:2:2: error: vms_config/1: \"a\" is there twice",
            ),
            (
                "{\"backup_settings\":\n{\"default_backup_time\": \"2 am\"}}",
                "old:2:2: error: backup_settings/default_backup_time: it must be a time of day",
            ),
            (
                "{\"vms_config\": [{\"name\": \"a\", \"retention\":\n{\"keep_daily\": -1}}]}",
                "old:2:2: error: vms_config/0/retention/keep_daily: it must be a whole number",
            ),
        ],
    );
}

#[test]
fn variables_of_restic_become_a_repository() {
    let text = "# nightly\nexport RESTIC_REPOSITORY='/srv/my backup'\nRESTIC_PASSWORD=\"ge heim\"\n\
                RESTIC_COMPRESSION=max\nRESTIC_PACK_SIZE=64\nRESTIC_HOST=web01\nEDITOR=vi\n";
    let imported = imported(text).unwrap();
    let config = loaded(&imported).config;
    let main = &config.repositories["main"];
    assert_eq!(main.place, "/srv/my backup");
    let file = SecretSource::File("/etc/lifeboat/secrets/main.password".into());
    assert_eq!(main.password, file);
    assert_eq!(imported.secrets[0].secret.expose(), b"ge heim");
    assert_eq!(main.compression.as_deref(), Some("max"));
    assert_eq!(main.pack_size, Some(64 << 20));
    let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes[0].contains(":6:1: warning: RESTIC_HOST: carried over"),
        "{notes:?}"
    );
    assert!(
        notes[1].contains(":7:1: warning: EDITOR: nobody knows"),
        "{notes:?}"
    );
    assert!(imported.text.contains("EDITOR = \"vi\""));
}

#[test]
fn places_that_nobody_reaches_yet_are_marked_and_keep_no_secret() {
    let text = "RESTIC_REPOSITORY=rest:https://me:geheim@host:8000/x\n\
                RESTIC_PASSWORD_COMMAND='pass show \"a b\"'\nAWS_ACCESS_KEY_ID=AKIA\n\
                AWS_SECRET_ACCESS_KEY=geheim\n";
    let imported = imported(text).unwrap();
    assert!(!imported.text.contains("geheim"), "{}", imported.text);
    let main = &loaded(&imported).config.repositories["main"];
    assert_eq!(main.place, "rest:https://me@host:8000/x");
    assert!(main.carried_over.is_some());
    let words = ["pass", "show", "a b"].map(str::to_owned).to_vec();
    assert_eq!(main.password, SecretSource::Command(words));
    assert_eq!(imported.secrets.len(), 2);
}

#[test]
fn what_only_a_shell_knows_is_refused_with_its_line() {
    for (line, told) in [
        (
            "RESTIC_PASSWORD=$(cat x)",
            "RESTIC_PASSWORD: only a shell knows",
        ),
        ("RESTIC_PASSWORD=a; rm -rf /", "it is no setting"),
        ("RESTIC_PASSWORD='a", "it has an open quotation mark"),
        ("RESTIC_PASSWORD=a b", "its value has several words"),
        ("RESTIC_PASSWORD", "it is no setting"),
        (
            "RESTIC_PACK_SIZE=big",
            "it is no number that can be used; write 1 to 4096",
        ),
        ("RESTIC_COMPRESSION=zip", "compression"),
        ("RESTIC_REPOSITORY=/y", "it stands there twice"),
    ] {
        let text = format!("RESTIC_REPOSITORY=/x\n{line}\n");
        refused(ImportKind::ResticEnvironment, &[(&text, told)]);
    }
}

const TEMPLATE: &str = r#"NAME = "vault"
TYPE = "BACKUP_DS"
DS_MAD = "restic"
TM_MAD = "-"
RESTIC_SFTP_SERVER = "backup.example.org"
RESTIC_SFTP_USER = "one"
RESTIC_PASSWORD = "ge\"heim"
RESTIC_IONICE = "7"
RESTIC_NICE = "10"
RESTIC_BWLIMIT = "2048"
RESTIC_COMPRESSION = "max"
RESTIC_CONNECTIONS = "5"
RESTIC_MAXPROC = "2"
RESTIC_NEW = "1"
"#;

fn check_vault(imported: &Imported, place: &str) {
    let config = loaded(imported).config;
    let vault = &config.repositories["vault"];
    assert_eq!(vault.place, place);
    assert!(vault.carried_over.is_some());
    assert_eq!(
        (vault.compression.as_deref(), vault.threads),
        (Some("max"), Some(2))
    );
    assert_eq!(imported.secrets[0].secret.expose(), b"geheim");
    let job = &config.jobs["vault"];
    assert_eq!(job.capture["nice"].as_integer(), Some(10));
    assert_eq!(job.capture["ionice"].as_str(), Some("7"));
    assert_eq!(job.capture["bandwidth"].as_str(), Some("2048K"));
    assert!(imported.text.contains("RESTIC_CONNECTIONS = \"5\""));
    let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
    let told = |text: &str| notes.iter().any(|it| it.contains(text));
    assert!(
        told("RESTIC_NEW: nobody knows this attribute"),
        "{notes:#?}"
    );
    assert!(told("RESTIC_CONNECTIONS: carried over"), "{notes:#?}");
}

#[test]
fn a_datastore_of_opennebula_becomes_a_repository_and_a_job() {
    let place = "sftp:one@backup.example.org:/var/lib/one/datastores/DATASTORE";
    check_vault(&imported(TEMPLATE).unwrap(), place);
    let lines = TEMPLATE.lines().skip(3);
    let attributes = lines.map(|line| {
        let (key, value) = line.split_once(" = ").unwrap();
        let value = value[1..value.len() - 1].replace("\\\"", "\"");
        format!("<{key}><![CDATA[{value}]]></{key}>")
    });
    let attributes: String = attributes.collect();
    let xml = format!(
        "<DATASTORE><ID>100</ID><NAME>vault</NAME><DS_MAD><![CDATA[restic]]></DS_MAD>\
         <BASE_PATH><![CDATA[/var/lib/one/datastores/100]]></BASE_PATH><PERMISSIONS>\
         <OWNER_U>1</OWNER_U></PERMISSIONS><TEMPLATE>{attributes}</TEMPLATE></DATASTORE>"
    );
    let place = "sftp:one@backup.example.org:/var/lib/one/datastores/100";
    check_vault(&imported(&xml).unwrap(), place);
}

#[test]
fn broken_datastores_are_refused_with_their_places() {
    refused(
        ImportKind::OpenNebula,
        &[
            (
                "DS_MAD = \"rsync\"\nRESTIC_NICE = \"1\"\n",
                ":1:1: error: DS_MAD: its driver",
            ),
            (
                "DS_MAD = \"restic\"\n",
                ":1:1: error: it has no attribute of restic",
            ),
            (
                "RESTIC_PASSWORD = \"abc\n",
                ":1:19: error: RESTIC_PASSWORD: its value does not end",
            ),
            (
                "RESTIC_NICE = \"-5\"\n",
                ":1:1: error: RESTIC_NICE: \"-5\" is no",
            ),
            (
                "DS_MAD = \"restic\"\n???",
                ":2:1: error: it is no attribute",
            ),
            ("<DATASTORE>\n<A></B></DATASTORE>", "error: it is no XML"),
            (
                "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
                "error: it is no XML",
            ),
        ],
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_input_becomes_a_sound_configuration_or_is_refused(
        from in 0usize..3, cut in 0usize..4000, at in 0usize..1900,
        with in "[\\[\\]{}\"'=,:<>&;a-z0-9.\n\\\\ ä$]{0,10}",
    ) {
        let kinds = [ImportKind::Variables, ImportKind::ResticEnvironment, ImportKind::OpenNebula];
        let restic = "RESTIC_REPOSITORY=/a\nRESTIC_PASSWORD='b'\n";
        let mut text = [VARIABLES, restic, TEMPLATE][from].to_owned();
        text.insert_str(at % text.len(), &with);
        let end = (0..=cut.min(text.len())).rev().find(|it| text.is_char_boundary(*it));
        text.truncate(end.unwrap());
        if let Ok(imported) = of_kind(kinds[from], &text) {
            loaded(&imported);
        }
    }
}
