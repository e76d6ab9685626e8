//! Connections of the two families, as one type.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_keepalive, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::Endpoint;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects within `time_max` for each of a host's numbers.
    pub(crate) fn connect(endpoint: &Endpoint, time_max: Duration) -> io::Result<Self> {
        match endpoint {
            Endpoint::Unix(path) => connect_unix(path, time_max).map(Self::Unix),
            Endpoint::Tcp { host, port } => {
                let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no number");
                for number in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&number, time_max) {
                        Ok(stream) => return Self::of_tcp(stream),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }

    /// Small messages leave at once; a peer that vanished is noticed.
    pub(crate) fn of_tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        set_socket_keepalive(&stream, true)?;
        Ok(Self::Tcp(stream))
    }

    /// A second handle of the same connection.
    pub(crate) fn another(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    /// The longest wait of one read; nothing for no limit.
    pub(crate) fn set_read_time_max(&self, time: Option<Duration>) -> io::Result<()> {
        let time = time.map(|time| time.max(Duration::from_millis(1)));
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(time),
            Self::Unix(stream) => stream.set_read_timeout(time),
        }
    }

    /// The longest wait of one write; nothing for no limit.
    pub(crate) fn set_write_time_max(&self, time: Option<Duration>) -> io::Result<()> {
        let time = time.map(|time| time.max(Duration::from_millis(1)));
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(time),
            Self::Unix(stream) => stream.set_write_timeout(time),
        }
    }

    /// Ends one or both directions, for all handles; one that has ended already stays so.
    pub(crate) fn shut(&self, how: Shutdown) {
        drop(match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        });
    }
}

/// A listener that never accepts must not hold us: `connect` itself has no limit.
fn connect_unix(path: &Path, time_max: Duration) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(time_max))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    set_socket_timeout(&socket, Timeout::Send, None)?;
    Ok(socket.into())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            Self::Unix(stream) => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a head and a payload behind it, without putting them together first.
pub(crate) fn write_both(
    writer: &mut (impl Write + ?Sized),
    head: &[u8],
    payload: &[u8],
) -> io::Result<()> {
    let mut parts = [IoSlice::new(head), IoSlice::new(payload)];
    let mut left = &mut parts[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match writer.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}
