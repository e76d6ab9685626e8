//! What drives a browser and checks its pages, from npm, into a folder of its own.
//!
//! The browser itself is Debian's; none is downloaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Playwright without browsers, and the checker for accessibility.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
/// A file in the folder of tools that says where they are; tests find it by this name.
const SIGN: &str = "browser-tools";

/// Installs the packages unless these very versions are there.
pub(crate) fn install(tools: &Path) -> Result<()> {
    let folder = tools.join("browser");
    let list = folder.join("packages");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&list).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    fs::create_dir_all(&folder).context("creating target/tools/browser")?;
    let mut command = Command::new("npm");
    command.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
    ]);
    process::quiet(command.arg(&folder).args(PACKAGES))?;
    let place = fs::canonicalize(&folder).context("finding target/tools/browser")?;
    let place = place.display().to_string();
    fs::write(tools.join(SIGN), place).context("writing where the browser's tools are")?;
    fs::write(&list, wanted).context("writing which of the browser's tools are there")
}
