//! The inner end of the channel.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::wire::{Reply, Request, read_frame, write_frame};

/// The port takes as much at once.
const BUFFER_BYTES: usize = 32 << 10;
/// How long nothing may be said during work.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Answers go out by it, requests come in.
#[derive(Debug)]
pub(super) struct Outlet {
    incoming: File,
    outgoing: BufWriter<File>,
    body: Vec<u8>,
    latest: Instant,
    is_stopped: bool,
}

impl Outlet {
    pub(super) fn new(port: File) -> io::Result<Self> {
        Ok(Self {
            incoming: port.try_clone()?,
            outgoing: BufWriter::with_capacity(BUFFER_BYTES, port),
            body: Vec::new(),
            latest: Instant::now(),
            is_stopped: false,
        })
    }

    /// Waits for the next request; an error if the host is gone.
    pub(super) fn next_request(&mut self) -> io::Result<Request> {
        self.outgoing.flush()?;
        self.is_stopped = false;
        read_frame(&mut self.incoming, &mut self.body)?;
        self.latest = Instant::now();
        Request::decode(&self.body).map_err(io::Error::other)
    }

    pub(super) fn send(&mut self, reply: &Reply) -> io::Result<()> {
        write_frame(&mut self.outgoing, &reply.encode())?;
        self.latest = Instant::now();
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.outgoing.flush()
    }

    /// To be called now and then during work: says that it goes on, and hears whether it should.
    pub(super) fn goes_on(&mut self) -> io::Result<bool> {
        if self.latest.elapsed() >= QUIET_MAX {
            self.alive()?;
        }
        if !self.is_stopped && self.has_request()? {
            read_frame(&mut self.incoming, &mut self.body)?;
            match Request::decode(&self.body).map_err(io::Error::other)? {
                Request::Stop => self.is_stopped = true,
                _ => return Err(io::Error::other("two requests at once")),
            }
        }
        Ok(!self.is_stopped)
    }

    /// Says at once that work goes on.
    pub(super) fn alive(&mut self) -> io::Result<()> {
        self.send(&Reply::Alive)?;
        self.flush()
    }

    fn has_request(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.incoming, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut polled, Some(&at_once))?;
        let seen = polled[0].revents();
        if seen.contains(PollFlags::HUP) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(seen.contains(PollFlags::IN))
    }
}
