//! The calls of lifeboat's own program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

use super::MACHINE;
use crate::narrator::Narrator;
use crate::process;

/// The demo's repository holds nothing worth a secret.
pub(super) const PASSWORD: &str = "a password for the demo";

pub(super) const REPOSITORY: &str = "repository";

/// lifeboat and the repository it works on.
#[derive(Debug)]
pub(crate) struct Lifeboat {
    pub(super) program: PathBuf,
    /// Where it is run, so that paths in the commands stay short.
    pub(super) folder: PathBuf,
}

/// What a backup takes.
#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) image: PathBuf,
    pub(crate) definition: PathBuf,
    /// The bitmap that says what changed since the backup before.
    pub(crate) bitmap: Option<&'static str>,
}

impl Lifeboat {
    /// The program must be there; the repository is made by `init`.
    pub(crate) fn new(program: &Path, folder: &Path) -> Result<Self> {
        let program = fs::canonicalize(program)
            .with_context(|| format!("looking for lifeboat at {}", program.display()))?;
        Ok(Self {
            program,
            folder: folder.to_owned(),
        })
    }

    /// Where the repository lies.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join(REPOSITORY)
    }

    /// Gives a command the repository's password.
    pub(crate) fn unlock<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("RESTIC_PASSWORD", PASSWORD)
    }

    /// The size of everything that lies in the repository.
    pub(crate) fn stored_bytes(&self) -> Result<u64> {
        folder_bytes(&self.repository())
    }

    pub(crate) fn init(&self, narrator: &mut Narrator) -> Result<()> {
        self.run(narrator, &["init"]).map(drop)
    }

    pub(crate) fn backup(&self, narrator: &mut Narrator, backup: &Backup) -> Result<Duration> {
        let disk = format!("vda={}", file_name(&backup.image));
        let definition = format!("machine.xml={}", file_name(&backup.definition));
        let bitmap = backup.bitmap.map(|name| format!("vda={name}"));
        let mut arguments = vec!["backup", "--machine", MACHINE, "--disk", &disk];
        arguments.extend(["--format", "vda=qcow2"]);
        if let Some(bitmap) = &bitmap {
            arguments.extend(["--bitmap", bitmap]);
        }
        arguments.extend(["--describe", &definition]);
        self.run(narrator, &arguments)
    }

    pub(crate) fn snapshots(&self, narrator: &mut Narrator) -> Result<Duration> {
        self.run(narrator, &["snapshots"])
    }

    /// What differs between the two newest snapshots.
    pub(crate) fn diff(&self, narrator: &mut Narrator) -> Result<()> {
        let names = self.snapshot_names()?;
        let [.., older, newer] = names.as_slice() else {
            bail!(
                "the repository holds {} snapshots, two were made",
                names.len()
            );
        };
        self.run(narrator, &["diff", older, newer]).map(drop)
    }

    pub(crate) fn check(&self, narrator: &mut Narrator) -> Result<Duration> {
        self.run(narrator, &["check"])
    }

    pub(crate) fn verify(&self, narrator: &mut Narrator) -> Result<Duration> {
        self.run(narrator, &["verify"])
    }

    /// Brings the newest state of the disk back as a raw file.
    pub(crate) fn restore(&self, narrator: &mut Narrator, target: &Path) -> Result<Duration> {
        let target = file_name(target);
        let what = ["restore", "latest", "--machine", MACHINE, "--disk", "vda"];
        self.run(narrator, &[&what[..], &["--target", &target]].concat())
    }

    /// Shows the command, runs it, shows what it answered, and gives how long it took.
    fn run(&self, narrator: &mut Narrator, arguments: &[&str]) -> Result<Duration> {
        let (name, rest) = arguments.split_first().context("no command for lifeboat")?;
        let words = [&[*name, "-r", REPOSITORY], rest].concat();
        narrator.command(&format!("lifeboat {}", words.join(" ")));
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(&words);
        let began = Instant::now();
        let answer = process::output(self.unlock(&mut command))?;
        let elapsed = began.elapsed();
        let folder = format!("{}/", self.folder.display());
        narrator.output(&answer.replace(&folder, ""));
        narrator.done(name, elapsed);
        Ok(elapsed)
    }

    /// Shortened names, oldest first, by the files that restic's format keeps for them.
    fn snapshot_names(&self) -> Result<Vec<String>> {
        let mut files: Vec<(SystemTime, String)> = Vec::new();
        let folder = self.repository().join("snapshots");
        for entry in fs::read_dir(&folder).context("listing snapshots")? {
            let entry = entry?;
            let name = entry
                .file_name()
                .to_string_lossy()
                .chars()
                .take(8)
                .collect();
            files.push((entry.metadata()?.modified()?, name));
        }
        files.sort();
        Ok(files.into_iter().map(|(_, name)| name).collect())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}
