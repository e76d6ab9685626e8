//! borg, in the form that suits disk images best: a grid of 4 MiB that leaves out holes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Backup, Form, How, Snapshot, Tool, command, version_word};
use crate::bench::measure::Call;
use crate::bench::place::Place;

const BACKUP: [&str; 6] = [
    "create",
    "-C",
    "zstd,3",
    "--chunker-params",
    "fixed,4194304",
    "--sparse",
];

/// borg with encryption (repokey-blake2) and zstd level 3.
#[derive(Debug)]
pub(crate) struct Borg {
    program: PathBuf,
}

impl Borg {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            program: path.to_owned(),
        }
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = command(&self.program, place);
        command
            .env("BORG_BASE_DIR", place.home())
            .env("BORG_PASSPHRASE", place.password())
            .env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
        command
    }
}

fn archive(place: &Place, label: &str) -> String {
    format!("{}::{label}", place.repository().display())
}

impl Tool for Borg {
    fn name(&self) -> &'static str {
        "borg"
    }

    fn version(&self) -> Result<String> {
        version_word(&self.program, "--version", 1)
    }

    fn init(&self, place: &Place) -> Vec<Call> {
        let mut command = self.command(place);
        command.args(["init", "-e", "repokey-blake2"]);
        command.arg(place.repository());
        vec![command.into()]
    }

    fn backup(&self, place: &Place, backup: Backup<'_>) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(BACKUP);
        match backup.how {
            How::Changed(_) => return None,
            How::Reread => {
                command.arg("--files-cache=disabled");
            }
            How::Usual | How::Unchanged(_) => {}
        }
        command.arg(archive(place, backup.label)).arg(place.disk());
        Some(vec![command.into()])
    }

    fn restore(&self, place: &Place, snapshot: &Snapshot, form: Form) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.current_dir(place.target()).arg("extract");
        if form == Form::Sparse {
            command.arg("--sparse");
        }
        command.arg(archive(place, &snapshot.label));
        Some(vec![command.into()])
    }

    fn verify(&self, place: &Place) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(["check", "--verify-data"]);
        command.arg(place.repository());
        Some(vec![command.into()])
    }

    fn remove(&self, place: &Place, snapshots: &[Snapshot]) -> Option<Vec<Call>> {
        let mut delete = self.command(place);
        delete.arg("delete").arg(place.repository());
        delete.args(snapshots.iter().map(|it| &it.label));
        let mut compact = self.command(place);
        compact.arg("compact").arg(place.repository());
        Some(vec![delete.into(), compact.into()])
    }
}
