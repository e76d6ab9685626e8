//! One image with a Linux system: its files are mounted and are as they were.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use lifeboat_testkit::{SeededEntropy, tool};
use rustix::process::{Pid, Signal};

use crate::Place;
use crate::files::tree;
use crate::files::walker::Entries;

const MIB: u64 = 1 << 20;
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const EFI: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const PROGRAMS: [&str; 5] = [
    "qemu-system-x86_64",
    "mke2fs",
    "mkfs.vfat",
    "mcopy",
    "sfdisk",
];

/// The usual table of its file systems.
const FSTAB: &str = "LABEL=root / ext4 defaults 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n";

/// A machine's system and its boot partition, as they were before they became an image.
pub(crate) struct Image {
    pub(crate) place: Place,
}

impl Image {
    /// Nothing where a program is missing.
    pub(crate) fn new(fstab: &str) -> Option<Self> {
        if !PROGRAMS.iter().all(|name| tool(name).is_some()) {
            return None;
        }
        let machine = Self {
            place: Place::new(),
        };
        let root = machine.root();
        fs::create_dir_all(root.join("srv")).unwrap();
        tree::nasty(&root.join("srv"));
        // The rescue VM would read the whole gigabyte of holes.
        fs::remove_file(root.join("srv/sparse")).unwrap();
        let sparse = File::create(root.join("srv/sparse")).unwrap();
        sparse.write_all_at(&[7; 9000], 3 << 20).unwrap();
        sparse.set_len(8 << 20).unwrap();
        // mke2fs has no room for a target of a whole path's length.
        fs::remove_file(root.join("srv/long target")).unwrap();
        for folder in ["etc", "boot/efi", "mnt", "var/cache"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("etc/fstab"), fstab).unwrap();
        fs::write(root.join("var/cache/left.cache"), "not worth keeping").unwrap();
        symlink("srv", root.join("data")).unwrap();
        whole_seconds(&root);
        fs::create_dir(machine.place.path("efi")).unwrap();
        fs::write(machine.place.path("efi/boot.cfg"), "timeout=1\n").unwrap();
        Some(machine)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.place.path("root")
    }

    /// Writes both into file systems, and these into the image.
    pub(crate) fn write(&self) {
        let [efi, root] = ["efi.vfat", "root.ext4"].map(|name| self.place.path(name));
        for (path, mib) in [(&efi, 34), (&root, 128)] {
            let _ = fs::remove_file(path);
            File::create(path).unwrap().set_len(mib * MIB).unwrap();
        }
        run(program("mkfs.vfat").arg(&efi));
        let config = self.place.path("efi/boot.cfg");
        run(program("mcopy").arg("-i").arg(&efi).arg(config).arg("::"));
        let mut make = program("mke2fs");
        make.args(["-q", "-t", "ext4", "-L", "root", "-d"]);
        run(make.arg(self.root()).arg(&root));
        self.assemble();
    }

    /// Writes both file systems into the image `vda.raw`, each into a partition.
    pub(crate) fn assemble(&self) {
        let [efi, root] = ["efi.vfat", "root.ext4"].map(|name| self.place.path(name));
        partition(&self.place.path("vda.raw"), &[(EFI, &efi), (LINUX, &root)]);
    }

    fn lifeboat(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command
            .args(["-r", "r"])
            .args(arguments)
            .current_dir(self.place.path(""))
            .env("RESTIC_PASSWORD_FILE", "password")
            .env("XDG_CACHE_HOME", self.place.path("cache"))
            .env("LIFEBOAT_THREADS", "2");
        command
    }

    /// Runs lifeboat, which must succeed; gives what it said.
    fn run(&self, arguments: &[&str]) -> String {
        run(&mut self.lifeboat(arguments))
    }
}

pub(crate) fn program(name: &str) -> Command {
    Command::new(tool(name).unwrap())
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {told}{said}");
    told
}

/// The maker of ext4 takes over whole seconds, and none before 1970.
fn whole_seconds(path: &Path) {
    let found = path.symlink_metadata().unwrap();
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            whole_seconds(&entry.unwrap().path());
        }
    }
    let time = UNIX_EPOCH + Duration::from_secs(found.mtime().clamp(0, 2_000_000_000) as u64);
    let times = rustix::fs::Timestamps {
        last_access: timespec(time),
        last_modification: timespec(time),
    };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

fn timespec(time: std::time::SystemTime) -> rustix::fs::Timespec {
    rustix::fs::Timespec {
        tv_sec: time.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64,
        tv_nsec: 0,
    }
}

