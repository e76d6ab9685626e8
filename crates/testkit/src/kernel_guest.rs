//! A guest with a real device mapper and LVM, on a computer whose own kernel may have none.
//!
//! Boots a kernel with an archive of files in memory: the computer's own LVM with its libraries,
//! and whatever a test adds. No root, no network, no acceleration is needed. What happens inside
//! goes over the serial line; disks are plain files here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

mod archive;

use archive::Archive;

/// Programs of this computer that every guest gets, by their names.
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

/// A guest that is to be booted.
pub struct KernelGuest<'a> {
    /// A script of busybox, the guest's first process; `/modules/order` lists what to load.
    pub init: &'a str,
    /// The program that is there as `/program`.
    pub program: &'a Path,
    /// Bytes of its disks `vda`, `vdb` and so on; sparse.
    pub disks: &'a [u64],
    /// What it must say before it ends.
    pub last_words: &'a str,
}

/// What a guest left.
pub struct GuestLeft {
    /// What it said.
    pub said: String,
    /// Its disks.
    pub disks: Vec<PathBuf>,
    _place: tempfile::TempDir,
}

impl KernelGuest<'_> {
    /// Boots and waits for the end; nothing, said loudly, where the parts are missing.
    ///
    /// # Panics
    /// If the guest ends without its last words; with `CI` set, if parts are missing.
    pub fn boot(&self) -> Option<GuestLeft> {
        let qemu = crate::tool("qemu-system-x86_64")?;
        let kernel = kernel()?;
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join("archive");
        fs::write(&archive, self.files(&kernel)?).unwrap();
        let disks = ["vda", "vdb", "vdc", "vdd"].iter().zip(self.disks);
        let disks = disks.map(|(name, bytes)| {
            let path = place.path().join(name);
            File::create(&path).unwrap().set_len(*bytes).unwrap();
            path
        });
        let disks: Vec<PathBuf> = disks.collect();
        let serial = place.path().join("serial");
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "3600"]).arg(qemu);
        command.args(ARGUMENTS).arg(kernel.join("vmlinuz"));
        command.arg("-initrd").arg(&archive);
        let line = format!("file:{}", serial.display());
        command.arg("-serial").arg(line);
        for disk in &disks {
            let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
            command.args(["-drive", &drive]);
        }
        let ended = command.output().unwrap();
        let said = fs::read(&serial).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).replace('\r', "");
        let complaints = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains(self.last_words), "{complaints}\n{said}");
        Some(GuestLeft {
            said,
            disks,
            _place: place,
        })
    }

    fn files(&self, kernel: &Path) -> Option<Vec<u8>> {
        let mut archive = Archive::default();
        for folder in ["dev", "mnt", "proc", "run", "sys", "tmp"] {
            archive.folder(folder);
        }
        archive.file("init", self.init.as_bytes());
        archive.file("etc/lvm/lvm.conf", LVM_SETTINGS.as_bytes());
        let busybox = fs::read(crate::tool("busybox")?).unwrap();
        archive.file("bin/busybox", &busybox);
        for name in PROGRAMS {
            let path = program(name)?;
            archive.program(&format!("usr/sbin/{name}"), &path);
        }
        archive.program("program", self.program);
        for entry in fs::read_dir(kernel).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name != "vmlinuz" {
                archive.file(&format!("modules/{name}"), &fs::read(&path).unwrap());
            }
        }
        Some(archive.finished())
    }
}

/// QEMU's arguments up to the kernel's path: what an emulator is quickest with.
const ARGUMENTS: [&str; 18] = [
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max,la57=off",
    "-smp",
    "1",
    "-m",
    "1024",
    "-nodefaults",
    "-nographic",
    "-no-reboot",
    "-monitor",
    "none",
    "-nic",
    "none",
    "-append",
    "console=ttyS0 quiet panic=-1 no_timer_check tsc=reliable nowatchdog nokaslr \
     rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on mitigations=off cryptomgr.notests",
    "-kernel",
];

/// A folder with a kernel and modules for guests.
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

/// A system program, also for those whose `PATH` does not lead there.
fn program(name: &str) -> Option<PathBuf> {
    let mut paths = PROGRAM_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name));
    paths
        .find(|path| path.is_file())
        .or_else(|| crate::tool(name))
}

impl GuestLeft {
    /// What follows `key` in lines that begin with it.
    pub fn told<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.said
            .lines()
            .filter_map(move |line| line.strip_prefix(key))
    }

    /// Panics with all that was said unless the guest found a sentence true.
    pub fn assert_told(&self, sentence: &str) {
        let verdict = format!("yes {sentence}");
        let is_true = self.told("VERDICT ").any(|it| it == verdict);
        assert!(is_true, "not: {sentence}\n{}", self.said);
    }
}
