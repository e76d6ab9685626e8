//! `cargo xtask fuzz`: hostile input for every reader of bytes from outside.
//!
//! Builds the targets with a fuzzer's instruments, runs each for some seconds of processor time,
//! keeps the smallest inputs that reach everything reached so far, and writes what was counted
//! into `docs/reliability.md`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::install;
use crate::narrator::Narrator;
use crate::process;
use crate::torture;
use crate::workspace::Workspace;

mod corpus;
mod target;

use target::{Campaign, Outcome};

/// Seconds of processor time for each target where none are given.
const SECONDS: u32 = 300;
/// Targets that run side by side, if there are cores for them.
const WORKERS_MAX: usize = 2;

/// What was asked for.
struct Request {
    seconds: Option<u32>,
    only: Option<String>,
}

impl Request {
    fn budget(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(SECONDS).into())
    }

    /// The command that asks for this.
    fn command(&self) -> String {
        let seconds = self.seconds.map(|seconds| seconds.to_string());
        let words = ["cargo xtask fuzz".to_owned()].into_iter();
        let words: Vec<_> = words.chain(seconds).chain(self.only.clone()).collect();
        words.join(" ")
    }
}

/// Runs one target, or all, for `seconds` of processor time each.
///
/// Errors: a target that crashed, after all have run; then the tables stay as they were.
pub(crate) fn run(workspace: &Workspace, seconds: Option<u32>, only: Option<&str>) -> Result<()> {
    let request = Request {
        seconds,
        only: only.map(str::to_owned),
    };
    let mut narrator = Narrator::new();
    let fuzzer = install::fuzzer(workspace, &mut narrator)?;
    let mut chosen = targets(workspace)?;
    if let Some(only) = only {
        ensure!(
            chosen.iter().any(|name| name == only),
            "there is no target {only}, but {}",
            chosen.join(", ")
        );
        chosen.retain(|name| name == only);
    }
    narrator.title("hostile input");
    let began = Instant::now();
    let campaign = Campaign {
        workspace,
        programs: build(workspace, &fuzzer, only)?,
        budget: request.budget(),
    };
    narrator.done("release build of the targets", began.elapsed());
    let crashed = side_by_side(&campaign, chosen, |target, outcome, elapsed| {
        let Outcome { inputs, edges, .. } = outcome;
        let text = format!("{target}: {inputs} inputs, {edges} edges");
        narrator.done(&text, elapsed);
        keep(workspace, &request, target, outcome)
    })?;
    ensure!(
        crashed.is_empty(),
        "crashed: {}. The inputs are in fuzz/artifacts: mend the product, and keep them in \
         fuzz/regressions/TARGET",
        crashed.join(", ")
    );
    torture::write_tables(workspace)?;
    narrator.fact("the tables of docs/reliability.md are written");
    Ok(())
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

/// Builds one target, or all; gives the folder of their programs.
///
/// No sanitizer: there is no unsafe code of our own, and a stable compiler has none.
fn build(workspace: &Workspace, fuzzer: &PathBuf, only: Option<&str>) -> Result<PathBuf> {
    let told = process::output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    let Some(host) = host else {
        bail!("rustc -vV does not tell its host: {told}");
    };
    let folder = workspace.target.join("fuzzing");
    let mut command = Command::new(fuzzer);
    command
        .current_dir(&workspace.root)
        // The instruments are an option that only the compiler's own developers may give.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &folder)
        .args(["build", "--sanitizer", "none", "--target", host])
        .args(only);
    process::quiet(&mut command)?;
    Ok(folder.join(host).join("release"))
}

/// Runs the targets on the cores there are and gives each outcome to `done`; gives those that
/// crashed.
fn side_by_side(
    campaign: &Campaign<'_>,
    targets: Vec<String>,
    mut done: impl FnMut(&str, &Outcome, Duration) -> Result<()>,
) -> Result<Vec<String>> {
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKERS_MAX));
    let queue = Mutex::new(targets.into_iter());
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(|poison| poison.into_inner());
        queue.next()
    };
    let (ended, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let ended = ended.clone();
            scope.spawn(move || {
                while let Some(target) = next() {
                    let began = Instant::now();
                    let outcome = campaign.run(&target);
                    // Nobody listens any more after an error.
                    if ended.send((target, outcome, began.elapsed())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(ended);
        let mut crashed = Vec::new();
        for (target, outcome, elapsed) in outcomes {
            let outcome = outcome?;
            done(&target, &outcome, elapsed)?;
            if outcome.is_crash {
                crashed.push(target);
            }
        }
        Ok(crashed)
    })
}

/// Leaves figures where the tests of chance leave theirs.
fn keep(workspace: &Workspace, request: &Request, target: &str, outcome: &Outcome) -> Result<()> {
    let figures = [
        ("inputs", outcome.inputs),
        ("edges", outcome.edges),
        ("CPU seconds", outcome.processor.as_secs()),
        ("crashes", u64::from(outcome.is_crash)),
    ];
    let figures = figures.map(|(what, value)| (format!("{target}: {what}"), value));
    torture::keep(workspace, "fuzz", target, &figures, &request.command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_the_command_that_was_given() {
        let request = |seconds, only: Option<&str>| Request {
            seconds,
            only: only.map(str::to_owned),
        };
        assert_eq!(request(None, None).command(), "cargo xtask fuzz");
        let short = request(Some(20), Some("tree"));
        assert_eq!(short.command(), "cargo xtask fuzz 20 tree");
        assert_eq!(short.budget(), Duration::from_secs(20));
    }
}
