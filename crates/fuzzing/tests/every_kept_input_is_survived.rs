//! What the fuzzers found and kept goes through the targets again, and mutations of it.
//!
//! `LIFEBOAT_SEED` takes a seed back.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_fuzzing::{TARGETS, Target};
use lifeboat_testkit::{Effort, SeededEntropy, figure};
use rustix::time::{ClockId, clock_gettime};

/// Most memory that all inputs together may have needed, in KiB: 256 MiB, and what the tests
/// themselves take.
const PEAK_KIB_MAX: u64 = 384 << 10;

/// Processor time for one input: five times the promise, which is that of a release build.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

const SEED: u64 = 20_261_121;

fn folder(part: &str, target: &Target) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    root.join(part).join(target.name)
}

/// All inputs of a folder, in the order of their names.
fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(listed) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn survive(target: &Target, input: &[u8], what: &str) {
    let began = processor_time();
    let (run, bytes) = (target.run, input.to_vec());
    let survived = catch_unwind(move || run(&bytes)).is_ok();
    assert!(survived, "{}: {what}: {}", target.name, hex(input));
    let time = processor_time() - began;
    assert!(
        time < INPUT_TIME_MAX,
        "{}: {what} took {time:?}",
        target.name
    );
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Largest resident memory of this process so far, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.unwrap().split_ascii_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

#[test]
fn every_target_has_inputs_and_survives_them() {
    let mut count = 0;
    for target in &TARGETS {
        let kept = inputs(&folder("corpus", target));
        assert!(!kept.is_empty(), "{} has no inputs", target.name);
        for (path, input) in kept
            .into_iter()
            .chain(inputs(&folder("regressions", target)))
        {
            survive(target, &input, &path.display().to_string());
            count += 1;
        }
    }
    assert!(peak() < PEAK_KIB_MAX, "{} KiB", peak());
    figure("fuzz", "kept inputs survived", count);
}

#[test]
fn mutations_of_kept_inputs_are_survived() {
    let seed = std::env::var("LIFEBOAT_SEED").ok();
    let seed = seed.map_or(SEED, |text| text.parse().unwrap());
    let count = Effort::current().pick(2_000, 100_000);
    // A share of the time that the checks of every change have.
    let time_max = Effort::current().pick(Duration::from_millis(2_500), Duration::MAX);
    for target in &TARGETS {
        let kept: Vec<_> = inputs(&folder("corpus", target));
        let dice = SeededEntropy::new(seed);
        let began = Instant::now();
        let mut done = 0;
        while done < count && began.elapsed() < time_max {
            let mut input = kept[dice.below(kept.len() as u64) as usize].1.clone();
            for _ in 0..=dice.below(4) {
                mutate(&mut input, &kept, &dice);
            }
            survive(target, &input, &format!("seed {seed}, mutation {done}"));
            done += 1;
        }
        figure("fuzz", &format!("{}: mutations", target.name), done);
    }
    assert!(peak() < PEAK_KIB_MAX, "{} KiB", peak());
}

/// One change of the sort that finds boundaries: bits, bytes, numbers, pieces, lengths.
fn mutate(input: &mut Vec<u8>, kept: &[(PathBuf, Vec<u8>)], dice: &SeededEntropy) {
    const NUMBERS: [u64; 10] = [
        0,
        1,
        0x7f,
        0x80,
        0xffff,
        u32::MAX as u64,
        1 << 31,
        1 << 62,
        i64::MAX as u64,
        u64::MAX,
    ];
    let place = |length: usize| dice.below(length as u64 + 1) as usize;
    let at = place(input.len());
    let end = (at + 1 + place(16)).min(input.len());
    match dice.below(8) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = dice.number() as u8,
        2 => drop(input.drain(at.min(end)..end)),
        3 => drop(input.splice(at..at, dice.bytes(1 + place(8)))),
        4 => {
            let number = NUMBERS[dice.below(10) as usize];
            let bytes = match dice.below(4) {
                0 => number.to_be_bytes().to_vec(),
                1 => (number as u32).to_be_bytes().to_vec(),
                2 => number.to_le_bytes().to_vec(),
                _ => number.to_string().into_bytes(),
            };
            let end = (at + bytes.len()).min(input.len());
            drop(input.splice(at..end, bytes));
        }
        5 => {
            let other = &kept[dice.below(kept.len() as u64) as usize].1;
            let from = place(other.len());
            let to = (from + place(64)).min(other.len());
            drop(input.splice(at..at, other[from..to].iter().copied()));
        }
        6 => input.truncate(at),
        _ => {
            let piece = input[at.min(end)..end].to_vec();
            drop(input.splice(at..at, piece));
        }
    }
}
