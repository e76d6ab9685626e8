//! A whole Debian: its root is the first disk, systemd its first process, the journal is kept by
//! a service, and QEMU's agent is Debian's own.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use lifeboat_testkit::journal::JournalDuty;
use lifeboat_testkit::libvirtd::{qemu_img, shown};
use lifeboat_testkit::tool;

use super::life::{Life, seed};

const ROOT_BYTES: u64 = 1 << 30;
const MEMORY_MIB: u32 = 768;
const PACKAGES: &str = "systemd-sysv,udev,dbus,qemu-guest-agent";
/// Where the service keeps the journal on the first disk.
const JOURNAL: &str = "var/lib/journal-guest";

/// Before its first boot; nothing where it cannot be made.
pub(super) fn life() -> Option<Life> {
    if !rustix::process::geteuid().is_root() {
        // This needs a superuser, not a program.
        eprintln!("SKIPPED: a Debian root cannot be made here");
        return None;
    }
    let life = Life::new(JournalDuty::Root, MEMORY_MIB, JOURNAL)?;
    let tree = life.path("debian");
    make_tree(&life, &tree)?;
    furnish(&life, &tree);
    let raw = life.path("debian.raw");
    File::create(&raw).unwrap().set_len(ROOT_BYTES).unwrap();
    let arguments = ["-q", "-t", "ext4", "-b", "4096", "-d", &shown(&tree)];
    succeeds(
        "mke2fs",
        &[&arguments[..], &[shown(&raw).as_str()]].concat(),
    )?;
    let image = shown(&life.image("vda"));
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", &shown(&raw), &image]);
    fs::remove_file(raw).unwrap();
    fs::remove_dir_all(tree).unwrap();
    Some(life)
}

/// Runs a program, which must succeed; nothing where it is not installed.
fn succeeds(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool(program)?).args(arguments).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn make_tree(life: &Life, tree: &Path) -> Option<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite.expect("the tests run on Debian");
    let format = "deb $(SITE) $(RELEASE) $(COMPONENT)";
    let arguments = ["indextargets", "--format", format, "Created-By: Packages"];
    let known = succeeds("apt-get", &arguments)?;
    let wanted = format!(" {suite} main");
    let source = known.lines().find(|line| line.ends_with(&wanted));
    let source = source.expect("apt knows a source of its own release");
    let sources = life.path("sources.list");
    fs::write(&sources, format!("{source}\n")).unwrap();
    let arguments = [
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--include",
        PACKAGES,
        "--aptopt",
        "APT::Install-Recommends \"false\"",
        "--dpkgopt",
        "force-unsafe-io",
        suite,
        &shown(tree),
        &shown(&sources),
    ];
    succeeds("mmdebstrap", &arguments).map(drop)
}

/// What makes a Debian this guest.
fn furnish(life: &Life, tree: &Path) {
    let write = |path: &str, text: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/hostname", "life\n");
    write(
        "etc/fstab",
        "/dev/vda / ext4 defaults 0 0\n/dev/vdb /mnt/second xfs defaults 0 0\n",
    );
    // A guest's minutes are a busy host's, and nothing here may end for want of time.
    let patience = "[Manager]\nDefaultTimeoutStartSec=1800\nDefaultDeviceTimeoutSec=1800\n";
    write("etc/systemd/system.conf.d/patience.conf", patience);
    let service = format!(
        "[Unit]\nDescription=Keeps a journal on two disks\nRequiresMountsFor=/mnt/second\n\
         [Service]\nExecStart=/bin/sh -c 'exec /usr/local/bin/journal keep {} /{JOURNAL} \
         /mnt/second > /dev/ttyS0'\n",
        seed()
    );
    let units = "etc/systemd/system";
    write(&format!("{units}/journal.service"), &service);
    let wanted = tree.join(units).join("multi-user.target.wants");
    fs::create_dir_all(&wanted).unwrap();
    symlink("../journal.service", wanted.join("journal.service")).unwrap();
    // The guest's words are alone on the serial line.
    let prompt = tree.join(units).join("serial-getty@ttyS0.service");
    symlink("/dev/null", prompt).unwrap();
    for folder in [JOURNAL, "mnt/second"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    fs::copy(&life.guest.program, tree.join("usr/local/bin/journal")).unwrap();
}
