//! rustic, the other program that writes restic's format.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Backup, Form, Snapshot, Tool, add_force, asked, command, ids, version_word};
use crate::bench::measure::Call;
use crate::bench::place::Place;
use crate::bench::rows::Suite;

/// rustic with its defaults: restic's way of cutting.
#[derive(Debug)]
pub(crate) struct Rustic {
    program: PathBuf,
}

impl Rustic {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            program: path.to_owned(),
        }
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = command(&self.program, place);
        command.arg("-r").arg(place.repository());
        command.arg("--password-file").arg(place.password_file());
        command.arg("--cache-dir").arg(place.cache());
        command.arg("--no-progress");
        command
    }
}

impl Tool for Rustic {
    fn name(&self) -> &'static str {
        "rustic"
    }

    fn version(&self) -> Result<String> {
        version_word(&self.program, "--version", 1)
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite.is_of_disks() || suite == Suite::Fleet
    }

    fn init(&self, place: &Place) -> Vec<Call> {
        let mut command = self.command(place);
        command.arg("init");
        vec![command.into()]
    }

    fn backup(&self, place: &Place, backup: Backup<'_>) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.arg("backup");
        add_force(&mut command, backup.how)?;
        command.args(["--tag", backup.label]).arg(place.disk());
        Some(vec![command.into()])
    }

    fn restore(&self, place: &Place, snapshot: &Snapshot, form: Form) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.arg("restore");
        if form == Form::Sparse {
            command.args(["--sparse", "by-content"]);
        }
        command.arg(snapshot.id.as_ref()?).arg(place.target());
        Some(vec![command.into()])
    }

    fn verify(&self, place: &Place) -> Option<Vec<Call>> {
        asked(self.command(place), &["check", "--read-data"])
    }

    fn remove(&self, place: &Place, snapshots: &[Snapshot]) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(["forget", "--prune", "--instant-delete"]);
        command.args(ids(snapshots));
        Some(vec![command.into()])
    }

    fn list(&self, place: &Place) -> Option<Vec<Call>> {
        asked(self.command(place), &["snapshots"])
    }

    fn trial(&self, place: &Place) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(["backup", "--dry-run"]).arg(place.disk());
        Some(vec![command.into()])
    }
}
