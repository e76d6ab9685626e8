//! What meta contexts say about ranges.

use std::collections::VecDeque;
use std::fmt;

use lifeboat_model::{ErrorKind, Extent};

use super::Client;
use super::lane::Ask;
use super::pending::{Loans, Sink};
use crate::wire::commands;
use crate::wire::status::Descriptor;
use crate::{Error, Result};

const DOING: &str = "asking for extents of";
/// Longest question in the form with lengths of 32 bits; whole blocks of any size.
const QUESTION_BYTES_MAX: u64 = 1 << 31;
/// Longest question in the other form: a server need not walk a whole disk for an answer.
const LONG_QUESTION_BYTES_MAX: u64 = 1 << 40;

/// A range and what each of the contexts says about all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The range.
    pub extent: Extent,
    /// Flags, in the order in which the contexts were named.
    ///
    /// `base:allocation`: 1 a hole, 2 reads as zeros. `qemu:dirty-bitmap:NAME`: 1 changed.
    /// `qemu:allocation-depth`: in which image of a chain, 0 for none.
    pub flags: Vec<u64>,
}

impl Client {
    /// What contexts say about `range`, as extents that follow each other and cover it.
    ///
    /// Neighbours differ in a flag. Each step asks the server and forgets what it gave: memory
    /// is one reply.
    ///
    /// Errors: `NotFound` for a context that was not selected, or that the server does not have;
    /// `Invalid` for a range beyond the disk; as of [`Client::read_into`] later on. Ends after
    /// the first error.
    pub fn extents<'a>(&'a self, contexts: &[&str], range: Extent) -> Result<Mappings<'a>> {
        let index_of = |name: &&str| {
            let found = self.facts.contexts.iter().position(|known| known == name);
            found.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, DOING, self.address()).seen(format!(
                    "the meta context {name:?} is not there: was it asked for, and exported?"
                ))
            })
        };
        let chosen = contexts.iter().map(index_of).collect::<Result<Vec<_>>>()?;
        if range.end() > self.size() {
            return super::fault::invalid(DOING, self.address(), range.start(), "beyond its end");
        }
        let least = u64::from(self.facts.block_bytes_min);
        Ok(Mappings {
            client: self,
            chosen,
            range,
            asked: range.start() - range.start() % least,
            found: VecDeque::new(),
            held: None,
            has_ended: false,
        })
    }

    /// What the selected contexts say from `offset` on: at least one block, at most to the end.
    fn ask_status(&self, offset: u64) -> Result<Vec<Vec<Descriptor>>> {
        let most = match self.facts.has_long_requests {
            true => LONG_QUESTION_BYTES_MAX,
            false => QUESTION_BYTES_MAX,
        };
        let ask = Ask {
            command: commands::BLOCK_STATUS,
            flags: 0,
            offset,
            length: most.min(self.size() - offset),
        };
        let dialer = &self.dialer;
        let (_, mut lane) = self.lane();
        lane.connected(dialer)?;
        let empty = vec![None; lane.context_count()];
        let cookie = lane.register(ask, Sink::Status(empty));
        let mut settled = lane.send(dialer);
        if settled.is_ok() {
            let pending = lane.settle(dialer, cookie, &mut Loans::default());
            match pending {
                Ok(pending) => {
                    self.ended(DOING, &pending)?;
                    if let Sink::Status(found) = pending.sink {
                        return Ok(found.into_iter().flatten().collect());
                    }
                }
                Err(error) => settled = Err(error),
            }
        }
        lane.abandon([cookie]);
        settled.map(|()| Vec::new())
    }
}

/// Extents of a range, in order.
pub struct Mappings<'a> {
    client: &'a Client,
    /// The contexts' places among those that the server answers with.
    chosen: Vec<usize>,
    range: Extent,
    /// Where the next question begins.
    asked: u64,
    found: VecDeque<Mapped>,
    /// The extent that may still grow.
    held: Option<Mapped>,
    has_ended: bool,
}

impl Mappings<'_> {
    /// Asks once more and cuts the answers where any of them changes.
    fn ask(&mut self) -> Result<()> {
        let answers = self.client.ask_status(self.asked)?;
        let mut rows = Vec::new();
        for index in &self.chosen {
            let row = answers.get(*index).map(Vec::as_slice);
            rows.push(Row::of(row.unwrap_or_default()));
        }
        let mut at = self.asked;
        while at < self.range.end() && rows.iter().all(|row| row.left > 0) {
            let step = rows.iter().map(|row| row.left).min().unwrap_or(u64::MAX);
            let end = at.saturating_add(step).min(self.range.end());
            if let Some(extent) = Extent::new(at.max(self.range.start()), end) {
                let flags = rows.iter().map(|row| row.flags).collect();
                self.found.push_back(Mapped { extent, flags });
            }
            at = end;
            rows.iter_mut().for_each(|row| row.skip(step));
        }
        if at == self.asked {
            return Err(Error::new(ErrorKind::Corrupt, DOING, self.client.address())
                .at(at)
                .seen("the server answers nothing"));
        }
        self.asked = at;
        Ok(())
    }

    fn grow(&mut self) -> Result<Option<Mapped>> {
        loop {
            let Some(next) = self.found.pop_front() else {
                if self.asked >= self.range.end() {
                    return Ok(self.held.take());
                }
                self.ask()?;
                continue;
            };
            let grown = self.held.as_ref().and_then(|held| {
                let is_same = held.flags == next.flags && held.extent.end() == next.extent.start();
                is_same.then(|| Extent::new(held.extent.start(), next.extent.end()))?
            });
            match grown {
                Some(extent) => self.held = Some(Mapped { extent, ..next }),
                None => {
                    if let Some(whole) = self.held.replace(next) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }
}

/// The rest of one context's answer.
struct Row<'a> {
    rest: &'a [Descriptor],
    left: u64,
    flags: u64,
}

impl<'a> Row<'a> {
    fn of(row: &'a [Descriptor]) -> Self {
        let mut this = Self {
            rest: row,
            left: 0,
            flags: 0,
        };
        this.skip(0);
        this
    }

    fn skip(&mut self, count: u64) {
        self.left = self.left.saturating_sub(count);
        if let (0, Some((next, rest))) = (self.left, self.rest.split_first()) {
            (self.left, self.flags, self.rest) = (next.length, next.flags, rest);
        }
    }
}

impl Iterator for Mappings<'_> {
    type Item = Result<Mapped>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.grow();
        self.has_ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl fmt::Debug for Mappings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mappings({}, {:?})", self.client.address(), self.range)
    }
}
