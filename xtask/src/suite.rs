//! `cargo xtask test`: everything that is checked before a change is merged, in one command.
//!
//! The test runner is the last to speak, so that its summary ends the output.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::{self as this_process, Command};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use crate::examples;
use crate::install::{self, NEXTEST};
use crate::narrator::Narrator;
use crate::process;
use crate::tidy;
use crate::workspace::Workspace;

/// How many tests nextest runs beside each other, unless somebody has set it.
const TEST_THREADS: &str = "NEXTEST_TEST_THREADS";

/// Installs what is needed, then checks style, lints, tidy rules and runs every test.
pub(crate) fn run(workspace: &Workspace, runner_arguments: &[String]) -> Result<()> {
    let mut narrator = Narrator::new();
    let runner = thread::scope(|scope| {
        // One core each is busy most of the time: the two fill what the other leaves.
        let installing = scope.spawn(|| install::for_tests(workspace));
        let checked = checks(workspace, &mut narrator);
        let installed = installing.join();
        checked?;
        installed.map_err(|_| anyhow!("installing what the tests ask was broken off"))??;
        runner(workspace, &mut narrator)
    })?;
    run_tests(workspace, runner, runner_arguments)
}

/// Everything but the tests; builds them too.
fn checks(workspace: &Workspace, narrator: &mut Narrator) -> Result<()> {
    narrator.title("checks, and beside them setup");
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    let steps: [(&str, &[&str]); 2] = [
        ("cargo fmt --check", &["fmt", "--all", "--check"]),
        ("cargo clippy", &clippy),
    ];
    for (name, arguments) in steps {
        let began = Instant::now();
        process::run(&mut workspace.cargo(arguments))?;
        narrator.done(name, began.elapsed());
    }
    let began = Instant::now();
    tidy::run(workspace)?;
    narrator.done("tidy", began.elapsed());
    let began = Instant::now();
    let crates = examples::crates(workspace)?;
    if !crates.is_empty() {
        let mut run = with_tools(workspace, &["test", "--locked", "--doc", "--quiet"])?;
        for name in &crates {
            run.args(["--package", name]);
        }
        process::quiet(&mut run)?;
    }
    let told = format!("examples in the documentation of {} crates", crates.len());
    narrator.done(&told, began.elapsed());
    let began = Instant::now();
    let build = ["test", "--workspace", "--locked", "--no-run", "--quiet"];
    process::run(&mut workspace.cargo(&build))?;
    narrator.done("test programs", began.elapsed());
    Ok(())
}

/// nextest; where it is not there and cannot be built, cargo's own runner does.
fn runner(workspace: &Workspace, narrator: &mut Narrator) -> Result<&'static [&'static str]> {
    let mut probe = with_tools(workspace, &["nextest", "--version"])?;
    if !process::succeeds(&mut probe)
        && let Err(error) = NEXTEST.install(narrator, &workspace.tools())
    {
        narrator.note(&format!(
            "no nextest, cargo's own runner instead: {error:#}"
        ));
        return Ok(&[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--all-targets",
        ]);
    }
    Ok(&[
        "nextest",
        "run",
        "--workspace",
        "--locked",
        "--no-fail-fast",
    ])
}

/// Runs the tests to the end and takes over the runner's status, without another word.
fn run_tests(workspace: &Workspace, runner: &[&str], arguments: &[String]) -> Result<()> {
    let mut tests = with_tools(workspace, runner)?;
    if runner[0] == "nextest" && env::var_os(TEST_THREADS).is_none() {
        // Some tests wait most of their time: for pauses of restic's, for guests.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        tests.env(TEST_THREADS, (cores + 2).to_string());
    }
    // One stream, so that the summary also ends the output where only one is kept.
    let status = tests
        .args(arguments)
        .stderr(io::stdout())
        .status()
        .context("starting the tests")?;
    match status.code() {
        Some(0) => Ok(()),
        code => this_process::exit(code.unwrap_or(1)),
    }
}

/// A cargo command that finds our tools first.
fn with_tools(workspace: &Workspace, arguments: &[&str]) -> Result<Command> {
    let mut command = workspace.cargo(arguments);
    command.env("PATH", path_with(workspace)?);
    Ok(command)
}

fn path_with(workspace: &Workspace) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [workspace.tools()]
        .into_iter()
        .chain(env::split_paths(&path));
    env::join_paths(folders).context("joining PATH")
}
