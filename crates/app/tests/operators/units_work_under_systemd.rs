//! The package in a Debian that systemd has booted: what an operator does with the units.
//!
//! The guest acts by `units.sh`, in which every promise is a function of its name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use lifeboat_testkit::journal::{JournalDuty, JournalGuest};
use lifeboat_testkit::{Debian, Effort, lighten_key, tool};

use super::packages_come_and_go::{package, well};
use crate::trial::lifeboat;

const PACKAGES: &str = "systemd-sysv,udev,dbus,kmod,curl,lvm2,libvirt0,libvirt-daemon,\
                        libvirt-daemon-driver-qemu";
const MODULES: [&str; 3] = ["dm_mod", "dm_snapshot", "fuse"];
const ROOT_BYTES: u64 = 1 << 30;
/// Of the disk on which the guest makes volumes.
const VOLUMES_BYTES: u64 = 256 << 20;
const LAST_WORDS: &str = "GUEST ended";

/// Beside this file.
const SCRIPT: &str = include_str!("units.sh");
const PROMISES: [&str; 11] = [
    "the_package_starts_nothing",
    "the_service_is_active_when_it_answers",
    "doctor_finds_nothing_wrong",
    "machines_are_backed_up_inside_the_unit",
    "a_timer_runs_a_job",
    "places_and_hooks_outside_need_a_drop_in",
    "a_reload_takes_what_is_sound_and_tells_what_is_not",
    "a_killed_service_comes_back",
    "an_upgrade_starts_it_anew",
    "a_stop_gives_tasks_back_in_time",
    "the_package_goes_and_leaves_what_people_made",
];

#[test]
fn in_a_guest() {
    // Half a minute to make it, and some minutes without a processor that helps.
    if Effort::current() == Effort::Sample {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let Some(said) = life(place.path()) else {
        return;
    };
    println!("{said}");
    for promise in PROMISES {
        let verdict = format!("VERDICT yes {promise}");
        assert!(said.lines().any(|it| it == verdict), "not: {promise}");
    }
}

/// What the guest has said in its life.
fn life(place: &Path) -> Option<String> {
    let qemu = tool("qemu-system-x86_64")?;
    let kernel = place.join("kernel");
    fs::create_dir(&kernel).unwrap();
    let kernel = JournalGuest::build(&kernel)?;
    let debian = Debian::make(place, PACKAGES)?;
    JournalGuest::add_modules(&debian.path(""), &MODULES)?;
    furnish(place, &debian);
    let [root, volumes, serial] = ["root.raw", "volumes.raw", "serial"].map(|it| place.join(it));
    debian.into_disk(&root, ROOT_BYTES)?;
    let file = fs::File::create(&volumes).unwrap();
    file.set_len(VOLUMES_BYTES).unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "3600"]).arg(qemu);
    command.args([
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max,la57=off",
    ]);
    command.args(["-smp", "2", "-m", "1024", "-nodefaults", "-no-reboot"]);
    command.args(["-display", "none", "-nic", "none"]);
    command.args(["-append", &JournalGuest::line(JournalDuty::Root)]);
    command.arg("-kernel").arg(&kernel.kernel);
    command.arg("-initrd").arg(&kernel.initramfs);
    let line = format!("file:{}", serial.display());
    command.args(["-serial", &line]);
    for disk in [&root, &volumes] {
        let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
        command.args(["-drive", &drive]);
    }
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = fs::read(&serial).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(LAST_WORDS), "{complaints}\n{said}");
    Some(said)
}

/// The package, repositories, and a unit that acts.
fn furnish(place: &Path, debian: &Debian) {
    fs::copy(package(&place.join("out")), debian.path("lifeboat.deb")).unwrap();
    debian.write("etc/hostname", "box\n");
    debian.write("etc/hosts", "127.0.0.1 localhost box\n");
    debian.write("etc/fstab", "/dev/vda / ext4 defaults 0 0\n");
    debian.write("etc/modules-load.d/volumes.conf", &MODULES.join("\n"));
    let patience = "[Manager]\nDefaultTimeoutStartSec=600\nDefaultDeviceTimeoutSec=600\n";
    debian.write("etc/systemd/system.conf.d/patience.conf", patience);
    debian.write("acts", SCRIPT);
    let units = "etc/systemd/system";
    let acts = format!(
        "[Unit]\nDescription=Acts as an operator does\n[Service]\n\
         ExecStart=/bin/sh -c 'exec sh /acts {} > /dev/ttyS0 2>&1'\n",
        PROMISES.join(" ")
    );
    debian.write(&format!("{units}/acts.service"), &acts);
    // The package with Debian's own unit and users brings a firewall and more along.
    let libvirtd = "[Unit]\nDescription=libvirt\n[Service]\nExecStart=/usr/sbin/libvirtd\n";
    debian.write(&format!("{units}/libvirtd.service"), libvirtd);
    for (file, lines) in [
        (
            "etc/passwd",
            "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n",
        ),
        ("etc/group", "libvirt-qemu:x:64055:\nlibvirt:x:64056:\n"),
    ] {
        let known = fs::read_to_string(debian.path(file)).unwrap();
        debian.write(file, &(known + lines));
    }
    let wanted = debian.path(units).join("multi-user.target.wants");
    fs::create_dir_all(&wanted).unwrap();
    for unit in ["acts", "libvirtd"] {
        let unit = format!("{unit}.service");
        symlink(format!("../{unit}"), wanted.join(&unit)).unwrap();
    }
    symlink(
        "/dev/null",
        debian.path(units).join("serial-getty@ttyS0.service"),
    )
    .unwrap();
    debian.write("srv/password", "geheim\n");
    for name in ["var/backups/main", "backup/outside"] {
        let repository = debian.path(name);
        let mut init = Command::new(lifeboat());
        init.arg("-r").arg(&repository).arg("init");
        well(init.env("RESTIC_PASSWORD", "geheim"));
        lighten_key(&repository, "geheim");
    }
}
