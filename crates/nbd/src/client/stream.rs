//! The connection of a client, plain or under TLS.

use std::io::{self, IoSlice, Read, Write};

use rustls::{ClientConnection, StreamOwned};

use crate::socket::Socket;

/// Anything that carries bytes both ways.
pub(super) trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// A connection; one thread at a time uses it.
pub(super) enum ClientStream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
    Given(Box<dyn Duplex>),
}

impl ClientStream {
    /// Shakes hands on a plain connection.
    pub(super) fn encrypted(self, state: ClientConnection) -> io::Result<Self> {
        let Self::Plain(socket) = self else {
            return Err(io::Error::other("only a socket can be put under TLS"));
        };
        let mut stream = StreamOwned::new(state, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }
}

impl Read for ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Given(stream) => stream.read(buffer),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Given(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_vectored(parts),
            Self::Tls(stream) => stream.write_vectored(parts),
            Self::Given(stream) => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Given(stream) => stream.flush(),
        }
    }
}
