//! A program that is missing, slow or talkative is told, and holds nobody up.

use std::time::Duration;

use lifeboat_lvm::{AtLimit, Command, LocalSystem, System};
use lifeboat_model::ErrorKind;

fn command(program: &'static str, words: &[&str]) -> Command {
    Command {
        program,
        arguments: words.iter().map(|it| (*it).to_owned()).collect(),
        limit: Duration::from_secs(60),
        at_limit: AtLimit::Kill,
        output_bytes_max: 1000,
    }
}

#[test]
fn a_missing_one_names_its_package() {
    let error = LocalSystem::default()
        .run(&command("lifeboat-missing", &[]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("install the Debian package"),
        "{error}"
    );
}

#[test]
fn words_code_and_complaints_come_back() {
    let script = "echo \"$1 $LC_ALL\"; echo broken >&2; exit 7";
    let answer = LocalSystem::default()
        .run(&command("sh", &["-c", script, "x", "a b"]))
        .unwrap();
    assert_eq!(answer.code, Some(7));
    assert_eq!(answer.output, b"a b C\n");
    assert_eq!(answer.errors, "broken\n");
}

#[test]
fn an_endless_answer_is_an_error() {
    let mut endless = command("sh", &["-c", "head -c 100000 /dev/zero"]);
    assert_eq!(
        LocalSystem::default().run(&endless).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    endless.output_bytes_max = 100_000;
    assert_eq!(
        LocalSystem::default().run(&endless).unwrap().output.len(),
        100_000
    );
}

#[test]
fn a_slow_one_is_ended_or_asked_to_end() {
    for at_limit in [AtLimit::Kill, AtLimit::Ask] {
        let slow = Command {
            limit: Duration::from_millis(20),
            at_limit,
            ..command("sleep", &["600"])
        };
        let error = LocalSystem::default().run(&slow).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains("it was ended"), "{error}");
    }
}

#[test]
fn a_lock_has_one_holder() {
    let place = tempfile::tempdir().unwrap();
    let system = LocalSystem::new(place.path());
    let held = system.lock("a", Duration::ZERO).unwrap();
    assert!(held.is_some());
    assert!(
        system
            .lock("a", Duration::from_millis(30))
            .unwrap()
            .is_none()
    );
    assert!(system.lock("b", Duration::ZERO).unwrap().is_some());
    drop(held);
    assert!(system.lock("a", Duration::ZERO).unwrap().is_some());
}
