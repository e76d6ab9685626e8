//! A server's connection under TLS whose two directions are used by different threads.
//!
//! Neither direction holds the connection's state while it waits for the socket: a client that
//! does not read cannot keep us from reading what it sends.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConnection;

use super::TlsServer;

type Source = Box<dyn Read + Send>;
type Sink = Box<dyn Write + Send>;

/// Ciphertext that is read in one go, in bytes: two records.
const INCOMING_BYTES: usize = 32 << 10;
/// Plaintext that is sealed in one go, in bytes; rustls holds 64 KiB.
const OUTGOING_BYTES: usize = 64 << 10;

/// Order: whoever needs both takes `sink` first.
struct Shared {
    sink: Mutex<Sink>,
    state: Mutex<ServerConnection>,
}

/// Shakes hands and gives the two directions.
pub(crate) fn accept(tls: &TlsServer, source: Source, sink: Sink) -> io::Result<(Source, Sink)> {
    let state = ServerConnection::new(Arc::clone(&tls.config)).map_err(io::Error::other)?;
    let mut both = Both {
        source,
        sink,
        state,
    };
    both.shake_hands()?;
    let shared = Arc::new(Shared {
        sink: Mutex::new(both.sink),
        state: Mutex::new(both.state),
    });
    let incoming = Incoming {
        source: both.source,
        shared: Arc::clone(&shared),
        buffer: vec![0; INCOMING_BYTES],
        filled: 0..0,
    };
    let outgoing = Outgoing {
        shared,
        sealed: Vec::new(),
    };
    Ok((Box::new(incoming), Box::new(outgoing)))
}

struct Both {
    source: Source,
    sink: Sink,
    state: ServerConnection,
}

impl Both {
    fn shake_hands(&mut self) -> io::Result<()> {
        while self.state.is_handshaking() || self.state.wants_write() {
            while self.state.wants_write() {
                self.state.write_tls(&mut self.sink)?;
            }
            self.sink.flush()?;
            if !self.state.is_handshaking() {
                return Ok(());
            }
            if self.state.read_tls(&mut self.source)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(cause) = self.state.process_new_packets() {
                // The alert tells the client why.
                drop(self.state.write_tls(&mut self.sink));
                return Err(io::Error::new(io::ErrorKind::InvalidData, cause));
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Incoming {
    source: Source,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
}

impl Incoming {
    /// Opens what was read from the socket; says whether something is to be sent for it.
    fn open(&mut self) -> io::Result<bool> {
        let mut state = lock(&self.shared.state);
        let mut sealed = self.buffer.get(self.filled.clone()).unwrap_or_default();
        let taken = state.read_tls(&mut sealed)?;
        self.filled.start += taken;
        state
            .process_new_packets()
            .map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))?;
        Ok(state.wants_write())
    }

    /// Sends what TLS itself has to say, unless a reply is being written: that takes it along.
    fn answer(&self) -> io::Result<()> {
        let Ok(mut sink) = self.shared.sink.try_lock() else {
            return Ok(());
        };
        let mut sealed = Vec::new();
        drain(&mut lock(&self.shared.state), &mut sealed)?;
        sink.write_all(&sealed)
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match lock(&self.shared.state).reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.filled.is_empty() {
                let count = self.source.read(&mut self.buffer)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.filled = 0..count;
            }
            if self.open()? {
                self.answer()?;
            }
        }
    }
}

fn drain(state: &mut ServerConnection, sealed: &mut Vec<u8>) -> io::Result<()> {
    while state.wants_write() {
        state.write_tls(sealed)?;
    }
    Ok(())
}

struct Outgoing {
    shared: Arc<Shared>,
    sealed: Vec<u8>,
}

impl Outgoing {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sink = lock(&self.shared.sink);
        let mut left = bytes;
        while !left.is_empty() {
            self.sealed.clear();
            let mut state = lock(&self.shared.state);
            let part = left.get(..OUTGOING_BYTES).unwrap_or(left);
            let taken = state.writer().write(part)?;
            drain(&mut state, &mut self.sealed)?;
            drop(state);
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sink.write_all(&self.sealed)?;
            left = left.get(taken..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map(|()| bytes.len())
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        // One record each would cost more than these few bytes.
        let small: Vec<u8> = match parts {
            [head, payload] if head.len() + payload.len() <= OUTGOING_BYTES => {
                [&head[..], &payload[..]].concat()
            }
            _ => {
                let first = parts.iter().find(|part| !part.is_empty());
                return first.map_or(Ok(0), |part| self.write(part));
            }
        };
        self.write(&small)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Outgoing {
    /// Says that the end is meant, so that nobody can cut the connection short unnoticed.
    fn drop(&mut self) {
        let mut sink = lock(&self.shared.sink);
        let mut state = lock(&self.shared.state);
        state.send_close_notify();
        let mut sealed = Vec::new();
        drop(drain(&mut state, &mut sealed));
        drop(sink.write_all(&sealed));
    }
}
