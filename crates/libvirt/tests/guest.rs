//! A small guest with a file system and QEMU's guest agent: Debian's kernel, busybox, the agent.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lifeboat_platform::{GuestCommand, Platform};
use lifeboat_testkit::tool;

use crate::session::{Machine, Session, give_away, qcow2, qemu_img, shown, wait_for};

/// Modules that the guest loads, in this order, and what they need.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_console", "ext4"];

/// What an emulator on a busy computer is quickest with.
const KERNEL_LINE: &str = "console=ttyS0 quiet no_timer_check tsc=reliable nowatchdog nokaslr \
                           random.trust_cpu=on mitigations=off cryptomgr.notests";

const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt /run /var/run /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod $module; done
/bin/busybox mount -t ext4 /dev/vda /mnt
(while true; do /bin/busybox date >> /mnt/log; /bin/busybox sync
    /bin/busybox sleep 0.1; done) &
port=$(/bin/busybox grep -l org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name)
port=/dev/$(/bin/busybox basename $(/bin/busybox dirname $port))
while true; do /bin/qemu-ga -m virtio-serial -p $port -t /run; /bin/busybox sleep 1; done
";

/// The guest, with its agent answering; nothing where a part of it is not installed.
pub(crate) fn boot(session: &Session) -> Option<Machine<'_>> {
    let (image, initramfs) = prepare(session)?;
    let channel = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>\
                   </channel><serial type='file'><source path='@'/></serial>";
    let channel = channel.replace('@', &shown(&session.path("serial.log")));
    let disks = [qcow2("vda", 24)];
    let machine = session.defined("guest", &disks, &channel);
    make_file_system(session, &machine);
    let kernel = format!(
        "</type><kernel>{}</kernel><initrd>{}</initrd><cmdline>{KERNEL_LINE}</cmdline></os>",
        shown(&image),
        shown(&initramfs)
    );
    let xml = machine.xml(&channel).replace("</type></os>", &kernel);
    let xml = xml.replace(
        "<domain type='qemu'>",
        &format!("<domain type='qemu'><uuid>{}</uuid>", machine.id),
    );
    let xml = xml.replace("<memory unit='MiB'>32", "<memory unit='MiB'>160");
    // A freeze waits for all writes: not for this computer's busy disk too.
    let xml = xml.replace("<driver name='qemu'", "<driver name='qemu' cache='unsafe'");
    let file = session.path("guest.xml");
    fs::write(&file, xml).unwrap();
    session.virsh(&["define", &shown(&file)]);
    machine.start();
    wait_for(|| run(session, &machine, "true").is_some());
    Some(machine)
}

/// Runs a command of busybox in the guest and gives what it wrote.
pub(crate) fn run(session: &Session, machine: &Machine<'_>, words: &str) -> Option<String> {
    let command = GuestCommand {
        words: ["/bin/busybox"]
            .into_iter()
            .chain(words.split(' '))
            .map(str::to_owned)
            .collect(),
        environment: Vec::new(),
        limit: std::time::Duration::from_secs(30),
        output_bytes_max: 1 << 20,
    };
    let executed = session.platform.execute(&machine.id, &command).ok()?;
    Some(String::from_utf8(executed.output).unwrap())
}

fn make_file_system(session: &Session, machine: &Machine<'_>) {
    let raw = session.path("fs.raw");
    fs::File::create(&raw).unwrap().set_len(24 << 20).unwrap();
    let made = Command::new(tool("mke2fs").unwrap())
        .args(["-q", "-t", "ext4", &shown(&raw)])
        .status();
    assert!(made.unwrap().success());
    let image = machine.image("vda");
    qemu_img(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        &shown(&raw),
        &shown(&image),
    ]);
    give_away(&image);
}

/// The kernel and an archive of what the guest needs.
fn prepare(session: &Session) -> Option<(PathBuf, PathBuf)> {
    let (busybox, agent) = (tool("busybox")?, tool("qemu-ga")?);
    tool("cpio")?;
    let (release, kernel) = kernel()?;
    let root = session.path("root");
    for folder in ["bin", "lib/modules", "var"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    symlink("busybox", root.join("bin/sh")).unwrap();
    fs::copy(&agent, root.join("bin/qemu-ga")).unwrap();
    for library in words_of("ldd", &[&shown(&agent)]) {
        if library.starts_with('/') {
            copy_into(&root, Path::new(&library));
        }
    }
    let mut list = String::new();
    for module in MODULES {
        for word in words_of("modprobe", &["-S", &release, "--show-depends", module]) {
            // The way by the processor's instruction is not needed.
            if word.starts_with('/') && !word.contains("intel") && !list.contains(&word) {
                copy_into(&root, Path::new(&word));
                list += &format!("{word}\n");
            }
        }
    }
    fs::write(root.join("modules"), list).unwrap();
    fs::write(root.join("init"), INIT).unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let (image, initramfs) = (session.path("kernel"), session.path("initramfs"));
    fs::copy(kernel, &image).unwrap();
    pack(&root, &initramfs);
    give_away(&image);
    give_away(&initramfs);
    Some((image, initramfs))
}

/// The newest kernel of this machine that has its modules here.
fn kernel() -> Option<(String, PathBuf)> {
    let entries = fs::read_dir("/lib/modules").into_iter().flatten().flatten();
    let named = entries.map(|it| it.file_name().to_string_lossy().into_owned());
    let mut fitting: Vec<_> = named
        .map(|release| {
            (
                release.clone(),
                PathBuf::from(format!("/boot/vmlinuz-{release}")),
            )
        })
        .filter(|(_, image)| image.is_file())
        .collect();
    fitting.sort();
    let found = fitting.pop();
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "a kernel is missing (linux-image-amd64)"
        );
        eprintln!("SKIPPED: a kernel is missing (linux-image-amd64)");
    }
    found
}

fn words_of(program: &str, arguments: &[&str]) -> Vec<String> {
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{program} {}", arguments.join(" "));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().map(str::to_owned).collect()
}

fn copy_into(root: &Path, file: &Path) {
    let place = root.join(file.strip_prefix("/").unwrap());
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::copy(file, place).unwrap();
}

fn pack(root: &Path, archive: &Path) {
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | cpio --quiet -o -H newc"]);
    let pack = pack.current_dir(root).stdin(Stdio::null());
    let packed = pack.stdout(fs::File::create(archive).unwrap()).status();
    assert!(packed.unwrap().success());
}
