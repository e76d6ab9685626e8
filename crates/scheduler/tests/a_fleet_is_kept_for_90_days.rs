//! Nothing is lost, nothing is done twice, and what is kept is what the rules say, over months of
//! trouble. Most machines are played; some are real, and so are their repositories.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Action, CatalogPlace, RunFilter, RunState, TaskFilter, TaskState};
use lifeboat_config::Objectives;
use lifeboat_policy::{KeepCount, KeepDuration, Retention, Timing};
use lifeboat_scheduler::{JobSettings, Settings};
use lifeboat_testkit::{Effort, figure, postgres::Server};

use crate::fleet::{Fleet, zone};
use crate::oracle::Rules;
use crate::play::{Held, Made, Outside, Shown};
use crate::real::Real;
use crate::world::{job, settings};

/// Gives the seed of a failure back.
const SEED: &str = "LIFEBOAT_FLEET_SEED";

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn policy(schedule: &str, rules: Rules) -> JobSettings {
    let mut timing = Timing::new(schedule.parse().unwrap(), zone());
    timing.jitter = Duration::from_secs(1200);
    timing.blackouts = vec!["weekdays 08:00-10:00".parse().unwrap()];
    JobSettings {
        timing: Some(timing),
        retention: Some(Retention {
            daily: KeepCount::newest(rules.daily as u32),
            weekly: KeepCount::newest(rules.weekly as u32),
            monthly: KeepCount::newest(rules.monthly as u32),
            within: KeepDuration::parse(&format!("{}d", rules.within_days)).ok(),
            ..Retention::default()
        }),
        objectives: Objectives {
            recovery_point: Some(Duration::from_secs(32 * 3600)),
            ..Objectives::default()
        },
        parallel: 20,
        retry_seconds: 300,
        ..job()
    }
}

fn rules(name: &str) -> Rules {
    let (daily, weekly, monthly, within_days) = match name {
        "gold" => (7, 4, 6, 2),
        "silver" => (5, 2, 0, 0),
        _ => (0, 3, 3, 3),
    };
    Rules {
        daily,
        weekly,
        monthly,
        within_days,
    }
}

fn configured() -> Settings {
    let gold = JobSettings {
        copies_to: vec!["far".to_owned()],
        verify: Some(Timing::new("weekly sun 12:00".parse().unwrap(), zone())),
        ..policy("daily 02:30", rules("gold"))
    };
    let silver = policy("daily 22:00", rules("silver"));
    let bronze = JobSettings {
        repository: "second".to_owned(),
        ..policy("daily 09:00, 18:00", rules("bronze"))
    };
    let jobs = [("gold", gold), ("silver", silver), ("bronze", bronze)];
    let mut settings = settings(&jobs);
    for repository in settings.repositories.values_mut() {
        let timing = |text: &str| Some(Timing::new(text.parse().unwrap(), zone()));
        repository.prune = timing("weekly mon, wed, fri 13:00");
        repository.check = timing("weekly sat 13:00");
    }
    settings
}

/// Gold, silver and bronze; hooks of the silver one fail often.
const REAL: [&str; 3] = ["m006", "m007", "m008"];

fn machine(number: usize) -> Shown {
    let job = ["gold", "silver", "bronze"][number % 3];
    Shown {
        name: format!("m{number:03}"),
        jobs: vec![job.to_owned()],
    }
}

fn fleet(place: CatalogPlace, (seed, machines, nodes): (u64, usize, usize)) -> Fleet {
    // Before today, whenever that is: stock restic does not count from points of the future.
    let from: Timestamp = "2025-03-20T11:00:00Z".parse().unwrap();
    let mut outside = Outside {
        now: from,
        settings: configured(),
        ..Outside::default()
    };
    let shown = (0..machines).map(machine).collect();
    outside.platforms.insert("local".to_owned(), shown);
    let mut fleet = Fleet::new(place, (configured(), outside), (from, seed, nodes));
    for name in ["gold", "silver", "bronze"] {
        fleet.outside.rules.insert(name.to_owned(), rules(name));
    }
    let repositories = ["main", "second", "far"];
    let real = Real::new(fleet.clock.clone(), (&REAL, &repositories), (zone(), seed));
    fleet.outside.real = Some(real);
    fleet.flaky.insert("m001".to_owned(), 30);
    fleet.flaky.insert("m007".to_owned(), 30);
    fleet.slow.insert("m003".to_owned(), 300);
    fleet.kills_a_day = 4;
    fleet
}

