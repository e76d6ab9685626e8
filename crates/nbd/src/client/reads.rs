//! Reading: into a buffer, and many ranges one after another.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use lifeboat_model::Extent;

use super::dialer::Dialer;
use super::fault::refused;
use super::lane::{Ask, Lane};
use super::pending::{Ending, Loans, Pending, Sink};
use super::{Client, Fragments};
use crate::wire::{commands, with};
use crate::{Error, Result};

const DOING: &str = "reading";

impl Client {
    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// Requests of a long buffer are under way together. After an error the buffer's content is
    /// undefined.
    ///
    /// Errors: `Invalid` if the range ends beyond the disk or is not of whole blocks; what the
    /// server reports (`Io`, `Denied` …); `Corrupt` if a reply is not exactly the bytes asked
    /// for; `Unreachable` if the connection could not be made anew.
    pub fn read_into(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check(DOING, offset, buffer.len() as u64)?;
        let (_, mut lane) = self.lane();
        let mut reading = Reading {
            client: self,
            loans: Loans::default(),
            cookies: VecDeque::new(),
        };
        let done = reading.run(&mut lane, offset, buffer);
        lane.abandon(reading.cookies);
        done
    }

    /// Reads ranges one after another, many requests under way at once.
    ///
    /// Pieces are at most `request_bytes` long and do not cross ranges. Memory: `window` times
    /// `request_bytes`, and the pieces that the caller holds. The ranges must be of whole blocks.
    ///
    /// Ends after the first error.
    pub fn reads<'a>(
        &'a self,
        ranges: impl IntoIterator<Item = Extent, IntoIter: Send + 'a>,
        order: Order,
    ) -> Reads<'a> {
        let lane = self.lane().0;
        Reads {
            client: self,
            lane,
            ranges: Box::new(ranges.into_iter()),
            left: None,
            under_way: VecDeque::new(),
            order,
            pool: Arc::default(),
            has_failed: false,
        }
    }

    fn ask_read(&self, offset: u64, length: u64) -> Ask {
        let is_whole = self.dialer.options().fragments == Fragments::Refused;
        let has_flag = self.facts.can_read_whole && self.facts.has_structured_replies;
        Ask {
            command: commands::READ,
            flags: if is_whole && has_flag { with::DF } else { 0 },
            offset,
            length,
        }
    }

    /// A request's success, or why not.
    pub(super) fn ended(&self, doing: &'static str, pending: &Pending) -> Result<()> {
        let offset = pending.request.offset;
        match &pending.ending {
            None => Ok(()),
            Some(Ending::Refused(failure)) => Err(refused(doing, self.address(), offset, failure)),
            Some(Ending::Lost) => Err(Error::new(
                lifeboat_model::ErrorKind::Unreachable,
                doing,
                self.address(),
            )
            .at(offset)
            .seen("the connection failed before the server answered; begin again")),
        }
    }
}

/// One call of `read_into`.
struct Reading<'a, 'b> {
    client: &'a Client,
    loans: Loans<'b>,
    cookies: VecDeque<u64>,
}

impl<'b> Reading<'_, 'b> {
    fn run(&mut self, lane: &mut Lane, offset: u64, buffer: &'b mut [u8]) -> Result<()> {
        let dialer = &self.client.dialer;
        let step = self.client.request_bytes();
        let mut at = offset;
        let mut parts = buffer.chunks_mut(usize::try_from(step).unwrap_or(usize::MAX));
        lane.connected(dialer)?;
        loop {
            let free = self.client.window().saturating_sub(self.cookies.len());
            for part in parts.by_ref().take(free) {
                let length = part.len() as u64;
                let cookie = lane.register(self.client.ask_read(at, length), Sink::Loan);
                self.loans.add(cookie, part);
                self.cookies.push_back(cookie);
                at += length;
            }
            lane.send(dialer)?;
            let Some(&cookie) = self.cookies.front() else {
                return Ok(());
            };
            let pending = lane.settle(dialer, cookie, &mut self.loans)?;
            self.cookies.pop_front();
            self.loans.remove(cookie);
            self.client.ended(DOING, &pending)?;
        }
    }
}

/// In which order pieces are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the ranges were given.
    Given,
    /// As they arrive.
    Arrival,
}

/// Buffers that are used again.
type Pool = Mutex<Vec<Vec<u8>>>;

/// Bytes of a disk; the buffer is used again when this is dropped.
pub struct Piece {
    offset: u64,
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Piece {
    /// Where the bytes lie on the disk.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} bytes at {})", self.bytes.len(), self.offset)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
    }
}

/// Pieces of ranges, many requests under way at once.
pub struct Reads<'a> {
    client: &'a Client,
    lane: usize,
    ranges: Box<dyn Iterator<Item = Extent> + Send + 'a>,
    /// What of the current range was not asked yet.
    left: Option<Extent>,
    under_way: VecDeque<u64>,
    order: Order,
    pool: Arc<Pool>,
    has_failed: bool,
}

impl Reads<'_> {
    /// The next request's range, at most `request_bytes` long.
    fn next_range(&mut self) -> Option<Extent> {
        let range = self.left.take().or_else(|| self.ranges.next())?;
        let step = u64::from(self.client.request_bytes());
        let end = range.end().min(range.start().saturating_add(step));
        self.left = Extent::new(end, range.end());
        Extent::new(range.start(), end)
    }

    fn ask(&mut self, lane: &mut Lane, dialer: &Dialer) -> Result<()> {
        while self.under_way.len() < self.client.window() {
            let Some(range) = self.next_range() else {
                break;
            };
            self.client.check(DOING, range.start(), range.len())?;
            let free = self
                .pool
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let mut buffer = free.unwrap_or_default();
            buffer.resize(usize::try_from(range.len()).unwrap_or(usize::MAX), 0);
            let ask = self.client.ask_read(range.start(), range.len());
            self.under_way
                .push_back(lane.register(ask, Sink::Owned(buffer)));
        }
        lane.connected(dialer)?;
        lane.send(dialer)
    }

    fn take(&mut self) -> Result<Option<Piece>> {
        let dialer = &self.client.dialer;
        let mut lane = self.client.lane_at(self.lane);
        self.ask(&mut lane, dialer)?;
        let Some(&first) = self.under_way.front() else {
            return Ok(None);
        };
        let mut cookie = first;
        if self.order == Order::Arrival {
            cookie = loop {
                match self.under_way.iter().find(|cookie| lane.is_done(**cookie)) {
                    Some(cookie) => break *cookie,
                    None => lane.step(dialer, &mut Loans::default())?,
                }
            };
        }
        let pending = lane.settle(dialer, cookie, &mut Loans::default())?;
        self.under_way.retain(|known| *known != cookie);
        self.client.ended(DOING, &pending)?;
        let Sink::Owned(bytes) = pending.sink else {
            return Ok(None);
        };
        Ok(Some(Piece {
            offset: pending.request.offset,
            bytes,
            pool: Arc::clone(&self.pool),
        }))
    }
}

impl Iterator for Reads<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let taken = self.take();
        self.has_failed = taken.is_err();
        taken.transpose()
    }
}

impl Drop for Reads<'_> {
    fn drop(&mut self) {
        let mut lane = self.client.lane_at(self.lane);
        lane.abandon(std::mem::take(&mut self.under_way));
    }
}

impl fmt::Debug for Reads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reads({}, {:?})", self.client.address(), self.order)
    }
}
