//! Writing: for restores to a server.

use std::collections::VecDeque;

use lifeboat_model::ErrorKind;

use super::Client;
use super::lane::{Ask, Lane};
use super::pending::{Loans, Sink};
use crate::server::{Durability, Zeroing};
use crate::wire::{commands, with};
use crate::{Error, Result};

const LOST: &str = "a connection was lost while writes were not flushed: the server may have \
                    forgotten them; begin the restore again";

impl Client {
    /// Writes `bytes` at `offset`, many requests under way at once.
    ///
    /// Order: durable only after [`Self::flush`] by anyone who saw this return, or with
    /// [`Durability::Forced`]. After an error any part may be written.
    ///
    /// Errors: `Denied` for an export that is read-only; `Invalid` for a range beyond the disk
    /// or not of whole blocks; `Full`, `Io` and others from the server; `Unreachable` if the
    /// connection failed: writes are never sent twice, and everything since the last flush
    /// counts as lost.
    pub fn write_at(&self, offset: u64, bytes: &[u8], durability: Durability) -> Result<()> {
        const DOING: &str = "writing to";
        self.check_write(DOING, offset, bytes.len() as u64)?;
        let step = usize::try_from(self.request_bytes()).unwrap_or(usize::MAX);
        let (_, mut lane) = self.lane();
        let mut cookies = VecDeque::new();
        let mut at = offset;
        let mut result = Ok(());
        for part in bytes.chunks(step) {
            let ask = self.ask(commands::WRITE, at, part.len() as u64, durability);
            result = self.write_one(&mut lane, &mut cookies, ask, part);
            if result.is_err() {
                break;
            }
            at += part.len() as u64;
        }
        while let (Ok(()), Some(cookie)) = (&result, cookies.pop_front()) {
            result = self.settle_write(DOING, &mut lane, cookie);
        }
        lane.abandon(cookies);
        drop(lane);
        result?;
        self.force(durability)
    }

    fn write_one(
        &self,
        lane: &mut Lane,
        cookies: &mut VecDeque<u64>,
        ask: Ask,
        part: &[u8],
    ) -> Result<()> {
        if cookies.len() >= self.window()
            && let Some(cookie) = cookies.pop_front()
        {
            self.settle_write("writing to", lane, cookie)?;
        }
        self.dialer.ledger().begin_write();
        cookies.push_back(lane.send_with(&self.dialer, ask, part)?);
        Ok(())
    }

    /// Makes `length` bytes at `offset` read as zeros, without sending them.
    ///
    /// Errors: as of [`Self::write_at`]; `Unsupported` where the server cannot do it.
    pub fn zero(
        &self,
        offset: u64,
        length: u64,
        zeroing: Zeroing,
        durability: Durability,
    ) -> Result<()> {
        const DOING: &str = "writing zeros to";
        self.check_write(DOING, offset, length)?;
        self.check_can(DOING, self.facts.can_write_zeroes)?;
        let mut flags = 0;
        if zeroing == Zeroing::KeepsRoom {
            flags |= with::NO_HOLE;
        }
        self.change(
            DOING,
            commands::WRITE_ZEROES,
            flags,
            (offset, length),
            durability,
        )
    }

    /// Gives up a range: what it reads as then is not known.
    ///
    /// Errors: as of [`Self::zero`].
    pub fn trim(&self, offset: u64, length: u64, durability: Durability) -> Result<()> {
        const DOING: &str = "trimming";
        self.check_write(DOING, offset, length)?;
        self.check_can(DOING, self.facts.can_trim)?;
        self.change(DOING, commands::TRIM, 0, (offset, length), durability)
    }

