//! A client's requests, once an export is open.
//!
//! Some threads take turns in reading a request; each then serves what it read. So at most as
//! many requests are under way as there are threads, and nothing is queued.

use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use lifeboat_model::{ErrorKind, Extent};

use super::budget::{Budget, Share};
use super::export::{Access, Export};
use super::handshake::Agreed;
use super::pace::Pace;
use crate::socket::write_both;
use crate::wire::reply::{Chunk, Failure, Head};
use crate::wire::request::{EXTENDED_BYTES, Request, size};
use crate::wire::{Form, Malformed, PAYLOAD_BYTES_MAX, chunks, commands, errors, with};
use crate::{Error, Result};

mod reads;
mod status;

/// Bytes that are read ahead of a request.
const AHEAD_BYTES: usize = 4 << 10;

/// Bytes of one piece of a read's reply: what a worker keeps in memory.
const PIECE_BYTES: usize = 1 << 20;

pub(super) struct Session {
    export: Arc<dyn Export>,
    form: Form,
    tells_allocation: bool,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Box<dyn Write + Send>>,
    has_ended: AtomicBool,
    budget: Arc<Budget>,
    pace: Pace,
}

struct Incoming {
    source: BufReader<Box<dyn Read + Send>>,
}

/// A request and what belongs to it.
struct Call {
    request: Request,
    /// Keeps the budget of a payload, or of a reply in one piece, until the reply is out.
    _share: Option<Share>,
}

/// Memory of one worker, used again.
#[derive(Default)]
struct Buffers {
    payload: Vec<u8>,
    piece: Vec<u8>,
    head: Vec<u8>,
}

impl Session {
    pub(super) fn new(agreed: Agreed, pace: Pace, budget: Arc<Budget>) -> Self {
        Self {
            export: agreed.export,
            form: agreed.form,
            tells_allocation: agreed.tells_allocation,
            incoming: Mutex::new(Incoming {
                source: BufReader::with_capacity(AHEAD_BYTES, agreed.halves.source),
            }),
            outgoing: Mutex::new(agreed.halves.sink),
            has_ended: AtomicBool::new(false),
            budget,
            pace,
        }
    }