fn keep(place: CatalogPlace, (seed, machines, nodes, days): (u64, usize, usize, i64), name: &str) {
    println!("{SEED}={seed}");
    let mut fleet = fleet(place, (seed, machines, nodes));
    let from = fleet.now();
    let full = (from + hours(5 * 24), from + hours(7 * 24));
    fleet.unreachable = (from + hours(9 * 24 + 15), from + hours(9 * 24 + 16));
    let until = from + hours(days * 24);
    let mut told_when_full = 0;
    let mut judged = from;
    fleet.live(until, &mut |fleet| {
        let now = fleet.now();
        if now > judged + hours(4 * 24) {
            judged = now;
            ask_restic(fleet);
        }
        if (full.0..full.1).contains(&now) {
            fleet.outside.full.insert("second".to_owned());
            let alerts = fleet.catalog.open_alerts().unwrap();
            let rpo = alerts.iter().filter(|it| it.condition == "rpo").count();
            told_when_full = told_when_full.max(rpo);
        } else {
            fleet.outside.full.clear();
        }
        if now > from + hours(4 * 24) {
            let shown = fleet.outside.platforms.get_mut("local").unwrap();
            shown.retain(|it| it.name != "m004");
            if !shown.iter().any(|it| it.name == "m900") {
                shown.push(machine(900));
            }
        }
    });
    // Then nothing is in the way, and all comes to its end.
    fleet.kills_a_day = 0;
    fleet.flaky.clear();
    fleet.live(until + hours(48), &mut |_| {});
    let bronze = (machines - 1) / 3;
    assert!(
        told_when_full >= bronze,
        "{told_when_full} of {bronze} were told"
    );
    judge(&fleet, from, until);
    rpo_is_kept_or_told(&fleet, from);
    ask_restic(&mut fleet);
    let real = fleet.outside.real.take().unwrap();
    let section = "control plane";
    figure(
        section,
        &format!("{name}: machines x days"),
        format!("{machines} x {days}"),
    );
    figure(section, &format!("{name}: attempts, kills"), {
        format!("{}, {}", fleet.attempts, fleet.kills)
    });
    figure(
        section,
        &format!("{name}: forgets as the oracle says"),
        fleet.forgets,
    );
    for (what, count) in &real.counts {
        figure(section, &format!("{name}: real machines: {what}"), count);
    }
}

/// Stock restic reads everything that real repositories hold; each point gives its disk back.
fn ask_restic(fleet: &mut Fleet) {
    for repository in ["main", "second", "far"] {
        let real = fleet.outside.real.as_mut().unwrap();
        real.check_by_stock(repository);
        let held = real.held(repository);
        for (number, point) in held.iter().enumerate() {
            real.restores(repository, &point.id, number % 7 == 3);
        }
        let there: BTreeSet<_> = held.iter().map(|it| &it.id).collect();
        let of_real = |it: &&Held| REAL.contains(&&*it.machine);
        let played = fleet.outside.held(repository).iter().filter(of_real);
        assert_eq!(
            there,
            played.map(|it| &it.id).collect(),
            "points of {repository}"
        );
    }
}

/// What an objective promises is kept by the points that were made, or an attempt failed and
/// people were told; told is only what is so, as far as nodes lived to hear of points.
fn rpo_is_kept_or_told(fleet: &Fleet, from: Timestamp) {
    let (promised, end) = (hours(32), fleet.now());
    // Nodes look rarely while nothing is to be done, and all may be down.
    let slack = hours(4);
    let alerts = fleet.catalog.alerts_since(from, 100_000).unwrap();
    let shown = &fleet.outside.platforms["local"];
    let (mut kept, mut all) = (0, 0);
    for machine in shown.iter().map(|it| it.name.as_str()) {
        let own = alerts.iter().filter(|it| it.condition == "rpo");
        let own = own.filter(|it| it.machine.as_deref() == Some(machine));
        let told: Vec<Timestamp> = own.map(|it| it.since).collect();
        let made: Vec<&Made> = {
            let all = fleet.outside.made.iter();
            all.filter(|it| it.machine == machine).collect()
        };
        for (last, next) in gaps(&made, end) {
            let over = last + promised;
            let is_told = told.iter().any(|at| over <= *at && *at <= over + slack);
            assert!(
                is_told || next <= over + slack,
                "{machine}: {told:?}, not {last} to {next}"
            );
            kept += usize::from(next <= over);
            all += 1;
        }
        let heard: Vec<&Made> = made.into_iter().filter(|it| it.is_told).collect();
        let first = heard.first().expect("a machine has no point").there;
        // What came before the first point counts from when the machine was first seen.
        for at in told.iter().filter(|at| **at > first) {
            let is_so = |(last, next)| last + promised <= *at && *at <= next;
            assert!(
                gaps(&heard, end).any(is_so),
                "{machine}: told {at}, {heard:?}"
            );
        }
    }
    assert!(
        kept * 100 >= all * 95,
        "{kept} of {all} points came in time"
    );
}

