//! A guest that writes for ever and can be judged at any instant: what it boots from, its disks,
//! and the same program as the judge of disks.
//!
//! Takes Debian's kernel with its modules, busybox, QEMU's guest agent and `bin/journal`, which
//! the Rust compiler of the tests makes a static program; gives a kernel and an initramfs.
//! Does not start machines but the judge's, which needs QEMU alone.
//!
//! The kernel's line says what the guest is: [`JournalGuest::line`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tool;

/// A busy host must not make the kernel doubt its clocks.
const KERNEL_LINE: &str = "console=ttyS0 quiet loglevel=3 no_timer_check tsc=reliable nowatchdog \
                           rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on nokaslr \
                           mitigations=off cryptomgr.notests";

/// Modules that the guest loads, in this order, with what they need before them.
const MODULES: [&str; 6] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "crc32c_generic",
    "ext4",
    "xfs",
];

/// Pairs of disks that one judge can take: letters end with z, and places on the bus before.
const PAIRS_MAX: usize = 12;

/// What the guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalDuty<'a> {
    /// Writes to `vda` (ext4) and `vdb` (xfs); the seed gives the life.
    Keep(u64),
    /// Goes on with the system on `vda`, which keeps a journal by a service of its own.
    Root,
    /// Judges pairs of disks; the journal is in this folder of the first of each.
    Judge(&'a str),
}

/// What a machine boots from.
#[derive(Clone, Debug)]
pub struct JournalGuest {
    /// Debian's.
    pub kernel: PathBuf,
    /// Holds the program, busybox, modules, and the agent.
    pub initramfs: PathBuf,
    /// The program, which larger guests run as a service.
    pub program: PathBuf,
}

/// Bytes and kind of a file system that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyDisk {
    /// With blocks of 4 KiB.
    Ext4(u64),
    /// 300 MiB at least.
    Xfs(u64),
}

impl JournalGuest {
    /// Makes everything in an empty folder; nothing where a part of it is not installed.
    pub fn build(folder: &Path) -> Option<Self> {
        let (busybox, agent, rustc) = (tool("busybox")?, tool("qemu-ga")?, tool("rustc")?);
        let (_, modprobe) = (tool("cpio")?, tool("modprobe")?);
        let (release, image) = newest_kernel()?;
        let root = folder.join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        let program = folder.join("journal");
        compile(&rustc, &program);
        fs::copy(&program, root.join("init")).unwrap();
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        fs::copy(&agent, root.join("bin/qemu-ga")).unwrap();
        for library in words_of(Path::new("ldd"), &[shown(&agent)]) {
            if library.starts_with('/') {
                copy_into(&root, Path::new(&library));
            }
        }
        let mut order = Vec::new();
        for module in MODULES {
            let arguments = ["-S", &release, "--show-depends", module];
            for word in words_of(&modprobe, &arguments) {
                // The way by the processor's instruction is not needed.
                if word.starts_with('/') && !word.contains("intel") && !order.contains(&word) {
                    copy_into(&root, Path::new(&word));
                    order.push(word);
                }
            }
        }
        fs::write(root.join("modules"), order.join("\n")).unwrap();
        let (kernel, initramfs) = (folder.join("kernel"), folder.join("initramfs"));
        fs::copy(image, &kernel).unwrap();
        pack(&root, &initramfs);
        fs::remove_dir_all(root).unwrap();
        Some(Self {
            kernel,
            initramfs,
            program,
        })
    }

    /// Puts modules of its kernel, and what they need, where a root's `modprobe` finds them.
    pub fn add_modules(root: &Path, modules: &[&str]) -> Option<()> {
        let (modprobe, depmod) = (tool("modprobe")?, tool("depmod")?);
        let (release, _) = newest_kernel()?;
        for module in modules {
            let arguments = ["-S", &release, "--show-depends", module];
            for word in words_of(&modprobe, &arguments) {
                if word.starts_with('/') {
                    copy_into(root, Path::new(&word));
                }
            }
        }
        for list in ["modules.builtin", "modules.order"] {
            copy_into(root, &Path::new("/lib/modules").join(&release).join(list));
        }
        words_of(&depmod, &["-b", shown(root), &release]);
        Some(())
    }

    /// The kernel's line; the first serial port is the console.
    pub fn line(duty: JournalDuty<'_>) -> String {
        let duty = match duty {
            JournalDuty::Keep(seed) => format!("JOURNAL=keep JOURNAL_SEED={seed}"),
            JournalDuty::Root => "JOURNAL=root systemd.show_status=false".to_owned(),
            JournalDuty::Judge(folder) => format!("JOURNAL=judge JOURNAL_FOLDER={folder}"),
        };
        format!("{KERNEL_LINE} {duty}")
    }

    /// Mounts pairs of raw disks in a guest, which replays what their file systems left open and
    /// writes to them, and judges them: records on both disks of each pair.
    ///
    /// # Panics
    /// When a pair is broken, with what is wrong, and when the guest fails.
    pub fn judge(&self, journal: &str, pairs: &[[PathBuf; 2]]) -> Vec<[u64; 2]> {
        let batches = pairs.chunks(PAIRS_MAX);
        batches
            .flat_map(|batch| self.judge_batch(journal, batch))
            .collect()
    }

