//! A fleet to look at: 40 machines, three repositories, some hundred points, and trouble.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{
    Action, Alert, AlertSeverity, AuditEntry, Cause, LogLevel, LogLine, Node, Point, PointKey,
    Progress, Proof, ProofKind, RepositoryFacts, RepositorySize, Role, Run, RunId, RunState,
    StepRecord, StepState, Task, TaskId, TaskState, Token, User,
};
use lifeboat_scheduler::{
    JobStatus, MachineStatus, ObjectiveKind, ObjectiveState, ObjectiveStatus, Overview,
    RepositoryStatus,
};
use lifeboat_server::pages::{
    Coming, Frame, Moment, PlanFinding, PlannedDisk, Reader, RecoveryPlan, Setting, TaskView,
};

pub(crate) const GIB: u64 = 1 << 30;

/// Everything that pages show.
pub(crate) struct Fleet {
    pub(crate) overview: Overview,
    pub(crate) runs: Vec<Run>,
    pub(crate) running: Vec<Task>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) points: Vec<Point>,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) sizes: Vec<RepositorySize>,
}

pub(crate) fn now() -> Timestamp {
    "2026-11-22T08:41:30Z".parse().expect("a moment")
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 86_400;

/// Numbers that look as if by chance.
fn dice(seed: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    value ^= value >> 29;
    value = value.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value ^ (value >> 32)
}

pub(crate) fn frame(role: Role) -> Frame {
    Frame {
        site: Some("Helsinki".to_owned()),
        reader: Reader {
            name: "aino".to_owned(),
            role,
            form_key: "form-key-of-the-session".to_owned(),
        },
        moment: Moment {
            now: now(),
            zone: TimeZone::get("Europe/Helsinki").unwrap_or(TimeZone::UTC),
        },
        alerts: 4,
        active: vec![RunId(1_204), RunId(1_201)],
        is_fragment: false,
    }
}

const NAMES: [&str; 20] = [
    "web", "db", "mail", "build", "git", "wiki", "auth", "cache", "queue", "files", "proxy",
    "metrics", "dns", "shop", "crm", "erp", "vpn", "ci", "registry", "backup",
];
const JOBS: [(&str, &str, &str); 7] = [
    ("databases", "hourly", "main"),
    ("files", "daily at 01:30", "main"),
    ("infrastructure", "daily at 03:00", "main"),
    ("nightly", "daily at 02:00", "main"),
    ("offsite-copy", "Sunday at 05:00", "offsite"),
    ("shop", "every 4 hours", "vault"),
    ("windows", "weekdays at 22:00", "main"),
];

pub(crate) fn fleet() -> Fleet {
    let machines: Vec<_> = (0..40).map(machine).collect();
    let points = points("db01", 120);
    Fleet {
        overview: Overview {
            site: Some("Helsinki".to_owned()),
            machines,
            jobs: JOBS
                .iter()
                .enumerate()
                .map(|(at, job)| status(at, job))
                .collect(),
            repositories: repositories(),
            proved: Some(ago(3 * HOUR + 700)),
            failures: Vec::new(),
            at: Some(now()),
        },
        runs: runs(),
        running: running(),
        alerts: alerts(),
        proofs: points.iter().filter_map(proof).collect(),
        points,
        sizes: sizes(),
    }
}

fn machine(at: u64) -> MachineStatus {
    let name = format!("{}{:02}", NAMES[at as usize % 20], 1 + at / 20);
    let (job, worst, age) = match at {
        2 => (Some("nightly"), ObjectiveState::Missed, 61 * HOUR),
        21 => (Some("databases"), ObjectiveState::AtRisk, 55 * 60),
        8 => (Some("nightly"), ObjectiveState::AtRisk, 21 * HOUR),
        37 | 17 => (None, ObjectiveState::Unknown, 0),
        _ => {
            let job = JOBS[(at % 7) as usize].0;
            (Some(job), ObjectiveState::Met, 7 * HOUR + at as i64 * 97)
        }
    };
    let is_excused = at == 19;
    let newest = job.map(|job| {
        let mut point = point(&name, 0, "main");
        point.at = ago(age);
        point.job = Some(job.to_owned());
        point
    });
    let objectives = vec![
        promise(
            ObjectiveKind::Rpo,
            worst,
            86_400,
            newest.as_ref().map(|_| age as u64),
        ),
        promise(
            ObjectiveKind::Rto,
            ObjectiveState::Met,
            3_600,
            Some(840 + at * 13),
        ),
        promise(ObjectiveKind::Copies, ObjectiveState::Met, 2, Some(2)),
        promise(
            ObjectiveKind::Proof,
            ObjectiveState::Met,
            30 * 86_400,
            Some(3 * 86_400),
        ),
    ];
    MachineStatus {
        has_namesake: false,
        platform: ["local", "edge"][usize::from(at.is_multiple_of(5))].to_owned(),
        id: format!("uuid-{at}"),
        state: if at % 11 == 10 { "off" } else { "running" }.to_owned(),
        jobs: job.into_iter().map(str::to_owned).collect(),
        is_protected: job.is_some() || is_excused,
        is_excused,
        bytes: (20 + dice(at) % 400) * GIB,
        points: if job.is_some() { 18 + dice(at) % 30 } else { 0 },
        copies: 2,
        proved: job.map(|_| ago((1 + at as i64 % 9) * DAY)),
        objectives: if job.is_some() {
            objectives
        } else {
            Vec::new()
        },
        worst,
        last_failure: None,
        last_task: newest
            .as_ref()
            .map(|point| (TaskState::Succeeded, point.at)),
        next: job.map(|_| now() + SignedDuration::from_secs(3_000 + at as i64 * 71)),
        newest,
        name,
    }
}

fn promise(
    kind: ObjectiveKind,
    state: ObjectiveState,
    promised: u64,
    measured: Option<u64>,
) -> ObjectiveStatus {
    ObjectiveStatus {
        kind,
        state,
        promised,
        measured,
        until: None,
    }
}

fn point(machine: &str, number: u64, repository: &str) -> Point {
    let is_full = number % 14 == 3;
    let noise = dice(number + 77);
    Point {
        key: PointKey {
            repository: repository.to_owned(),
            snapshot: format!(
                "{:016x}{:048}",
                dice(number * 3 + repository.len() as u64),
                number
            ),
        },
        machine: machine.to_owned(),
        platform: Some("local".to_owned()),
        job: Some("databases".to_owned()),
        at: ago(HOUR / 2 + number as i64 * 12 * HOUR - (noise % 1_700) as i64),
        bytes: 240 * GIB,
        bytes_read: if is_full {
            240 * GIB
        } else {
            (2 + noise % 9) * GIB
        },
        bytes_stored: if is_full {
            9 * GIB + noise % (2 * GIB)
        } else {
            GIB / 2 + noise % (2 * GIB)
        },
        seconds: if is_full {
            1_300.0 + (noise % 400) as f64
        } else {
            90.0 + (noise % 200) as f64
        },
        consistency: Some(
            if number % 6 == 1 {
                "crash"
            } else {
                "filesystem"
            }
            .to_owned(),
        ),
        is_full,
        tags: Vec::new(),
        pinned_until: (number == 30 || number == 61)
            .then(|| now() + SignedDuration::from_secs(DAY * 90)),
        verified: match number {
            9 => Some((ago(DAY * 2), false)),
            number if number % 7 == 2 => Some((ago(DAY), true)),
            _ => None,
        },
    }
}

fn points(machine: &str, count: u64) -> Vec<Point> {
    let main = (0..count).map(|number| point(machine, number, "main"));
    let offsite = (0..count / 7).map(|number| point(machine, number * 7 + 3, "offsite"));
    let mut points: Vec<_> = main.chain(offsite).collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.at));
    points
}

