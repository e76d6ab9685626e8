//! Requests that wait for their replies, and what replies do to them.

use super::coverage::Coverage;
use super::fault::Fault;
use super::link::Link;
use crate::wire::reply::{Chunk, Failure};
use crate::wire::request::Request;
use crate::wire::status::{self, Descriptor};
use crate::wire::{Fields, Form, Malformed, chunks, commands, with};

/// Longest payload of a failing chunk, in bytes: its text has at most 64 KiB.
const FAILURE_BYTES_MAX: u64 = (64 << 10) + 16;

/// Where the bytes of a reply go.
pub(super) enum Sink {
    /// Into the slice that the waiting call holds.
    Loan,
    /// Into a buffer of the request's length.
    Owned(Vec<u8>),
    /// The state of ranges, by context.
    Status(Vec<Option<Vec<Descriptor>>>),
    /// There are none.
    Nothing,
    /// Nobody waits any more.
    Dropped,
}

/// Slices that a waiting call holds, by the cookies of its requests.
#[derive(Default)]
pub(super) struct Loans<'a>(Vec<(u64, &'a mut [u8])>);

impl<'a> Loans<'a> {
    pub(super) fn add(&mut self, cookie: u64, slice: &'a mut [u8]) {
        self.0.push((cookie, slice));
    }

    pub(super) fn remove(&mut self, cookie: u64) {
        self.0.retain(|(known, _)| *known != cookie);
    }

    fn get(&mut self, cookie: u64) -> Option<&mut [u8]> {
        let found = self.0.iter_mut().find(|(known, _)| *known == cookie);
        found.map(|(_, slice)| &mut **slice)
    }
}

/// How a request ended badly.
#[derive(Debug)]
pub(super) enum Ending {
    /// The server said so.
    Refused(Failure),
    /// The connection failed, and asking again might do something twice.
    Lost,
}

pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) sink: Sink,
    pub(super) is_sent: bool,
    pub(super) is_done: bool,
    pub(super) ending: Option<Ending>,
    coverage: Coverage,
    content_chunks: u64,
}

impl Pending {
    pub(super) fn new(request: Request, sink: Sink) -> Self {
        Self {
            request,
            sink,
            is_sent: false,
            is_done: false,
            ending: None,
            coverage: Coverage::default(),
            content_chunks: 0,
        }
    }