    /// Serves until the client leaves, breaks the protocol or is too slow.
    pub(super) fn run(&self, workers: usize) {
        thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(|| self.work());
            }
            self.work();
        });
    }

    fn work(&self) {
        let mut buffers = Buffers::default();
        while let Some(call) = self.next(&mut buffers) {
            if self.serve(&call, &mut buffers).is_err() {
                // Half a reply may be out: nothing that follows would be understood.
                self.has_ended.store(true, Ordering::Relaxed);
                self.pace.hang_up();
            }
            // A large payload is not kept: the budget counts only what is under way.
            if buffers.payload.capacity() > PIECE_BYTES {
                buffers.payload = Vec::new();
            }
        }
    }

    /// Reads the next request with its payload; nothing when there will be none.
    fn next(&self, buffers: &mut Buffers) -> Option<Call> {
        let mut incoming = self.lock_incoming();
        if self.has_ended.load(Ordering::Relaxed) {
            return None;
        }
        let received = incoming.request(self, buffers);
        if !matches!(received, Ok(Some(_))) {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        received.ok().flatten()
    }

    fn lock_incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_outgoing(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a request; fails only if the reply cannot be sent.
    fn serve(&self, call: &Call, buffers: &mut Buffers) -> io::Result<()> {
        let request = &call.request;
        let range = match self.check(request) {
            Ok(range) => range,
            Err(error) => return self.refuse(request, &error, None),
        };
        let served = match request.command {
            commands::READ => return self.read(request, range, buffers),
            commands::BLOCK_STATUS => return self.status(request, range),
            commands::WRITE => self.write(request, &buffers.payload),
            commands::FLUSH => self.export.flush(),
            commands::TRIM => self.each(range, |range| self.export.trim(range)),
            commands::WRITE_ZEROES => self.zero(request, range),
            _ => self.each(range, |range| self.export.prefetch(range)),
        };
        let forced = served.and_then(|()| match request.flags & with::FUA != 0 {
            true if request.command != commands::FLUSH => self.export.flush(),
            _ => Ok(()),
        });
        match forced {
            Ok(()) => self.acknowledge(request),
            Err(error) => self.refuse(request, &error, None),
        }
    }

    /// Refuses what the export cannot do; gives the range where there is one.
    fn check(&self, request: &Request) -> Result<Option<Extent>> {
        let refuse = |kind, seen: &'static str| {
            Err(Error::new(kind, "serving", "a request")
                .at(request.offset)
                .seen(seen))
        };
        let known = with::FUA
            | match request.command {
                commands::READ => with::DF,
                commands::WRITE if self.form == Form::Extended => with::PAYLOAD,
                commands::WRITE_ZEROES => with::NO_HOLE,
                commands::BLOCK_STATUS => with::REQUEST_ONE,
                commands::WRITE | commands::FLUSH | commands::TRIM | commands::CACHE => 0,
                _ => return refuse(ErrorKind::Invalid, "the command is unknown"),
            };
        if request.flags & !known != 0 {
            return refuse(ErrorKind::Invalid, "a flag does not belong to the command");
        }
        let is_write = matches!(
            request.command,
            commands::WRITE | commands::TRIM | commands::WRITE_ZEROES
        );
        if is_write && self.export.access() == Access::ReadOnly {
            return refuse(ErrorKind::Denied, "the export is read-only");
        }
        if request.command == commands::FLUSH {
            return Ok(None);
        }
        let size = self.export.size();
        let end = request.offset.checked_add(request.length);
        if end.is_none_or(|end| end > size) {
            let is_full = is_write && request.offset <= size;
            let kind = if is_full {
                ErrorKind::Full
            } else {
                ErrorKind::Invalid
            };
            return refuse(kind, "the range ends beyond the disk");
        }
        let least = u64::from(self.export.block_sizes().least);
        if !(request.offset.is_multiple_of(least) && request.length.is_multiple_of(least)) {
            return refuse(ErrorKind::Invalid, "the range is not of whole blocks");
        }
        let most = u64::from(self.export.block_sizes().most);
        let has_bytes = matches!(request.command, commands::READ | commands::WRITE);
        if has_bytes && request.length > most {
            return refuse(
                ErrorKind::Invalid,
                "the range is longer than the export allows",
            );
        }
        Ok(Extent::at(request.offset, request.length))
    }

    fn each(&self, range: Option<Extent>, serve: impl FnOnce(Extent) -> Result<()>) -> Result<()> {
        range.map_or(Ok(()), serve)
    }

    fn write(&self, request: &Request, payload: &[u8]) -> Result<()> {
        match payload.is_empty() {
            true => Ok(()),
            false => self.export.write_at(request.offset, payload),
        }
    }

    fn zero(&self, request: &Request, range: Option<Extent>) -> Result<()> {
        let zeroing = match request.flags & with::NO_HOLE != 0 {
            true => super::Zeroing::KeepsRoom,
            false => super::Zeroing::MayFreeRoom,
        };
        self.each(range, |range| self.export.zero(range, zeroing))
    }

    fn acknowledge(&self, request: &Request) -> io::Result<()> {
        let head = match self.form {
            Form::Extended => self.chunk(request, chunks::NONE, 0, true),
            Form::Simple | Form::Structured => Head::Simple {
                error: 0,
                cookie: request.cookie,
            },
        };
        let mut message = Vec::new();
        head.encode(self.form, &mut message);
        self.send(&message, &[])
    }

    /// Tells the client of a failure, where it happened if that is known; ends the reply.
    fn refuse(&self, request: &Request, error: &Error, offset: Option<u64>) -> io::Result<()> {
        let number = number_of(error.kind());
        let mut message = Vec::new();
        let has_chunks = self.form == Form::Extended
            || self.form == Form::Structured
                && matches!(request.command, commands::READ | commands::BLOCK_STATUS);
        if !has_chunks {
            let head = Head::Simple {
                error: number,
                cookie: request.cookie,
            };
            head.encode(self.form, &mut message);
            return self.send(&message, &[]);
        }
        let mut text = error.to_string();
        text.truncate(text.floor_char_boundary(1024));
        let failure = Failure {
            error: number,
            text,
            offset,
        };
        let body = failure.encode();
        let kind = match offset {
            Some(_) => chunks::ERROR_OFFSET,
            None => chunks::ERROR,
        };
        self.chunk(request, kind, body.len() as u64, true)
            .encode(self.form, &mut message);
        self.send(&message, &body)
    }

    fn chunk(&self, request: &Request, kind: u16, length: u64, is_last: bool) -> Head {
        Head::Chunk(Chunk {
            is_last,
            kind,
            cookie: request.cookie,
            offset: request.offset,
            length,
        })
    }

    fn send(&self, head: &[u8], payload: &[u8]) -> io::Result<()> {
        write_both(&mut **self.lock_outgoing(), head, payload)
    }
}