fn proof(point: &Point) -> Option<Proof> {
    let (at, is_ok) = point.verified?;
    Some(Proof {
        point: point.key.clone(),
        machine: point.machine.clone(),
        kind: if is_ok {
            ProofKind::Drill
        } else {
            ProofKind::Verify
        },
        at,
        is_ok,
        seconds: 612.0,
        bytes: point.bytes,
        message: if is_ok {
            "started in 48 s, all probes answered"
        } else {
            "2 blobs are missing"
        }
        .to_owned(),
    })
}

fn status(at: usize, (name, schedule, repository): &(&str, &str, &str)) -> JobStatus {
    JobStatus {
        name: (*name).to_owned(),
        platform: "local".to_owned(),
        repository: (*repository).to_owned(),
        policy: Some(
            if at.is_multiple_of(2) {
                "gold"
            } else {
                "silver"
            }
            .to_owned(),
        ),
        schedule: Some((*schedule).to_owned()),
        is_enabled: true,
        last: Some(run(
            900 + at as i64,
            name,
            run_state(at as u64, 0),
            ago(7 * HOUR),
        )),
        next: Some(now() + SignedDuration::from_secs(1_100 + at as i64 * 5_400)),
        waits_for: None,
        comes_after: None,
        overdue: (*name == "windows").then(|| ago(10 * HOUR)),
        machines: 3 + dice(at as u64) % 9,
    }
}

