//! Measurements become a report: medians, ratios and verdicts, and what people wrote stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MIB: u64 = 1 << 20;

/// A work folder as a bench leaves it, and a document.
struct Bench {
    folder: tempfile::TempDir,
    lines: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = r#"{"processor":"Some CPU","cores":2,"memory_mib":1024,"kernel":"Linux 6",
            "disk_mib_per_second":100,"date":"2026-11-21","command":"bench --rounds 3"}"#;
        fs::write(folder.path().join("machine.json"), machine).expect("writing");
        Self {
            folder,
            lines: Vec::new(),
        }
    }

    fn add(&mut self, row: &str, tool: &str, walls: [f64; 3], stored_mib: u64) {
        for (round, wall) in (1..).zip(walls) {
            let (cpu, stored) = (wall / 2.0, stored_mib * MIB);
            self.lines.push(format!(
                r#"{{"round":{round},"row":"{row}","tool":"{tool}","version":"1.0",
                "command":"{tool} backup","wall":{wall},"durable":{wall},"cpu":{cpu},
                "resident":{MIB},"counts":{{"stored":{stored},"added":{stored}}}}}"#
            ));
        }
    }

    fn document(&self) -> PathBuf {
        self.folder.path().join("benchmarks.md")
    }

    fn report(&self) -> String {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| line.replace('\n', ""))
            .collect();
        let text = lines.join("\n") + "\n";
        fs::write(self.folder.path().join("results.jsonl"), text).expect("writing");
        let output = report(self.folder.path(), &self.document());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        fs::read_to_string(self.document()).expect("the document")
    }
}

fn report(work: &Path, document: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["bench", "--report", "--work"]).arg(work);
    let output = command.arg("--document").arg(document).output();
    output.expect("starting xtask")
}

#[test]
fn medians_are_compared_with_the_best_peer_of_each_column() {
    let mut bench = Bench::new();
    bench.add("1", "lifeboat", [9.0, 5.0, 6.0], 100);
    bench.add("1", "restic", [30.0, 20.0, 25.0], 100);
    bench.add("1", "borg", [10.0, 12.0, 11.0], 90);
    let document = bench.report();
    for text in [
        "| **lifeboat** | 6.00 (5.00–9.00) | 6.00 (5.00–9.00) | 3.00 (2.50–4.50) | 1 | 100.0 |",
        "wall ≤ 0.55 × best peer: 0.55 × borg, met",
        "CPU ≤ 0.75 × best peer: 0.55 × borg, met",
        "stored ≤ 1.02 × restic: 1.00 × restic, met",
    ] {
        assert!(document.contains(text), "{text} is not in:\n{document}");
    }
}

#[test]
fn a_missed_target_is_shown_as_missed() {
    let mut bench = Bench::new();
    bench.add("8", "lifeboat", [0.0; 3], 95);
    bench.add("8", "restic", [0.0; 3], 100);
    let document = bench.report();
    let line = "stored ≤ 0.92 × restic: 0.95 × restic, **NOT met**";
    assert!(document.contains(line), "{document}");
}

#[test]
fn rows_without_a_peer_of_their_own_borrow_the_right_figures() {
    let mut bench = Bench::new();
    bench.add("4", "lifeboat", [9.0; 3], 10);
    bench.add("4", "restic", [10.0; 3], 10);
    bench.add("5", "lifeboat", [2.0; 3], 10);
    let document = bench.report();
    let line = "wall ≤ 0.25 × best peer: 0.20 × restic, met";
    assert!(document.contains(line), "{document}");
}

#[test]
fn failures_are_told_and_judged_as_open() {
    let mut bench = Bench::new();
    bench.lines.push(
        r#"{"round":1,"row":"13","tool":"lifeboat","version":"1","command":"","wall":0,
        "durable":0,"cpu":0,"resident":0,"failed":"verify ended with 25: a pack is broken"}"#
            .into(),
    );
    let document = bench.report();
    let told = "lifeboat failed in round 1: verify ended with 25: a pack is broken";
    assert!(document.contains(told), "{document}");
    assert!(document.contains("not measured, open"), "{document}");
}

#[test]
fn remarks_written_by_hand_survive() {
    let mut bench = Bench::new();
    bench.add("8", "lifeboat", [0.0; 3], 95);
    let first = bench.report();
    let remark = "-->\n\nThe disk was new.\n\n<!-- end of the head";
    let edited = first.replacen("-->\n<!-- end of the head", remark, 1);
    assert_ne!(edited, first);
    fs::write(bench.document(), &edited).expect("writing");
    bench.add("8", "restic", [0.0; 3], 100);
    let second = bench.report();
    assert!(second.contains("The disk was new."), "{second}");
    assert!(second.contains("| restic | 100.0 |"), "{second}");
}

#[test]
fn a_record_that_was_cut_off_is_dropped_and_a_broken_one_is_named() {
    let mut bench = Bench::new();
    bench.add("8", "lifeboat", [0.0; 3], 95);
    bench.report();
    let path = bench.folder.path().join("results.jsonl");
    let whole = fs::read_to_string(&path).expect("the records");
    fs::write(&path, format!("{whole}{{\"round\":1,\"ro")).expect("writing");
    assert!(
        report(bench.folder.path(), &bench.document())
            .status
            .success()
    );
    assert_eq!(fs::read_to_string(&path).expect("the records"), whole);
    fs::write(&path, format!("not a record\n{whole}")).expect("writing");
    let output = report(bench.folder.path(), &bench.document());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("results.jsonl, line 1"), "{errors}");
}
