//! Whoever changes the audit log without its key is found out.

use lifeboat_catalog::{AuditEntry, AuditFlaw, AuditKey, Catalog, LogLevel, TaskEnd, TaskFilter};
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_testkit::{Effort, SeededEntropy, figure};

use crate::beds::{Bed, Raw, SealedRow, leased, on_both, run, task};

fn key(byte: u8) -> AuditKey {
    AuditKey::new(Secret::new(vec![byte; 32])).unwrap()
}

fn entry(subject: &str) -> AuditEntry {
    AuditEntry {
        number: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        who: "ann".into(),
        from: Some("192.0.2.1".into()),
        action: "restore".into(),
        subject: subject.into(),
        details: "with \"quotes\", \u{0}, \u{1f6df} and 'more'; --".into(),
        is_done: true,
    }
}

fn write(catalog: &Catalog, key: &AuditKey, count: usize) {
    for number in 0..count {
        catalog.audit(key, &entry(&format!("m{number}"))).unwrap();
    }
}

fn flaws(catalog: &Catalog) -> Vec<AuditFlaw> {
    catalog.verify_audit(&key(1), None).unwrap().flaws
}

/// The log with what stands beside it.
#[derive(Clone, PartialEq)]
struct Log {
    rows: Vec<SealedRow>,
    head: String,
    counted: i64,
}

impl Log {
    fn of(raw: &mut Raw) -> Self {
        let head = raw.text("SELECT body FROM notes WHERE name = 'audit head'");
        let count = "SELECT CAST(value AS TEXT) FROM counters WHERE name = 'audit'";
        Self {
            rows: raw.sealed_rows(),
            head,
            counted: raw.text(count).parse().unwrap(),
        }
    }

    fn put(&self, raw: &mut Raw) {
        raw.set_sealed_rows(&self.rows);
        let head = self.head.replace('\'', "''");
        raw.execute(&format!(
            "UPDATE notes SET body = '{head}' WHERE name = 'audit head';
             UPDATE counters SET value = {} WHERE name = 'audit'",
            self.counted
        ));
    }

    /// As if the log ended with the first `count` entries.
    fn cut(&mut self, count: usize) {
        self.rows.truncate(count);
        let (number, _, mac) = self.rows.last().cloned().unwrap_or_default();
        let seal: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let own = self.head.rsplit('"').nth(1).unwrap().to_owned();
        self.head = format!("[{number},\"{seal}\",\"{own}\"]");
        self.counted = number;
    }

    fn tamper(&mut self, chance: &SeededEntropy) -> &'static str {
        let length = self.rows.len();
        let one = chance.below(length as u64) as usize;
        let other = (one + 1 + chance.below(length as u64 - 1) as usize) % length;
        match chance.below(9) {
            0 => {
                let body = self.rows[one].1.replace("ann", "bob");
                self.rows[one].1 = body;
                "an edit"
            }
            1 => {
                let byte = chance.below(32) as usize;
                self.rows[one].2[byte] ^= 1 << chance.below(8);
                "a seal"
            }
            2 => {
                self.rows.remove(one);
                "a drop"
            }
            3 => {
                let number = self.rows[one].0;
                self.rows[one].0 = self.rows[other].0;
                self.rows[other].0 = number;
                "a swap"
            }
            4 => {
                let (_, body, mac) = self.rows[one].clone();
                self.rows.push((length as i64 + 1, body, mac));
                "a duplicate"
            }
            5 => {
                self.cut(one);
                "a cut at the end"
            }
            6 => {
                self.rows.drain(..one.max(1));
                "a cut at the begin"
            }
            7 => {
                self.rows.drain(..one.max(1));
                for (number, row) in self.rows.iter_mut().enumerate() {
                    let (old, new) = (row.0, number as i64 + 1);
                    let (from, to) = (format!(":{old},"), format!(":{new},"));
                    row.1 = row.1.replacen(&from, &to, 1);
                    row.0 = new;
                }
                let count = self.rows.len();
                self.cut(count);
                "a cut at the begin with new numbers"
            }
            _ => {
                let number = -(chance.below(3) as i64);
                let (_, body, mac) = self.rows[one].clone();
                self.rows.insert(0, (number, body, mac));
                "an entry before the first"
            }
        }
    }
}

#[test]
fn every_change_without_the_key_is_found() {
    let tries = Effort::current().pick(40, 2_000);
    on_both(|bed| {
        let catalog = bed.open();
        write(&catalog, &key(1), 9);
        let mut raw = bed.raw();
        let right = Log::of(&mut raw);
        assert!(flaws(&catalog).is_empty());
        for seed in 0..tries {
            let mut log = right.clone();
            let what = log.tamper(&SeededEntropy::new(seed));
            log.put(&mut raw);
            assert!(!flaws(&catalog).is_empty(), "seed {seed}: {what}");
        }
        right.put(&mut raw);
        assert!(flaws(&catalog).is_empty());
        raw.execute("DELETE FROM notes WHERE name = 'audit head'");
        assert!(!flaws(&catalog).is_empty());
    });
    figure(
        "catalog",
        "audit log: changes found, two databases",
        tries * 2,
    );
}

