//! A newer stock restic than the machine's own, unpacked from a newer Debian suite.
//!
//! apt fetches it through lists and caches of our own from the mirror that the machine uses
//! already, and checks its signature with the machine's keys; nothing on the machine changes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian;
use crate::process;

/// The name under which tests find it.
const PROGRAM: &str = "restic-new";
/// Newest first; the next is taken where a mirror has no such suite.
const SUITES: [&str; 2] = ["sid", "trixie"];

/// Puts `restic-new` into the folder of tools unless it is there; gives its version.
pub(crate) fn install(tools: &Path) -> Result<String> {
    let program = tools.join(PROGRAM);
    if !process::succeeds(Command::new(&program).arg("version")) {
        fetch(tools, &program)?;
    }
    let words = process::output(Command::new(&program).arg("version"))?;
    Ok(words
        .split_whitespace()
        .nth(1)
        .unwrap_or("of unknown version")
        .to_owned())
}

fn fetch(tools: &Path, program: &Path) -> Result<()> {
    let mirror = debian::mirror()?;
    let mut errors = Vec::new();
    let suites = tools.join("suites");
    for suite in SUITES {
        let apt = PrivateApt::new(&suites.join(suite));
        match apt.unpack_restic(&mirror, suite) {
            Ok(unpacked) => {
                fs::copy(&unpacked, program).context("copying the newer restic")?;
                return fs::remove_dir_all(&suites).context("removing apt's private lists");
            }
            Err(error) => errors.push(format!("{suite}: {error:#}")),
        }
    }
    bail!("no newer restic from any suite\n{}", errors.join("\n"))
}

/// An apt with lists and cache in a folder of its own.
#[derive(Debug)]
struct PrivateApt {
    folder: PathBuf,
}

impl PrivateApt {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn unpack_restic(&self, mirror: &str, suite: &str) -> Result<PathBuf> {
        for folder in ["lists/partial", "cache/archives/partial", "root"] {
            fs::create_dir_all(self.folder.join(folder)).context("creating apt's folders")?;
        }
        fs::write(self.sources(), format!("deb {mirror} {suite} main\n"))
            .context("writing apt's source list")?;
        process::quiet(&mut self.apt_get(&["update", "-qq", "--error-on=any"]))?;
        process::quiet(&mut self.apt_get(&["download", "-qq", "restic"]))?;
        let root = self.folder.join("root");
        let mut unpack = Command::new("dpkg-deb");
        process::quiet(unpack.arg("-x").arg(self.downloaded()?).arg(&root))?;
        Ok(root.join("usr/bin/restic"))
    }

    fn apt_get(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("apt-get");
        command.current_dir(&self.folder);
        for (key, value) in [
            ("Dir::Etc::sourcelist=", self.sources()),
            ("Dir::Etc::sourceparts=", "-".into()),
            ("Dir::State::lists=", self.folder.join("lists")),
            ("Dir::Cache=", self.folder.join("cache")),
            ("APT::Sandbox::User=", "".into()),
        ] {
            let mut option = OsString::from(key);
            option.push(value);
            command.arg("-o").arg(option);
        }
        command.args(arguments);
        command
    }

    fn sources(&self) -> PathBuf {
        self.folder.join("sources.list")
    }

    fn downloaded(&self) -> Result<PathBuf> {
        for entry in fs::read_dir(&self.folder).context("listing apt's folder")? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                return Ok(path);
            }
        }
        bail!("apt downloaded no package")
    }
}
