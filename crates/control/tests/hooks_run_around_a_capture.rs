//! Hooks run in their order, with the run's facts, and the last one whatever happened.

use lifeboat_control::hook::HookEnd;
use lifeboat_testkit::PlatformFault;

use crate::world::{ID, Site, disk, job, platform};

fn script(when: &str, text: &str, more: &str) -> String {
    format!("[[{when}]]\nrun = [\"sh\", \"-c\", '''{text}''']\n{more}\n")
}

#[test]
fn hooks_see_the_run_and_their_output_is_kept_with_it() {
    let (platform, site) = (platform(), Site::new(1));
    let text = [
        script(
            "pre_snapshot",
            "echo $LIFEBOAT_HOOK $LIFEBOAT_MACHINE $LIFEBOAT_DISKS",
            "",
        ),
        "[[on_snapshot]]\nrun = [\"thaw\", \"it\"]\nwhere = \"guest\"\n".to_owned(),
        script(
            "post_snapshot",
            "echo $LIFEBOAT_OUTCOME ${#LIFEBOAT_SNAPSHOT}",
            "",
        ),
    ];
    let outcome = site.back_up(&platform, &job(&text.concat()));
    let stored = outcome.result.unwrap().unwrap();
    assert_eq!(stored.consistency.as_str(), "application");
    let outputs: Vec<&str> = outcome.hooks.iter().map(|run| run.output.trim()).collect();
    let expected = [
        "pre_snapshot web01 vda vdb",
        "done in the guest",
        "success 64",
    ];
    assert_eq!(outputs, expected);
    let events = platform.take_events();
    assert_eq!(
        events,
        [
            "sweep",
            "capture",
            "guest thaw it",
            "confirm",
            "finish committed"
        ]
    );
    let kept = &site.manifest("web01").other["hooks"];
    assert_eq!(kept[0]["output"], "pre_snapshot web01 vda vdb\n");
}

#[test]
fn a_failed_hook_before_ends_the_run_and_the_last_hook_still_runs() {
    let (platform, site) = (platform(), Site::new(1));
    let text = script("pre_snapshot", "echo no database >&2; exit 3", "")
        + &script(
            "post_snapshot",
            "echo $LIFEBOAT_OUTCOME: $LIFEBOAT_ERROR",
            "",
        );
    let outcome = site.back_up(&platform, &job(&text));
    let error = outcome.result.err().unwrap().to_string();
    assert!(
        error.contains("ended with exit code 3: no database"),
        "{error}"
    );
    assert!(
        outcome.hooks[1]
            .output
            .starts_with("failure: the pre_snapshot hook")
    );
    assert_eq!(platform.take_events(), ["sweep"]);
    assert_eq!(site.snapshot_count("web01"), 0);
}

#[test]
fn a_failed_hook_may_be_a_warning() {
    let (platform, site) = (platform(), Site::new(1));
    let text = script("pre_snapshot", "exit 3", "on_failure = \"warn\"");
    let outcome = site.back_up(&platform, &job(&text));
    let stored = outcome.result.unwrap().unwrap();
    assert_eq!(stored.consistency.as_str(), "filesystem");
    assert!(outcome.findings[0].text.contains("exit code 3"));
}

#[test]
fn a_hook_that_hangs_is_ended_with_its_children() {
    let (platform, site) = (platform(), Site::new(1));
    let text = script("pre_snapshot", "sleep 1000 & sleep 1000", "seconds_max = 1");
    let outcome = site.back_up(&platform, &job(&text));
    assert!(outcome.result.is_err());
    assert_eq!(outcome.hooks[0].end, HookEnd::TimedOut);
    assert!(outcome.hooks[0].seconds < 60.0);
}

#[test]
fn secrets_of_the_environment_are_not_for_hooks() {
    let (platform, site) = (platform(), Site::new(1));
    let text = script("pre_snapshot", "env", "");
    let outcome = site.back_up(&platform, &job(&text));
    let output = &outcome.hooks[0].output;
    assert!(output.contains("LIFEBOAT_MACHINE=web01"));
    assert!(
        !output.contains("RESTIC_") && !output.contains("LIFEBOAT_RUSTIC"),
        "{output}"
    );
}

#[test]
fn the_last_hook_runs_after_a_capture_that_failed() {
    let (platform, site) = (platform(), Site::new(1));
    platform.set_fault(Some(PlatformFault::Begin));
    let outcome = site.back_up(&platform, &job(&script("post_snapshot", "echo over", "")));
    assert!(outcome.result.is_err());
    assert_eq!(outcome.hooks[0].output, "over\n");
    assert!(platform.marks(ID, &disk("vda")).is_empty());
}
