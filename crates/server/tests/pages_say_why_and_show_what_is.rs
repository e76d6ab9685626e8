//! Pages say why something waits or failed, draw steps as they were, and show one point all along.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Role, RunState, StepRecord, StepState};
use lifeboat_server::pages::*;

use crate::demo_fleet as demo;
use crate::stage::{PASSWORD, Stage, point};

const GONE: &str = "there is no repository at /mnt/vault";

fn run_page_of(task: lifeboat_catalog::Task, steps: Vec<StepRecord>) -> String {
    let mut frame = demo::frame(Role::Operator);
    frame.active.clear();
    let states = [task.state];
    let tasks = [TaskView {
        task,
        steps,
        log: Vec::new(),
    }];
    let run = demo::run(1_204, "databases", RunState::Open, demo::ago(260));
    let view = RunView {
        run: &run,
        tasks: &tasks,
        states: &states,
        restored: None,
    };
    run_page(&frame, &view).into_string()
}

#[test]
fn steps_are_drawn_with_their_own_ends_and_states_and_a_pause_stays_a_gap() {
    let failed = StepRecord {
        message: Some("the cable was out".to_owned()),
        ..demo::step("transfer", (200, 190), StepState::Failed)
    };
    let second = StepRecord {
        attempt: 2,
        ..demo::step("transfer", (100, 90), StepState::Failed)
    };
    let page = run_page_of(demo::again(1, "db01", GONE), vec![failed, second]);
    let bars: Vec<_> = page.match_indices("step-fill failed").collect();
    assert_eq!(bars.len(), 2, "both attempts failed: {page}");
    assert!(!page.contains("step-fill ok"), "{page}");
    let widths = page.matches("width=\"9.09%\"").count();
    assert_eq!(
        widths, 2,
        "ten of 110 seconds each, no matter the pause: {page}"
    );
    assert!(page.contains("the cable was out"), "{page}");
    assert!(
        page.contains("transfer<span class=\"quiet\"> (2)"),
        "{page}"
    );
}

#[test]
fn what_waits_says_what_failed_and_when_it_is_tried_again() {
    let task = demo::again(1, "db01", GONE);
    let said = format!("Attempt 2 of 4 failed: {GONE}");
    let page = run_page_of(task.clone(), Vec::new());
    assert!(page.contains(&said) && page.contains("in 2 min"), "{page}");
    assert!(page.contains("data-state=\"waiting\" open"), "{page}");
    assert!(page.contains("badge waiting"), "nothing of the run runs");
    assert!(
        !page.contains("class=\"meter running\""),
        "there is no progress: {page}"
    );
    let (frame, fleet) = (demo::frame(Role::Viewer), demo::fleet());
    let waiting = [task.clone(), task.clone(), task];
    let machine = MachineView {
        machine: &fleet.overview.machines[1],
        points: &fleet.points,
        proofs: &[],
        tasks: &waiting,
        can_restore: false,
        page: 0,
        until: None,
    };
    let page = machine_page(&frame, &machine).into_string();
    let restorer = demo::frame(Role::Restore);
    let offered = machine_page(&restorer, &machine).into_string();
    assert!(
        !offered.contains("/restore"),
        "where none can be made, none is offered"
    );
    assert_eq!(
        page.matches(&said).count(),
        1,
        "one reason is told once: {page}"
    );
    assert!(page.contains("2 more tasks for the same reason"), "{page}");
}

#[test]
fn what_a_button_of_a_run_does_a_command_does_too() {
    let page = run_page_of(demo::again(1, "db01", GONE), Vec::new());
    for command in ["runs cancel 1204", "runs cancel 1204 --task 1"] {
        let copied = format!("data-copy=\"lifeboat {command}\"");
        assert!(page.contains(&copied), "{page}");
    }
}

#[test]
fn repositories_and_lists_say_what_failed_too() {
    let said = format!("Attempt 2 of 4 failed: {GONE}");
    let (frame, fleet) = (demo::frame(Role::Viewer), demo::fleet());
    let waiting = [demo::again(1, "db01", GONE)];
    let look = demo::again(2, "vault", GONE);
    let overview = OverviewView {
        overview: &fleet.overview,
        runs: &[],
        running: &[],
        waiting: &waiting,
        setbacks: std::slice::from_ref(&look),
        alerts: &[],
        broken: None,
    };
    let page = overview_page(&frame, &overview).into_string();
    assert!(page.contains(&said), "{page}");
    assert_eq!(
        page.matches(GONE).count(),
        2,
        "its repository says it too: {page}"
    );
    let repository = RepositoryView {
        repository: &fleet.overview.repositories[2],
        sizes: &[],
        tasks: &[],
        setback: Some(&look),
    };
    let page = repository_page(&frame, &repository).into_string();
    assert!(page.contains(GONE), "{page}");
    let runs = RunsView {
        runs: &[demo::run(1_204, "databases", RunState::Open, demo::now())],
        running: &[],
        waiting: &waiting,
        restored: &BTreeMap::new(),
        job: "",
        state: "",
        is_more: false,
        is_later: false,
    };
    let page = runs_page(&frame, &runs).into_string();
    assert!(page.contains(&said), "{page}");
}

