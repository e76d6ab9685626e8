//! Time limits of a connection's incoming side.

use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::socket::Socket;

/// What the other side is expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// To finish the handshake before a moment, however slowly it sends.
    Handshake = 0,
    /// To begin a request some time.
    Idle = 1,
    /// To go on sending what it began.
    Request = 2,
}

/// Shared by who reads and who knows what is read.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    phase: Arc<AtomicU8>,
    socket: Option<Arc<Socket>>,
}

impl Pace {
    /// The pace of a connection that can be hung up on, where it is a socket.
    pub(super) fn of(socket: Option<Socket>) -> Self {
        Self {
            phase: Arc::new(AtomicU8::new(Phase::Handshake as u8)),
            socket: socket.map(Arc::new),
        }
    }

    pub(super) fn idle(&self) {
        self.phase.store(Phase::Idle as u8, Ordering::Relaxed);
    }

    pub(super) fn in_request(&self) {
        self.phase.store(Phase::Request as u8, Ordering::Relaxed);
    }

    /// Ends the connection, also for the thread that waits for a request.
    pub(super) fn hang_up(&self) {
        if let Some(socket) = &self.socket {
            socket.shut(Shutdown::Both);
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Handshake,
            1 => Phase::Idle,
            _ => Phase::Request,
        }
    }
}

/// The longest waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) handshake: Duration,
    pub(super) stall: Duration,
    pub(super) idle: Option<Duration>,
}

/// A socket whose reads end in time.
pub(super) struct Paced {
    socket: Socket,
    pace: Pace,
    limits: Limits,
    handshake_end: Instant,
    /// What the socket was told last.
    time_max: Duration,
    /// Since when nothing came.
    quiet_since: Instant,
}

impl Paced {
    pub(super) fn new(socket: Socket, pace: Pace, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            socket,
            pace,
            limits,
            handshake_end: now + limits.handshake,
            time_max: Duration::ZERO,
            quiet_since: now,
        }
    }

    fn wait_at_most(&mut self, time: Duration) -> io::Result<()> {
        if self.time_max != time {
            self.socket.set_read_time_max(Some(time))?;
            self.time_max = time;
        }
        Ok(())
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let limit = match self.pace.phase() {
                Phase::Handshake => {
                    let left = self.handshake_end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    left
                }
                Phase::Idle | Phase::Request => self.limits.stall,
            };
            self.wait_at_most(limit)?;
            match self.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let quiet = self.quiet_since.elapsed();
                    let may_be_quiet = self.limits.idle.is_none_or(|idle| quiet < idle);
                    if self.pace.phase() != Phase::Idle || !may_be_quiet {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    self.quiet_since = Instant::now();
                    return read;
                }
            }
        }
    }
}
