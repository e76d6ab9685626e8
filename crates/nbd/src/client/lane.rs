//! One connection's place: the connection while there is one, and what waits for replies.
//!
//! Whoever holds the lane sends, and takes in whatever reply comes next, his own or not.

use std::collections::BTreeMap;

use lifeboat_model::ErrorKind;

use super::dialer::Dialer;
use super::fault::Fault;
use super::link::Link;
use super::pending::{Ending, Loans, Pending, Sink};
use crate::wire::reply::Head;
use crate::wire::request::Request;
use crate::wire::{Malformed, commands, errors};
use crate::{Error, Result};

/// A request before it has a cookie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) command: u16,
    pub(super) flags: u16,
    pub(super) offset: u64,
    pub(super) length: u64,
}

pub(super) struct Lane {
    link: Option<Link>,
    /// By cookie, so in the order in which they were asked.
    pending: BTreeMap<u64, Pending>,
    next_cookie: u64,
    /// Attempts to connect since the last answer.
    attempts: u32,
}

impl Lane {
    pub(super) fn new(link: Option<Link>) -> Self {
        Self {
            link,
            pending: BTreeMap::new(),
            next_cookie: 1,
            attempts: 0,
        }
    }

    /// Notes a request; [`Self::send`] sends it.
    pub(super) fn register(&mut self, ask: Ask, sink: Sink) -> u64 {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        let request = Request {
            flags: ask.flags,
            command: ask.command,
            cookie,
            offset: ask.offset,
            length: ask.length,
        };
        self.pending.insert(cookie, Pending::new(request, sink));
        cookie
    }

    /// Sends what was noted, on a new connection if need be.
    pub(super) fn send(&mut self, dialer: &Dialer) -> Result<()> {
        if let Err(fault) = self.try_send() {
            self.recover(dialer, fault)?;
        }
        Ok(())
    }

    /// Sends a request whose payload follows it; it is never sent again.
    ///
    /// Everything else is answered first: a server that is busy sending might not read.
    pub(super) fn send_with(&mut self, dialer: &Dialer, ask: Ask, payload: &[u8]) -> Result<u64> {
        self.drain_reads(dialer)?;
        self.connected(dialer)?;
        let cookie = self.register(ask, Sink::Nothing);
        let Some((link, pending)) = self.link.as_mut().zip(self.pending.get_mut(&cookie)) else {
            return Ok(cookie);
        };
        let mut message = Vec::new();
        pending.request.encode(link.form, &mut message);
        pending.is_sent = true;
        if let Err(cause) = link.send_with(&message, payload) {
            self.recover(dialer, cause.into())?;
        }
        Ok(cookie)
    }

    /// Makes sure that there is a connection.
    pub(super) fn connected(&mut self, dialer: &Dialer) -> Result<()> {
        match self.link {
            Some(_) => Ok(()),
            None => self.connect(dialer, None),
        }
    }

    /// How many contexts answer a question for the state of ranges.
    pub(super) fn context_count(&self) -> usize {
        self.link.as_ref().map_or(0, Link::context_count)
    }

