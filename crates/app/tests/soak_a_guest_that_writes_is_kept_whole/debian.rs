//! A whole Debian: its root is the first disk, systemd its first process, the journal is kept by
//! a service, and QEMU's agent is Debian's own.

use std::fs;
use std::os::unix::fs::symlink;

use lifeboat_testkit::Debian;
use lifeboat_testkit::journal::JournalDuty;
use lifeboat_testkit::libvirtd::{qemu_img, shown};

use super::life::{Life, seed};

const ROOT_BYTES: u64 = 1 << 30;
const MEMORY_MIB: u32 = 768;
const PACKAGES: &str = "systemd-sysv,udev,dbus,qemu-guest-agent";
/// Where the service keeps the journal on the first disk.
const JOURNAL: &str = "var/lib/journal-guest";

/// Before its first boot; nothing where it cannot be made.
pub(super) fn life() -> Option<Life> {
    let life = Life::new(JournalDuty::Root, MEMORY_MIB, JOURNAL)?;
    let debian = Debian::make(&life.path("."), PACKAGES)?;
    furnish(&life, &debian);
    let raw = life.path("debian.raw");
    debian.into_disk(&raw, ROOT_BYTES)?;
    let image = shown(&life.image("vda"));
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", &shown(&raw), &image]);
    fs::remove_file(raw).unwrap();
    Some(life)
}

/// What makes a Debian this guest.
fn furnish(life: &Life, debian: &Debian) {
    debian.write("etc/hostname", "life\n");
    debian.write(
        "etc/fstab",
        "/dev/vda / ext4 defaults 0 0\n/dev/vdb /mnt/second xfs defaults 0 0\n",
    );
    // A guest's minutes are a busy host's, and nothing here may end for want of time.
    let patience = "[Manager]\nDefaultTimeoutStartSec=1800\nDefaultDeviceTimeoutSec=1800\n";
    debian.write("etc/systemd/system.conf.d/patience.conf", patience);
    let service = format!(
        "[Unit]\nDescription=Keeps a journal on two disks\nRequiresMountsFor=/mnt/second\n\
         [Service]\nExecStart=/bin/sh -c 'exec /usr/local/bin/journal keep {} /{JOURNAL} \
         /mnt/second > /dev/ttyS0'\n",
        seed()
    );
    let units = "etc/systemd/system";
    debian.write(&format!("{units}/journal.service"), &service);
    let wanted = debian.path(units).join("multi-user.target.wants");
    fs::create_dir_all(&wanted).unwrap();
    symlink("../journal.service", wanted.join("journal.service")).unwrap();
    // The guest's words are alone on the serial line.
    let prompt = debian.path(units).join("serial-getty@ttyS0.service");
    symlink("/dev/null", prompt).unwrap();
    for folder in [JOURNAL, "mnt/second"] {
        fs::create_dir_all(debian.path(folder)).unwrap();
    }
    fs::copy(&life.guest.program, debian.path("usr/local/bin/journal")).unwrap();
}
