//! virtnbdbackup: libvirt's pull backup into a folder of files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Backup, Deed, Tool, command};
use crate::bench::first_line;
use crate::bench::measure::Call;
use crate::bench::place::Place;
use crate::bench::rows::Suite;
use crate::bench::site::Site;

/// Debian's virtnbdbackup, plain or with lz4.
#[derive(Debug)]
pub(crate) struct Virtnbdbackup {
    pub(crate) is_compressed: bool,
}

impl Virtnbdbackup {
    fn back_up(&self, place: &Place, site: &Site, machine: &str, level: &str) -> Command {
        let mut command = command(Path::new("virtnbdbackup"), place);
        command.args(["-U", &site.uri(), "-d", machine, "-l", level, "-n"]);
        command.arg("-o").arg(folder(place, machine));
        command.arg("-S").arg(site.path("scratch"));
        command.arg("-f").arg(site.path("run/backup.sock"));
        if self.is_compressed {
            command.arg("-z");
        }
        command
    }
}

/// A machine's own folder: a full backup wants an empty one.
fn folder(place: &Place, machine: &str) -> PathBuf {
    place.repository().join(machine)
}

impl Tool for Virtnbdbackup {
    fn name(&self) -> &'static str {
        if self.is_compressed {
            "virtnbdbackup-lz4"
        } else {
            "virtnbdbackup"
        }
    }

    fn version(&self) -> Result<String> {
        first_line(Command::new("virtnbdbackup").arg("-V"))
    }

    fn takes_part(&self, suite: Suite) -> bool {
        suite == Suite::Running
    }

    fn init(&self, _place: &Place) -> Vec<Call> {
        Vec::new()
    }

    fn backup(&self, _place: &Place, _backup: Backup<'_>) -> Option<Vec<Call>> {
        None
    }

    fn on_site(&self, place: &Place, site: &Site, machine: &str, deed: Deed) -> Option<Vec<Call>> {
        let command = match deed {
            Deed::Prepare => return None,
            Deed::Full => self.back_up(place, site, machine, "full"),
            Deed::Increment => self.back_up(place, site, machine, "inc"),
            Deed::BringBack => {
                let mut command = command(Path::new("virtnbdrestore"), place);
                command.arg("-i").arg(folder(place, machine));
                command.arg("-o").arg(place.target()).arg("-n");
                command.arg("-f").arg(site.path("run/restore.sock"));
                command
            }
        };
        Some(vec![command.into()])
    }
}
