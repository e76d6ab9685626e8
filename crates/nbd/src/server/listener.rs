//! Where clients come in.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::address::SOCKET_PATH_BYTES_MAX;
use crate::socket::Socket;
use crate::{Address, Error, Result};

const DOING: &str = "listening at";

/// Where clients come in.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, Placed),
}

/// The socket's file; removed with the listener, if it is still that file.
#[derive(Debug)]
struct Placed {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Listener {
    /// Listens at a host's number and a port, 0 for any that is free.
    ///
    /// Errors: `Busy` for a port in use; `NotFound` for an unknown host.
    pub fn tcp(host: &str, port: u16) -> Result<Self> {
        let place = Address::tcp(host, port, "");
        let failed = |cause: io::Error| match cause.kind() {
            io::ErrorKind::AddrInUse => Error::new(ErrorKind::Busy, DOING, &place)
                .seen("another program listens there")
                .because(cause),
            _ => Error::io(DOING, &place, cause),
        };
        let listener = TcpListener::bind((host, port)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self(Kind::Tcp(listener)))
    }

    /// Listens at a socket in the file system that only its owner may use (mode 0600).
    ///
    /// A socket that a server left behind when it was killed is replaced, never another file
    /// and never a socket where somebody listens. The file is never open to others, not even
    /// for a moment: it is made in a folder of its own and moved.
    ///
    /// Errors: `Busy` where somebody listens; `Exists` where there is another file; `Invalid`
    /// for a path of more than 107 bytes.
    pub fn unix(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = |cause: io::Error| Error::io(DOING, &shown, cause);
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(Error::new(ErrorKind::Invalid, DOING, shown)
                .seen("a socket's path has at most 107 bytes: choose a shorter one"));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Held while we look and move: two servers that start at once see each other.
        let turn = File::open(folder).map_err(failed)?;
        flock(&turn, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        remove_stale(path)?;
        let listener = place(path, folder).map_err(failed)?;
        let placed = fs::symlink_metadata(path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self(Kind::Unix(
            listener,
            Placed {
                path: path.to_owned(),
                device: placed.dev(),
                inode: placed.ino(),
            },
        )))
    }

    /// Where it listens, for the default export.
    pub fn address(&self) -> Address {
        match &self.0 {
            Kind::Unix(_, placed) => Address::unix(&placed.path, ""),
            Kind::Tcp(listener) => match listener.local_addr() {
                Ok(place) => Address::tcp(&place.ip().to_string(), place.port(), ""),
                Err(_) => Address::tcp("", 0, ""),
            },
        }
    }

    pub(super) fn accept(&self) -> io::Result<Socket> {
        match &self.0 {
            Kind::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Ok(Socket::Unix(stream))
            }
            Kind::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Socket::of_tcp(stream)
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// Removes a socket where nobody listens; leaves a free path as it is.
fn remove_stale(path: &Path) -> Result<()> {
    let refuse = |kind, seen: &'static str| Err(Error::new(kind, DOING, path.display()).seen(seen));
    let failed = |cause| Error::io(DOING, path.display(), cause);
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed(cause)),
        Ok(found) if !found.file_type().is_socket() => {
            return refuse(
                ErrorKind::Exists,
                "there is a file that is no socket: choose another path",
            );
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(cause) => Err(failed(cause)),
        Ok(_) => refuse(ErrorKind::Busy, "another server listens there"),
    }
}

/// Makes the socket in a folder that only we may enter, closes it to others, moves it.
fn place(path: &Path, folder: &Path) -> io::Result<UnixListener> {
    let name = format!(".nbd-{}", std::process::id());
    let private = folder.join(name);
    // What a killed server of our number left; nobody else is here while we hold the folder.
    drop(fs::remove_file(private.join("s")));
    drop(fs::remove_dir(&private));
    fs::DirBuilder::new().mode(0o700).create(&private)?;
    let made = private.join("s");
    let bound = bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        renameat_with(CWD, &made, CWD, path, RenameFlags::NOREPLACE)?;
        Ok(listener)
    });
    if bound.is_err() {
        drop(fs::remove_file(&made));
    }
    drop(fs::remove_dir(&private));
    bound
}

/// Binds through the folder's number: the path itself may be as long as the kernel allows.
fn bind(made: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(made) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let folder = made.parent().unwrap_or(Path::new("."));
            let held = OpenOptions::new().read(true).open(folder)?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&held);
            UnixListener::bind(format!("/proc/self/fd/{number}/s"))
        }
        bound => bound,
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        let is_ours = found.is_ok_and(|it| it.dev() == self.device && it.ino() == self.inode);
        if is_ours {
            drop(fs::remove_file(&self.path));
        }
    }
}