#[test]
fn a_log_that_somebody_wrote_anew_is_found() {
    on_both(|bed| {
        let catalog = bed.open();
        write(&catalog, &key(1), 5);
        let head = catalog.verify_audit(&key(1), None).unwrap().head;
        let mut raw = bed.raw();
        let other = Bed::sqlite();
        write(&other.open(), &key(2), 5);
        Log::of(&mut other.raw()).put(&mut raw);
        assert!(flaws(&catalog).len() >= 5);
        // All of it is gone: only who kept the head elsewhere can know.
        raw.execute("DELETE FROM audit; DELETE FROM notes; DELETE FROM counters");
        assert!(flaws(&catalog).is_empty());
        let report = catalog.verify_audit(&key(1), head.as_ref()).unwrap();
        assert_eq!(report.flaws, [AuditFlaw::CutOff(1)]);
    });
}

#[test]
fn entries_that_follow_do_not_heal_a_cut() {
    on_both(|bed| {
        for kept in [0, 3] {
            let catalog = bed.open();
            write(&catalog, &key(1), 6);
            let mut raw = bed.raw();
            let mut log = Log::of(&mut raw);
            log.cut(kept);
            log.put(&mut raw);
            write(&catalog, &key(1), 3);
            let missing = flaws(&catalog);
            assert!(
                missing.iter().any(|it| matches!(it, AuditFlaw::Missing(_))),
                "{missing:?}"
            );
            let rows = "DELETE FROM audit; DELETE FROM notes; DELETE FROM counters";
            raw.execute(rows);
        }
    });
}

#[test]
fn nodes_that_write_at_once_make_one_chain() {
    on_both(|bed| {
        let nodes = [bed.open(), bed.open()];
        std::thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| write(node, &key(1), 25));
            }
            // Nobody is suspected because others write meanwhile.
            for _ in 0..10 {
                let reader = bed.open();
                assert_eq!(flaws(&reader), []);
            }
        });
        let report = nodes[0].verify_audit(&key(1), None).unwrap();
        assert_eq!((report.entries, report.flaws.len()), (50, 0));
        assert_eq!(report.head.unwrap().0, 50);
        let page = nodes[1].audit_entries(Some(11), 4).unwrap();
        let numbers: Vec<_> = page.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [10, 9, 8, 7]);
        assert_eq!(page[0].details, entry("").details);
    });
}

#[test]
fn short_keys_are_refused() {
    assert!(AuditKey::new(Secret::new(vec![1; 31])).is_err());
}

#[test]
fn a_catalog_moves_to_another_database_with_its_seals() {
    let mut beds = vec![Bed::sqlite(), Bed::sqlite()];
    if let Some(server) = Bed::postgres() {
        beds.insert(1, server);
    }
    let first = beds[0].open();
    let subjects = (0..300).map(|number| task(&number.to_string(), 0));
    let new = run("web", Some(beds[0].now()), subjects.collect());
    let id = first.begin_run(&new).unwrap().unwrap();
    let lease = leased(&first, "n", 1).remove(0);
    first.begin_step(&lease, "capture").unwrap();
    first.write_log(&lease, LogLevel::Note, "a line").unwrap();
    first.cancel_run(id, "ann").unwrap();
    first.end_task(&lease, &TaskEnd::Cancelled).unwrap();
    write(&first, &key(1), 5);
    let mut before = first;
    for bed in &beds[1..] {
        let here = bed.open();
        assert!(here.take_rows_of(&before).unwrap() > 900);
        let again = here.take_rows_of(&before).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Exists, "{again}");
        assert_eq!(here.run(id).unwrap(), before.run(id).unwrap());
        let all = TaskFilter::default();
        assert_eq!(here.tasks(&all).unwrap(), before.tasks(&all).unwrap());
        let one = lease.task.id;
        assert_eq!(here.steps(one).unwrap(), before.steps(one).unwrap());
        let lines = here.log_after(one, 0, 9).unwrap();
        assert_eq!(lines, before.log_after(one, 0, 9).unwrap());
        assert_eq!(here.run_totals().unwrap(), before.run_totals().unwrap());
        assert_eq!(flaws(&here), []);
        write(&here, &key(1), 1);
        assert_eq!(flaws(&here), []);
        // No number is given twice.
        assert!(
            here.begin_run(&run("db", None, Vec::new()))
                .unwrap()
                .unwrap()
                > id
        );
        before = here;
    }
}
