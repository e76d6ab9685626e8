//! Tools of Python, each version fixed, in a folder of their own below the folder of tools.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Asks an API what its document promises.
const PACKAGE: &str = "schemathesis";
const VERSION: &str = "4.32.5";

/// Puts `schemathesis` into the folder of tools unless it is there; gives its version.
pub(crate) fn install(tools: &Path) -> Result<&'static str> {
    let folder = tools.join("python");
    let program = tools.join(PACKAGE);
    if is_there(&program) {
        return Ok(VERSION);
    }
    process::quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    process::quiet(pip.arg(format!("{PACKAGE}=={VERSION}")))?;
    if program.is_symlink() {
        fs::remove_file(&program).context("removing the old link to schemathesis")?;
    }
    symlink(folder.join("bin").join(PACKAGE), &program).context("linking schemathesis")?;
    Ok(VERSION)
}

fn is_there(program: &Path) -> bool {
    let words = process::output(Command::new(program).arg("--version"));
    words.is_ok_and(|words| words.contains(VERSION))
}