/// The cookie of the administrator.
fn signed_in(stage: &Stage) -> String {
    stage.add_anna();
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let form = format!("name=anna&password={}", PASSWORD.replace(' ', "+"));
    let reply = stage.ask("POST /login", &[kind], &form);
    let cookie = reply.header("set-cookie").expect("a cookie");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn files_are_those_of_the_point_that_the_page_names_also_when_a_newer_one_comes() {
    let stage = Stage::new();
    let cookie = [("Cookie", signed_in(&stage))];
    let cookie = cookie
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let newest = stage.catalog.points(Some("web01"), 1).unwrap().remove(0);
    let reply = stage.ask("GET /machines/web01/browse?path=vda1%3A%2F%FF", &cookie, "");
    assert_eq!(reply.status, 303, "{reply:?}");
    let place = reply.header("location").expect("a place").to_owned();
    let id = &newest.key.snapshot[..8];
    assert_eq!(
        place,
        format!("/machines/web01/browse?point={id}&repository=main&path=vda1%3A%2F%FF")
    );
    let later = Timestamp::now() + SignedDuration::from_secs(60);
    stage.catalog.add_point(&point("web01", later)).unwrap();
    let reply = stage.ask(&format!("GET {place}&fragment=1"), &cookie, "");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains(&format!("web01@{id}")), "{reply:?}");
}

#[test]
fn a_restore_is_planned_by_the_command_that_does_it_and_offered_only_with_a_plan() {
    let stage = Stage::new();
    let cookie = [("Cookie", signed_in(&stage))];
    let cookie = cookie
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let plan = |rest: &str| {
        let head = format!("GET /machines/web01/restore?planned=yes&{rest}");
        let reply = stage.ask(&head, &cookie, "");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    };
    let deed = "action=\"/api/v1/restores\"";
    let page = plan("name=web02+neu%2F..%2Fx");
    let said = "new name has 1 to 63 letters";
    assert!(page.contains(said) && !page.contains(deed), "{page}");
    let page = plan("name=taken");
    let said = "there is a machine of this name";
    assert!(page.contains(said) && !page.contains(deed), "{page}");
    let page = plan("name=fresh&to=pool:fast&started=yes");
    let snapshot = stage.catalog.points(Some("web01"), 1).unwrap()[0]
        .key
        .snapshot
        .clone();
    let words = format!(
        "machine recover --repo @main --platform @local --as fresh --to pool:fast --start \
         --dry-run -- web01@{snapshot}"
    );
    assert!(
        page.contains(&words),
        "what was planned is what is done: {page}"
    );
    assert!(page.contains("/dev/fast/fresh-vda"), "{page}");
    assert!(page.contains(deed), "{page}");
    assert!(
        page.contains("&quot;to&quot;:&quot;pool:fast&quot;"),
        "{page}"
    );
    let plain = lifeboat_scheduler::PlatformSettings {
        uri: "plain:/dev/sdb".to_owned(),
        ..Default::default()
    };
    assert!(!plain.makes_machines());
}

#[test]
fn who_may_not_see_a_page_is_told_so_inside_the_frame_and_not_led_there() {
    let stage = Stage::new();
    let user = |name: &str, role| {
        let made = lifeboat_server::new_user(
            name,
            PASSWORD,
            role,
            Timestamp::now(),
            &lifeboat_model::SystemEntropy,
        );
        stage.catalog.set_user(&made.unwrap()).unwrap();
    };
    user("vera", Role::Viewer);
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let form = format!("name=vera&password={}", PASSWORD.replace(' ', "+"));
    let reply = stage.ask("POST /login", &[kind], &form);
    let cookie = reply.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let page = stage.ask("GET /machines", &[("Cookie", &cookie)], "").body;
    assert!(!page.contains("href=\"/audit\""), "{page}");
    let reply = stage.ask("GET /audit", &[("Cookie", &cookie)], "");
    assert_eq!(reply.status, 403);
    assert!(reply.body.contains("href=\"/machines\""), "{reply:?}");
    let reply = stage.ask("GET /setup", &[], "");
    assert_eq!(
        reply.header("location"),
        Some("/login"),
        "users are there: {reply:?}"
    );
}