    /// Says whether asking again does nothing that asking once does not.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(
            self.request.command,
            commands::READ | commands::BLOCK_STATUS | commands::CACHE
        )
    }

    /// Forgets what arrived, for the request will be asked again.
    pub(super) fn begin_again(&mut self) {
        self.is_sent = false;
        self.ending = None;
        self.coverage = Coverage::default();
        self.content_chunks = 0;
        if let Sink::Status(found) = &mut self.sink {
            found.fill(None);
        }
    }

    /// Takes a simple reply, with its data for a read.
    pub(super) fn take_simple(
        &mut self,
        error: u32,
        link: &mut Link,
        loans: &mut Loans<'_>,
    ) -> Result<(), Fault> {
        let is_read = self.request.command == commands::READ;
        if link.form != Form::Simple && (is_read || matches!(self.sink, Sink::Status(_))) {
            return Err(Malformed("a read is answered without chunks").into());
        }
        if error != 0 {
            self.refuse(Failure {
                error,
                text: String::new(),
                offset: None,
            });
        } else if is_read {
            self.fill(0..self.request.length, link, loans)?;
        }
        self.finish()
    }

    /// Takes a chunk with its payload.
    pub(super) fn take_chunk(
        &mut self,
        chunk: &Chunk,
        link: &mut Link,
        loans: &mut Loans<'_>,
    ) -> Result<(), Fault> {
        if link.form == Form::Extended && chunk.offset != self.request.offset {
            return Err(Malformed("a chunk is for another offset than its request").into());
        }
        match chunk.kind {
            chunks::NONE => {}
            chunks::DATA => {
                let place = self.place_of_data(chunk, link)?;
                self.fill(place, link, loans)?;
            }
            chunks::HOLE => self.take_hole(chunk, link, loans)?,
            chunks::STATUS | chunks::EXTENDED_STATUS => self.take_status(chunk, link)?,
            kind if kind & chunks::FAILURE != 0 => {
                let payload = link.payload(chunk.length, FAILURE_BYTES_MAX)?;
                self.refuse(Failure::decode(kind, &payload)?);
            }
            _ => return Err(Malformed("a chunk is of an unknown kind").into()),
        }
        match chunk.is_last {
            true => self.finish(),
            false => Ok(()),
        }
    }

    /// The first failure counts.
    fn refuse(&mut self, failure: Failure) {
        self.ending.get_or_insert(Ending::Refused(failure));
    }

    fn place_of_data(
        &mut self,
        chunk: &Chunk,
        link: &mut Link,
    ) -> Result<std::ops::Range<u64>, Fault> {
        let mut head = [0; 8];
        let length = chunk.length.checked_sub(8).filter(|length| *length > 0);
        let length = length.ok_or(Malformed("a chunk of data holds none"))?;
        link.fill(&mut head)?;
        Ok(self.place(Fields::of(&head).u64()?, length)?)
    }

    /// A range of the disk as one of this read, which it must be.
    fn place(&mut self, offset: u64, length: u64) -> Result<std::ops::Range<u64>, Malformed> {
        if self.request.command != commands::READ {
            return Err(Malformed("bytes come for what is no read"));
        }
        self.content_chunks += 1;
        if self.request.flags & with::DF != 0 && self.content_chunks > 1 {
            return Err(Malformed(
                "a read comes in pieces that was asked for in one",
            ));
        }
        let start = offset.checked_sub(self.request.offset);
        let end = start.and_then(|start| start.checked_add(length));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.request.length => Ok(start..end),
            _ => Err(Malformed("a chunk is outside of its read")),
        }
    }

    fn fill(
        &mut self,
        place: std::ops::Range<u64>,
        link: &mut Link,
        loans: &mut Loans<'_>,
    ) -> Result<(), Fault> {
        self.coverage.add(place.clone())?;
        match self.slice(&place, loans)? {
            Some(slice) => link.fill(slice),
            None => link.skip(place.end - place.start),
        }
    }

    fn take_hole(
        &mut self,
        chunk: &Chunk,
        link: &mut Link,
        loans: &mut Loans<'_>,
    ) -> Result<(), Fault> {
        let payload = link.payload(chunk.length, 12)?;
        let mut fields = Fields::of(&payload);
        let (offset, length) = (fields.u64()?, fields.u32()?);
        fields.end()?;
        if length == 0 {
            return Err(Malformed("a hole is empty").into());
        }
        let place = self.place(offset, length.into())?;
        self.coverage.add(place.clone())?;
        if let Some(slice) = self.slice(&place, loans)? {
            slice.fill(0);
        }
        Ok(())
    }

    fn slice<'a>(
        &'a mut self,
        place: &std::ops::Range<u64>,
        loans: &'a mut Loans<'_>,
    ) -> Result<Option<&'a mut [u8]>, Malformed> {
        let buffer = match &mut self.sink {
            Sink::Owned(buffer) => buffer.as_mut_slice(),
            Sink::Loan => loans
                .get(self.request.cookie)
                .ok_or(Malformed("bytes come for nobody"))?,
            Sink::Dropped => return Ok(None),
            Sink::Status(_) | Sink::Nothing => {
                return Err(Malformed("bytes come for what is no read"));
            }
        };
        let start = usize::try_from(place.start);
        let end = usize::try_from(place.end);
        let slice = match (start, end) {
            (Ok(start), Ok(end)) => buffer.get_mut(start..end),
            _ => None,
        };
        slice
            .map(Some)
            .ok_or(Malformed("a chunk is outside of its read"))
    }

    fn take_status(&mut self, chunk: &Chunk, link: &mut Link) -> Result<(), Fault> {
        let is_extended = chunk.kind == chunks::EXTENDED_STATUS;
        if is_extended != (link.form == Form::Extended) {
            return Err(Malformed("a status has the other form's kind").into());
        }
        let payload = link.payload(chunk.length, status::payload_bytes_max(link.form))?;
        let (id, descriptors) = status::decode(link.form, &payload)?;
        match &mut self.sink {
            Sink::Dropped => Ok(()),
            Sink::Status(found) => {
                let index = link.context(id);
                let place = index.and_then(|index| found.get_mut(index));
                match place.ok_or(Malformed("a status is of a context nobody selected"))? {
                    Some(_) => Err(Malformed("a context answers twice").into()),
                    empty => {
                        *empty = Some(descriptors);
                        Ok(())
                    }
                }
            }
            _ => Err(Malformed("a status comes for another request").into()),
        }
    }

    /// Everything must be there, unless the server reported a failure.
    ///
    /// Only then the request counts as answered: another call may be waiting for it.
    fn finish(&mut self) -> Result<(), Fault> {
        let is_whole = match &self.sink {
            Sink::Status(found) => found.iter().all(Option::is_some),
            Sink::Loan | Sink::Owned(_) => self.coverage.is_whole(self.request.length),
            Sink::Nothing | Sink::Dropped => true,
        };
        if !is_whole && self.ending.is_none() {
            return Err(Malformed("a reply ends before it is whole").into());
        }
        self.is_done = true;
        Ok(())
    }
}