fn run_state(job: u64, back: i64) -> RunState {
    match dice(job * 1_000 + back as u64) % 40 {
        _ if job == 3 && back == 0 => RunState::Partial,
        0 => RunState::Failed,
        1 | 2 => RunState::Partial,
        _ => RunState::Succeeded,
    }
}

pub(crate) fn run(id: i64, job: &str, state: RunState, created: Timestamp) -> Run {
    Run {
        id: RunId(id),
        job: job.to_owned(),
        planned: Some(created),
        cause: if id % 9 == 0 {
            Cause::Request
        } else {
            Cause::Schedule
        },
        requested_by: if id % 9 == 0 { "aino" } else { "schedule" }.to_owned(),
        state,
        created,
        ended: (state != RunState::Open).then(|| created + SignedDuration::from_secs(300 + id)),
    }
}

fn runs() -> Vec<Run> {
    let mut runs = vec![run(1_204, "databases", RunState::Open, ago(260))];
    for back in 0..30 {
        for (job, (name, _, _)) in JOBS.iter().enumerate() {
            let is_left_out = match *name {
                "offsite-copy" => back % 7 != 0,
                "windows" => back % 7 < 2,
                _ => false,
            };
            if !is_left_out {
                let id = 1_203 - back * 7 - job as i64;
                let state = run_state(job as u64, back);
                runs.push(run(
                    id,
                    name,
                    state,
                    ago(back * DAY + 6 * HOUR + job as i64 * 600),
                ));
            }
        }
    }
    runs
}

pub(crate) fn task(id: i64, subject: &str, state: TaskState, done: u64) -> Task {
    Task {
        id: TaskId(id),
        run: RunId(1_204),
        job: "databases".to_owned(),
        action: Action::Backup,
        subject: subject.to_owned(),
        words: [
            "-r",
            "@main",
            "machine",
            "backup",
            subject,
            "--job",
            "@databases",
            "--json",
        ]
        .map(str::to_owned)
        .to_vec(),
        stage: 1,
        lanes: Vec::new(),
        state,
        attempt: 1,
        attempts_max: 3,
        retry_seconds: 60,
        not_before: ago(260),
        held_up: None,
        node: Some("hel-1".to_owned()),
        started: (state != TaskState::Queued).then(|| ago(245)),
        ended: state.is_over().then(|| ago(40)),
        error_kind: (state == TaskState::Failed).then(|| "unreachable".to_owned()),
        message: (state == TaskState::Failed).then(|| {
            "capturing mail01: the hypervisor did not answer for 30 s; is libvirtd running there?"
                .to_owned()
        }),
        cancelled_by: None,
        outcome: None,
        progress: (state == TaskState::Running).then(|| Progress {
            phase: "transfer".to_owned(),
            done: done * GIB,
            total: 240 * GIB,
            rate: 412 << 20,
            seconds_left: Some((240 - done) * 1_024 / 412),
        }),
    }
}