impl Incoming {
    /// Reads a request and its payload; nothing if the client has left.
    fn request(&mut self, session: &Session, buffers: &mut Buffers) -> io::Result<Option<Call>> {
        session.pace.idle();
        let mut message = [0; EXTENDED_BYTES];
        let message = message.get_mut(..size(session.form)).unwrap_or_default();
        let (first, rest) = message.split_at_mut(1);
        if self.source.read(first)? == 0 {
            return Ok(None);
        }
        session.pace.in_request();
        self.source.read_exact(rest)?;
        let request = Request::decode(session.form, message).map_err(broken)?;
        if request.command == commands::DISCONNECT {
            return Ok(None);
        }
        let mut share = None;
        buffers.payload.clear();
        let has_payload = match session.form {
            Form::Extended => request.flags & with::PAYLOAD != 0,
            Form::Simple | Form::Structured => request.command == commands::WRITE,
        };
        if request.command == commands::WRITE && !has_payload {
            return Err(broken(Malformed(
                "a write comes without its payload's flag",
            )));
        }
        if has_payload {
            share = self.payload(session, &request, buffers)?;
        } else if request.command == commands::READ && session.needs_whole(&request) {
            let bytes = request.length.min(PAYLOAD_BYTES_MAX.into());
            share = Some(session.budget.take(bytes));
        }
        Ok(Some(Call {
            request,
            _share: share,
        }))
    }

    /// Reads a payload as it comes, or past it where it is for nothing.
    fn payload(
        &mut self,
        session: &Session,
        request: &Request,
        buffers: &mut Buffers,
    ) -> io::Result<Option<Share>> {
        if request.length > PAYLOAD_BYTES_MAX.into() {
            return Err(broken(Malformed("a payload is longer than 32 MiB")));
        }
        let mut limited = (&mut self.source).take(request.length);
        let is_for_nothing = request.command != commands::WRITE || session.check(request).is_err();
        let (count, share) = match is_for_nothing {
            true => (io::copy(&mut limited, &mut io::sink())?, None),
            false => {
                let share = session.budget.take(request.length);
                let length = usize::try_from(request.length).unwrap_or(usize::MAX);
                buffers.payload.reserve(length.min(PIECE_BYTES));
                let count = limited.read_to_end(&mut buffers.payload)?;
                (count as u64, Some(share))
            }
        };
        match count == request.length {
            true => Ok(share),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn broken(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

/// What a client is told.
fn number_of(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Denied => errors::NOT_PERMITTED,
        ErrorKind::Invalid => errors::INVALID,
        ErrorKind::Full => errors::NO_SPACE,
        ErrorKind::Unsupported => errors::NOT_SUPPORTED,
        ErrorKind::NotFound
        | ErrorKind::Exists
        | ErrorKind::Busy
        | ErrorKind::Unreachable
        | ErrorKind::Corrupt
        | ErrorKind::Cancelled
        | ErrorKind::Io => errors::IO,
    }
}
