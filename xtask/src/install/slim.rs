//! Programs built from their published sources, in the versions of their own lock files, without
//! parts that no test asks: only lists of features in manifests are changed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

/// What is changed in the manifest of one package.
#[derive(Debug)]
pub(crate) struct Slim {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    /// How lines of the published manifest begin, after spaces, that are left out.
    pub(crate) without: &'static [&'static str],
    /// Pieces of the rest manifest, and what stands there instead.
    pub(crate) pieces: &'static [(&'static str, &'static str)],
}

/// Puts the sources of all packages below `folder`, changed; the first is the program's.
///
/// Gives the command that builds the program with cargo, and lacks only its settings.
pub(crate) fn prepare(packages: &[Slim], folder: &Path) -> Result<Command> {
    let (program, others) = packages.split_first().context("no package to build")?;
    if folder.exists() {
        fs::remove_dir_all(folder).context("removing an earlier attempt")?;
    }
    fs::create_dir_all(folder).context("creating the folder of sources")?;
    let place = program.unpack(folder)?;
    let manifest = place.join("Cargo.toml");
    // Not a part of the workspace that the folder lies in.
    let text = fs::read_to_string(&manifest).context("reading a manifest")?;
    fs::write(&manifest, text + "\n[workspace]\n").context("changing a manifest")?;
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--manifest-path"]);
    command.arg(manifest);
    for other in others {
        let path = serde_json::Value::from(other.unpack(folder)?.display().to_string());
        let setting = format!("patch.crates-io.{}.path={path}", other.package);
        command.args(["--config", &setting]);
    }
    Ok(command)
}

impl Slim {
    /// Copies the published sources and changes the manifest.
    fn unpack(&self, folder: &Path) -> Result<PathBuf> {
        let place = folder.join(self.package);
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(self.published()?).arg(&place);
        process::quiet(&mut copy)?;
        let manifest = place.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).context("reading a manifest")?;
        let mut text: String = text
            .split_inclusive('\n')
            .filter(|it| self.keeps(it))
            .collect();
        for (old, new) in self.pieces {
            let name = self.package;
            ensure!(text.contains(old), "the manifest of {name} lacks {old:?}");
            text = text.replacen(old, new, 1);
        }
        fs::write(&manifest, text).context("changing a manifest")?;
        Ok(place)
    }

    fn keeps(&self, line: &str) -> bool {
        let line = line.trim_start();
        !self.without.iter().any(|start| line.starts_with(start))
    }

    /// Where cargo has unpacked the sources, after it was asked to look at them.
    fn published(&self) -> Result<PathBuf> {
        let wanted = format!("{}@{}", self.package, self.version);
        process::quiet(Command::new("cargo").args(["info", "--quiet", &wanted]))?;
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
        let registries = home.context("no home folder")?.join("registry/src");
        let name = OsString::from(format!("{}-{}", self.package, self.version));
        for registry in fs::read_dir(&registries).context("listing cargo's sources")? {
            let place = registry.context("listing cargo's sources")?.path();
            if place.join(&name).join("Cargo.toml").is_file() {
                return Ok(place.join(name));
            }
        }
        anyhow::bail!("cargo has not unpacked {wanted}")
    }
}