fn running() -> Vec<Task> {
    vec![
        task(5_001, "db01", TaskState::Running, 163),
        task(5_002, "db02", TaskState::Running, 31),
        Task {
            action: Action::Check,
            job: "check".to_owned(),
            run: RunId(1_201),
            ..task(4_900, "offsite", TaskState::Running, 229)
        },
    ]
}

fn log_line(number: i64, level: LogLevel, line: &str) -> LogLine {
    LogLine {
        number,
        at: ago(245 - number * 4),
        level,
        line: line.to_owned(),
    }
}

fn log() -> Vec<LogLine> {
    vec![
        log_line(
            1,
            LogLevel::Note,
            "job databases, machine db01: 2 disks, 240 GiB",
        ),
        log_line(2, LogLevel::Note, "file systems frozen for 0.4 s"),
        log_line(
            3,
            LogLevel::Note,
            "checkpoint lifeboat-1203 found: 6.2 GiB changed",
        ),
        log_line(
            4,
            LogLevel::Warning,
            "vdb: the bitmap is inconsistent, reading everything",
        ),
        log_line(5, LogLevel::Note, "163 of 240 GiB read, 2.1 GiB stored"),
    ]
}

/// A step that began and ended so many seconds ago.
pub(crate) fn step(name: &str, (began, ended): (i64, i64), state: StepState) -> StepRecord {
    StepRecord {
        name: name.to_owned(),
        attempt: 1,
        began: ago(began),
        ended: Some(ago(ended)),
        state,
        message: None,
    }
}

/// What a recovery of `db01` would do.
pub(crate) fn recovery() -> RecoveryPlan {
    let disk = |name: &str, gib: u64| PlannedDisk {
        name: name.to_owned(),
        bytes: gib * GIB,
        format: "qcow2".to_owned(),
        place: format!("/var/lib/libvirt/images/db01-{name}.qcow2"),
    };
    RecoveryPlan {
        machine: "db01".to_owned(),
        bytes: 240 * GIB,
        disks: vec![disk("vda", 40), disk("vdb", 200)],
        steps: vec![
            "set the machine db01 aside as db01-aside-20261122-104130".to_owned(),
            "make /var/lib/libvirt/images/db01-vda.qcow2".to_owned(),
            "make /var/lib/libvirt/images/db01-vdb.qcow2".to_owned(),
            "define db01".to_owned(),
        ],
        findings: vec![PlanFinding {
            is_warning: true,
            text: "setting the old machine aside removes its checkpoints".to_owned(),
        }],
    }
}

/// A task whose second attempt of four failed; the next one begins in two minutes.
pub(crate) fn again(id: i64, subject: &str, message: &str) -> Task {
    Task {
        attempt: 2,
        attempts_max: 4,
        not_before: now() + SignedDuration::from_secs(120),
        started: Some(ago(90)),
        error_kind: Some("unreachable".to_owned()),
        message: Some(message.to_owned()),
        ..task(id, subject, TaskState::Queued, 0)
    }
}

pub(crate) fn tasks() -> Vec<TaskView> {
    let log = log();
    let steps = vec![
        step("validate", (245, 241), StepState::Done),
        step("inspect", (241, 230), StepState::Done),
        step("lock check", (230, 226), StepState::Done),
        step("capture", (226, 209), StepState::Done),
        StepRecord {
            ended: None,
            ..step("transfer", (209, 0), StepState::Running)
        },
    ];
    let failed = vec![
        step("validate", (245, 240), StepState::Done),
        step("inspect", (240, 228), StepState::Done),
        step("capture", (228, 40), StepState::Failed),
    ];
    vec![
        TaskView {
            task: task(5_001, "db01", TaskState::Running, 163),
            steps: steps.clone(),
            log: log.clone(),
        },
        TaskView {
            task: task(5_003, "mail01", TaskState::Failed, 0),
            steps: failed,
            log: vec![log_line(
                1,
                LogLevel::Error,
                "connection to edge-3 lost: timed out after 30 s",
            )],
        },
        TaskView {
            task: task(5_002, "db02", TaskState::Running, 31),
            steps,
            log,
        },
        TaskView {
            task: task(5_004, "crm01", TaskState::Succeeded, 0),
            steps: Vec::new(),
            log: Vec::new(),
        },
        TaskView {
            task: task(5_005, "erp01", TaskState::Queued, 0),
            steps: Vec::new(),
            log: Vec::new(),
        },
    ]
}

