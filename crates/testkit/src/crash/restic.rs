//! The stock restic as the judge of what a crash has left.

use std::path::Path;
use std::process::Command;

use lifeboat_backend::Memory;

use super::crashed::{directory, fill, root};

/// Lets restic read every byte of a repository; an error is told with its words.
///
/// Locks are passed over: the process that crashed has left one.
pub fn restic_check(program: &Path, repository: &Path, password: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .args(["check", "--read-data", "--no-lock", "--no-cache", "-r"])
        .arg(repository)
        .env("RESTIC_PASSWORD", password)
        .env("GOMAXPROCS", "1");
    let output = command
        .output()
        .map_err(|error| format!("start {}: {error}", program.display()))?;
    let answers = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && answers.contains("no errors were found") {
        return Ok(());
    }
    Err(format!("{}\n{answers}{errors}", output.status))
}

/// Lets the newest restic read every byte of a repository in memory; an error is told with its
/// words. Nothing where restic is missing.
pub fn restic_reads(memory: &Memory, password: &str) -> Option<Result<(), String>> {
    let program = crate::tool("restic-new")?;
    let stage = directory();
    let root = root(stage.path());
    fill(&root, memory);
    Some(restic_check(&program, &root, password))
}
