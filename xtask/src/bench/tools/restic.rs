//! Stock restic, in several versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Backup, Form, RESTIC, Snapshot, Tool, add_force, asked, command, ids, version_word};
use crate::bench::instant::Fallen;
use crate::bench::measure::Call;
use crate::bench::place::Place;
use crate::bench::rows::Suite;
use crate::bench::served::{Door, Service};
use crate::bench::site::Site;

/// restic with its defaults: compression auto, packs of 16 MiB.
#[derive(Debug)]
pub(crate) struct Restic {
    name: &'static str,
    program: PathBuf,
    /// `restore --sparse` came with 0.15.
    has_sparse: bool,
}

impl Restic {
    pub(crate) fn new(name: &'static str, path: &Path, has_sparse: bool) -> Self {
        Self {
            name,
            program: path.to_owned(),
            has_sparse,
        }
    }

    pub(super) fn command(&self, place: &Place) -> Command {
        let mut command = command(&self.program, place);
        command.arg("-r").arg(place.repository());
        command.arg("--password-file").arg(place.password_file());
        command.arg("--cache-dir").arg(place.cache());
        command
    }
}

impl Tool for Restic {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Result<String> {
        version_word(&self.program, "version", 1)
    }

    fn takes_part(&self, suite: Suite) -> bool {
        match suite {
            Suite::Running => false,
            Suite::Served | Suite::Instant => self.name == RESTIC,
            _ => true,
        }
    }

    fn init(&self, place: &Place) -> Vec<Call> {
        let mut command = self.command(place);
        command.args(["init", "--repository-version", "2"]);
        vec![command.into()]
    }

    fn backup(&self, place: &Place, backup: Backup<'_>) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(["backup", "-q"]);
        add_force(&mut command, backup.how)?;
        command.args(["--tag", backup.label]).arg(place.disk());
        Some(vec![command.into()])
    }

    fn restore(&self, place: &Place, snapshot: &Snapshot, form: Form) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.arg("restore").arg(snapshot.id.as_ref()?);
        command.arg("--target").arg(place.target());
        if form == Form::Sparse {
            if !self.has_sparse {
                return None;
            }
            command.arg("--sparse");
        }
        Some(vec![command.into()])
    }

    fn verify(&self, place: &Place) -> Option<Vec<Call>> {
        asked(self.command(place), &["check", "--read-data"])
    }

    fn remove(&self, place: &Place, snapshots: &[Snapshot]) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(["forget", "--prune"]).args(ids(snapshots));
        Some(vec![command.into()])
    }

    fn list(&self, place: &Place) -> Option<Vec<Call>> {
        asked(self.command(place), &["snapshots"])
    }

    fn serve(&self, place: &Place, _socket: &Path) -> Option<Service> {
        let mut command = self.command(place);
        command.arg("mount").arg(place.target());
        let file = place.target().join("snapshots/latest/disks/vda.raw");
        Some(Service {
            command,
            door: Door::File(file),
        })
    }

    fn start_again(&self, place: &Place, site: &Site, fallen: &Fallen) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command.args(["restore", "latest", "--host", fallen.name(), "--sparse"]);
        command.arg("--target").arg(place.target());
        Some(vec![command.into(), fallen.create(place, site).into()])
    }

    fn trial(&self, place: &Place) -> Option<Vec<Call>> {
        let mut command = self.command(place);
        command
            .args(["backup", "-q", "--dry-run"])
            .arg(place.disk());
        Some(vec![command.into()])
    }
}
