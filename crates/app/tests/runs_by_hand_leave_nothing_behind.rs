//! Runs without a service, as a timer begins them: one that is killed is ended by the next one, a
//! mistake is told at once, a terminal shows how far it is. And two services never share a state.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::operators::terminal::Terminal;
use crate::the_service_keeps_and_tells::Host;
use crate::trial::lifeboat;

/// A job whose backups wait for as long as a file is there.
fn held_job(host: &Host) -> String {
    let folder = host.path("");
    let folder = folder.display();
    let hook = format!("touch {folder}begun; while [ -e {folder}slow ]; do sleep 0.05; done");
    format!(
        "[jobs.held]\nplatform = \"files\"\nrepository = \"main\"\npolicy = \"all\"\n\
         pre_snapshot = [{{ run = [\"sh\", \"-c\", \"{hook}\"] }}]\n"
    )
}

/// A host where backups wait.
fn slow_host() -> Host {
    let host = Host::new();
    host.configure("1d", &held_job(&host));
    fs::write(host.path("slow"), "").unwrap();
    host
}

/// A command whose words go into a file of this name.
fn begin(host: &Host, words: &[&str], name: &str) -> Child {
    let file = fs::File::create(host.path(name)).unwrap();
    let mut command = host.command(words);
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap());
    command.stderr(file).spawn().unwrap()
}

fn said(host: &Host, name: &str) -> String {
    fs::read_to_string(host.path(name)).unwrap_or_default()
}

