//! One target, run until it has had its processor time.
//!
//! The fuzzer knows only the clock on the wall, which also counts what other programs do: it is
//! started again and again for a short while, on the inputs found so far, until the kernel's
//! account of it is full. An input's own processor time is judged by the target.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wait4::Wait4;

use super::corpus;
use crate::process;
use crate::workspace::Workspace;

/// Memory of the whole fuzzer: 256 MiB for an input, the rest for its own tables.
const MEMORY_MIB_MAX: u32 = 512;
/// An input that does not end at all is stopped then; the machine may stand still meanwhile.
const INPUT_WALL_SECONDS_MAX: u32 = 600;
/// One start of the fuzzer, on the wall: reading its inputs again each time is a small part of it.
const SLICE_SECONDS_MAX: f64 = 60.0;
/// A target whose share of the processor is smaller than one in so many is given up.
const WALL_FACTOR_MAX: u32 = 40;
/// Time to get going.
const WALL_START: Duration = Duration::from_secs(600);

/// What all targets share.
pub(super) struct Campaign<'a> {
    pub(super) workspace: &'a Workspace,
    /// The folder of the built targets.
    pub(super) programs: PathBuf,
    /// Processor time for each.
    pub(super) budget: Duration,
}

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Inputs tried; those that a later start only reads again do not count.
    pub(super) inputs: u64,
    /// Edges of the program that were reached.
    pub(super) edges: u64,
    /// Processor time of it all, as the kernel counts it.
    pub(super) processor: Duration,
    pub(super) is_crash: bool,
}

/// What the fuzzer said at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    inputs: u64,
    /// Of those, inputs that were there before.
    known: u64,
    edges: u64,
}

/// One start of the fuzzer, ended.
struct Ended {
    said: String,
    processor: Duration,
    is_success: bool,
}

/// Where a target's inputs and words lie.
struct Places {
    kept: PathBuf,
    found: PathBuf,
    merged: PathBuf,
    artifacts: PathBuf,
    log: PathBuf,
}

impl Outcome {
    fn add(&mut self, ended: &Ended) {
        let words = Words::read(&ended.said);
        let known = if self.inputs == 0 { 0 } else { words.known };
        self.inputs += words.inputs.saturating_sub(known);
        self.edges = self.edges.max(words.edges);
        self.processor += ended.processor;
        self.is_crash |= !ended.is_success;
    }
}

impl Words {
    fn read(said: &str) -> Self {
        let number = |line: &str, key: &str| {
            let rest = line.split_once(key)?.1.trim_start();
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        let last = |key: &str| said.lines().rev().find_map(|line| number(line, key));
        let known = said.lines().find(|line| line.contains("INITED"));
        Self {
            inputs: last("stat::number_of_executed_units:").unwrap_or(0),
            known: known.and_then(|line| number(line, "#")).unwrap_or(0),
            edges: last(" cov: ").unwrap_or(0),
        }
    }
}

impl Campaign<'_> {
    /// Runs a target until its time is over or it crashes; keeps the best of its inputs.
    ///
    /// Errors: it does not run, or gets no processor.
    pub(super) fn run(&self, target: &str) -> Result<Outcome> {
        let places = self.places(target)?;
        let began = Instant::now();
        let wall_max = self.budget * WALL_FACTOR_MAX + WALL_START;
        let mut outcome = Outcome::default();
        while outcome.processor < self.budget && !outcome.is_crash {
            ensure!(
                began.elapsed() < wall_max,
                "{target} has had {:?} of the processor in {:?}: stop other programs, and run it \
                 again",
                outcome.processor,
                began.elapsed()
            );
            let left = (self.budget - outcome.processor).as_secs_f64().ceil();
            let seconds = left.clamp(1.0, SLICE_SECONDS_MAX);
            let options = [format!("-max_total_time={seconds}")];
            let folders = [&*places.found, &*places.kept];
            let ended = self.start(target, &places, &folders, &options)?;
            outcome.add(&ended);
            if outcome.is_crash {
                eprintln!("{}", ended.said);
            }
        }
        if !outcome.is_crash {
            self.merge(target, &places)?;
        }
        Ok(outcome)
    }