    /// Takes in replies until this request is answered, and gives it.
    pub(super) fn settle(
        &mut self,
        dialer: &Dialer,
        cookie: u64,
        loans: &mut Loans<'_>,
    ) -> Result<Pending> {
        while !self.is_done(cookie) {
            self.step(dialer, loans)?;
        }
        self.pending.remove(&cookie).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "waiting for", dialer.address())
                .seen("nobody asked this")
        })
    }

    /// Takes in one reply or chunk; makes a lost connection anew.
    pub(super) fn step(&mut self, dialer: &Dialer, loans: &mut Loans<'_>) -> Result<()> {
        match self.absorb(loans) {
            Ok(()) => Ok(()),
            Err(fault) => self.recover(dialer, fault),
        }
    }

    /// Says whether a request is answered, or was never asked.
    pub(super) fn is_done(&self, cookie: u64) -> bool {
        self.pending.get(&cookie).is_none_or(|it| it.is_done)
    }

    /// Nobody waits for these requests any more.
    pub(super) fn abandon(&mut self, cookies: impl IntoIterator<Item = u64>) {
        for cookie in cookies {
            let is_under_way = self.link.is_some();
            match self.pending.get_mut(&cookie) {
                Some(pending) if is_under_way && pending.is_sent && !pending.is_done => {
                    pending.sink = Sink::Dropped;
                }
                _ => drop(self.pending.remove(&cookie)),
            }
        }
    }

    fn drain_reads(&mut self, dialer: &Dialer) -> Result<()> {
        let is_open = |it: &Pending| !it.is_done && it.request.command == commands::READ;
        while self.pending.values().any(is_open) {
            self.step(dialer, &mut Loans::default())?;
        }
        Ok(())
    }

    fn try_send(&mut self) -> std::result::Result<(), Fault> {
        let Some(link) = &mut self.link else {
            return Err(Fault::Lost(std::io::ErrorKind::NotConnected.into()));
        };
        let mut messages = Vec::new();
        for pending in self.pending.values_mut().filter(|it| !it.is_sent) {
            pending.request.encode(link.form, &mut messages);
            pending.is_sent = true;
        }
        Ok(link.send(&messages)?)
    }

    fn absorb(&mut self, loans: &mut Loans<'_>) -> std::result::Result<(), Fault> {
        let Some(link) = &mut self.link else {
            return Err(Fault::Lost(std::io::ErrorKind::NotConnected.into()));
        };
        let head = link.head()?;
        let cookie = match &head {
            Head::Simple { cookie, .. } => *cookie,
            Head::Chunk(chunk) => chunk.cookie,
        };
        let waiting = self.pending.get_mut(&cookie);
        let pending = waiting
            .filter(|it| it.is_sent && !it.is_done)
            .ok_or(Malformed("a reply is for a request nobody made"))?;
        match &head {
            Head::Simple { error, .. } => pending.take_simple(*error, link, loans)?,
            Head::Chunk(chunk) => pending.take_chunk(chunk, link, loans)?,
        }
        if !pending.is_done {
            return Ok(());
        }
        self.attempts = 0;
        let is_closing = matches!(&pending.ending, Some(Ending::Refused(failure))
            if failure.error == errors::SHUTDOWN && pending.is_repeatable());
        if matches!(pending.sink, Sink::Dropped) {
            self.pending.remove(&cookie);
        } else if is_closing {
            pending.is_done = false;
            return Err(Fault::Lost(std::io::Error::other(
                "the server is shutting down",
            )));
        }
        Ok(())
    }

    fn recover(&mut self, dialer: &Dialer, fault: Fault) -> Result<()> {
        self.lose(dialer);
        match fault {
            Fault::Lost(_) => self.connect(dialer, Some(fault)),
            Fault::Broken(_) | Fault::Tls(_) => Err(fault.named("using", dialer.address())),
        }
    }

    /// Ends the connection and what cannot be asked again.
    fn lose(&mut self, dialer: &Dialer) {
        if let Some(link) = self.link.take() {
            link.give_up();
            dialer.ledger().connection_lost();
        }
        self.pending
            .retain(|_, it| !matches!(it.sink, Sink::Dropped));
        for pending in self.pending.values_mut().filter(|it| !it.is_done) {
            pending.begin_again();
            if !pending.is_repeatable() {
                pending.is_done = true;
                pending.ending = Some(Ending::Lost);
            }
        }
    }

    /// Connects, and asks again what was not answered.
    fn connect(&mut self, dialer: &Dialer, because: Option<Fault>) -> Result<()> {
        let is_again = because.is_some();
        let mut is_first = !is_again;
        let mut last = because.map(|fault| fault.named("using", dialer.address()));
        while is_first || self.attempts < dialer.options().retry.attempts_max {
            if !is_first {
                let attempt = self.attempts;
                self.attempts += 1;
                if !dialer.pause(attempt) {
                    return Err(Error::new(
                        ErrorKind::Cancelled,
                        "connecting to",
                        dialer.address(),
                    ));
                }
            }
            is_first = false;
            match dialer.dial() {
                Ok(link) => {
                    self.link = Some(link);
                    if is_again {
                        dialer.count_reconnect();
                    }
                    match self.try_send() {
                        Ok(()) => return Ok(()),
                        Err(fault) => {
                            self.lose(dialer);
                            last = Some(fault.named("using", dialer.address()));
                        }
                    }
                }
                Err(error) if error.kind().is_repeatable() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let given_up = Error::new(ErrorKind::Unreachable, "reading from", dialer.address());
        let seen = format!("{} attempts to connect failed", self.attempts);
        self.attempts = 0;
        Err(match last {
            Some(cause) => given_up.seen(format!("{seen}: {cause}")).because(cause),
            None => given_up.seen(seen),
        })
    }
}
