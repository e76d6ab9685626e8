//! Pages answer the first question, teach when they are empty, say states in words, and let no
//! name of the outside become markup.
//!
//! `LIFEBOAT_PAGES=FOLDER` writes all pages with demo data there, to be looked at.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use lifeboat_catalog::{AlertSeverity, Role, RunState, TaskState};
use lifeboat_config::{Finding, Severity, Spot};
use lifeboat_model::CancelToken;
use lifeboat_policy::{FullHistory, FullRule, KeepCount, Retention, Schedule, Simulator, Timing};
use lifeboat_scheduler::{Advice, MachineStatus, Overview, Remedy};
use lifeboat_server::BrokenConfig;
use lifeboat_server::pages::*;

use crate::demo_fleet as demo;

/// Why alerts hold and what to do about them, in these words.
fn advised(words: &str) -> BTreeMap<i64, Advice> {
    let remedy = Remedy {
        text: words.to_owned(),
        command: words.to_owned(),
    };
    let advice = Advice {
        why: Some(words.to_owned()),
        task: None,
        remedies: vec![remedy],
    };
    (1..20).map(|number| (number, advice.clone())).collect()
}

pub(crate) fn overview_of(frame: &Frame, fleet: &demo::Fleet) -> String {
    let view = OverviewView {
        overview: &fleet.overview,
        runs: &fleet.runs,
        running: &fleet.running,
        waiting: &[],
        setbacks: &[],
        alerts: &fleet.alerts[..fleet.alerts.len().min(4)],
        broken: None,
    };
    overview_page(frame, &view).into_string()
}

fn machine_of(frame: &Frame, fleet: &demo::Fleet, name: &str) -> String {
    let machine = fleet.overview.machines.iter().find(|it| it.name == name);
    let tasks: Vec<_> = demo::tasks().into_iter().map(|view| view.task).collect();
    let view = MachineView {
        machine: machine.expect("a machine of the fleet"),
        points: &fleet.points,
        proofs: &fleet.proofs,
        tasks: &tasks[..2],
        can_restore: true,
        page: 0,
        until: None,
    };
    machine_page(frame, &view).into_string()
}

fn simulated() -> (String, Vec<lifeboat_policy::SimulatedPoint>) {
    let schedule: Schedule = "daily at 02:00".parse().expect("a schedule");
    let timing = Timing::new(schedule, TimeZone::UTC);
    let retention = Retention {
        daily: KeepCount::newest(10),
        weekly: KeepCount::newest(6),
        monthly: KeepCount::newest(12),
        ..Retention::default()
    };
    let full = FullRule::default();
    let simulator = Simulator {
        guard: &lifeboat_policy::Guard::default(),
        timing: &timing,
        job: "nightly",
        retention: &retention,
        full: &full,
    };
    let until = demo::ago(-120 * demo::DAY);
    let span = (demo::now(), until);
    let points = simulator.play(&[], FullHistory::default(), span, &CancelToken::new());
    (retention.to_string(), points.expect("a simulation"))
}

fn all_pages(role: Role) -> Vec<(&'static str, String)> {
    let frame = demo::frame(role);
    let fleet = demo::fleet();
    let overview = &fleet.overview;
    let machine = overview
        .machines
        .iter()
        .find(|it| it.name == "db01")
        .expect("db01");
    let planned_well = Ok(demo::recovery());
    let restore = RestoreView {
        machine,
        points: &fleet.points,
        platforms: &["edge".to_owned(), "local".to_owned()],
        measured_seconds: Some(840),
        planned: Some(&planned_well),
    };
    let planned = RestoreQuery {
        is_planned: true,
        is_replacing: true,
        is_started: true,
        ..RestoreQuery::default()
    };
    let everything = MachinesQuery::default();
    let [runs, run] = runs_of(&frame, &fleet);
    let failure = failure_page(404, "There is no such page", "The address may be old.");
    vec![
        ("index", overview_of(&frame, &fleet)),
        (
            "machines",
            machines_page(&frame, overview, &everything).into_string(),
        ),
        ("machine", machine_of(&frame, &fleet, "db01")),
        (
            "restore",
            restore_page(&frame, &restore, &RestoreQuery::default()).into_string(),
        ),
        (
            "restore-plan",
            restore_page(&frame, &restore, &planned).into_string(),
        ),
        (
            "repositories",
            repositories_page(&frame, &overview.repositories, &[]).into_string(),
        ),
        ("repository", repository_of(&frame, &fleet)),
        ("schedule", schedule_of(&frame, overview, Stretch::Week)),
        (
            "schedule-month",
            schedule_of(&frame, overview, Stretch::Month),
        ),
        (
            "login",
            login_page(Some("Helsinki"), Some("Wrong name or password.")).into_string(),
        ),
        ("runs", runs),
        ("run", run),
        ("failure", failure.into_string()),
    ]
    .into_iter()
    .chain(further_pages(&frame, &fleet))
    .collect()
}

