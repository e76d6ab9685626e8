//! `cargo xtask fuzz`: hostile input for every reader of bytes from outside.
//!
//! Builds the targets with a fuzzer's instruments, runs each for some seconds, keeps the
//! smallest inputs that reach everything reached so far, and says what was found.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::install;
use crate::narrator::Narrator;
use crate::process;
use crate::workspace::Workspace;

/// Seconds for each target where none are given.
const SECONDS: u32 = 300;
/// Memory of the whole fuzzer: 256 MiB for an input, the rest for its own tables.
const MEMORY_MIB_MAX: u32 = 512;
/// Inputs should take less than a second. They are stopped later: the clock on the wall also
/// counts what other programs do.
const INPUT_SECONDS_MAX: u32 = 5;
/// What of a corpus is kept in the source tree.
const KEPT_FILES_MAX: usize = 190;
const KEPT_BYTES_MAX: u64 = 290 << 10;

/// What the fuzzer said at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    inputs: u64,
    edges: u64,
    is_crash: bool,
}

/// Runs one target, or all, for `seconds` each.
///
/// Errors: a target that crashed, after all have run.
pub(crate) fn run(workspace: &Workspace, seconds: Option<u32>, only: Option<&str>) -> Result<()> {
    let mut narrator = Narrator::new();
    let fuzzer = install::fuzzer(workspace, &mut narrator)?;
    let all = targets(workspace)?;
    let chosen: Vec<_> = all
        .iter()
        .filter(|name| only.is_none_or(|only| only == *name))
        .collect();
    ensure!(!chosen.is_empty(), "there is no such target: {all:?}");
    narrator.title("hostile input");
    let fuzz = Fuzz {
        workspace,
        fuzzer,
        seconds: seconds.unwrap_or(SECONDS),
    };
    let mut crashed = Vec::new();
    for target in chosen {
        let began = Instant::now();
        let outcome = fuzz.target(target)?;
        let Outcome { inputs, edges, .. } = outcome;
        let text = format!("{target}: {inputs} inputs, {edges} edges");
        narrator.done(&text, began.elapsed());
        figure(&format!("{target}: inputs"), inputs)?;
        figure(&format!("{target}: edges"), edges)?;
        figure(&format!("{target}: crashes"), u64::from(outcome.is_crash))?;
        if outcome.is_crash {
            crashed.push(target.as_str());
        }
    }
    if crashed.is_empty() {
        return Ok(());
    }
    bail!(
        "crashed: {}. The inputs are in fuzz/artifacts: mend the product, and keep them in \
         fuzz/regressions/TARGET",
        crashed.join(", ")
    )
}

/// The targets, by name.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = fs::read_dir(workspace.root.join("fuzz/targets")).context("listing targets")?;
    let mut names = Vec::new();
    for entry in folder {
        let path = entry.context("listing targets")?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into()));
    }
    names.sort();
    Ok(names)
}

struct Fuzz<'a> {
    workspace: &'a Workspace,
    fuzzer: PathBuf,
    seconds: u32,
}

impl Fuzz<'_> {
    fn target(&self, target: &str) -> Result<Outcome> {
        let folders = self.workspace.target.join("fuzz").join(target);
        let (found, merged) = (folders.join("found"), folders.join("merged"));
        let kept = self.workspace.root.join("fuzz/corpus").join(target);
        for folder in [&found, &kept] {
            fs::create_dir_all(folder).context("making a folder for inputs")?;
        }
        let seconds = format!("-max_total_time={}", self.seconds);
        let outcome = self.start(target, &[&found, &kept], &[&seconds])?;
        if !outcome.is_crash {
            drop(fs::remove_dir_all(&merged));
            fs::create_dir_all(&merged).context("making a folder for inputs")?;
            self.start(target, &[&merged, &kept, &found], &["-merge=1"])?;
            keep_smallest(&merged, &kept)?;
        }
        Ok(outcome)
    }

    /// Runs the fuzzer on these folders of inputs.
    ///
    /// No sanitizer: there is no unsafe code of our own, and a stable compiler has none.
    fn start(&self, target: &str, folders: &[&Path], options: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(&self.fuzzer);
        command
            .current_dir(&self.workspace.root)
            // The instruments are an option that only the compiler's own developers may give.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", self.workspace.target.join("fuzzing"))
            .args(["run", "--sanitizer", "none", target])
            .args(folders)
            .arg("--")
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .args(options);
        let output = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("starting {}", process::shown(&command)))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let outcome = read(&said, output.status.success());
        ensure!(
            output.status.success() || outcome.inputs > 0 || said.contains("SUMMARY: libFuzzer"),
            "{target} did not run:\n{said}"
        );
        if outcome.is_crash {
            eprintln!("{said}");
        }
        Ok(outcome)
    }
}

/// Reads the fuzzer's last words.
fn read(said: &str, is_success: bool) -> Outcome {
    let number = |line: &str, key: &str| {
        let rest = line.split_once(key)?.1.trim_start();
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let last = |key: &str| said.lines().rev().find_map(|line| number(line, key));
    Outcome {
        inputs: last("stat::number_of_executed_units:").unwrap_or(0),
        edges: last(" cov: ").unwrap_or(0),
        is_crash: !is_success,
    }
}

/// Replaces the kept inputs by the smallest of the merged ones.
fn keep_smallest(merged: &Path, kept: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(merged).context("listing inputs")? {
        let entry = entry.context("listing inputs")?;
        let size = entry.metadata().context("looking at an input")?.len();
        inputs.push((size, entry.file_name()));
    }
    inputs.sort();
    fs::remove_dir_all(kept).context("removing old inputs")?;
    fs::create_dir_all(kept).context("making a folder for inputs")?;
    let mut bytes = 0;
    for (size, name) in inputs.into_iter().take(KEPT_FILES_MAX) {
        bytes += size;
        if bytes > KEPT_BYTES_MAX {
            break;
        }
        fs::copy(merged.join(&name), kept.join(&name)).context("keeping an input")?;
    }
    Ok(())
}

/// Leaves a figure where the tests leave theirs.
fn figure(what: &str, value: u64) -> Result<()> {
    let Some(path) = env::var_os("LIFEBOAT_FIGURES") else {
        return Ok(());
    };
    let line = serde_json::json!({
        "section": "fuzz",
        "what": what,
        "value": value.to_string(),
    });
    let file = OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.context("opening the file of figures")?, "{line}").context("writing a figure")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzers_last_words_are_read() {
        let said = "#2\tINITED cov: 3 ft: 4\n#900\tDONE   cov: 512 ft: 700 corp: 9/1Kb\n\
                    stat::number_of_executed_units: 900\nstat::peak_rss_mb: 40\n";
        let outcome = Outcome {
            inputs: 900,
            edges: 512,
            is_crash: false,
        };
        assert_eq!(read(said, true), outcome);
        assert!(read("==1== ERROR: libFuzzer: timeout", false).is_crash);
    }
}