/// Writes an image with a partition table that holds these images one after the other.
fn partition(image: &Path, parts: &[(&str, &Path)]) {
    let sizes: Vec<u64> = parts
        .iter()
        .map(|it| it.1.metadata().unwrap().len())
        .collect();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(image)
        .unwrap();
    file.set_len(sizes.iter().sum::<u64>() + 2 * MIB).unwrap();
    let mut script = "label: gpt\n".to_owned();
    let mut start = MIB;
    let mut starts = Vec::new();
    for ((kind, _), size) in parts.iter().zip(&sizes) {
        script += &format!("start={}, size={}, type={kind}\n", start / 512, size / 512);
        starts.push(start);
        start += size;
    }
    let mut sfdisk = program("sfdisk")
        .arg("-q")
        .arg(image)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    sfdisk
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(sfdisk.wait().unwrap().success());
    for ((_, part), start) in parts.iter().zip(starts) {
        file.write_all_at(&fs::read(part).unwrap(), start).unwrap();
    }
}

/// A mount that is there; killed and taken away if a test ends early.
struct Mount {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    folder: PathBuf,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::DETACH);
    }
}

impl Mount {
    fn new(machine: &Image, what: &str) -> Self {
        let folder = machine.place.path("mnt");
        fs::create_dir_all(&folder).unwrap();
        let mut command = machine.lifeboat(&["files", "mount", what, "mnt"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.contains("read-only, until"), "{line:?}");
        Self {
            child,
            output,
            folder,
        }
    }

    /// Ends it by a signal: it says so, and nothing is left.
    fn end(mut self) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::INT).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "unmounted\n");
        assert!(self.child.wait().unwrap().success());
        assert_eq!(fs::read_dir(&self.folder).unwrap().count(), 0);
    }
}

#[test]
fn the_files_of_a_machine_are_mounted_as_they_are() {
    let Some(machine) = Image::new(FSTAB) else {
        return;
    };
    if !Path::new("/dev/fuse").exists() {
        assert!(std::env::var_os("CI").is_none(), "there is no /dev/fuse");
        return;
    }
    machine.write();
    machine.run(&["init"]);
    machine.run(&["backup", "-m", "web01", "-d", "vda=vda.raw"]);
    let mount = Mount::new(&machine, "web01");
    let mut names: Vec<_> = fs::read_dir(&mount.folder)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["vda1", "vda2"]);
    let boot = fs::read_to_string(mount.folder.join("vda1/boot.cfg")).unwrap();
    assert_eq!(boot, "timeout=1\n");
    let system = mount.folder.join("vda2");
    Entries::of(&machine.root().join("srv")).assert_same(&Entries::of(&system.join("srv")));
    ranges_are_right(&machine.root(), &system);
    nothing_can_be_changed(&system);
    holes_are_told(&system);
    refusals_come_at_once(&machine);
    mount.end();
}

fn ranges_are_right(root: &Path, system: &Path) {
    let [ours, theirs] = [root, system].map(|it| File::open(it.join("srv/big")).unwrap());
    let size = ours.metadata().unwrap().len();
    let dice = SeededEntropy::new(5);
    for _ in 0..100 {
        let number: [u8; 8] = dice.bytes(8).try_into().unwrap();
        let offset = u64::from_le_bytes(number) % (size + 5000);
        let length = usize::from(number[0]) * 700 + 1;
        let [mut a, mut b] = [vec![0; length], vec![1; length]];
        let found = [ours.read_at(&mut a, offset), theirs.read_at(&mut b, offset)];
        let [a_length, b_length] = found.map(Result::unwrap);
        assert_eq!(a_length, b_length, "{length} bytes at {offset}");
        assert!(a[..a_length] == b[..b_length], "{length} bytes at {offset}");
    }
}

fn nothing_can_be_changed(system: &Path) {
    let error = fs::write(system.join("srv/new"), "x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(30), "read-only: {error}");
    let listed = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = listed
        .lines()
        .find(|line| line.starts_with("lifeboat-") && line.contains(" fuse"))
        .unwrap();
    for word in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(line.contains(&format!("{word},")), "{word}: {line}");
    }
}

fn holes_are_told(system: &Path) {
    let sparse = system.join("srv/sparse").metadata().unwrap();
    assert_eq!(sparse.len(), 8 << 20);
    assert!(sparse.blocks() * 512 < MIB, "{} blocks", sparse.blocks());
}

fn refusals_come_at_once(machine: &Image) {
    fs::create_dir_all(machine.place.path("full/x")).unwrap();
    let cases = [
        ("web01", "mnt", "mounted there already"),
        ("web01", "full", "not empty"),
        ("web01", "nowhere", "no such folder"),
        ("web02", "full/x", "web02"),
    ];
    for (what, folder, word) in cases {
        let output = machine
            .lifeboat(&["files", "mount", what, folder])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{said}");
    }
}
