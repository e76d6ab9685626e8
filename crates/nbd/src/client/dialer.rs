//! Makes connections to one export, the first and those after a loss.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lifeboat_model::ErrorKind;

use super::handshake::{Handshake, Wishes};
use super::link::Link;
use super::stream::{ClientStream, Duplex};
use super::{ClientOptions, ExportFacts, Listed};
use crate::socket::Socket;
use crate::wire::option::QUERIES_MAX;
use crate::{Address, Error, Result};

/// Longest wait between two looks at the cancel token.
const SLICE: Duration = Duration::from_millis(200);

/// Writes that the server answered, and whether a flush may still vouch for them.
///
/// A server that died may have forgotten what it had not flushed: a flush on the next connection
/// would succeed without them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: u64,
    flushed: u64,
    is_lost: bool,
}

impl Ledger {
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    pub(super) fn begin_write(&mut self) {
        self.written += 1;
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn flushed(&mut self, written: u64) {
        self.flushed = self.flushed.max(written);
    }

    pub(super) fn connection_lost(&mut self) {
        self.is_lost |= self.written > self.flushed;
    }
}

pub(super) struct Dialer {
    address: Address,
    options: ClientOptions,
    /// A connection from elsewhere, until it is taken.
    given: Option<Mutex<Option<Box<dyn Duplex>>>>,
    facts: OnceLock<ExportFacts>,
    ledger: Mutex<Ledger>,
    reconnects: AtomicU64,
}

impl Dialer {
    pub(super) fn of(address: &Address, options: ClientOptions) -> Self {
        Self {
            address: address.clone(),
            options,
            given: None,
            facts: OnceLock::new(),
            ledger: Mutex::default(),
            reconnects: AtomicU64::new(0),
        }
    }

    pub(super) fn given(stream: Box<dyn Duplex>, export: &str, options: ClientOptions) -> Self {
        let address = Address::unix("given".as_ref(), export);
        Self {
            given: Some(Mutex::new(Some(stream))),
            ..Self::of(&address, options)
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn options(&self) -> &ClientOptions {
        &self.options
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first connection, and what the server says about the export.
    pub(super) fn first(&self) -> Result<(Link, ExportFacts)> {
        let (link, facts) = self.open(self.connect()?)?;
        let facts = self.facts.get_or_init(|| facts).clone();
        Ok((link, facts))
    }

    /// One more connection.
    ///
    /// Errors: `Corrupt` if the export is not what it was; of the rest, those are worth another
    /// attempt that [`ErrorKind::is_repeatable`].
    pub(super) fn dial(&self) -> Result<Link> {
        let stream = self.connect().map_err(|error| match error.kind() {
            // The socket comes back when the server does.
            ErrorKind::NotFound if self.given.is_none() => {
                Error::new(ErrorKind::Unreachable, "connecting to", &self.address).because(error)
            }
            _ => error,
        })?;
        let (link, facts) = self.open(stream)?;
        match self.facts.get() {
            Some(before) if *before != facts => Err(Error::new(
                ErrorKind::Corrupt,
                "connecting again to",
                &self.address,
            )
            .seen(format!(
                "the export is not what it was: {} bytes, before {}; begin again",
                facts.size, before.size
            ))),
            _ => Ok(link),
        }
    }

    pub(super) fn count_reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits before attempt number `attempt`, counted from 0; says whether to go on.
    pub(super) fn pause(&self, attempt: u32) -> bool {
        let rule = self.options.retry;
        let factor = 1u32.checked_shl(attempt).unwrap_or(u32::MAX);
        let mut left = rule.pause_first.saturating_mul(factor).min(rule.pause_max);
        while !left.is_zero() && !self.options.cancel.is_cancelled() {
            let slice = left.min(SLICE);
            self.options.clock.sleep(slice);
            left -= slice;
        }
        !self.options.cancel.is_cancelled()
    }

    pub(super) fn list_exports(&self) -> Result<Vec<Listed>> {
        let mut handshake = self.handshake(self.connect()?)?;
        let found = handshake.list()?;
        handshake.abort();
        Ok(found)
    }

    pub(super) fn list_contexts(&self, queries: &[String]) -> Result<Vec<String>> {
        self.check_queries(queries)?;
        let mut handshake = self.handshake(self.connect()?)?;
        let found = handshake.list_contexts(self.address.export(), queries)?;
        handshake.abort();
        Ok(found)
    }

    fn connect(&self) -> Result<ClientStream> {
        if let Some(given) = &self.given {
            let stream = given.lock().unwrap_or_else(PoisonError::into_inner).take();
            return stream.map(ClientStream::Given).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "connecting to", &self.address)
                    .seen("this connection cannot be made anew")
            });
        }
        let limits = &self.options;
        let socket = Socket::connect(self.address.endpoint(), limits.connect_time_max);
        let ready = socket.and_then(|socket| {
            socket.set_read_time_max(Some(limits.answer_time_max))?;
            socket.set_write_time_max(Some(limits.answer_time_max))?;
            Ok(socket)
        });
        ready
            .map(ClientStream::Plain)
            .map_err(|cause| Error::io("connecting to", &self.address, cause))
    }

    fn handshake(&self, stream: ClientStream) -> Result<Handshake<'_>> {
        Handshake::begin(stream, &self.address, self.options.tls.as_ref())
    }

    fn open(&self, stream: ClientStream) -> Result<(Link, ExportFacts)> {
        self.check_queries(&self.options.contexts)?;
        let (stream, agreed) = self.handshake(stream)?.open(&Wishes {
            address: &self.address,
            replies: self.options.replies,
            contexts: &self.options.contexts,
        })?;
        Ok((
            Link::new(stream, agreed.form, agreed.contexts),
            agreed.facts,
        ))
    }

    fn check_queries(&self, queries: &[String]) -> Result<()> {
        let is_text = |text: &String| text.len() <= 4096 && !text.contains('\0');
        let count = u32::try_from(queries.len()).unwrap_or(u32::MAX);
        match count <= QUERIES_MAX && queries.iter().all(is_text) {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Invalid,
                "asking for meta contexts of",
                &self.address,
            )
            .seen("at most 64 of at most 4096 bytes, without NUL")),
        }
    }
}
