//! Runs QEMU's tools, the judges of these tests, and compares whole disks.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lifeboat_disk::{DiskReader, ExtentState};

/// Says whether QEMU's tools are here; says so loudly, or panics in CI, if not.
pub(crate) fn is_here() -> bool {
    let found = ["qemu-img", "qemu-io"].iter().all(|tool| {
        Command::new(tool)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    });
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "qemu-img and qemu-io are needed in CI"
        );
        eprintln!("SKIPPED: qemu-img or qemu-io is missing");
    }
    found
}

pub(crate) fn run<S: AsRef<OsStr>>(tool: &str, arguments: &[S]) -> Vec<u8> {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let shown: Vec<_> = arguments
        .iter()
        .map(|a| a.as_ref().to_string_lossy())
        .collect();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{tool} {}: {said}",
        shown.join(" ")
    );
    output.stdout
}

/// `qemu-img` with arguments separated by blanks; `@` stands for the path.
pub(crate) fn img(line: &str, path: &Path) -> Vec<u8> {
    let path = path.to_str().unwrap();
    let arguments: Vec<_> = line
        .split(' ')
        .map(|a| if a == "@" { path } else { a })
        .collect();
    run("qemu-img", &arguments)
}

/// Runs `qemu-io` commands on a qcow2 image, or on what `arguments` select.
pub(crate) fn io(arguments: &[&str], commands: &[String]) {
    let mut all: Vec<&str> = Vec::new();
    for command in commands {
        all.extend(["-c", command]);
    }
    all.extend(arguments);
    let said = run("qemu-io", &all);
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains("failed"), "{said}");
}

/// A small generator of test numbers.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    /// A range of a disk of `size` bytes, aligned to `grain`, at most `length_max` long.
    pub(crate) fn range(&mut self, size: u64, grain: u64, length_max: u64) -> (u64, u64) {
        let start = self.below(size / grain) * grain;
        let length = (1 + self.below(length_max / grain)) * grain;
        (start, length.min(size / grain * grain - start))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let number = self
                .below(u64::MAX >> 11)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            piece.copy_from_slice(&number.to_le_bytes()[..piece.len()]);
        }
    }
}

/// Random writes, zero writes and discards over the whole disk.
pub(crate) fn storm(dice: &mut Dice, size: u64, grain: u64, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let (start, length) = dice.range(size, grain, size / 12);
            match dice.below(6) {
                0 => format!("write -z {start} {length}"),
                1 => format!("write -z -u {start} {length}"),
                2 => format!("discard {start} {length}"),
                _ => format!("write -P {} {start} {length}", 1 + dice.below(255)),
            }
        })
        .collect()
}

/// The whole disk as QEMU reads it; `select` names the image as in `-f qcow2 path`.
pub(crate) fn content(select: &[&str], folder: &Path) -> Vec<u8> {
    let raw = folder.join("judge.raw");
    let mut arguments = vec!["convert", "-O", "raw"];
    arguments.extend(select);
    arguments.push(raw.to_str().unwrap());
    run("qemu-img", &arguments);
    std::fs::read(raw).unwrap()
}

/// The extents that QEMU's map marks as zeros (`true`) or as data (`false`).
pub(crate) fn map(select: &[&str]) -> Vec<(u64, u64, bool)> {
    let mut arguments = vec!["map", "--output=json"];
    arguments.extend(select);
    let listed: serde_json::Value = serde_json::from_slice(&run("qemu-img", &arguments)).unwrap();
    let number = |entry: &serde_json::Value, key: &str| entry[key].as_u64().unwrap();
    let entries = listed.as_array().unwrap().iter();
    entries
        .map(|entry| {
            let (start, length) = (number(entry, "start"), number(entry, "length"));
            let zero = entry["zero"].as_bool().unwrap() || !entry["data"].as_bool().unwrap();
            (start, start + length, zero)
        })
        .collect()
}