fn further_pages(frame: &Frame, fleet: &demo::Fleet) -> Vec<(&'static str, String)> {
    let overview = &fleet.overview;
    vec![
        (
            "alerts",
            alerts_page(
                frame,
                overview,
                (&fleet.alerts, &advised("lifeboat doctor")),
                AlertsShown::Open,
            )
            .into_string(),
        ),
        (
            "audit",
            audit_page(frame, &demo::audit(), true, false).into_string(),
        ),
        ("settings", settings_of(frame)),
        ("search", search_page(frame, overview, "db").into_string()),
        ("settings-broken", broken_settings(frame)),
        ("browse", browse_of(frame, fleet, &folder_of_etc())),
        ("browse-opening", browse_of(frame, fleet, &Looked::Underway)),
        ("machine-many", machine_of(frame, &many_points(), "db01")),
        ("help", help_page(frame).into_string()),
    ]
}

/// A folder as it is in every Linux.
fn folder_of_etc() -> Looked {
    let entry = |(name, kind, size): (&str, GuestKind, u64)| GuestEntry {
        name: name.as_bytes().to_vec(),
        kind,
        mode: if kind == GuestKind::File {
            0o644
        } else {
            0o755
        },
        uid: 0,
        gid: if name == "shadow" { 42 } else { 0 },
        size,
        modified: demo::ago((size % 10_000) as i64 * 977).as_second(),
        link_target: (kind == GuestKind::Link).then(|| "../usr/lib/os-release".to_owned()),
    };
    use GuestKind::{File, Folder, Link};
    let entries: Vec<_> = [
        ("apt", Folder, 4_096),
        ("systemd", Folder, 4_096),
        (
            "a name that is as long as some programs of other companies make them.d",
            Folder,
            4_096,
        ),
        ("fstab", File, 664),
        ("hosts", File, 221),
        ("os-release", Link, 21),
        ("passwd", File, 1_409),
        ("shadow", File, 937),
        ("ssl.tar.gz", File, 48_220_113),
    ]
    .into_iter()
    .map(entry)
    .collect();
    Looked::Found(Arc::new(Found::Folder(GuestFolder {
        is_folder: true,
        count: entries.len(),
        entries,
        faults: Vec::new(),
    })))
}

fn browse_of(frame: &Frame, fleet: &demo::Fleet, looked: &Looked) -> String {
    let stored = |path: &str, size| StoredFile {
        path: path.to_owned(),
        size,
    };
    let stored = vec![
        stored("/disks/vda.raw", 240 * demo::GIB),
        stored("/lifeboat.json", 1_834),
        stored("/machine.xml", 5_120),
    ];
    let view = BrowseView {
        machine: "db01",
        platform: None,
        point: fleet.points.get(2),
        points: &fleet.points,
        place: &InsidePlace::Path(b"vda2:/etc".to_vec()),
        can_restore: true,
        looked,
        stored: &Looked::Found(Arc::new(Found::Stored(stored))),
        text: "",
        page: 0,
    };
    browse_page(frame, &view).into_string()
}

