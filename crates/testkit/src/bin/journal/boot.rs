//! The first process of a guest: brings up what there is, then keeps or judges.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use crate::{keep, tell, verdict};

const BUSYBOX: &str = "/bin/busybox";
const AGENT: &str = "/bin/qemu-ga";
const AGENT_PORT: &str = "org.qemu.guest_agent.0";
/// Paths of modules in the order of loading, one a line.
const MODULES: &str = "/modules";
/// What the first disk of a pair holds, and the second.
const FILE_SYSTEMS: [&str; 2] = ["ext4", "xfs"];

/// Runs the guest to its end.
pub(crate) fn run() -> ExitCode {
    let done = prepare().and_then(|()| match std::env::var("JOURNAL").as_deref() {
        Ok("judge") => judge(),
        Ok("root") => go_on_with_root(),
        _ => live(),
    });
    if let Err(error) = done {
        tell(&format!("failed: {error}"));
    }
    // Whoever waits for a word reads it before the machine is gone.
    let _ = busybox(&["sync"]).and_then(|()| busybox(&["poweroff", "-f"]));
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn busybox(words: &[&str]) -> io::Result<()> {
    match Command::new(BUSYBOX).args(words).status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(words.join(" "))),
    }
}

fn mount(kind: &str, device: &str, place: &str) -> io::Result<()> {
    fs::create_dir_all(place)?;
    busybox(&["mount", "-t", kind, device, place])
}

fn prepare() -> io::Result<()> {
    mount("proc", "proc", "/proc")?;
    mount("sysfs", "sysfs", "/sys")?;
    mount("devtmpfs", "devtmpfs", "/dev")?;
    // Not every kernel needs every one.
    for module in fs::read_to_string(MODULES)?.lines() {
        let _ = busybox(&["insmod", module]);
    }
    Ok(())
}

/// Mounts a pair of disks, the first one with this letter.
fn mount_pair(letter: u8) -> io::Result<[PathBuf; 2]> {
    let [first, second] = [letter, letter + 1].map(|it| format!("vd{}", char::from(it)));
    for (name, kind) in [(&first, FILE_SYSTEMS[0]), (&second, FILE_SYSTEMS[1])] {
        mount(kind, &format!("/dev/{name}"), &format!("/{name}"))?;
    }
    Ok([first, second].map(|name| Path::new("/").join(name)))
}

fn live() -> io::Result<()> {
    let folders = mount_pair(b'a')?;
    start_agent()?;
    let seed = std::env::var("JOURNAL_SEED").unwrap_or_default();
    let seed = seed.parse().map_err(|_| io::Error::other("no seed"))?;
    keep(seed, &folders)
}

/// Starts QEMU's agent where there is one, and a port to it.
fn start_agent() -> io::Result<()> {
    let ports = fs::read_dir("/sys/class/virtio-ports")
        .into_iter()
        .flatten();
    let port = ports.flatten().find(|port| {
        let name = fs::read_to_string(port.path().join("name"));
        name.is_ok_and(|name| name.trim_end() == AGENT_PORT)
    });
    let (Some(port), true) = (port, Path::new(AGENT).exists()) else {
        return Ok(());
    };
    for folder in ["/run", "/var/run", "/tmp"] {
        fs::create_dir_all(folder)?;
    }
    let port = Path::new("/dev").join(port.file_name());
    let mut agent = Command::new(AGENT);
    let agent = agent.args(["-m", "virtio-serial", "-t", "/run", "-p"]);
    agent.arg(port).spawn().map(drop)
}

/// Hands the machine over to the system on the first disk; comes back only with an error.
fn go_on_with_root() -> io::Result<()> {
    mount(FILE_SYSTEMS[0], "/dev/vda", "/root")?;
    for folder in ["/proc", "/sys"] {
        busybox(&["umount", folder])?;
    }
    let words = ["switch_root", "/root", "/sbin/init"];
    Err(Command::new(BUSYBOX).args(words).exec())
}

/// Judges every pair of disks; mounting is what replays their own journals.
fn judge() -> io::Result<()> {
    let folder = std::env::var("JOURNAL_FOLDER").unwrap_or_default();
    for (number, letter) in (b'a'..=b'z').step_by(2).enumerate() {
        if !Path::new(&format!("/dev/vd{}", char::from(letter))).exists() {
            break;
        }
        let folders = mount_pair(letter)?;
        let found = verdict(&folders[0].join(&folder), &folders[1]);
        tell(&format!("point {number}: {found}"));
        for folder in &folders {
            busybox(&["umount", &folder.to_string_lossy()])?;
        }
    }
    tell("all judged");
    Ok(())
}
