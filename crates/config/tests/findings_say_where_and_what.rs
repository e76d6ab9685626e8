//! Everything that is wrong is told at once, with its line, its column and what to write.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_config::{
    Finding, Loaded, Origin, SecretSource, Severity, SourceFile, read, read_partly,
};
use lifeboat_policy::{FullRule, KeepCount};
use proptest::prelude::*;
use serde::Deserialize;

/// What a platform would read of a job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capture {
    machines: Vec<String>,
    parallel: Option<u32>,
}

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn loaded(text: &str) -> Loaded<Capture> {
    read(&[file("lifeboat.toml", text)])
}

const SOUND: &str = r#"
site = "berlin"
include = ["conf.d/*.toml"]

[repositories.main]
place = "/srv/backup"
password_file = "/etc/lifeboat/password"

[repositories.second]
place = "/mnt/second"
password_env = "SECOND"

[platforms.local]
uri = "qemu:///system"

[policies.gold]
schedule = "weekdays 02:00"
zone = "Europe/Berlin"
jitter = "30m"
blackouts = ["weekdays 08:00-18:00"]
full_on = "sun"
full_after = 14
keep_daily = 7
keep_monthly = "unlimited"
keep_within = "2d"
rpo = "74h"
copies = 2

[jobs.web]
platform = "local"
repository = "main"
copies_to = "second"
policy = "gold"
machines = ["web*"]
parallel = 2
"#;