fn broken_settings(frame: &Frame) -> String {
    let finding = |line, severity, message: &str, suggestion: Option<&str>| Finding {
        spot: Spot {
            file: "/etc/lifeboat/lifeboat.toml".to_owned(),
            line,
            column: 10,
        },
        severity,
        message: message.to_owned(),
        suggestion: suggestion.map(str::to_owned),
    };
    let broken = BrokenConfig {
        since: demo::ago(420),
        sound_since: demo::ago(9 * demo::DAY),
        text: "the configuration cannot be used".to_owned(),
        findings: vec![
            finding(
                14,
                Severity::Error,
                "jobs.web.policy: there is no policy \"glod\"",
                Some("did you mean \"gold\"?"),
            ),
            finding(
                31,
                Severity::Warning,
                "jobs.shop: nothing copies this job to a second place",
                None,
            ),
        ],
    };
    let settings = demo::settings();
    let view = SettingsView {
        settings: &settings,
        broken: Some(&broken),
        ..SettingsView::default()
    };
    settings_page(frame, &view).into_string()
}

/// Years of points every four hours.
fn many_points() -> demo::Fleet {
    let mut fleet = demo::fleet();
    let known = fleet.points.clone();
    let again = |number: usize| {
        let mut point = known[number % known.len()].clone();
        point.at = demo::ago(number as i64 * 4 * demo::HOUR);
        point.key.snapshot = format!("{number:064x}");
        point
    };
    fleet.points = (0..10_000).map(again).collect();
    fleet
}

