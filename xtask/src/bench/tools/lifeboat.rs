//! Our own program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use super::{Backup, Deed, Form, How, LIFEBOAT, Snapshot, Tool, command, ids, version_word};
use crate::bench::instant::Fallen;
use crate::bench::measure::Call;
use crate::bench::place::Place;
use crate::bench::rows::Suite;
use crate::bench::served::{Door, SERVED, Service};
use crate::bench::site::Site;

/// lifeboat with its defaults.
#[derive(Debug)]
pub(crate) struct Lifeboat {
    program: PathBuf,
}

impl Lifeboat {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            program: path.to_owned(),
        }
    }

    pub(super) fn command(&self, place: &Place, verbs: &[&str]) -> Command {
        let mut command = command(&self.program, place);
        command.args(verbs).arg("-r").arg(place.repository());
        command.arg("-p").arg(place.password_file());
        command
    }
}

/// `vda=PATH`
fn of_disk(path: &Path) -> OsString {
    let mut word = OsString::from("vda=");
    word.push(path);
    word
}

impl Tool for Lifeboat {
    fn name(&self) -> &'static str {
        LIFEBOAT
    }

    fn version(&self) -> Result<String> {
        version_word(&self.program, "--version", 1)
    }

    fn takes_part(&self, _suite: Suite) -> bool {
        true
    }

    fn init(&self, place: &Place) -> Vec<Call> {
        vec![self.command(place, &["init"]).into()]
    }

    fn backup(&self, place: &Place, backup: Backup<'_>) -> Option<Vec<Call>> {
        let mut command = self.command(place, &["backup"]);
        command.args(["--json", "-m", backup.machine, "--tag", backup.label]);
        command.arg("-d").arg(of_disk(&place.disk()));
        if let How::Changed(list) | How::Unchanged(list) = backup.how {
            command.arg("--changed").arg(of_disk(list));
        }
        Some(vec![command.into()])
    }

    fn restore(&self, place: &Place, snapshot: &Snapshot, _form: Form) -> Option<Vec<Call>> {
        let mut command = self.command(place, &["restore"]);
        command.arg(snapshot.id.as_ref()?).args(["-d", "vda", "-t"]);
        command.arg(place.target().join("vda.raw"));
        Some(vec![command.into()])
    }

    fn verify(&self, place: &Place) -> Option<Vec<Call>> {
        Some(vec![self.command(place, &["verify"]).into()])
    }

    fn remove(&self, place: &Place, snapshots: &[Snapshot]) -> Option<Vec<Call>> {
        let mut command = self.command(place, &["forget"]);
        command.args(["--prune", "--instant"]).args(ids(snapshots));
        Some(vec![command.into()])
    }

    fn list(&self, place: &Place) -> Option<Vec<Call>> {
        Some(vec![self.command(place, &["snapshots"]).into()])
    }

    fn trial(&self, place: &Place) -> Option<Vec<Call>> {
        let mut command = self.command(place, &["backup"]);
        command.args(["--dry-run", "-m", "trial", "-d"]);
        command.arg(of_disk(&place.disk()));
        Some(vec![command.into()])
    }

    fn on_site(&self, place: &Place, site: &Site, machine: &str, deed: Deed) -> Option<Vec<Call>> {
        let command = match deed {
            Deed::Prepare => return Some(self.init(place)),
            Deed::Full | Deed::Increment => {
                let mut command = self.command(place, &["machine", "backup"]);
                command.args([machine, "-q", "-P", &site.uri(), "--scratch"]);
                command.arg(site.path("scratch"));
                command
            }
            Deed::BringBack => {
                let mut command = self.command(place, &["machine", "recover"]);
                command.args([machine, "-q", "-P", &site.uri(), "--as", "again", "--to"]);
                // A folder ends with a slash.
                command.arg(place.target().join(""));
                command
            }
        };
        Some(vec![command.into()])
    }

    fn serve(&self, place: &Place, socket: &Path) -> Option<Service> {
        let mut command = self.command(place, &["nbd"]);
        command.arg(SERVED).arg("--socket").arg(socket);
        Some(Service {
            command,
            door: Door::Nbd,
        })
    }

    fn start_again(&self, place: &Place, site: &Site, fallen: &Fallen) -> Option<Vec<Call>> {
        let mut command = self.command(place, &["instant", "start"]);
        command.args([fallen.name(), "-q", "-P", &site.uri(), "--state"]);
        // Sockets need short paths.
        command.arg(site.path("state"));
        Some(vec![command.into()])
    }

    fn remove_again(&self, place: &Place, site: &Site, fallen: &Fallen) -> Option<Vec<Call>> {
        let mut command = self.command(place, &["instant", "discard"]);
        command.arg(format!("{}-instant", fallen.name()));
        command.arg("--state").arg(site.path("state"));
        Some(vec![command.into()])
    }

    fn bytes_read(&self, words: &str) -> Option<u64> {
        let lines = words.lines().rev();
        let mut values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let summary = values.find(|value| value["message_type"] == "summary")?;
        let disks = summary["disks"].as_array()?;
        disks.iter().map(|disk| disk["bytes_read"].as_u64()).sum()
    }
}