    /// Makes all writes durable that returned before.
    ///
    /// Errors: `Unreachable` if a connection was lost since a write that was not flushed: it
    /// may be forgotten, and no later flush says otherwise.
    pub fn flush(&self) -> Result<()> {
        const DOING: &str = "flushing";
        self.check_lost(DOING)?;
        if !self.facts.can_flush || self.facts.is_read_only {
            return Ok(());
        }
        let written = self.dialer.ledger().written();
        let ask = self.ask(commands::FLUSH, 0, 0, Durability::Cached);
        self.run(DOING, ask)?;
        self.check_lost(DOING)?;
        self.dialer.ledger().flushed(written);
        Ok(())
    }

    /// Announces that a range will be read; does nothing where the server cannot use that.
    ///
    /// Errors: `Invalid` for a range beyond the disk; what the server reports.
    pub fn prefetch(&self, offset: u64, length: u64) -> Result<()> {
        const DOING: &str = "announcing a read of";
        self.check(DOING, offset, length)?;
        if !self.facts.can_prefetch {
            return Ok(());
        }
        self.in_steps((offset, length), |offset, length| {
            let ask = self.ask(commands::CACHE, offset, length, Durability::Cached);
            self.run(DOING, ask)
        })
    }

    fn change(
        &self,
        doing: &'static str,
        command: u16,
        flags: u16,
        range: (u64, u64),
        durability: Durability,
    ) -> Result<()> {
        self.in_steps(range, |offset, length| {
            self.dialer.ledger().begin_write();
            let ask = self.ask(command, offset, length, durability);
            let flags = ask.flags | flags;
            self.run(doing, Ask { flags, ..ask })
        })?;
        self.force(durability)
    }

    /// Commands without a payload may be long, but not longer than their form can say.
    fn in_steps(
        &self,
        (offset, length): (u64, u64),
        mut run: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        const STEP: u64 = 1 << 30;
        let mut done = 0;
        while done < length {
            let step = STEP.min(length - done);
            run(offset + done, step)?;
            done += step;
        }
        Ok(())
    }

    fn run(&self, doing: &'static str, ask: Ask) -> Result<()> {
        let (_, mut lane) = self.lane();
        lane.connected(&self.dialer)?;
        let cookie = lane.register(ask, Sink::Nothing);
        let settled = lane
            .send(&self.dialer)
            .and_then(|()| lane.settle(&self.dialer, cookie, &mut Loans::default()));
        if settled.is_err() {
            lane.abandon([cookie]);
        }
        self.ended(doing, &settled?)
    }

    fn settle_write(&self, doing: &'static str, lane: &mut Lane, cookie: u64) -> Result<()> {
        let pending = lane.settle(&self.dialer, cookie, &mut Loans::default())?;
        self.ended(doing, &pending)
    }

    fn ask(&self, command: u16, offset: u64, length: u64, durability: Durability) -> Ask {
        let mut flags = 0;
        if durability == Durability::Forced && self.facts.can_force {
            flags |= with::FUA;
        }
        if command == commands::WRITE && self.facts.has_long_requests {
            flags |= with::PAYLOAD;
        }
        Ask {
            command,
            flags,
            offset,
            length,
        }
    }

    /// Flushes where single writes cannot be made durable.
    fn force(&self, durability: Durability) -> Result<()> {
        match durability == Durability::Forced && !self.facts.can_force {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn check_write(&self, doing: &'static str, offset: u64, length: u64) -> Result<()> {
        if self.facts.is_read_only {
            return Err(Error::new(ErrorKind::Denied, doing, self.address())
                .seen("the export is read-only"));
        }
        self.check_lost(doing)?;
        self.check(doing, offset, length)
    }

    fn check_lost(&self, doing: &'static str) -> Result<()> {
        match self.dialer.ledger().is_lost() {
            true => Err(Error::new(ErrorKind::Unreachable, doing, self.address()).seen(LOST)),
            false => Ok(()),
        }
    }

    fn check_can(&self, doing: &'static str, can: bool) -> Result<()> {
        match can {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Unsupported, doing, self.address())
                .seen("the server cannot do this")),
        }
    }
}
