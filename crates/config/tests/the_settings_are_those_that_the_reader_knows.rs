//! The list of settings is what the reader looks for, no more and no less.

use std::collections::BTreeMap;

use lifeboat_config::{Asked, Loaded, Severity, SourceFile, read, settings};

use crate::findings_say_where_and_what::Capture;

const EXAMPLE: &str = include_str!("../../../docs/operating/lifeboat.example.toml");

fn example() -> Loaded<toml::Table> {
    read(&[SourceFile {
        name: "lifeboat.example.toml".to_owned(),
        text: EXAMPLE.to_owned(),
    }])
}

#[test]
fn the_example_is_sound() {
    let loaded = example();
    let told: Vec<_> = loaded.findings.iter().map(ToString::to_string).collect();
    assert!(loaded.is_sound(), "{told:#?}");
    // Only what was carried over is said.
    let severities: Vec<_> = loaded.findings.iter().map(|it| it.severity).collect();
    assert_eq!(severities, [Severity::Warning], "{told:#?}");
    assert!(
        told[0].contains("carried_over.old: carried over from"),
        "{told:#?}"
    );
}

#[test]
fn every_setting_that_is_looked_for_is_listed_and_none_else() {
    let asked = example().asked;
    let listed: BTreeMap<String, Asked> = settings()
        .map(|it| {
            let asked = Asked {
                kind: it.kind,
                is_needed: it.is_needed,
            };
            (it.path.to_owned(), asked)
        })
        .collect();
    for (path, asked) in &asked {
        assert_eq!(listed.get(path), Some(asked), "{path} is looked for");
    }
    for path in listed.keys() {
        assert!(
            asked.contains_key(path),
            "{path} is listed, nobody looks for it"
        );
    }
    assert!(settings().all(|it| !it.about.is_empty()));
}

#[test]
fn the_example_writes_every_setting_that_is_not_another_way_to_a_secret() {
    let shown = example().shown;
    let written: Vec<_> = shown
        .iter()
        .filter(|it| it.origin != lifeboat_config::Origin::Usual)
        .map(|it| it.path.rsplit('.').next().unwrap_or_default())
        .collect();
    for setting in settings() {
        let key = setting.path.rsplit('.').next().unwrap_or_default();
        let is_way = ["_file", "_env", "_command", "_credential"]
            .iter()
            .any(|end| key.ends_with(end));
        let is_table = matches!(
            setting.kind,
            lifeboat_config::Kind::Table
                | lifeboat_config::Kind::Tables
                | lifeboat_config::Kind::List
        );
        let is_written = written.contains(&key) || is_way || is_table || key == "carried_over";
        assert!(is_written, "the example does not show {}", setting.path);
    }
}

#[test]
fn an_empty_file_is_sound_and_shows_what_is_usual() {
    let loaded: Loaded<Capture> = read(&[]);
    assert_eq!(loaded.findings, []);
    assert_eq!(loaded.config.limits.parallel, 8);
    let listen = loaded.shown.iter().find(|it| it.path == "server.listen");
    assert_eq!(listen.unwrap().value, "\"127.0.0.1:8443\"");
}