    fn judge_batch(&self, journal: &str, pairs: &[[PathBuf; 2]]) -> Vec<[u64; 2]> {
        let line = Self::line(JournalDuty::Judge(journal));
        let mut qemu = Command::new(tool("qemu-system-x86_64").unwrap());
        qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max,la57=off"])
            .args(["-m", "512", "-nodefaults", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-append", &line])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs);
        for disk in pairs.iter().flatten() {
            let drive = format!("file={},if=virtio,format=raw,cache=unsafe", shown(disk));
            qemu.args(["-drive", &drive]);
        }
        let output = qemu.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let console = String::from_utf8_lossy(&output.stdout);
        assert!(console.contains("journal: all judged"), "{errors}{console}");
        let found = (0..pairs.len()).map(|number| {
            let start = format!("journal: point {number}: ");
            let said = console.lines().find_map(|line| line.split_once(&start));
            let (_, said) = said.unwrap_or_else(|| panic!("no word on {number}: {console}"));
            sound(said).unwrap_or_else(|| panic!("{:?}: {said}", pairs[number]))
        });
        found.collect()
    }
}

/// Records on both disks, from what the guest says of sound ones (`sound N M`).
pub fn sound(said: &str) -> Option<[u64; 2]> {
    let counts = said.trim().strip_prefix("sound ")?;
    let (first, second) = counts.split_once(' ')?;
    Some([first.parse().ok()?, second.parse().ok()?])
}

/// What a guest said on its console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Records on both disks when it came up, if it is up and found them sound.
    pub found: Option<[u64; 2]>,
    /// The last record that was durable on both disks.
    pub kept: u64,
    /// What it complained about.
    pub complaints: Vec<String>,
}

impl Said {
    /// Reads a console; a line that is not complete says nothing yet.
    pub fn of(console: &str) -> Self {
        let mut said = Self::default();
        for line in console.split_inclusive('\n') {
            let Some((_, words)) = line.split_once("journal: ") else {
                continue;
            };
            let Some(words) = words.strip_suffix('\n').map(str::trim_end) else {
                continue;
            };
            match words.split_once(' ') {
                Some(("kept", number)) => said.kept = number.parse().unwrap_or(said.kept),
                Some(("found", found)) if sound(found).is_some() => said.found = sound(found),
                _ => said.complaints.push(words.to_owned()),
            }
        }
        said
    }
}

impl EmptyDisk {
    /// Makes a qcow2 image that holds it.
    pub fn make(self, image: &Path) {
        let raw = image.with_extension("making");
        let file = File::create(&raw).unwrap();
        let (maker, arguments, bytes) = match self {
            Self::Ext4(bytes) => ("mke2fs", &["-q", "-t", "ext4", "-b", "4096"][..], bytes),
            Self::Xfs(bytes) => ("mkfs.xfs", &["-q"][..], bytes),
        };
        file.set_len(bytes).unwrap();
        let maker = tool(maker).unwrap();
        words_of(&maker, &[arguments, &[shown(&raw)]].concat());
        let convert = ["convert", "-f", "raw", "-O", "qcow2"];
        let qemu_img = tool("qemu-img").unwrap();
        words_of(
            &qemu_img,
            &[&convert[..], &[shown(&raw), shown(image)]].concat(),
        );
        fs::remove_file(raw).unwrap();
    }
}

/// Makes the guest's program: static, because there is nothing beside it.
fn compile(rustc: &Path, program: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/journal/main.rs");
    let mut command = Command::new(rustc);
    command
        .args(["--edition", "2024", "-O", "-C", "strip=symbols"])
        .args(["-C", "target-feature=+crt-static", "-o"])
        .args([program, &source]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "compiling the guest: {errors}");
}

/// The newest kernel of this machine that has its modules here.
fn newest_kernel() -> Option<(String, PathBuf)> {
    let entries = fs::read_dir("/lib/modules").into_iter().flatten().flatten();
    let releases = entries.map(|it| it.file_name().to_string_lossy().into_owned());
    let images = releases.map(|release| {
        let image = PathBuf::from(format!("/boot/vmlinuz-{release}"));
        (release, image)
    });
    let fitting: BTreeSet<_> = images.filter(|(_, image)| image.is_file()).collect();
    let missing = "a kernel is missing (linux-image-amd64)";
    if fitting.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    fitting.into_iter().next_back()
}

/// Runs a program, which must succeed, where Debian keeps those of superusers too.
fn words_of(program: &Path, arguments: &[&str]) -> Vec<String> {
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} {}: {errors}",
        program.display(),
        arguments.join(" ")
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().map(str::to_owned).collect()
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy_into(root: &Path, file: &Path) {
    let place = root.join(file.strip_prefix("/").unwrap());
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::copy(file, place).unwrap();
}

fn pack(root: &Path, archive: &Path) {
    let init = root.join("init");
    fs::set_permissions(init, fs::Permissions::from_mode(0o755)).unwrap();
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | cpio --quiet -o -H newc"]);
    let pack = pack.current_dir(root).stdin(Stdio::null());
    let packed = pack.stdout(File::create(archive).unwrap()).status();
    assert!(packed.unwrap().success());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_read_up_to_its_last_whole_line() {
        let console = "[ 1.0] noise\r\njournal: found sound 7 6\r\njournal: kept 8\r\n\
                       journal: kept 9\r\njournal: kept 1";
        let said = Said::of(console);
        assert_eq!(said.found, Some([7, 6]));
        assert_eq!((said.kept, said.complaints.len()), (9, 0));
        let said = Said::of("journal: found broken: a journal: x\njournal: failed: y\n");
        assert_eq!(said.found, None);
        assert_eq!(said.complaints.len(), 2);
    }
}
