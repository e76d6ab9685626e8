//! `lifeboat status` answers in its first line, and by its exit code.

use lifeboat_catalog::{LogLevel, Progress};

use super::site::{Site, begin, machine, point};

#[test]
fn whoever_was_never_looked_at_is_not_called_safe() {
    let site = Site::new();
    let (code, told) = site.told(&["status"]);
    assert!(told.starts_with("Nothing is known yet"), "{told}");
    // A job is there, and nobody has looked whether it does what it should.
    assert_eq!(code, 1);
}

#[test]
fn the_first_line_says_whether_machines_come_back() {
    let site = Site::new();
    let catalog = site.catalog();
    let machines = [machine("web01"), machine("web02")];
    catalog.set_machines("here", &machines).unwrap();
    catalog.add_point(&point("web01", site.ago(1))).unwrap();
    let (code, told) = site.told(&["status"]);
    assert!(
        told.starts_with("No: 1 of 2 machines have no recovery point.\n"),
        "{told}"
    );
    assert_eq!(code, 1);
    catalog.add_point(&point("web02", site.ago(30))).unwrap();
    let (code, told) = site.told(&["status"]);
    assert!(
        told.starts_with("Not as promised: 1 of 2 machines miss a promise.\n"),
        "{told}"
    );
    assert!(told.contains("rpo 30h00m, promised 26h00m"), "{told}");
    assert_eq!(code, 1);
    catalog.add_point(&point("web02", site.ago(25))).unwrap();
    let (code, told) = site.told(&["status"]);
    assert!(
        told.starts_with("Yes, still: 1 promise will soon be missed.\n"),
        "{told}"
    );
    assert_eq!(code, 0);
    assert!(!told.contains('\x1b'), "colours are for terminals");
}

#[test]
fn what_runs_is_shown_with_its_progress_and_is_left_to_its_node() {
    let site = Site::new();
    let catalog = site.catalog();
    catalog.set_machines("here", &[machine("web01")]).unwrap();
    let lease = begin(&catalog, "web01\u{1b}[2J");
    let progress = Progress {
        phase: "reading".into(),
        done: 1 << 30,
        total: 4 << 30,
        rate: 100 << 20,
        seconds_left: Some(31),
    };
    catalog.report(&lease, &progress).unwrap();
    let (_, told) = site.told(&["status"]);
    assert!(
        told.contains("reading, 1.000 GiB of 4.000 GiB (25 %)"),
        "{told}"
    );
    assert!(told.contains("31s left"), "{told}");
    assert!(!told.contains('\x1b'), "{told:?}");
    let seen = &site.json(&["status"])[0];
    assert_eq!(seen["message_type"], "status");
    assert_eq!(seen["answer"]["health"], "missed");
    assert_eq!(seen["running"][0]["progress"]["phase"], "reading");
    // It is still this node's.
    catalog
        .write_log(&lease, LogLevel::Note, "goes on")
        .unwrap();
}
