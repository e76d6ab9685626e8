//! Settings of anybody: what is made of them can be read, says nothing else, and no file leaves
//! its folder.

use std::collections::BTreeSet;

use lifeboat_config::{ImportKind, Imported};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::trial::{imported, loaded, notes, of_kind};

fn check(imported: &Imported) {
    let config = loaded(imported).config;
    let names: BTreeSet<_> = imported.secrets.iter().map(|it| it.file.as_str()).collect();
    assert_eq!(
        names.len(),
        imported.secrets.len(),
        "each secret has a file of its own"
    );
    for name in names {
        let is_plain = !name.is_empty() && !name.starts_with('.');
        let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(
            is_plain && name.len() < 200 && name.chars().all(is_safe),
            "{name:?}"
        );
    }
    let notes = notes(imported);
    assert!(
        !notes.replace('\n', "").contains(char::is_control),
        "{notes:?}"
    );
    let is_off = |name: &String| !config.jobs[name].is_enabled;
    assert!(
        config.jobs.keys().all(is_off),
        "nothing runs where no platform is"
    );
}

/// Names that mean something to TOML, to shells, to folders or to lifeboat.
const NAMES: [&str; 16] = [
    "a.b",
    "a",
    "A",
    "..",
    "../../etc/passwd",
    "a\nb",
    "\u{1b}[2J",
    "\"",
    "'''",
    "] x = 1 [",
    "web*",
    "id:7",
    "tag:",
    "@main",
    "ä\u{0}\u{202e}",
    "# no comment",
];

#[test]
fn names_that_mean_something_elsewhere_are_only_names() {
    let machines: serde_json::Map<_, _> = NAMES
        .iter()
        .map(|name| {
            let odd = json!({"retries": 1, *name: {*name: "x"}, format!("{name}_password"): 5});
            ((*name).to_owned(), odd)
        })
        .collect();
    let variables = json!({"backup_directory": "/b", "vms_config": machines,
        "../password": "p", ".. password": "p", "main.password": ["geheim"]});
    let imported = imported(&variables.to_string()).unwrap();
    check(&imported);
    assert!(!imported.text.contains("geheim"));
    let config = loaded(&imported).config;
    let names: BTreeSet<_> = config.jobs.keys().map(String::as_str).collect();
    assert_eq!(names, NAMES.into_iter().collect());
    // Nothing is chosen for people: the password of the repository is theirs to write.
    assert!(imported.secrets.iter().all(|it| it.file != "main.password"));
    for (name, pattern) in [
        ("web*", "web?"),
        ("id:7", "?d:7"),
        ("tag:", "?ag:"),
        ("a", "a"),
    ] {
        let machines = &config.jobs[name].capture["machines"];
        assert_eq!(machines[0].as_str(), Some(pattern));
    }
    let notes = notes(&imported);
    assert!(
        notes.contains("no machine can have this name here"),
        "{notes}"
    );
    assert!(notes.contains("other machines may fit the name"), "{notes}");
}

#[test]
fn names_that_seem_one_stay_apart() {
    // The first has settings whose name the second has.
    let variables = json!({"backup_directory": "/b", "vms_config": {
        "a": {"x": 1, "schedule": {"type": "moon"}}, "a_settings": {"x": 2},
        "a_schedule": {"x": 3}, "x_password": {"password": "1", "password_file": "/2"}}});
    let imported = imported(&variables.to_string()).unwrap();
    check(&imported);
    let config = loaded(&imported).config;
    assert_eq!((config.jobs.len(), config.carried_over.len()), (4, 5));
    assert!(
        imported.text.contains("password_file_2"),
        "{}",
        imported.text
    );
}

#[test]
fn deep_and_long_input_ends_with_a_finding() {
    let deep = |open: &str, close: &str| open.repeat(200_000) + &close.repeat(200_000);
    for (kind, text) in [
        (ImportKind::Variables, deep("[", "]")),
        (ImportKind::Variables, deep("{\"a\":", "}")),
        (
            ImportKind::Variables,
            format!("{{\"a\": {}1{}}}", "[".repeat(60), "]".repeat(60)),
        ),
        (ImportKind::OpenNebula, deep("<a>", "</a>")),
        (
            ImportKind::OpenNebula,
            format!("RESTIC_X = {}", deep("[", "]")),
        ),
        (
            ImportKind::OpenNebula,
            format!("{{\"DATASTORE\": {}", deep("[", "]")),
        ),
        (ImportKind::ResticEnvironment, deep("\"", "'")),
        (ImportKind::ResticEnvironment, "A=1 ".repeat(100_000)),
    ] {
        let wrong = of_kind(kind, &text).unwrap_err();
        assert!(wrong.iter().all(|it| it.len() < 2_000), "{kind:?}");
    }
}

/// Any value where any is written.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9:*/,.\\[\\]{}\"'\\n ä$=-]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "daily",
            "monthly",
            "weekly",
            "biweekly",
            "hourly",
            "1010101",
            "02:00",
            "sunday",
            "7",
            "full",
            "* * * * *",
            "{}",
            "[1]",
            "http://u:p@h/",
        ])
        .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "type",
        "pattern",
        "time",
        "day",
        "days",
        "weeks",
        "expression",
        "interval",
        "enabled",
        "password",
        "keep_daily",
        "a\"b",
        "..",
        "full_backup_day",
        "frequency",
    ]);
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Where a value is exchanged for another.
const PLACES: [&[&str]; 16] = [
    &["vms_config"],
    &["backup_settings"],
    &["backup_settings", "default_backup_time"],
    &["restore_settings"],
    &["source_ovirt_url"],
    &["other"],
    &["vms_config", "a"],
    &["vms_config", "a", "schedule"],
    &["vms_config", "a", "schedule", "type"],
    &["vms_config", "a", "schedule", "pattern"],
    &["vms_config", "a", "schedule", "days"],
    &["vms_config", "a", "schedule", "weeks"],
    &["vms_config", "a", "schedule", "expression"],
    &["vms_config", "a", "retention"],
    &["vms_config", "a", "backup_type"],
    &["vms_config", "a", "auto_restore"],
];

/// Every kind of schedule.
const SORTS: [&str; 6] = ["simple", "legacy", "hourly", "advanced", "cron", "custom"];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_value_anywhere_is_read_kept_or_refused(
        changes in prop::collection::vec((prop::sample::select(PLACES.to_vec()), value()), 1..4),
        sort in prop::sample::select(SORTS.to_vec()),
    ) {
        let mut variables = json!({"backup_directory": "/b", "backup_settings": {},
            "vms_config": {"a": {"schedule": {"type": sort}}}});
        for (place, value) in changes {
            let (last, above) = place.split_last().unwrap();
            let table = above.iter().try_fold(&mut variables, |at, key| at.get_mut(*key));
            if let Some(table) = table.and_then(Value::as_object_mut) {
                table.insert((*last).to_owned(), value);
            }
        }
        match of_kind(ImportKind::Variables, &variables.to_string()) {
            Ok(imported) => check(&imported),
            Err(wrong) => {
                let is_placed = wrong.iter().all(|it| it.starts_with("from/old:1:"));
                prop_assert!(is_placed && !wrong.is_empty(), "{wrong:?}");
                let is_ours = wrong.iter().all(|it| !it.contains("what it says would become"));
                prop_assert!(is_ours, "{wrong:?}");
            }
        }
    }
}