fn wait_for(host: &Host, name: &str, text: &str) {
    host.wait(text, || said(host, name).contains(text));
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

/// Number and state of all runs, the newest first.
fn runs(host: &Host) -> Vec<(i64, String)> {
    let listed = host.run(&["--json", "runs"]);
    assert!(listed.status.success(), "{}", text(&listed));
    let lines = String::from_utf8(listed.stdout).unwrap();
    let run = |line: &str| {
        let run: Value = serde_json::from_str(line).unwrap();
        (
            run["id"].as_i64().unwrap(),
            run["state"].as_str().unwrap().to_owned(),
        )
    };
    lines.lines().map(run).collect()
}

#[test]
fn a_run_that_was_killed_is_ended_by_the_next() {
    let host = slow_host();
    let mut first = begin(&host, &["run", "held"], "first");
    host.wait("the first backup begins", || host.path("begun").exists());
    let mut second = begin(&host, &["run", "held"], "second");
    wait_for(&host, "second", "waits for run 1 (backup ");
    first.kill().unwrap();
    first.wait().unwrap();
    // The second does not wait for the end of the lease.
    wait_for(
        &host,
        "second",
        "run 1 of held: the command that carried it out",
    );
    let told = said(&host, "second");
    assert!(told.contains("counts as failed"), "{told}");
    fs::remove_file(host.path("begun")).unwrap();
    host.wait("the second backup begins", || host.path("begun").exists());
    second.kill().unwrap();
    second.wait().unwrap();
    let status = text(&host.run(&["status"]));
    assert!(
        status.contains("run 2 of held: the command that"),
        "{status}"
    );
    assert!(status.contains("nothing more is heard of"), "{status}");
    assert!(!status.contains("B/s"), "no rate of what is dead: {status}");
    fs::remove_file(host.path("slow")).unwrap();
    let third = host.run(&["run", "held"]);
    let told = text(&third);
    assert!(third.status.success(), "{told}");
    assert!(told.contains("run 2 of held: the command that"), "{told}");
    let right = [(3, "succeeded"), (2, "failed"), (1, "failed")];
    assert_eq!(runs(&host), right.map(|it| (it.0, it.1.to_owned())));
    assert_eq!(fs::read_dir(host.path("state/runs")).unwrap().count(), 0);
    let status = text(&host.run(&["status"]));
    assert!(!status.contains("Left in the middle"), "{status}");
    a_run_is_shown_and_done_once_more(&host);
}

fn a_run_is_shown_and_done_once_more(host: &Host) {
    let shown = text(&host.run(&["runs", "show", "2"]));
    assert!(shown.contains("run 2 of held: failed"), "{shown}");
    assert!(shown.contains("ended in the middle of it"), "{shown}");
    let failed = host.run(&["--json", "runs", "list", "--state", "failed"]);
    assert_eq!(text(&failed).lines().count(), 2);
    let again = host.run(&["runs", "retry", "2"]);
    assert!(again.status.success(), "{}", text(&again));
    // Its backup, and what its keep rules had not done.
    let right = [(5, "succeeded"), (4, "succeeded")];
    assert_eq!(runs(host)[..2], right.map(|it| (it.0, it.1.to_owned())));
    for (words, why) in [
        (
            ["runs", "cancel", "4"],
            "run 4 has ended already: succeeded",
        ),
        (["runs", "retry", "4"], "nothing of run 4 failed"),
        (["runs", "show", "99"], "'lifeboat runs' lists them"),
    ] {
        let refused = host.run(&words);
        assert!(
            !refused.status.success() && text(&refused).contains(why),
            "{refused:?}"
        );
    }
    assert!(host.run(&["run", "held", "--detach"]).status.success());
    assert!(host.run(&["runs", "cancel", "6"]).status.success());
    assert_eq!(runs(host)[0], (6, "cancelled".to_owned()));
    one_task_is_cancelled_and_done_once_more(host);
    let audit = text(&host.run(&["audit", "list"]));
    assert!(
        audit.contains("run cancel") && audit.contains("run retry"),
        "{audit}"
    );
}

fn one_task_is_cancelled_and_done_once_more(host: &Host) {
    let name = tasks(host, 4)[0]["subject"].as_str().unwrap().to_owned();
    let begun = host.run(&["run", "held", "-m", &name, "--detach"]);
    assert!(begun.status.success(), "{}", text(&begun));
    let task = tasks(host, 7)[0]["id"].to_string();
    let refused = host.run(&["runs", "retry", "7", "--task", &task]);
    assert!(text(&refused).contains("has not ended"), "{refused:?}");
    let refused = host.run(&["runs", "cancel", "7", "--task", "9999"]);
    assert!(text(&refused).contains("has no task 9999"), "{refused:?}");
    let told = host.run(&["runs", "cancel", "7", "--task", &task]);
    let right = format!("backup {name}: cancelled\n");
    assert_eq!(text(&told), right);
    let shown = text(&host.run(&["runs", "show", "7"]));
    assert!(
        shown.contains(&task) && shown.contains("cancelled"),
        "{shown}"
    );
    let again = host.run(&["runs", "retry", "7", "--task", &task]);
    assert!(again.status.success(), "{}", text(&again));
    let newest = runs(host)[0].clone();
    assert_eq!(newest.1, "succeeded");
    assert_eq!(tasks(host, newest.0)[0]["subject"], *name);
}

/// Tasks of a run, those of backups first.
fn tasks(host: &Host, run: i64) -> Vec<Value> {
    let shown = host.run(&["--json", "runs", "show", &run.to_string()]);
    let line: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let mut tasks = line["tasks"].as_array().unwrap().clone();
    tasks.sort_by_key(|it| it["action"] != "backup");
    tasks
}

#[test]
fn a_mistake_is_told_at_once_and_not_tried_again() {
    let host = Host::new();
    let refused = host.run(&["run", "nightly", "-m", "dsik"]);
    let told = text(&refused);
    assert!(
        !refused.status.success() && told.contains("no machine \"dsik\""),
        "{told}"
    );
    assert_eq!(runs(&host), [], "nothing was begun");
    host.write_secret("password", "wrong");
    let refused = host.run(&["run", "nightly"]);
    let told = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("run 1: failed"), "{told}");
    let log = text(&host.run(&["--json", "audit", "list"]));
    assert!(log.contains("\"is_done\":false"), "{log}");
    assert!(
        told.contains("passed over: no backup of this run"),
        "{told}"
    );
    assert!(!told.contains("tried again"), "{told}");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(host.path("password"), open).unwrap();
    let told = text(&host.run(&["run", "nightly"]));
    assert!(
        told.contains("run 2: failed") && !told.contains("tried again"),
        "{told}"
    );
}

#[test]
fn a_terminal_shows_how_far_a_run_is() {
    let host = slow_host();
    let mut command = Command::new("script");
    command.env("LIFEBOAT_CONFIG", host.path("lifeboat.toml"));
    command.env("LIFEBOAT_STATE", host.path("state"));
    let line = format!("{} run held", lifeboat().display());
    let mut terminal = Terminal::start(command, Path::new(&host.path("")), &line);
    terminal.waits_for(" 0%");
    fs::remove_file(host.path("slow")).unwrap();
    let seen = terminal.ends();
    assert!(seen.contains("run 1: succeeded"), "{seen}");
}

#[test]
fn a_second_service_of_one_state_is_refused_and_harms_nothing() {
    let mut host = Host::new();
    host.serve();
    let second = host.run(&["serve"]);
    let told = text(&second);
    assert_eq!(second.status.code(), Some(1), "{told}");
    assert!(told.contains("runs already (pid "), "{told}");
    assert!(host.run(&["run", "nightly", "--detach"]).status.success());
    host.wait("the first one carries it out", || {
        let runs = host.get("/api/v1/runs?job=nightly").unwrap_or_default();
        runs[0]["state"] == "succeeded"
    });
}