#[test]
fn a_sound_file_gives_its_values_and_where_they_came_from() {
    let loaded = loaded(SOUND);
    assert_eq!(loaded.findings, []);
    let [include] = &loaded.includes[..] else {
        panic!("there is one");
    };
    assert_eq!(
        (include.pattern.as_str(), include.spot.line),
        ("conf.d/*.toml", 3)
    );
    let config = loaded.config;
    assert_eq!(config.site.as_deref(), Some("berlin"));
    let secret = SecretSource::File("/etc/lifeboat/password".into());
    assert_eq!(config.repositories["main"].password, secret);
    let policy = &config.policies["gold"];
    let timing = policy.timing.as_ref().unwrap();
    assert_eq!(timing.schedule.to_string(), "weekdays 02:00");
    assert_eq!(timing.jitter, Duration::from_secs(1800));
    assert_eq!(timing.blackouts.len(), 1);
    let full = FullRule {
        weekdays: 1 << 6,
        increments_max: Some(14),
        ..FullRule::default()
    };
    assert_eq!(policy.full, full);
    let retention = policy.retention.as_ref().unwrap();
    assert_eq!(retention.daily, KeepCount::newest(7));
    assert_eq!(retention.monthly, Some(KeepCount::Unlimited));
    assert_eq!(
        policy.objectives.recovery_point,
        Some(Duration::from_secs(74 * 3600))
    );
    let job = &config.jobs["web"];
    assert_eq!(
        (job.policy.as_deref(), job.is_enabled),
        (Some("gold"), true)
    );
    assert_eq!(job.capture.machines, ["web*"]);
    let shown: BTreeMap<_, _> = loaded
        .shown
        .into_iter()
        .map(|it| (it.path.clone(), it))
        .collect();
    let Origin::Written(spot) = &shown["policies.gold.schedule"].origin else {
        panic!("it is written");
    };
    assert_eq!((spot.line, spot.column), (17, 12));
    assert_eq!(shown["policies.gold.catch_up"].origin, Origin::Usual);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = r#"
sitte = "berlin"
[repositories.main]
place = "/srv/backup"
password = "geheim"
[repositories.other]
password_env = "A"
password_file = "b"
[platforms.local]
url = "qemu:///system"
[policies.gold]
schedule = "dayly 02:00"
zone = "Europe/Berlim"
keep_daily = -1
full_after = 0
rpo = "soon"
catch_up = "yes"
[jobs.web]
platform = "lokal"
repository = "main"
policy = "gild"
machins = ["web*"]
platfrom = "local"
[jobs.db]
platform = "local"
repository = "main"
machines = [1, "db", true]
parallel = "two"
bogus = 1
"#;
    let loaded = loaded(text);
    assert!(!loaded.is_sound());
    let told: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    let expected = [
        "2:1: error: sitte: there is no such setting; did you mean 'site'?",
        "5:12: error: repositories.main.password: secrets never stand here",
        "6:15: error: repositories.other.place: it is missing; write place =",
        "8:17: error: repositories.other.password_file: there are several passwords",
        "9:12: error: platforms.local.uri: it is missing",
        "10:1: error: platforms.local.url: there is no such setting; did you mean 'uri'?",
        "12:12: error: policies.gold.schedule: \"dayly 02:00\" is not a schedule",
        "13:8: error: policies.gold.zone: \"Europe/Berlim\" is not a time zone",
        "14:14: error: policies.gold.keep_daily: \"-1\" is not a number",
        "15:14: error: policies.gold.full_after: write 1 to 10000",
        "16:7: error: policies.gold.rpo: \"soon\" is not a span of time",
        "17:12: error: policies.gold.catch_up: it is a text, and must be true or false",
        "19:12: error: jobs.web.platform: there is no platform \"lokal\"; did you mean \"local\"?",
        "21:10: error: jobs.web.policy: there is no policy \"gild\"; did you mean \"gold\"?",
        "22:1: error: jobs.web.machins: there is no such setting; did you mean 'machines'?",
        "23:1: error: jobs.web.platfrom: there is no such setting; did you mean 'platform'?",
        "27:13: error: jobs.db.machines: it is a whole number, and must be a text in quotes",
        "27:22: error: jobs.db.machines: it is true or false, and must be a text in quotes",
        "28:12: error: jobs.db.parallel: it is a text, and must be a whole number",
        "29:1: error: jobs.db.bogus: there is no such setting; known are: after, carried_over",
    ];
    for (told, expected) in told.iter().zip(expected) {
        let expected = format!("lifeboat.toml:{expected}");
        assert!(told.starts_with(&expected), "{told}\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    let zone = told.iter().find(|it| it.contains(".zone: ")).unwrap();
    assert!(
        zone.ends_with("; did you mean \"Europe/Berlin\"?"),
        "{zone}"
    );
}

#[test]
fn broken_syntax_does_not_hide_the_rest() {
    let loaded = loaded("site = \n[platforms.a]\nuri = 7\n[jobs.x\n");
    let told: Vec<_> = loaded.findings.iter().map(|it| it.spot.line).collect();
    assert!(
        told.contains(&1) && told.contains(&3) && told.contains(&4),
        "{:?}",
        loaded.findings
    );
}

#[test]
fn several_files_are_one_and_no_table_comes_twice() {
    let second = "[jobs.db]\nplatform = 'local'\nrepository = 'main'\nafter = ['web']\n\
                  [policies.gold]\n";
    let both = [file("a.toml", SOUND), file("b.toml", second)];
    let loaded: Loaded<Capture> = read(&both);
    let told: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["b.toml:5:11: error: policies.gold: a.toml:16:11 has it too; leave it in one of them"]
    );
    assert_eq!(loaded.config.jobs["db"].after, ["web"]);
    // The rest is in a file that could not be read: nobody knows which names it has.
    let unread = Finding {
        spot: loaded.includes[0].spot.clone(),
        severity: Severity::Error,
        message: "include: it is not there".to_owned(),
        suggestion: None,
    };
    let text = SOUND
        .replace("policy = \"gold\"", "policy = 'silver'\nplatfrom = 'local'")
        .replace("copies_to = \"second\"", "copies_to = 'secnd'");
    let loaded: Loaded<Capture> = read_partly(&[file("a.toml", &text)], vec![unread]);
    let told: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    let expected = [
        "a.toml:3:12: error: include: it is not there",
        "a.toml:32:13: error: jobs.web.copies_to: there is no repository \"secnd\"; did you",
        "a.toml:34:1: error: jobs.web.platfrom: there is no such setting; did you mean",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert!(
        told.len() == expected.len() && !loaded.is_parsed,
        "{told:#?}"
    );
    let circle = second.replace(
        "[policies.gold]\n",
        "[jobs.c]\nplatform = 'local'\n\
        repository = 'main'\nafter = ['d']\n[jobs.d]\nplatform = 'local'\nrepository = 'main'\n\
        after = ['c']\n",
    );
    let loaded: Loaded<Capture> = read(&[file("a.toml", SOUND), file("b.toml", &circle)]);
    let told: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "b.toml:8:9: error: jobs.c.after: jobs wait in a circle: c -> d -> c; \
             take one of them out of its after"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_read_or_refused_with_places_inside_it(
        cut in 0usize..800, with in "[\\[\\]\"'=a-z0-9.\n ä]{0,12}", at in 0usize..800,
    ) {
        let mut text = SOUND.to_owned();
        text.truncate(cut.min(text.len()));
        text.insert_str(at.min(text.len()), &with);
        let loaded = loaded(&text);
        let lines = text.split('\n').count();
        for finding in loaded.findings {
            prop_assert!(finding.spot.line >= 1 && finding.spot.line <= lines, "{finding}");
        }
    }
}
