//! `lifeboat report` says what a month was like, from what was measured.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{Alert, AlertSeverity, Proof, ProofKind, RepositorySize};

use super::site::{Site, backup, machine, point};

const HOSTILE: &str = "<script>alert('x')</script>&\"\u{1b}[31m";

fn day(day: i64, hour: i64) -> Timestamp {
    let first: Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
    first + SignedDuration::from_hours((day - 1) * 24 + hour)
}

/// March 2025: web01 each night but the 10th, when it fails; another with a hostile name never.
fn filled() -> Site {
    let site = Site::new();
    let catalog = site.catalog();
    site.clock.set(day(1, 0));
    let machines = [machine("web01"), machine(HOSTILE)];
    catalog.set_machines("here", &machines).unwrap();
    for night in 1..=31 {
        site.clock.set(day(night, 2));
        backup(&site, &catalog, ("web01", night != 10));
        // The keep rules have removed those before.
        if night > 28 {
            let at = day(night, 2) + SignedDuration::from_mins(2);
            catalog.add_point(&point("web01", at)).unwrap();
        }
        let size = RepositorySize {
            at: day(night, 3),
            bytes: 1 << 30 | (night as u64) << 20,
            bytes_unpacked: 0,
            bytes_restored: 0,
            blobs: 0,
            snapshots: 3,
        };
        let change = |facts: &mut lifeboat_catalog::RepositoryFacts| facts.size = Some(size);
        catalog.change_repository("main", change).unwrap();
    }
    proofs(&site);
    alert(&site);
    site
}

fn proofs(site: &Site) {
    let catalog = site.catalog();
    for (kind, seconds, is_ok) in [
        (ProofKind::Verify, 60.0, true),
        (ProofKind::Drill, 300.0, true),
        (ProofKind::Restore, 4000.0, true),
    ] {
        let proof = Proof {
            point: point("web01", day(30, 2)).key,
            machine: "web01".into(),
            kind,
            at: day(30, 12),
            is_ok,
            seconds,
            bytes: 1,
            message: String::new(),
        };
        catalog.add_proof(&proof).unwrap();
    }
}

fn alert(site: &Site) {
    let catalog = site.catalog();
    let alert = Alert {
        id: 0,
        subject: "rpo here/web01".into(),
        condition: "rpo".into(),
        severity: AlertSeverity::Critical,
        text: format!("web01 is too old {HOSTILE}"),
        site: None,
        job: None,
        machine: Some("web01".into()),
        platform: None,
        repository: None,
        since: day(1, 0),
        cleared: None,
        acknowledged: None,
    };
    site.clock.set(day(11, 0));
    catalog.set_alerts(&[alert]).unwrap();
    site.clock.set(day(11, 3));
    catalog.set_alerts(&[]).unwrap();
}

#[test]
fn rates_gaps_and_recoveries_are_those_that_were_measured() {
    let site = filled();
    let report = &site.json(&["report", "--month", "2025-03"])[0];
    assert_eq!(report["backups"]["succeeded"], 30);
    assert_eq!(report["backups"]["failed"], 1);
    assert_eq!(report["runs"]["failed"], 1);
    assert_eq!(report["failures"][0][0], "backup unreachable");
    let machines = report["sites"][0]["machines"].as_array().unwrap();
    let web = machines.iter().find(|it| it["name"] == "web01").unwrap();
    assert_eq!(web["points"], 30);
    assert_eq!(web["gap_usual"], 24 * 3600);
    assert_eq!(web["gap_worst"], 48 * 3600);
    assert_eq!(web["rpo_promised"], 26 * 3600);
    assert_eq!(web["recoveries"], 2);
    assert_eq!(web["recovery_worst"], 4000);
    assert_eq!(web["verified"], 1);
    assert_eq!(web["days"][9], "failed");
    assert_eq!(web["days"][10], "point");
    let repository = &report["repositories"][0];
    let bytes = |key: &str| repository[key].as_u64().unwrap();
    assert_eq!(bytes("bytes_after") - bytes("bytes_before"), 30 << 20);
    assert_eq!(report["alerts"][0]["seconds"], 3 * 3600);
    let proved = |point: &str| {
        let list = report["checklist"].as_array().unwrap();
        let found = list
            .iter()
            .find(|it| it["point"].as_str().unwrap().contains(point));
        found.unwrap()["is_proved"].clone()
    };
    assert_eq!(proved("in a job"), true);
    assert_eq!(proved("longer than promised"), false);
    assert_eq!(proved("build it"), serde_json::Value::Null);
}

#[test]
fn one_machine_has_a_report_of_its_own() {
    let site = filled();
    let (code, told) = site.told(&["report", "--month", "2025-03", "-m", "web01"]);
    assert_eq!(code, 0);
    assert!(told.starts_with("Backups of berlin in 2025-03\n"), "{told}");
    assert!(
        told.contains("96.7 % of 31: 30 succeeded, 1 failed"),
        "{told}"
    );
    assert!(
        told.contains("+++++++++!+++++++++++++++++++++  web01"),
        "{told}"
    );
    assert!(told.contains("2 d 0 h of 1 d 2 h"), "{told}");
    assert!(told.contains("not so for 1 of 1: web01"), "{told}");
    assert!(!told.contains('\x1b'), "{told:?}");
}

#[test]
fn names_from_outside_stay_text_on_the_page() {
    let site = filled();
    let (_, told) = site.told(&["report", "--month", "2025-03", "-o", "march.html"]);
    assert_eq!(told, "the report of 2025-03 is in march.html\n");
    let page = fs::read_to_string(site.path("march.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains('\x1b'), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
    for foreign in ["http:", "https:", " src=", "url("] {
        assert!(!page.contains(foreign), "it needs {foreign}");
    }
    // Every element is closed.
    for name in [
        "table", "tr", "td", "th", "tbody", "div", "span", "p", "body", "html",
    ] {
        let opened = page.matches(&format!("<{name}>")).count();
        let with_class = page.matches(&format!("<{name} ")).count();
        let closed = page.matches(&format!("</{name}>")).count();
        assert_eq!(opened + with_class, closed, "{name}");
    }
}

#[test]
fn months_that_nobody_knows_are_refused() {
    let site = Site::new();
    for month in ["2999-01", "2025-13", "march"] {
        let output = site.run(&["report", "--month", month]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    let (code, told) = site.told(&["report"]);
    assert_eq!(code, 0);
    assert!(told.contains("no machine is known"), "{told}");
}
