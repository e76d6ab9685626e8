//! Commands: what they are given, how they end, and that nothing of them stays.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use lifeboat_model::ErrorKind;
use lifeboat_notify::{Command, CommandSettings, Notice, Transport};

use crate::doors::{LONG, SHORT, notice};

fn shell(script: &str, path: &Path, limit: Duration) -> Command {
    let path = path.to_str().unwrap();
    let words = ["/bin/sh", "-c", script, "sh", path];
    Command::new(CommandSettings {
        name: "script".to_owned(),
        words: words.iter().map(|it| (*it).to_owned()).collect(),
        limit,
    })
    .unwrap()
}

#[test]
fn a_command_gets_the_notice_and_the_facts_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"cat > "$1/notice"; env > "$1/environment""#;
    let command = shell(script, folder.path(), LONG);
    let sent = notice("web $(reboot)", "script");
    command.send(&sent).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        serde_json::from_str::<Notice>(&read("notice")).unwrap(),
        sent
    );
    let environment = read("environment");
    for line in [
        "LIFEBOAT_KIND=conditions",
        "LIFEBOAT_SEVERITY=critical",
        "LIFEBOAT_NOTICE=19caf-1",
        "LIFEBOAT_TARGET=script",
        "LIFEBOAT_LEVEL=0",
    ] {
        assert!(environment.lines().any(|it| it == line), "{environment}");
    }
    assert!(environment.contains("LIFEBOAT_TITLE=[lifeboat berlin] CRITICAL: web $(reboot)"));
    // What cargo gave to this test is not passed on.
    assert!(!environment.contains("CARGO"), "{environment}");
}

#[test]
fn a_command_that_fails_says_why_without_its_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"echo "no route to $1" >&2; exit 7"#;
    let error = shell(script, folder.path(), LONG).send(&notice("web", "script"));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let text = "sending a notice to \"script\" (a command): it ended with exit code 7: \
                no route to ***";
    assert_eq!(error.to_string(), text);
    let missing = Command::new(CommandSettings {
        name: "script".to_owned(),
        words: vec!["/nowhere/program".to_owned()],
        limit: LONG,
    });
    let error = missing.unwrap().send(&notice("web", "script")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let empty = CommandSettings {
        name: "script".to_owned(),
        words: Vec::new(),
        limit: LONG,
    };
    assert!(Command::new(empty).is_err());
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"sleep 600 & echo $! > "$1/pid"; wait"#;
    let error = shell(script, folder.path(), SHORT).send(&notice("web", "script"));
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("took longer than 0.3 s and was ended"),
        "{error}"
    );
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    // Ended processes may wait as zombies for whoever adopted them.
    let runs = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    let mut looks = 0;
    while runs() {
        looks += 1;
        assert!(looks < 1000, "the sleeper still runs");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_command_that_reads_nothing_and_writes_much_comes_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero";
    let mut large = notice("web", "script");
    large.label = "x".repeat(300_000);
    shell(script, folder.path(), LONG).send(&large).unwrap();
}
