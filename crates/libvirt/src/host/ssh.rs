//! Another host, behind the system's own ssh.
//!
//! One connection carries everything that goes on at a time; it begins with the first need and
//! is made anew when it was lost. Nothing of ours is installed at the other end: scripts of a
//! few lines do there what this process does itself at home.

mod address;
mod files;
mod folder;
mod images;
mod line;
mod live;
mod refusal;
mod writer;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};

pub(crate) use address::{SshAddress, without_questions};
use folder::PrivateFolder;
use line::remote_line;
use live::{Live, READY, WAIT};
use refusal::{Refusal, no_program, refused, shown};

/// Longest path of a unix socket, in bytes: the kernel's limit without the final NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Another host.
#[derive(Clone)]
pub(crate) struct Ssh(Arc<Connection>);

struct Connection {
    address: SshAddress,
    /// The connection that lives, or has lived.
    master: Mutex<Option<Arc<Master>>>,
}

/// A connection that others use too, until the last of them is gone.
struct Master {
    address: SshAddress,
    live: Live,
    folder: PrivateFolder,
    /// Sockets that were made in the folder so far.
    count: AtomicU64,
}

/// A socket here that leads to one at the other end; goes when it is dropped.
struct Forward {
    master: Arc<Master>,
    path: PathBuf,
    /// Both ends, as ssh writes them.
    both: OsString,
}

impl Ssh {
    pub(crate) fn new(address: SshAddress) -> Self {
        Self(Arc::new(Connection {
            address,
            master: Mutex::new(None),
        }))
    }

    fn host(&self) -> String {
        self.0.address.shown()
    }

    /// The connection, made where there is none.
    fn master(&self) -> Result<Arc<Master>> {
        let kept = self.0.master.lock();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        if let Some(master) = kept.as_ref().filter(|it| it.live.is_alive()) {
            return Ok(Arc::clone(master));
        }
        *kept = None;
        let master = Arc::new(Master::begin(&self.0.address)?);
        *kept = Some(Arc::clone(&master));
        Ok(master)
    }

    /// Runs a script and gives what it says.
    fn run(
        &self,
        (doing, object): (&'static str, &Path),
        script: &str,
        arguments: &[&OsStr],
    ) -> Result<Vec<u8>> {
        self.run_with((doing, object), script, arguments, &[])
    }

    /// As [`Self::run`], with what the script reads.
    fn run_with(
        &self,
        (doing, object): (&'static str, &Path),
        script: &str,
        arguments: &[&OsStr],
        input: &[u8],
    ) -> Result<Vec<u8>> {
        let mut command = self.master()?.command(&remote_line(script, arguments));
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|e| no_program(&command, e))?;
        if let Some(mut pipe) = process.stdin.take() {
            // One that does not read says why when it ends.
            let _ = pipe.write_all(input);
        }
        let object = format!("{} on {}", object.display(), self.host());
        let ended = process.wait_with_output();
        let ended = ended.map_err(|e| Error::io(doing, object.clone(), e))?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        let refusal = Refusal {
            status: Some(ended.status),
            text: String::from_utf8_lossy(&ended.stderr).into_owned(),
        };
        Err(refused(&refusal, doing, &object))
    }

    /// Starts a script that lives until it is not wanted any more: its last line is [`WAIT`].
    fn live(
        &self,
        (doing, object): (&'static str, &Path),
        script: &str,
        arguments: &[&OsStr],
    ) -> Result<Live> {
        let command = self.master()?.command(&remote_line(script, arguments));
        let object = format!("{} on {}", object.display(), self.host());
        Live::start(command, doing, &object)
    }

    /// Makes a socket here that leads to one at the other end.
    fn forward(&self, socket: &Path) -> Result<Forward> {
        let failed = |kind| {
            let object = format!("{} on {}", socket.display(), self.host());
            Error::new(kind, "reaching the socket", object)
        };
        let there = forward_word(socket).ok_or_else(|| {
            failed(ErrorKind::Unsupported).seen(
                "ssh cannot forward a socket with this path; name a folder for scratch with a \
                 plain, short path",
            )
        })?;
        let master = self.master()?;
        let path = master.next_path();
        let mut both = path.clone().into_os_string();
        both.push(":");
        both.push(there);
        match master.ask("forward", &both) {
            Ok(()) => Ok(Forward { master, path, both }),
            Err(text) => Err(failed(ErrorKind::Unreachable)
                .seen(format!("ssh does not forward it: {}", shown(&text)))),
        }
    }
}

impl Master {
    fn begin(address: &SshAddress) -> Result<Self> {
        let folder = PrivateFolder::new()?;
        let mut command = Command::new(address.program());
        command.process_group(0);
        command.args(["-M", "-S"]).arg(folder.path().join("c"));
        let more = ["-o", "ControlPersist=no", "-o", "ClearAllForwardings=yes"];
        command.args(address.words(&more));
        command.arg(remote_line(&format!("echo '{READY}'{WAIT}"), &[]));
        let live = Live::start(command, "connecting by ssh to", &address.shown())?;
        Ok(Self {
            address: address.clone(),
            live,
            folder,
            count: AtomicU64::new(0),
        })
    }

    /// A call of ssh that goes over this connection.
    fn call(&self) -> Command {
        let mut command = Command::new(self.address.program());
        // What ends this process's group must not end what it still needs to clear away.
        command.process_group(0);
        command.arg("-S").arg(self.folder.path().join("c"));
        command
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.call();
        command.args(["-o", "ControlMaster=no", "-o", "LogLevel=ERROR"]);
        command.args(self.address.words(&["-o", "ClearAllForwardings=yes"]));
        command.arg(line);
        command
    }

    /// Asks the connection itself to begin or end a forward; gives the complaint.
    fn ask(&self, what: &str, both: &OsStr) -> std::result::Result<(), String> {
        let mut command = self.call();
        command.args(["-O", what, "-L"]).arg(both);
        command.args(self.address.words(&[]));
        let ended = command.stdin(Stdio::null()).output();
        let ended = ended.map_err(|e| e.to_string())?;
        match ended.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&ended.stderr).into_owned()),
        }
    }

    fn next_path(&self) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(number.to_string())
    }
}

impl Forward {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        if self.master.live.is_alive() {
            let _ = self.master.ask("cancel", &self.both);
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket's path as the end of a forward; nothing where ssh would read it otherwise.
fn forward_word(path: &Path) -> Option<OsString> {
    let bytes = path.as_os_str().as_bytes();
    let is_odd = bytes.iter().any(u8::is_ascii_control) || bytes.windows(2).any(|it| it == b"${");
    if is_odd || !path.is_absolute() || bytes.len() > SOCKET_PATH_BYTES_MAX {
        return None;
    }
    let mut word = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b':' | b'\\' => word.extend([b'\\', *byte]),
            b'%' => word.extend(b"%%"),
            other => word.push(*other),
        }
    }
    Some(OsString::from_vec(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_sockets_are_escaped_or_refused() {
        let word = |text: &str| forward_word(Path::new(text)).map(|it| it.into_string().unwrap());
        assert_eq!(word("/a/b.sock").as_deref(), Some("/a/b.sock"));
        assert_eq!(word("/a:b\\c%d$e").as_deref(), Some("/a\\:b\\\\c%%d$e"));
        for refused in ["a", "/${HOME}", "/a\nb", &format!("/{}", "x".repeat(107))] {
            assert_eq!(word(refused), None);
        }
    }
}
