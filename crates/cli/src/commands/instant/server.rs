//! The process that gives a machine its disks, apart from the command that started it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::instant::InstantFolder;
use lifeboat_control::{SnapshotDisks, of_nbd};
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_nbd::{Exports, Listener, Server, ServerOptions};
use lifeboat_repository::{LockMode, snapshots};

use crate::args::InstantNameArguments;
use crate::context::Context;
use crate::error::{Error, Result};

/// Between two looks whether the server is asked to stop.
const POLL: Duration = Duration::from_millis(100);
/// How long clients may go on when it is.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Users as whom system daemons run QEMU.
const QEMU_USERS: [&str; 2] = ["libvirt-qemu", "qemu"];

/// Starts the server of a machine; it lives on when this process ends.
///
/// The password goes through a pipe: it is in no argument and in no file.
pub(super) fn spawn(context: &Context, folder: &InstantFolder, name: &VmName) -> Result<()> {
    let failed = |doing: &str, e: std::io::Error| {
        Error::new(ErrorKind::of_io(&e), format!("cannot {doing}: {e}"))
    };
    let state = folder.load()?;
    let password = context.password()?.get()?;
    let log = File::create(folder.log()).map_err(|e| failed("write the server's log", e))?;
    let errors = log
        .try_clone()
        .map_err(|e| failed("write the server's log", e))?;
    let base = folder.path().parent().unwrap_or(folder.path());
    let program = std::env::current_exe().map_err(|e| failed("find this program", e))?;
    let mut child = Command::new(program)
        .args([
            "-r",
            &state.repository,
            "-p",
            "/dev/stdin",
            "instant",
            "serve",
            "--state",
        ])
        .arg(base)
        .args(["--", name.as_str()])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|e| failed("start the server", e))?;
    if let Some(mut pipe) = child.stdin.take() {
        let written = pipe
            .write_all(password.expose())
            .and_then(|()| pipe.write_all(b"\n"));
        written.map_err(|e| failed("tell the server the password", e))?;
    }
    Ok(())
}

/// Serves the disks of a machine that runs from the repository until it is asked to stop.
pub(super) fn serve(context: &Context, arguments: &InstantNameArguments) -> Result<u8> {
    // The terminal that started it may go.
    let _ = rustix::process::setsid();
    let name: VmName = arguments.name.parse()?;
    let folder = InstantFolder::of(&arguments.state.folder, &name);
    let _turn = folder.lock_server()?;
    let state = folder.load()?;
    let repository = Arc::new(context.open()?);
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let id = state.snapshot.parse()?;
    let snapshot = snapshots::load(&repository, id)?;
    let index = Arc::new(context.load_index_to_read(&repository)?);
    let disks = SnapshotDisks::open(&repository, &index, &snapshot)?;
    let exports = Exports::new();
    disks.publish(&exports, Some(folder.path()))?;
    let listener = Listener::unix(&folder.socket());
    let listener = listener.map_err(|e| Error::from(of_nbd("cannot serve", e)))?;
    give_to_qemu(&folder);
    let server = Server::start(listener, exports, ServerOptions::default());
    let server = server.map_err(|e| Error::from(of_nbd("cannot serve", e)))?;
    while !context.environment.cancel.is_cancelled() {
        context.environment.clock.sleep(POLL);
    }
    server.stop(STOP_GRACE);
    Ok(0)
}

/// Lets the QEMU of a system daemon use the socket, which is this process's own else.
fn give_to_qemu(folder: &InstantFolder) {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let is_qemu = QEMU_USERS.contains(&name);
        is_qemu
            .then(|| fields.nth(1)?.parse::<u32>().ok())
            .flatten()
    });
    if let Some(number) = number {
        // Where QEMU runs as root this is of no use, and does no harm.
        let _ = chown(folder.socket(), Some(number), None);
    }
}
