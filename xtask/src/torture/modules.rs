//! The test modules of the workspace, built for release.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;
use crate::workspace::Workspace;

/// The tests of one file, by the crate's one test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// The crate's folder name.
    pub(crate) package: String,
    /// Its name in `tests/main.rs`.
    pub(crate) name: String,
    /// Full names of its tests.
    pub(crate) tests: Vec<String>,
    program: PathBuf,
    folder: PathBuf,
}

/// One line of cargo's messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// Builds every test program and lists the modules, by package and name.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<Module>> {
    let mut command = workspace.cargo(&[
        "test",
        "--release",
        "--workspace",
        "--locked",
        "--test",
        "main",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    // Sixteen programs, each linked as a whole, would take half an hour for nothing.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    command.stderr(Stdio::inherit());
    let messages = process::output(&mut command)?;
    let mut modules = Vec::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line).context("reading cargo's messages")?;
        let is_test = message
            .target
            .is_some_and(|target| target.kind.iter().any(|kind| kind == "test"));
        if message.reason != "compiler-artifact" || !is_test {
            continue;
        }
        if let (Some(program), Some(manifest)) = (message.executable, message.manifest_path) {
            modules.extend(modules_of(
                &program,
                manifest.parent().unwrap_or(&manifest),
            )?);
        }
    }
    modules.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(modules)
}

fn modules_of(program: &Path, folder: &Path) -> Result<Vec<Module>> {
    let mut list = Command::new(program);
    let listed = process::output(
        list.current_dir(folder)
            .args(["--list", "--format", "terse"]),
    )?;
    let package = folder.file_name().unwrap_or_default().to_string_lossy();
    let modules = by_module(&listed).into_iter().map(|(name, tests)| Module {
        package: package.clone().into_owned(),
        name,
        tests,
        program: program.to_owned(),
        folder: folder.to_owned(),
    });
    Ok(modules.collect())
}

/// Test names by the first part of their path.
fn by_module(listed: &str) -> BTreeMap<String, Vec<String>> {
    let mut modules = BTreeMap::<String, Vec<String>>::new();
    for test in listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
    {
        if let Some((module, _)) = test.split_once("::") {
            let tests = modules.entry(module.to_owned()).or_default();
            tests.push(test.to_owned());
        }
    }
    modules
}

impl Module {
    /// The command that runs its tests and nothing else; what they say goes to `log`.
    pub(crate) fn command(&self, workspace: &Workspace, log: &Path) -> Result<Command> {
        let said = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [workspace.tools()]
            .into_iter()
            .chain(env::split_paths(&path));
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.folder)
            .env("PATH", env::join_paths(folders).context("joining PATH")?)
            .arg("--exact")
            .args(&self.tests)
            .stdin(Stdio::null())
            .stderr(said.try_clone().context("opening the log twice")?)
            .stdout(said);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_grouped_by_their_file() {
        let listed = "kills::a: test\nkills::deep::b: test\nworld: test\nother::c: benchmark\n";
        let modules = by_module(listed);
        assert_eq!(modules.len(), 1);
        assert_eq!(modules["kills"], ["kills::a", "kills::deep::b"]);
    }
}