/// From each point to when the next one was there.
fn gaps(made: &[&Made], end: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let next = made.iter().skip(1).map(|it| it.there).chain([end]);
    made.iter().map(|it| it.at).zip(next)
}

fn judge(fleet: &Fleet, from: Timestamp, until: Timestamp) {
    let catalog = &fleet.catalog;
    let every = RunFilter {
        count: 1_000_000,
        ..RunFilter::default()
    };
    let runs = catalog.runs(&every).unwrap();
    let tasks = catalog
        .tasks(&TaskFilter {
            count: 10_000_000,
            ..TaskFilter::default()
        })
        .unwrap();
    let configured = configured();
    for (name, job) in &configured.jobs {
        let timing = job.timing.as_ref().unwrap();
        let own: Vec<_> = runs.iter().filter(|it| it.job == *name).collect();
        let planned: BTreeSet<_> = own.iter().filter_map(|it| it.planned).collect();
        assert_eq!(planned.len(), own.len(), "{name}: a moment has two runs");
        let moments = timing.after(from, name).map(|it| it.planned);
        let moments: BTreeSet<_> = moments.take_while(|at| *at < until).collect();
        let missing: Vec<_> = moments.difference(&planned).collect();
        assert!(missing.is_empty(), "{name}: no runs for {missing:?}");
    }
    let is_young = |at: Timestamp| at > until + hours(40);
    for run in runs.iter().filter(|it| !is_young(it.created)) {
        assert_ne!(run.state, RunState::Open, "run {} of {}", run.id, run.job);
        let Some(found) = fleet.found.get(&run.id) else {
            continue;
        };
        let own = tasks.iter().filter(|it| it.run == run.id);
        let mut subjects: Vec<_> = own
            .filter(|it| it.action == Action::Backup)
            .map(|it| it.subject.clone())
            .collect();
        subjects.sort();
        let found: Vec<String> = found.iter().cloned().collect();
        assert_eq!(subjects, found, "the machines of run {}", run.id);
    }
    for task in tasks.iter().filter(|it| it.state == TaskState::Failed) {
        assert_eq!(task.attempt, task.attempts_max, "{task:?}");
        assert!(task.message.is_some(), "{task:?}");
    }
    for alert in catalog.alerts_since(from, 100_000).unwrap() {
        if alert.condition != "rpo" {
            continue;
        }
        // A promise is broken only where attempts at it failed, and said why.
        let failed = tasks.iter().any(|it| {
            let is_near = it
                .ended
                .is_some_and(|at| at.duration_since(alert.since).abs() < hours(48));
            let is_own = Some(&it.subject) == alert.machine.as_ref();
            is_own && is_near && (it.state == TaskState::Failed || it.attempt > 1)
        });
        assert!(failed, "{alert:?}");
    }
    let open = catalog.open_alerts().unwrap();
    let open: Vec<_> = open.iter().filter(|it| it.condition != "node").collect();
    assert!(open.is_empty(), "{open:?}");
}

fn seed() -> u64 {
    std::env::var(SEED).map_or(5, |text| text.parse().unwrap())
}

#[test]
fn three_nodes_on_a_server_keep_a_fleet() {
    let Some(server) = Server::shared() else {
        return;
    };
    let place = CatalogPlace::parse(&server.database(), None).unwrap();
    let size = Effort::current().pick((seed(), 24, 3, 11), (seed(), 200, 3, 90));
    keep(place, size, "fleet of three nodes on PostgreSQL");
}

#[test]
fn one_node_on_a_file_keeps_a_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let place = CatalogPlace::File(folder.path().join("catalog.sqlite"));
    let size = Effort::current().pick((seed(), 18, 1, 11), (seed(), 60, 1, 90));
    keep(place, size, "fleet of one node on SQLite");
}
