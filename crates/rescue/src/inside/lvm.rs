//! Logical volumes, by the host's own lvm.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use super::{modules, patience, places};

/// No udev, no daemons, no files of its own, and no checks by programs that are not here.
const CONFIGURATION: &str = "activation{udev_sync=0 udev_rules=0 monitoring=0 \
     thin_check_executable=\"\"} \
     global{thin_check_executable=\"\" cache_check_executable=\"\" use_lvmpolld=0 \
     event_activation=0 locking_dir=\"/run/lock/lvm\"} \
     devices{obtain_device_list_from_udev=0 use_devicesfile=0 \
     external_device_info_source=\"none\"} \
     backup{backup=0 archive=0}";
/// A group's description lies at the beginning of each of its disks.
const DESCRIPTION_BYTES: usize = 1 << 20;

/// Activates all groups on these devices; says what is missing.
pub(super) fn activate(members: &[&Path]) -> Result<(), String> {
    if !Path::new(places::LVM).exists() {
        return Err(
            "logical volumes need the program lvm on this host (Debian: lvm2); install it".into(),
        );
    }
    modules::load(&modules::LOGICAL);
    if members.iter().any(|device| has_raid(device)) {
        modules::load(&modules::RAID);
    }
    lvm("-ay")
}

/// Lets go of all volumes.
pub(super) fn deactivate() -> Result<(), String> {
    lvm("-an")
}

fn lvm(activation: &str) -> Result<(), String> {
    let mut command = Command::new(places::LVM);
    command.args(["vgchange", activation, "--config", CONFIGURATION]);
    patience::run(&mut command)
}

fn has_raid(device: &Path) -> bool {
    let mut bytes = vec![0; DESCRIPTION_BYTES];
    let read = File::open(device).and_then(|file| file.read_at(&mut bytes, 0));
    let word = b"type = \"raid";
    read.is_ok() && bytes.windows(word.len()).any(|window| window == word)
}