pub(crate) fn alert(id: i64, severity: AlertSeverity, condition: &str, text: &str) -> Alert {
    Alert {
        id,
        subject: format!("{condition} {id}"),
        condition: condition.to_owned(),
        severity,
        text: text.to_owned(),
        site: Some("Helsinki".to_owned()),
        job: None,
        machine: None,
        platform: None,
        repository: None,
        since: ago(id * 3 * HOUR),
        cleared: None,
        acknowledged: None,
    }
}

fn alerts() -> Vec<Alert> {
    let critical = AlertSeverity::Critical;
    let warning = AlertSeverity::Warning;
    let mut missed = alert(
        11,
        critical,
        "rpo",
        "mail01: the newest point is 2 d 13 h old, promised are 24 h",
    );
    missed.machine = Some("mail01".to_owned());
    missed.job = Some("nightly".to_owned());
    let mut overdue = alert(
        3,
        warning,
        "overdue",
        "windows: a run is overdue since 22:00",
    );
    overdue.job = Some("windows".to_owned());
    let mut full = alert(
        9,
        warning,
        "full",
        "offsite: 91 % of 4.00 TiB are used, full in 23 days",
    );
    full.repository = Some("offsite".to_owned());
    full.acknowledged = Some(lifeboat_catalog::Acknowledged {
        by: "eero".to_owned(),
        at: ago(5 * HOUR),
    });
    let mut bare = alert(5, warning, "unprotected", "No job means ci01 and ci02");
    bare.machine = Some("ci01".to_owned());
    let mut past = alert(20, critical, "failure", "shop01: backup failed three times");
    past.cleared = Some(ago(9 * HOUR));
    vec![missed, overdue, full, bare, past]
}

fn repositories() -> Vec<RepositoryStatus> {
    let one = |name: &str, place: &str, bytes: u64, max: Option<u64>, is_ok: Option<bool>| {
        let size = RepositorySize {
            at: ago(HOUR),
            bytes: bytes * GIB,
            bytes_unpacked: bytes * GIB * 17 / 10,
            bytes_restored: bytes * GIB * 23,
            blobs: bytes * 1_400,
            snapshots: 412,
        };
        RepositoryStatus {
            facts: RepositoryFacts {
                name: name.to_owned(),
                id: None,
                size: Some(size),
                checked: is_ok.map(|_| ago(26 * HOUR)),
                is_ok,
                findings: match is_ok {
                    Some(false) => {
                        vec!["pack 8d31fa07: 2 blobs do not have their names".to_owned()]
                    }
                    _ => Vec::new(),
                },
                pruned: Some(ago(5 * DAY)),
            },
            place: place.to_owned(),
            unreachable: None,
            points: 1_312,
            next_check: Some(now() + SignedDuration::from_secs(14 * HOUR)),
            next_prune: Some(now() + SignedDuration::from_secs(2 * DAY)),
            size_max: max.map(|max| max * GIB),
        }
    };
    vec![
        one("main", "/srv/backup", 2_310, Some(6_144), Some(true)),
        one(
            "offsite",
            "sftp:backup@turku.example:/lifeboat",
            3_730,
            Some(4_096),
            Some(true),
        ),
        one(
            "vault",
            "s3:https://s3.example/vault",
            812,
            None,
            Some(false),
        ),
    ]
}

