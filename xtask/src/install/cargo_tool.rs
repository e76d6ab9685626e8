//! Programs that are built from their published sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::slim::{self, Slim};
use crate::narrator::Narrator;
use crate::process;

/// Build settings: these tools run for seconds, so building them quickly counts for more.
const QUICK_BUILD: [&str; 5] = [
    "profile.release.opt-level=0",
    "profile.release.lto=false",
    "profile.release.codegen-units=16",
    "profile.release.debug=false",
    "profile.release.strip=true",
];

/// How a program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// In little time: for programs that are only asked for their judgement.
    Quick,
    /// As its authors publish it: for programs whose speed is measured.
    Published,
}

/// A package with one program, at an exact version.
#[derive(Debug)]
pub(crate) struct CargoTool {
    pub(crate) package: &'static str,
    pub(crate) program: &'static str,
    /// The program's name in the folder of tools.
    pub(crate) file: &'static str,
    pub(crate) build: Build,
    pub(crate) version: &'static str,
    pub(crate) features: &'static [&'static str],
    /// Packages in it that do the computing, and are optimised all the same.
    pub(crate) computing: &'static [&'static str],
    /// How its manifests are changed for a quick build, its own first; empty: not at all.
    pub(crate) slim: &'static [Slim],
}

impl CargoTool {
    /// Puts the program into the folder of tools, unless it is there.
    pub(crate) fn install(&self, narrator: &mut Narrator, tools: &Path) -> Result<()> {
        let name = format!("{} {}", self.file, self.version);
        let began = Instant::now();
        if !self.is_in(tools) {
            narrator.note(&format!("building {name}: some minutes, once"));
            self.build(tools)?;
        }
        narrator.done(&name, began.elapsed());
        Ok(())
    }

    /// Whether exactly this version is there.
    fn is_in(&self, tools: &Path) -> bool {
        let mut command = Command::new(tools.join(self.file));
        let answer = process::output(command.arg("--version"));
        answer.is_ok_and(|words| words.split(is_gap).any(|word| word == self.version))
    }

    fn build(&self, tools: &Path) -> Result<()> {
        let folder = tools.join("build");
        let built = match self.build_slim(&folder) {
            Some(Ok(built)) => built,
            Some(Err(error)) => {
                eprintln!("the whole of {} is built: {error:#}", self.package);
                self.build_whole(&folder)?
            }
            None => self.build_whole(&folder)?,
        };
        fs::copy(built, tools.join(self.file))
            .with_context(|| format!("copying {}", self.program))?;
        fs::remove_dir_all(&folder).context("removing what a tool was built from")
    }

    fn build_slim(&self, folder: &Path) -> Option<Result<PathBuf>> {
        if self.slim.is_empty() {
            return None;
        }
        let build = || {
            let mut command = slim::prepare(self.slim, &folder.join("sources"))?;
            self.configure(&mut command, folder);
            // Debian's own, instead of building another.
            process::quiet(command.env("ZSTD_SYS_USE_PKG_CONFIG", "1"))?;
            Ok(folder.join("target/release").join(self.program))
        };
        Some(build())
    }

    fn build_whole(&self, folder: &Path) -> Result<PathBuf> {
        let mut command = Command::new("cargo");
        command.args([
            "install",
            self.package,
            "--version",
            self.version,
            "--locked",
            "--force",
            "--no-track",
        ]);
        self.configure(&mut command, folder);
        process::quiet(command.arg("--root").arg(folder))?;
        Ok(folder.join("bin").join(self.program))
    }

    fn configure(&self, command: &mut Command, folder: &Path) {
        command.args(self.features);
        if self.build == Build::Quick {
            self.hurry(command);
        }
        command.arg("--target-dir").arg(folder.join("target"));
    }

    fn hurry(&self, command: &mut Command) {
        for setting in QUICK_BUILD {
            command.args(["--config", setting]);
        }
        for package in self.computing {
            let setting = format!("profile.release.package.{package}.opt-level=3");
            command.args(["--config", &setting]);
        }
    }
}

/// Some programs write `name-1.2.3` for their version, most `name 1.2.3`.
fn is_gap(letter: char) -> bool {
    letter.is_whitespace() || letter == '-'
}