#[test]
fn a_broken_configuration_is_told_with_line_column_and_suggestion() {
    let page = broken_settings(&demo::frame(Role::Viewer));
    for said in [
        "line 14, column 10",
        "there is no policy &quot;glod&quot;",
        "did you mean &quot;gold&quot;?",
        "The service goes on with the configuration that counts since",
        "lifeboat config validate",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[test]
fn a_machine_with_ten_thousand_points_is_drawn_small() {
    let page = machine_of(&demo::frame(Role::Viewer), &many_points(), "db01");
    assert!(page.len() < 150_000, "{} bytes", page.len());
    assert!(page.contains("1 to 20 of 10\u{202f}000"));
    assert!(page.matches("class=\"slot lane-0\"").count() > 100);
}

fn runs_of(frame: &Frame, fleet: &demo::Fleet) -> [String; 2] {
    let run = demo::run(1_204, "databases", RunState::Open, demo::ago(260));
    let tasks = demo::tasks();
    let run_view = RunView {
        run: &run,
        tasks: &tasks,
        states: &tasks.iter().map(|it| it.task.state).collect::<Vec<_>>(),
        restored: None,
    };
    let runs_view = RunsView {
        runs: &fleet.runs[..60],
        running: &fleet.running,
        waiting: &[],
        restored: &BTreeMap::new(),
        job: "",
        state: "",
        is_more: true,
        is_later: false,
    };
    [
        runs_page(frame, &runs_view).into_string(),
        run_page(frame, &run_view).into_string(),
    ]
}

fn repository_of(frame: &Frame, fleet: &demo::Fleet) -> String {
    let overview = &fleet.overview;
    let checks: Vec<_> = fleet.running[2..].to_vec();
    let repository_view = RepositoryView {
        repository: &overview.repositories[1],
        sizes: &fleet.sizes,
        tasks: &checks,
        setback: None,
    };
    repository_page(frame, &repository_view).into_string()
}

fn named(name: &str) -> MachinesQuery {
    MachinesQuery {
        text: name.to_owned(),
        ..MachinesQuery::default()
    }
}

fn settings_of(frame: &Frame) -> String {
    let (settings, nodes) = (demo::settings(), demo::nodes());
    let (users, tokens) = (demo::users(), demo::tokens());
    let settings_view = SettingsView {
        settings: &settings,
        broken: None,
        nodes: &nodes,
        users: &users,
        tokens: &tokens,
        version: "0.1.0",
    };
    settings_page(frame, &settings_view).into_string()
}

fn schedule_of(frame: &Frame, overview: &Overview, stretch: Stretch) -> String {
    let query = SimulatorQuery {
        job: "nightly".to_owned(),
        machine: "mail01".to_owned(),
        days: "120".to_owned(),
        rules: BTreeMap::from([("daily".to_owned(), "10".to_owned())]),
    };
    let view = ScheduleView {
        jobs: &overview.jobs,
        machines: &overview.machines,
        coming: &demo::coming(35),
        stretch,
        query: &query,
        simulated: Some(Ok(simulated())),
    };
    schedule_page(frame, &view).into_string()
}

#[test]
fn every_page_keeps_to_the_strictest_policy_of_browsers() {
    for (name, page) in all_pages(Role::Admin) {
        for refused in [
            " style=",
            "<style",
            "javascript:",
            " onclick",
            "http://",
            "https://",
        ] {
            let page = page.replace("s3:https://s3.example/vault", "");
            assert!(!page.contains(refused), "{name} holds {refused:?}");
        }
        assert_eq!(page.matches("<script").count(), 1, "{name}");
        assert_eq!(page.matches("<h1").count(), 1, "{name} has one title");
        assert!(
            page.starts_with("<!DOCTYPE html><html lang=\"en\">"),
            "{name}"
        );
    }
    if let Ok(folder) = std::env::var("LIFEBOAT_PAGES") {
        write_pages(Path::new(&folder));
    }
}

fn write_pages(folder: &Path) {
    fs::create_dir_all(folder.join("assets")).expect("a folder for pages");
    for (name, page) in all_pages(Role::Admin) {
        fs::write(folder.join(format!("{name}.html")), page).expect("a page is written");
    }
    use lifeboat_server::assets;
    for asset in [assets::style(), assets::script(), assets::icon()] {
        let path = folder.join(asset.path.trim_start_matches('/'));
        fs::write(path, asset.text).expect("an asset is written");
    }
}

#[test]
fn pages_without_anything_teach_the_next_step() {
    let frame = demo::frame(Role::Viewer);
    let nothing = Overview::default();
    let view = OverviewView {
        overview: &nothing,
        runs: &[],
        running: &[],
        waiting: &[],
        setbacks: &[],
        alerts: &[],
        broken: None,
    };
    let runs = RunsView {
        runs: &[],
        running: &[],
        waiting: &[],
        restored: &BTreeMap::new(),
        job: "",
        state: "",
        is_more: false,
        is_later: false,
    };
    let query = SimulatorQuery::default();
    let schedule = ScheduleView {
        jobs: &[],
        machines: &[],
        coming: &[],
        stretch: Stretch::Week,
        query: &query,
        simulated: None,
    };
    let pages = [
        (overview_page(&frame, &view), "lifeboat config generate"),
        (
            machines_page(&frame, &nothing, &MachinesQuery::default()),
            "lifeboat machine ls",
        ),
        (runs_page(&frame, &runs), "lifeboat run JOB"),
        (repositories_page(&frame, &[], &[]), "lifeboat init"),
        (schedule_page(&frame, &schedule), "lifeboat config generate"),
        (
            alerts_page(&frame, &nothing, (&[], &BTreeMap::new()), AlertsShown::Open),
            "All calm",
        ),
        (
            audit_page(&frame, &[], false, false),
            "Nothing was done yet",
        ),
        (
            settings_page(&frame, &SettingsView::default()),
            "lifeboat config generate",
        ),
    ];
    for (page, step) in pages {
        let page = page.into_string();
        assert!(page.contains(step), "{step}: {page}");
    }
}

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='x'>&\u{202e}%2f../'";

fn hostile() -> (demo::Fleet, MachineStatus) {
    let mut fleet = demo::fleet();
    let text = || HOSTILE.to_owned();
    let mut machine = fleet.overview.machines[1].clone();
    (machine.name, machine.platform, machine.state) = (text(), text(), text());
    machine.jobs = vec![text()];
    fleet.overview.machines.push(machine.clone());
    for job in &mut fleet.overview.jobs {
        (job.name, job.platform, job.repository, job.schedule) =
            (text(), text(), text(), Some(text()));
    }
    for repository in &mut fleet.overview.repositories {
        (repository.facts.name, repository.place) = (text(), text());
        repository.facts.findings = vec![text()];
        repository.facts.is_ok = Some(false);
    }
    let mut alert = demo::alert(1, AlertSeverity::Critical, HOSTILE, HOSTILE);
    (alert.machine, alert.repository, alert.job) = (Some(text()), Some(text()), Some(text()));
    fleet.alerts = vec![alert];
    for point in &mut fleet.points {
        (point.key.repository, point.consistency) = (text(), Some(text()));
    }
    (fleet, machine)
}

fn hostile_runs(frame: &Frame, run: &lifeboat_catalog::Run, views: &[TaskView]) -> [String; 2] {
    let run_view = RunView {
        run,
        tasks: views,
        states: &[TaskState::Failed],
        restored: None,
    };
    let runs = RunsView {
        runs: std::slice::from_ref(run),
        running: &[],
        waiting: &[],
        restored: &BTreeMap::new(),
        job: HOSTILE,
        state: "",
        is_more: true,
        is_later: true,
    };
    [
        runs_page(frame, &runs).into_string(),
        run_page(frame, &run_view).into_string(),
    ]
}

#[test]
fn hostile_names_stay_text_wherever_they_stand() {
    let (fleet, machine) = hostile();
    let frame = Frame {
        site: Some(HOSTILE.to_owned()),
        ..demo::frame(Role::Admin)
    };
    let text = || HOSTILE.to_owned();
    let task = demo::task(1, HOSTILE, TaskState::Failed, 0);
    let mut views = demo::tasks();
    views[0].task = task.clone();
    views[0].steps[0].name = text();
    views[0].log[0].line = text();
    let run = demo::run(1, HOSTILE, RunState::Partial, demo::now());
    let view = MachineView {
        machine: &machine,
        points: &fleet.points,
        proofs: &fleet.proofs,
        tasks: &[task],
        can_restore: true,
        page: 0,
        until: None,
    };
    let refused = Err(text());
    let restore = RestoreView {
        machine: &machine,
        points: &fleet.points,
        platforms: &[text()],
        measured_seconds: None,
        planned: Some(&refused),
    };
    let asked = RestoreQuery {
        name: text(),
        platform: text(),
        is_planned: true,
        is_replacing: true,
        ..RestoreQuery::default()
    };
    let repository = RepositoryView {
        repository: &fleet.overview.repositories[0],
        sizes: &fleet.sizes,
        tasks: &[],
        setback: None,
    };
    let [runs, run] = hostile_runs(&frame, &run, &views);
    let pages = [
        overview_of(&frame, &fleet),
        machines_page(&frame, &fleet.overview, &named(HOSTILE)).into_string(),
        machine_page(&frame, &view).into_string(),
        restore_page(&frame, &restore, &asked).into_string(),
        runs,
        run,
        repository_page(&frame, &repository).into_string(),
        schedule_of(&frame, &fleet.overview, Stretch::Week),
        alerts_page(
            &frame,
            &fleet.overview,
            (&fleet.alerts, &advised(HOSTILE)),
            AlertsShown::Open,
        )
        .into_string(),
        search_page(&frame, &fleet.overview, HOSTILE).into_string(),
        login_page(Some(HOSTILE), Some(HOSTILE)).into_string(),
        failure_page(400, HOSTILE, HOSTILE).into_string(),
    ];
    for page in pages {
        holds_no_foreign_markup(&page);
    }
}

fn guest_folder(name: &str) -> Looked {
    let entry = |name: &[u8], kind| GuestEntry {
        name: name.to_vec(),
        kind,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        size: 4_711,
        modified: demo::now().as_second(),
        link_target: (kind == GuestKind::Link).then(|| name.escape_ascii().to_string()),
    };
    let entries = vec![
        entry(name.as_bytes(), GuestKind::Folder),
        entry(name.as_bytes(), GuestKind::Link),
        entry(name.as_bytes(), GuestKind::File),
        entry(b"\xff\"><script>", GuestKind::Folder),
    ];
    Looked::Found(Arc::new(Found::Folder(GuestFolder {
        is_folder: true,
        count: entries.len(),
        entries,
        faults: vec![name.to_owned()],
    })))
}

#[test]
fn names_from_inside_a_guest_stay_names() {
    let (fleet, _) = hostile();
    let place = InsidePlace::Path(format!("vda1:/{HOSTILE}/..").into_bytes());
    let looked = guest_folder(&format!("a\r\nb\u{200f}{HOSTILE}"));
    let failed = Looked::Failed(HOSTILE.to_owned());
    for looked in [&looked, &failed] {
        let view = BrowseView {
            machine: HOSTILE,
            platform: None,
            point: fleet.points.first(),
            points: &fleet.points,
            place: &place,
            can_restore: true,
            looked,
            stored: &failed,
            text: "",
            page: 0,
        };
        let page = browse_page(&demo::frame(Role::Restore), &view).into_string();
        holds_no_foreign_markup(&page);
        assert!(
            page.contains("\\u{202e}"),
            "what turns text around is written out"
        );
        assert!(!page.contains('\u{200f}') && !page.contains("b\u{202e}"));
    }
    let missing = BrowseView {
        machine: "web01",
        platform: None,
        point: None,
        points: &[],
        place: &InsidePlace::Volumes,
        can_restore: true,
        looked: &failed,
        stored: &failed,
        text: "",
        page: 0,
    };
    let page = browse_page(&demo::frame(Role::Restore), &missing).into_string();
    assert!(page.contains("No such recovery point"));
}

fn holds_no_foreign_markup(page: &str) {
    assert!(!page.contains("<script>"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;"));
    for start in page.match_indices("href=\"").map(|(at, _)| at + 6) {
        let address = page[start..].split('"').next().unwrap_or_default();
        let is_plain = address.starts_with(['/', '#']) && !address.contains("../");
        assert!(is_plain && !address.contains(['<', '\'']), "{address}");
    }
}

#[test]
fn states_are_an_icon_and_a_word() {
    for (name, page) in all_pages(Role::Viewer) {
        for class in ["badge", "mark"] {
            for start in page
                .match_indices(&format!("<span class=\"{class} "))
                .map(|(at, _)| at)
            {
                let rest = &page[start..];
                let after = rest.split_once("</svg>").map_or("", |(_, after)| after);
                let inner = rest.split_once('>').map_or("", |(_, inner)| inner);
                assert!(
                    inner.starts_with("<svg class=\"icon\""),
                    "{name}: an icon comes first"
                );
                let word = after.trim_start_matches("<span>");
                assert!(
                    word.starts_with(char::is_alphabetic),
                    "{name}: {}",
                    &rest[..120]
                );
            }
        }
    }
}

#[test]
fn readers_see_everything_and_operators_may_act() {
    let fleet = demo::fleet();
    let of = |role: Role| machine_of(&demo::frame(role), &fleet, "db01");
    for role in [Role::Viewer, Role::Auditor] {
        assert!(!of(role).contains("data-deed"), "{role} sees no button");
        assert!(
            of(role).contains("lifeboat run files -m db01"),
            "but the command"
        );
    }
    let page = of(Role::Operator);
    assert!(page.contains("action=\"/api/v1/runs\""));
    assert!(page.contains("data-key=\"form-key-of-the-session\""));
    assert!(!page.contains("/machines/db01/restore"));
    assert!(of(Role::Restore).contains("/machines/db01/restore"));
}

#[test]
fn a_restore_shows_the_command_before_it_is_done() {
    let pages = all_pages(Role::Restore);
    let page = &pages
        .iter()
        .find(|(name, _)| *name == "restore-plan")
        .expect("a plan")
        .1;
    assert!(page.contains("machine recover db01@"), "{page}");
    assert!(page.contains("--start --replace"));
    assert!(page.contains("data-typed=\"db01\""));
    assert!(page.contains("&quot;is_replacing&quot;:true"));
}

#[test]
fn a_fragment_is_the_page_without_its_frame() {
    let mut frame = demo::frame(Role::Viewer);
    let whole = overview_of(&frame, &demo::fleet());
    frame.is_fragment = true;
    let fragment = overview_of(&frame, &demo::fleet());
    assert!(
        fragment.starts_with("<div id=\"broken\""),
        "{}",
        &fragment[..80]
    );
    assert!(whole.contains(&fragment));
}