    fn places(&self, target: &str) -> Result<Places> {
        let (root, own) = (&self.workspace.root, &self.workspace.target);
        let folder = own.join("fuzz").join(target);
        let places = Places {
            kept: root.join("fuzz/corpus").join(target),
            found: folder.join("found"),
            merged: folder.join("merged"),
            artifacts: root.join("fuzz/artifacts").join(target),
            log: folder.join("log"),
        };
        drop(fs::remove_dir_all(&places.merged));
        for folder in [
            &places.kept,
            &places.found,
            &places.merged,
            &places.artifacts,
        ] {
            fs::create_dir_all(folder).context("making a folder for inputs")?;
        }
        Ok(places)
    }

    /// Keeps the smallest inputs that reach all that was reached.
    fn merge(&self, target: &str, places: &Places) -> Result<()> {
        let folders = [&*places.merged, &*places.kept, &*places.found];
        let merged = self.start(target, places, &folders, &["-merge=1".to_owned()])?;
        ensure!(
            merged.is_success,
            "{target} did not merge its inputs:\n{}",
            merged.said
        );
        corpus::keep_smallest(&places.merged, &places.kept)
    }

    /// Runs the fuzzer once on these folders of inputs.
    ///
    /// Errors: it did not get as far as an input.
    fn start(
        &self,
        target: &str,
        places: &Places,
        folders: &[&Path],
        options: &[String],
    ) -> Result<Ended> {
        let log = File::create(&places.log).context("creating the fuzzer's log")?;
        let mut command = Command::new(self.programs.join(target));
        command
            .current_dir(&self.workspace.root)
            .arg(format!("-artifact_prefix={}/", places.artifacts.display()))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-timeout={INPUT_WALL_SECONDS_MAX}"))
            .arg(format!("-report_slow_units={INPUT_WALL_SECONDS_MAX}"))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .args(options)
            .args(folders)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let shown = process::shown(&command);
        let child = command.spawn();
        let ended = child.with_context(|| format!("starting {shown}"))?.wait4();
        let ended = ended.with_context(|| format!("waiting for {shown}"))?;
        let said = fs::read(&places.log).context("reading the fuzzer's log")?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_success = ended.status.success();
        ensure!(
            is_success || Words::read(&said).inputs > 0 || said.contains("SUMMARY: libFuzzer"),
            "{target} did not run:\n{said}"
        );
        Ok(Ended {
            said,
            processor: ended.rusage.utime + ended.rusage.stime,
            is_success,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(inputs: u64, known: u64, edges: u64, is_success: bool) -> Ended {
        let said = format!(
            "INFO: seed corpus: files: 3\n#2\tpulse  cov: 1\n#{known}\tINITED cov: 3 ft: 4\n\
             #{inputs}\tDONE   cov: {edges} ft: 700 corp: 9/1Kb\n\
             stat::number_of_executed_units: {inputs}\nstat::peak_rss_mb: 40\n"
        );
        Ended {
            said,
            processor: Duration::from_millis(1500),
            is_success,
        }
    }

    #[test]
    fn the_fuzzers_last_words_are_read() {
        let words = Words {
            inputs: 900,
            known: 20,
            edges: 512,
        };
        assert_eq!(Words::read(&ended(900, 20, 512, true).said), words);
        assert_eq!(Words::read("==1== ERROR: libFuzzer"), Words::default());
    }

    #[test]
    fn several_starts_are_one_run_and_inputs_read_again_do_not_count() {
        let mut outcome = Outcome::default();
        outcome.add(&ended(900, 20, 512, true));
        outcome.add(&ended(1000, 300, 510, true));
        let expected = Outcome {
            inputs: 1600,
            edges: 512,
            processor: Duration::from_secs(3),
            is_crash: false,
        };
        assert_eq!(outcome, expected);
        outcome.add(&ended(1, 1, 1, false));
        assert!(outcome.is_crash);
    }
}