/// Our map in the same form, checked for gaps.
pub(crate) fn our_map(disk: &dyn DiskReader) -> Vec<(u64, u64, bool)> {
    let mut all: Vec<(u64, u64, bool)> = Vec::new();
    let mut at = 0;
    while at < disk.size() {
        let next = disk.next_extent(at).unwrap();
        assert_eq!(next.extent.start(), at);
        assert!(next.extent.end() <= disk.size());
        let zero = next.state == ExtentState::Zero;
        match all.last_mut() {
            Some(last) if last.2 == zero => last.1 = next.extent.end(),
            _ => all.push((at, next.extent.end(), zero)),
        }
        at = next.extent.end();
    }
    assert!(disk.next_extent(disk.size()).is_err());
    all
}

/// Reads all of a disk in pieces of `step` bytes.
pub(crate) fn read_all(disk: &dyn DiskReader, step: usize) -> Vec<u8> {
    let mut all = vec![0xEE; usize::try_from(disk.size()).unwrap()];
    for (index, piece) in all.chunks_mut(step).enumerate() {
        disk.read_at((index * step) as u64, piece).unwrap();
    }
    all
}

/// Panics unless the disk reads as `expected`, whatever the place and length of the reads,
/// and its map calls nothing zero that is not.
pub(crate) fn assert_reads_as(disk: &dyn DiskReader, expected: &[u8], what: &str) {
    assert_eq!(disk.size(), expected.len() as u64, "{what}: size");
    for step in [1 << 20, 65_536, 4096 + 512, 777] {
        let all = read_all(disk, step);
        if let Some(at) = (0..all.len()).find(|i| all[*i] != expected[*i]) {
            panic!(
                "{what}: byte {at} differs when read by {step}: {} {}",
                all[at], expected[at]
            );
        }
    }
    let mut dice = Dice::new(expected.len() as u64);
    for _ in 0..50 {
        let (start, length) = dice.range(disk.size(), 1, disk.size().min(300_000));
        let mut part = vec![0xEE; length as usize];
        disk.read_at(start, &mut part).unwrap();
        assert!(
            part == expected[start as usize..][..part.len()],
            "{what}: {start} + {length}"
        );
    }
    assert!(
        disk.read_at(disk.size(), &mut [0]).is_err(),
        "{what}: read behind the end"
    );
    for (start, end, zero) in our_map(disk) {
        let part = &expected[start as usize..end as usize];
        assert!(
            !zero || part.iter().all(|b| *b == 0),
            "{what}: {start}..{end} is not zero"
        );
    }
}

/// Panics if our map calls data what QEMU's calls zero; the other direction is checked by
/// content, since QEMU calls some holes data.
pub(crate) fn assert_maps_as(disk: &dyn DiskReader, select: &[&str], what: &str) {
    let (ours, judge) = (our_map(disk), map(select));
    for (start, end, _) in judge.iter().filter(|e| e.2) {
        let data = ours.iter().find(|e| !e.2 && e.0 < *end && *start < e.1);
        assert_eq!(data, None, "{what}: QEMU says zero for {start}..{end}");
    }
}

/// A qemu-io that has an image open until it is dropped.
pub(crate) struct Holder(std::process::Child);

impl Holder {
    pub(crate) fn open(arguments: &[&str]) -> Self {
        let mut command = Command::new("qemu-io");
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its answer says that the image is open.
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"read 0 512\n")
            .unwrap();
        let mut answers = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(
            answers.any(|line| line.unwrap().contains("512")),
            "qemu-io has ended"
        );
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Repeats while something is busy: a process that another test has just started shares our
/// descriptors until it becomes another program.
pub(crate) fn once_free<T>(mut attempt: impl FnMut() -> lifeboat_disk::Result<T>) -> T {
    for _ in 0..100_000 {
        match attempt() {
            Err(e) if e.kind() == lifeboat_model::ErrorKind::Busy => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
    attempt().unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().to_owned();
    (held, path)
}
