//! What was acknowledged is there after a kill, and nothing is there twice.

use std::env;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;
use lifeboat_catalog::{AuditEntry, AuditKey, Catalog, CatalogPlace, RunFilter, TaskFilter};
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_testkit::postgres::Server;
use lifeboat_testkit::{Effort, ManualClock, SeededEntropy, figure};
use std::sync::Arc;

use crate::beds::{Bed, child, run, task};

const PLACE: &str = "LIFEBOAT_TEST_CATALOG";

fn key() -> AuditKey {
    AuditKey::new(Secret::new(vec![7; 32])).unwrap()
}

fn entry() -> AuditEntry {
    AuditEntry {
        number: 0,
        at: Timestamp::UNIX_EPOCH,
        who: "ann".into(),
        from: None,
        action: "run begin".into(),
        subject: "web".into(),
        details: String::new(),
        is_done: true,
    }
}

fn planned(number: u64) -> Option<Timestamp> {
    Timestamp::from_second(number as i64).ok()
}

fn open(words: &str) -> Catalog {
    let place = CatalogPlace::parse(words, None).unwrap();
    let clock = Arc::new(ManualClock::default());
    Catalog::open_judged(&place, clock.clone(), clock).unwrap()
}

/// The process that is killed: it writes and tells what was acknowledged.
#[test]
fn writer() {
    let Ok(words) = env::var(PLACE) else {
        return;
    };
    let catalog = open(&words);
    let first = catalog.last_planned("web").unwrap();
    let first = first.map_or(1, |it| it.as_second() as u64 + 1);
    for number in first.. {
        let begun = catalog.begin_run(&run("web", planned(number), vec![task("web01", 0)]));
        eprintln!("run {} {number}", begun.unwrap().unwrap());
        eprintln!("audit {}", catalog.audit(&key(), &entry()).unwrap());
        catalog.set_note("newest", &number).unwrap();
        eprintln!("note {number}");
    }
}

#[test]
fn a_killed_process_leaves_all_that_was_acknowledged() {
    let kills = Effort::current().pick(4, 60);
    let bed = Bed::sqlite();
    let chance = SeededEntropy::new(kills);
    let (mut runs, mut audits) = (0, 0);
    for number in 0..kills {
        let mut writer = child("crashes_lose_nothing::writer", PLACE, &bed.words())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stderr.take().unwrap()).lines();
        let mut acknowledged = (0, 0, 0);
        let mut most = 5 + chance.below(60);
        for line in lines.map(Result::unwrap) {
            let last: u64 = line.rsplit(' ').next().unwrap().parse().expect(&line);
            match line.split(' ').next() {
                Some("run") => acknowledged.0 = last,
                Some("audit") => acknowledged.1 = last,
                _ => acknowledged.2 = last,
            }
            most = most.saturating_sub(1);
            if most == 0 {
                // What it says meanwhile counts too.
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        let catalog = bed.open();
        let newest = catalog.last_planned("web").unwrap().unwrap();
        runs = newest.as_second() as u64;
        assert!(runs >= acknowledged.0, "kill {number}");
        let filter = RunFilter {
            count: u32::MAX,
            ..RunFilter::default()
        };
        assert_eq!(catalog.runs(&filter).unwrap().len() as u64, runs);
        let report = catalog.verify_audit(&key(), None).unwrap();
        assert_eq!(report.flaws, [], "kill {number}");
        audits = report.entries;
        assert!(audits >= acknowledged.1, "kill {number}");
        let note: Option<u64> = catalog.note("newest").unwrap();
        assert!(note.unwrap_or(0) >= acknowledged.2, "kill {number}");
        assert_eq!(bed.raw().text("PRAGMA integrity_check"), "ok");
    }
    println!("{runs} runs, {audits} entries");
    figure("catalog", "SQLite: kills while writing", kills);
}

/// Begins runs one after the other until told to stop; gives how many were acknowledged, and how
/// many errors there were.
fn load(catalog: &Catalog, job: &str, stop: &AtomicBool, done: &AtomicU64) -> (u64, u64) {
    let (mut number, mut errors) = (1, 0);
    while !stop.load(Relaxed) {
        match catalog.begin_run(&run(job, planned(number), vec![task("web01", 0)])) {
            // None: it was written, but the answer was lost.
            Ok(_) => {
                number += 1;
                done.fetch_add(1, Relaxed);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
                errors += 1;
            }
        }
    }
    (number - 1, errors)
}

#[test]
fn a_server_that_crashes_is_reached_again_and_nothing_is_done_twice() {
    let Some(server) = Server::begin("") else {
        return;
    };
    let url = server.database();
    let nodes = [open(&url), open(&url)];
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let crashes = Effort::current().pick(2, 20);
    let counts: Vec<_> = std::thread::scope(|scope| {
        let loads: Vec<_> = ["web", "db"]
            .iter()
            .zip(&nodes)
            .map(|(job, node)| scope.spawn(|| load(node, job, &stop, &done)))
            .collect();
        let more = |count: u64| {
            let aim = done.load(Relaxed) + count;
            lifeboat_testkit::libvirtd::wait_for(|| {
                done.load(Relaxed) >= aim || loads.iter().any(|it| it.is_finished())
            });
        };
        for _ in 0..crashes {
            more(40);
            server.stop_at_once();
            server.start();
        }
        more(10);
        stop.store(true, Relaxed);
        loads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (job, (count, errors)) in ["web", "db"].iter().zip(&counts) {
        assert!(*errors > 0, "it crashed beside the load");
        let filter = RunFilter {
            job: Some((*job).to_owned()),
            count: u32::MAX,
            ..RunFilter::default()
        };
        let runs = nodes[0].runs(&filter).unwrap();
        let mut moments: Vec<_> = runs.iter().map(|run| run.planned).collect();
        moments.reverse();
        let right: Vec<_> = (1..=*count).map(planned).collect();
        assert_eq!(moments, right);
    }
    let tasks = TaskFilter {
        count: u32::MAX,
        ..TaskFilter::default()
    };
    let tasks = nodes[1].tasks(&tasks).unwrap().len() as u64;
    assert_eq!(tasks, counts.iter().map(|(count, _)| count).sum::<u64>());
    figure("catalog", "PostgreSQL: crashes under load", crashes);
}