fn sizes() -> Vec<RepositorySize> {
    let size = |back: i64| {
        let step = (180 - back) as u64;
        let pruned = (step / 30) * 95;
        let bytes = (1_300 + step * 9 - pruned) * GIB + dice(step) % (12 * GIB);
        RepositorySize {
            at: ago(back * DAY),
            bytes,
            bytes_unpacked: bytes * 17 / 10,
            bytes_restored: bytes * 21,
            blobs: bytes / 900_000,
            snapshots: 3 * step,
        }
    };
    (0..=180).rev().step_by(2).map(size).collect()
}

pub(crate) fn coming(days: i64) -> Vec<Coming> {
    let mut coming = Vec::new();
    for (at, (job, _, _)) in JOBS.iter().enumerate() {
        let every = match *job {
            "databases" => HOUR,
            "shop" => 4 * HOUR,
            "offsite-copy" => 7 * DAY,
            _ => DAY,
        };
        let mut seconds = 1_100 + at as i64 * 5_400;
        while seconds < days * DAY {
            coming.push(Coming {
                job: (*job).to_owned(),
                at: now() + SignedDuration::from_secs(seconds),
                is_held_up: *job == "files" && seconds < 3 * DAY,
                after: match *job {
                    "offsite-copy" => vec!["nightly".to_owned()],
                    _ => Vec::new(),
                },
                further: 0,
                is_more: false,
            });
            seconds += every;
        }
    }
    coming
}

pub(crate) fn audit() -> Vec<AuditEntry> {
    let entry = |number: i64| AuditEntry {
        number,
        at: ago((400 - number) * 1_900),
        who: ["aino", "eero", "schedule", "grafana"][(number % 4) as usize].to_owned(),
        from: (number % 4 != 2).then(|| "10.0.4.17".to_owned()),
        action: ["sign in", "run begin", "alert acknowledge", "restore"][(number % 4) as usize]
            .to_owned(),
        subject: ["", "databases", "11", "web01"][(number % 4) as usize].to_owned(),
        details: "run 1204: only db01".to_owned(),
        is_done: number % 13 != 0,
    };
    (360..=400).rev().map(entry).collect()
}

pub(crate) fn settings() -> Vec<Setting> {
    let one = |path: &str, value: &str, line: u32| Setting {
        path: path.to_owned(),
        value: value.to_owned(),
        origin: (line > 0).then(|| format!("/etc/lifeboat/lifeboat.toml:{line}:1")),
    };
    vec![
        one("site", "\"Helsinki\"", 2),
        one("jobs.databases.policy", "\"gold\"", 14),
        one("jobs.databases.repository", "\"main\"", 15),
        one("jobs.databases.parallel", "2", 0),
        one("policies.gold.keep_daily", "14", 31),
        one("policies.gold.schedule", "\"hourly\"", 30),
        one(
            "repositories.main.password_file",
            "\"/etc/lifeboat/main.key\"",
            44,
        ),
    ]
}

pub(crate) fn nodes() -> Vec<Node> {
    let node = |name: &str, seen: i64| Node {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        started: ago(12 * DAY),
        seen: ago(seen),
        clock_ahead: jiff::SignedDuration::ZERO,
    };
    vec![node("hel-1", 4), node("hel-2", 2), node("hel-3", 900)]
}

pub(crate) fn users() -> Vec<User> {
    let user = |name: &str, role: Role| User {
        name: name.to_owned(),
        password_digest: String::new(),
        role,
        is_enabled: name != "old",
        created: ago(90 * DAY),
    };
    vec![
        user("aino", Role::Admin),
        user("eero", Role::Operator),
        user("old", Role::Viewer),
    ]
}

pub(crate) fn tokens() -> Vec<Token> {
    vec![Token {
        id: "grafana".to_owned(),
        title: "Grafana".to_owned(),
        digest: String::new(),
        role: Role::Viewer,
        scopes: vec!["/api/v1/overview".to_owned()],
        created_by: "aino".to_owned(),
        created: ago(40 * DAY),
        expires: Some(now() + SignedDuration::from_secs(50 * DAY)),
        used: Some(ago(HOUR)),
    }]
}
