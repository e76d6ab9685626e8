//! A guest with a real device mapper, on a computer whose own kernel may have none.
//!
//! Boots a kernel with an archive of files in memory: the computer's own LVM with its libraries,
//! and this very test binary, which acts inside. No root, no network, no acceleration is needed.
//! What is acted goes over the serial line; images over a bare second disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

mod archive;

use archive::Archive;

/// Set inside of the guest: what this binary is to do there.
pub(crate) const INSIDE: &str = "LIFEBOAT_LVM_INSIDE";

/// Bytes of the disk that becomes a volume group.
const GROUP_DISK_BYTES: u64 = 512 << 20;
/// Bytes of the disk that takes images; sparse.
const IMAGES_DISK_BYTES: u64 = 2 << 30;

/// Programs of this computer that the guest gets, by their names.
const PROGRAMS: [&str; 4] = ["lvm", "dmsetup", "thin_check", "thin_delta"];
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

const LVM_SETTINGS: &str = r#"
devices {
    dir="/dev" obtain_device_list_from_udev=0 external_device_info_source="none"
    use_devicesfile=0 multipath_component_detection=0 md_component_detection=0
    filter=["a|^/dev/vda$|", "r|.*|"]
}
activation { udev_sync=0 udev_rules=0 verify_udev_operations=1 monitoring=0 }
global {
    locking_dir="/run/lock/lvm" thin_check_executable="/usr/sbin/thin_check"
    event_activation=0 use_lvmpolld=0
}
backup { backup=0 archive=0 }
"#;

const INIT: &str = r#"#!/bin/busybox sh
export PATH=/usr/sbin:/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mount -t tmpfs t /tmp
mount -t tmpfs r /run; mkdir -p /run/lock/lvm
while read m; do insmod /modules/$m; done < /modules/order
dmesg -n 1
LIFEBOAT_LVM_INSIDE=act RUST_BACKTRACE=0 /program --exact inside::acts --nocapture --test-threads=1
echo "GUEST ended with $?"
sync; poweroff -f
"#;

/// What a guest left.
pub(crate) struct Left {
    /// What it said.
    pub(crate) said: String,
    images: PathBuf,
    _place: tempfile::TempDir,
}

/// Boots a guest and waits for its end; nothing, said loudly, where the parts are missing.
pub(crate) fn boot() -> Option<Left> {
    let qemu = lifeboat_testkit::tool("qemu-system-x86_64")?;
    let kernel = kernel()?;
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("archive");
    fs::write(&archive, files(&kernel)?).unwrap();
    let disk = |name: &str, bytes: u64| {
        let path = place.path().join(name);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    };
    let (group, images) = (
        disk("group", GROUP_DISK_BYTES),
        disk("images", IMAGES_DISK_BYTES),
    );
    let serial = place.path().join("serial");
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg("3600").arg(qemu);
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "1024",
    ]);
    command.args([
        "-nodefaults",
        "-nographic",
        "-no-reboot",
        "-monitor",
        "none",
        "-nic",
        "none",
    ]);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    command.arg("-kernel").arg(kernel.join("vmlinuz"));
    command.arg("-initrd").arg(&archive);
    command
        .arg("-serial")
        .arg(format!("file:{}", serial.display()));
    for disk in [&group, &images] {
        let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
        command.args(["-drive", &drive]);
    }
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).replace('\r', "");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("GUEST ended with 0"), "{complaints}\n{said}");
    Some(Left {
        said,
        images,
        _place: place,
    })
}

/// The folder of the unpacked kernel.
fn kernel() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("LIFEBOAT_GUEST_KERNEL").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| workspace.join("target/tools/guest-kernel"));
    if folder.join("order").is_file() {
        return Some(folder);
    }
    let missing = "the guest's kernel is missing (cargo xtask setup, or set LIFEBOAT_GUEST_KERNEL)";
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

fn files(kernel: &Path) -> Option<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "mnt", "proc", "run", "sys", "tmp"] {
        archive.folder(folder);
    }
    archive.file("init", INIT.as_bytes());
    archive.file("etc/lvm/lvm.conf", LVM_SETTINGS.as_bytes());
    archive.file(
        "bin/busybox",
        &fs::read(lifeboat_testkit::tool("busybox")?).unwrap(),
    );
    for name in PROGRAMS {
        let path = program(name)?;
        archive.program(&format!("usr/sbin/{name}"), &path);
    }
    archive.program("program", &std::env::current_exe().unwrap());
    for entry in fs::read_dir(kernel).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "vmlinuz" {
            archive.file(&format!("modules/{name}"), &fs::read(&path).unwrap());
        }
    }
    Some(archive.finished())
}

/// A system program, also for those whose `PATH` does not lead there.
fn program(name: &str) -> Option<PathBuf> {
    let mut paths = PROGRAM_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name));
    paths
        .find(|path| path.is_file())
        .or_else(|| lifeboat_testkit::tool(name))
}

impl Left {
    /// What follows `key` in lines that begin with it.
    pub(crate) fn told<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.said
            .lines()
            .filter_map(move |line| line.strip_prefix(key))
    }

    /// An image that was put on the second disk.
    pub(crate) fn image(&self, name: &str) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let line = self
            .told("IMAGE ")
            .find(|line| line.split(' ').next() == Some(name))
            .unwrap_or_else(|| panic!("the guest left no image {name}\n{}", self.said));
        let numbers: Vec<u64> = line
            .split(' ')
            .skip(1)
            .map(|it| it.parse().unwrap())
            .collect();
        let mut image = vec![0; numbers[1] as usize];
        File::open(&self.images)
            .unwrap()
            .read_exact_at(&mut image, numbers[0])
            .unwrap();
        image
    }
}
