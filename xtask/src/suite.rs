//! `cargo xtask test`: everything that is checked before a change is merged, in one command.
//!
//! The test runner is the last to speak, so that its summary ends the output.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::install::{self, NEXTEST};
use crate::narrator::Narrator;
use crate::process;
use crate::tidy;
use crate::workspace::Workspace;

/// Installs what is needed, then checks style, lints, tidy rules and runs every test.
pub(crate) fn run(workspace: &Workspace, runner_arguments: &[String]) -> Result<()> {
    let mut narrator = Narrator::new();
    install::for_tests(workspace)?;
    NEXTEST.install(&mut narrator, &workspace.tools())?;
    narrator.title("checks");
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
    run_tests(workspace, &mut narrator, runner_arguments)
}

fn run_tests(
    workspace: &Workspace,
    narrator: &mut Narrator,
    runner_arguments: &[String],
) -> Result<()> {
    narrator.title("tests");
    let began = Instant::now();
    let doc_tests = ["test", "--workspace", "--locked", "--doc", "--quiet"];
    process::quiet(&mut with_tools(workspace, &doc_tests)?)?;
    narrator.done("examples in the documentation", began.elapsed());
    let mut tests = with_tools(workspace, &["nextest", "run", "--workspace", "--locked"])?;
    tests.args([
        "--no-fail-fast",
        "--no-tests",
        "pass",
        "--status-level",
        "slow",
    ]);
    process::run(tests.args(runner_arguments))
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
