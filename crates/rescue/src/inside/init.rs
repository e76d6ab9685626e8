//! The first process: makes the machine usable, finds the channel, serves, powers off.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mount::MountFlags;
use rustix::process::{Resource, Rlimit};
use rustix::system::RebootCommand;

use super::outlet::Outlet;
use super::{modules, patience, serve};
use crate::wire;

const PORTS: &str = "/sys/class/virtio-ports";
/// The host adds the port while modules are loaded already.
const PORT_PATIENCE: Duration = Duration::from_secs(20);
/// How often in a row the host must be missing, a second apart, to be taken for dead.
const ABSENCES_MAX: u32 = 5;
/// A walk holds one for each folder above.
const DESCRIPTORS_MAX: u64 = 16_384;

/// Runs the rescue VM to its end.
pub(super) fn run(is_writable: bool) -> ExitCode {
    if let Err(error) = prepare().and_then(|port| serve::serve(Outlet::new(port)?, is_writable)) {
        eprintln!("rescue VM: {error}");
    }
    rustix::fs::sync();
    // What fails here ends in a panic of the kernel, which ends the machine as well.
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    ExitCode::FAILURE
}

fn prepare() -> io::Result<File> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        rustix::mount::mount(kind, place, kind, flags, None)?;
    }
    let limit = Rlimit {
        current: Some(DESCRIPTORS_MAX),
        maximum: Some(DESCRIPTORS_MAX),
    };
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    modules::load(&modules::BOOT);
    let port = patience::wait_for(PORT_PATIENCE, find_port);
    let port = port.ok_or_else(|| io::Error::other("there is no port to the host"))?;
    let port = OpenOptions::new().read(true).write(true).open(port)?;
    end_with_host(port.try_clone()?);
    Ok(port)
}

/// Powers off when the host's program is gone: writes to the port would wait for it for ever.
fn end_with_host(port: File) {
    thread::spawn(move || {
        let mut absences = 0;
        while absences < ABSENCES_MAX {
            thread::sleep(Duration::from_secs(1));
            absences = if is_host_absent(&port) {
                absences + 1
            } else {
                0
            };
        }
        let _ = rustix::system::reboot(RebootCommand::PowerOff);
    });
}

fn is_host_absent(port: &File) -> bool {
    let mut polled = [PollFd::new(port, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let seen = rustix::event::poll(&mut polled, Some(&at_once));
    seen.is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

fn find_port() -> Option<PathBuf> {
    let ports = fs::read_dir(PORTS).ok()?.flatten();
    ports
        .filter(|port| {
            let name = fs::read_to_string(port.path().join("name"));
            name.is_ok_and(|name| name.trim_end() == wire::PORT)
        })
        .map(|port| PathBuf::from("/dev").join(port.file_name()))
        .find(|path| path.exists())
}
