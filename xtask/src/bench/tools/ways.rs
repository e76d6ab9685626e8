//! Other ways to a disk's bytes or to a machine that runs, that are no backup programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Backup, Lifeboat, Restic, Tool, command, version_word};
use crate::bench::instant::Fallen;
use crate::bench::measure::Call;
use crate::bench::place::Place;
use crate::bench::rows::Suite;
use crate::bench::served::{Door, Service};
use crate::bench::site::Site;

/// qemu-nbd on the plain disk.
#[derive(Debug)]
pub(crate) struct QemuNbd;

/// `restic dump` of the disk.
#[derive(Debug)]
pub(crate) struct ResticDump(pub(crate) Restic);

/// cp of plain images.
#[derive(Debug)]
pub(crate) struct Copy;

/// `lifeboat machine recover --start`.
#[derive(Debug)]
pub(crate) struct Recovery(pub(crate) Lifeboat);

/// What no tool of this file does.
macro_rules! keeps_no_backups {
    () => {
        fn init(&self, _place: &Place) -> Vec<Call> {
            Vec::new()
        }

        fn backup(&self, _place: &Place, _backup: Backup<'_>) -> Option<Vec<Call>> {
            None
        }
    };
}

impl Tool for QemuNbd {
    keeps_no_backups!();

    fn name(&self) -> &'static str {
        "qemu-nbd"
    }

    fn version(&self) -> Result<String> {
        version_word(Path::new("qemu-nbd"), "--version", 1)
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite == Suite::Served
    }

    fn serve(&self, place: &Place, socket: &Path) -> Option<Service> {
        let mut command = command(Path::new("qemu-nbd"), place);
        command.args(["-r", "-t", "-f", "raw", "-e", "16", "-x", "vda", "-k"]);
        command.arg(socket).arg(place.disk());
        Some(Service {
            command,
            door: Door::Nbd,
        })
    }
}

impl Tool for ResticDump {
    keeps_no_backups!();

    fn name(&self) -> &'static str {
        "restic-dump"
    }

    fn version(&self) -> Result<String> {
        self.0.version()
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite == Suite::Served
    }

    fn dump(&self, place: &Place) -> Option<Call> {
        let mut command = self.0.command(place);
        command.args(["dump", "latest", "/disks/vda.raw"]);
        Some(Call {
            command,
            output: Some(PathBuf::from("/dev/null")),
        })
    }
}

impl Tool for Copy {
    keeps_no_backups!();

    fn name(&self) -> &'static str {
        "cp"
    }

    fn version(&self) -> Result<String> {
        version_word(Path::new("cp"), "--version", 3)
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite == Suite::Instant
    }

    fn start_again(&self, place: &Place, site: &Site, fallen: &Fallen) -> Option<Vec<Call>> {
        let mut copy = Command::new("cp");
        copy.current_dir(place.folder());
        copy.arg("--sparse=always").args(fallen.images());
        copy.arg(place.target().join("disks"));
        Some(vec![copy.into(), fallen.create(place, site).into()])
    }
}

impl Tool for Recovery {
    keeps_no_backups!();

    fn name(&self) -> &'static str {
        "recover"
    }

    fn version(&self) -> Result<String> {
        self.0.version()
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite == Suite::Instant
    }

    fn start_again(&self, place: &Place, site: &Site, fallen: &Fallen) -> Option<Vec<Call>> {
        let mut command = self.0.command(place, &["machine", "recover"]);
        command.args([fallen.name(), "--start", "-q", "-P", &site.uri(), "--to"]);
        // A folder ends with a slash.
        command.arg(place.target().join(""));
        Some(vec![command.into()])
    }
}
