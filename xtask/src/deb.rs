//! A Debian package, made by dpkg-deb alone.
//!
//! Nothing is started when it is installed: systemd reads its units, that is all.
//!
//! Source: Debian Policy 4.6, chapters 5, 6, 9, 12.

mod control;
mod copyright;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

const USAGE: &str = "usage: cargo xtask deb [--lifeboat PROGRAM] [--fast] [-o FOLDER]

  --lifeboat PROGRAM   package this program; a release build unless given
  --fast               compress little
  -o FOLDER            where the package goes; target/deb unless given";

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    program: Option<PathBuf>,
    is_fast: bool,
    folder: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            let mut path = || rest.next().map(PathBuf::from).context(USAGE);
            match word.as_str() {
                "--lifeboat" => options.program = Some(absolute(&path()?)?),
                "-o" => options.folder = Some(absolute(&path()?)?),
                "--fast" => options.is_fast = true,
                _ => bail!("{USAGE}"),
            }
        }
        Ok(options)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding {}", path.display()))
}

/// Builds the package; its path is the last line of the output.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => release(workspace)?,
    };
    let folder = options.folder.clone();
    let folder = folder.unwrap_or_else(|| workspace.target.join("deb"));
    let stage = folder.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).context("removing what an earlier run left")?;
    }
    let about = control::About::of(workspace)?;
    tree::fill(workspace, &program, &stage)?;
    copyright::write(workspace, &stage)?;
    control::write(workspace, &about, (&folder, &stage))?;
    let package = folder.join(format!("{}.deb", about.file_name()));
    build(&stage, &package, (options.is_fast, about.changed()))?;
    fs::remove_dir_all(&stage).context("removing the stage")?;
    println!("{}", package.display());
    Ok(())
}

fn release(workspace: &Workspace) -> Result<PathBuf> {
    let words = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "lifeboat",
        "--locked",
    ];
    process::run(&mut workspace.cargo(&words))?;
    Ok(workspace.target.join("release/lifeboat"))
}

fn build(stage: &Path, package: &Path, (is_fast, changed): (bool, u64)) -> Result<()> {
    // Whatever the mask of this process is.
    let mut modes = Command::new("find");
    modes
        .arg(stage)
        .args(["-type", "d", "!", "-path", "*/etc/lifeboat"]);
    process::quiet(modes.args(["-exec", "chmod", "755", "{}", "+"]))?;
    let mut command = Command::new("dpkg-deb");
    command.env("SOURCE_DATE_EPOCH", changed.to_string());
    command.args(["--root-owner-group", "-Zxz"]);
    command.arg(if is_fast { "-z0" } else { "-z6" });
    process::quiet(command.arg("--build").args([stage, package]))
}
