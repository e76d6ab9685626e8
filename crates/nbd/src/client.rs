//! A disk that some server exports.
//!
//! Each call uses one connection at a time and drives both of its directions itself: no threads,
//! no queues. Requests of one call are under way together; a connection that fails is made anew,
//! and the reads it left unanswered are asked again.

use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use lifeboat_model::{CancelToken, Clock, SystemClock};

use crate::{Address, Result, TlsClient};

mod coverage;
mod dialer;
mod fault;
mod handshake;
mod lane;
mod link;
mod mappings;
mod pending;
mod reads;
mod stream;
mod writes;

use dialer::Dialer;
use lane::Lane;
pub use mappings::{Mapped, Mappings};
pub use reads::{Order, Piece, Reads};

/// How often and after which pauses a lost connection is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// Attempts without any answer in between; 0 for none.
    pub attempts_max: u32,
    /// Pause before the first attempt; each further one is twice as long.
    pub pause_first: Duration,
    /// No pause is longer.
    pub pause_max: Duration,
}

/// Which replies are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// Extended headers, else structured replies, else simple ones.
    Best,
    /// Structured replies, else simple ones.
    Structured,
    /// Simple replies: no meta contexts, no holes.
    Simple,
}

/// Whether a server may answer a read in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// Holes come as such and cost nothing.
    Allowed,
    /// Each reply is one piece, where the server can do that.
    Refused,
}

/// How to talk to a server.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Certificates; needed for addresses that ask for TLS.
    pub tls: Option<TlsClient>,
    /// Meta contexts to select, as `base:allocation` or `qemu:dirty-bitmap:NAME`; at most 64.
    pub contexts: Vec<String>,
    /// Connections at most; more than one only to servers that allow it.
    pub connections_max: usize,
    /// Requests under way at most, of each call; 1 to 64.
    pub window: usize,
    /// Bytes of one request at most; the server's own limit counts too.
    pub request_bytes: u32,
    /// Which replies are asked for.
    pub replies: Replies,
    /// Whether a server may answer a read in pieces.
    pub fragments: Fragments,
    /// Longest wait for a connection.
    pub connect_time_max: Duration,
    /// Longest silence of the server while it owes an answer.
    pub answer_time_max: Duration,
    /// What is done about a lost connection.
    pub retry: RetryRule,
    /// Ends the waits between attempts.
    pub cancel: CancelToken,
    /// Waits between attempts.
    pub clock: std::sync::Arc<dyn Clock>,
}

impl Default for RetryRule {
    /// Pauses of 0.1, 0.2, 0.4 … 5 seconds: about half a minute in all.
    fn default() -> Self {
        Self {
            attempts_max: 10,
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl Default for ClientOptions {
    /// Eight requests of 1 MiB under way on one connection: 8 MiB of memory.
    fn default() -> Self {
        Self {
            tls: None,
            contexts: Vec::new(),
            connections_max: 1,
            window: 8,
            request_bytes: 1 << 20,
            replies: Replies::Best,
            fragments: Fragments::Allowed,
            connect_time_max: Duration::from_secs(10),
            answer_time_max: Duration::from_secs(60),
            retry: RetryRule::default(),
            cancel: CancelToken::new(),
            clock: std::sync::Arc::new(SystemClock::new()),
        }
    }
}

/// What a server says about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFacts {
    /// Bytes of the disk.
    pub size: u64,
    /// Text for people, from the server as it is; may be empty.
    pub description: String,
    /// Offsets and lengths of requests are multiples of this.
    pub block_bytes_min: u32,
    /// Requests of this size and alignment are not slow.
    pub block_bytes_preferred: u32,
    /// Reads and writes are not longer.
    pub request_bytes_max: u32,
    /// Whether writes are refused.
    pub is_read_only: bool,
    /// Whether `flush` has a meaning; where not, writes are durable or nobody knows.
    pub can_flush: bool,
    /// Whether single writes can be made durable (FUA).
    pub can_force: bool,
    /// Whether ranges can be given up.
    pub can_trim: bool,
    /// Whether zeros need not be sent.
    pub can_write_zeroes: bool,
    /// Whether a reply can be asked for in one piece (DF).
    pub can_read_whole: bool,
    /// Whether several connections see each other's writes.
    pub can_share: bool,
    /// Whether reads can be announced.
    pub can_prefetch: bool,
    /// Whether replies come in chunks.
    pub has_structured_replies: bool,
    /// Whether lengths have 64 bits.
    pub has_long_requests: bool,
    /// Meta contexts that were selected: those of the wanted that the server has.
    pub contexts: Vec<String>,
}

impl Default for ExportFacts {
    /// What holds for a server that says nothing.
    fn default() -> Self {
        Self {
            size: 0,
            description: String::new(),
            block_bytes_min: 1,
            block_bytes_preferred: 4096,
            request_bytes_max: crate::wire::PAYLOAD_BYTES_MAX,
            is_read_only: true,
            can_flush: false,
            can_force: false,
            can_trim: false,
            can_write_zeroes: false,
            can_read_whole: false,
            can_share: false,
            can_prefetch: false,
            has_structured_replies: false,
            has_long_requests: false,
            contexts: Vec::new(),
        }
    }
}

/// An export as a server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Text for people; may be empty.
    pub description: String,
}

/// An open export; several threads may use it at once.
///
/// Dropping it ends the connections; unanswered requests are forgotten.
pub struct Client {
    dialer: Dialer,
    facts: ExportFacts,
    lanes: Vec<Mutex<Lane>>,
    next: AtomicUsize,
}

impl Client {
    /// Connects once; a lost connection is made anew only later.
    ///
    /// Errors: `Unreachable` or `NotFound` if nobody listens there; `NotFound` for an unknown
    /// export; `Denied` for refused certificates or TLS that is missing; `Corrupt` if the server
    /// breaks the protocol; `Unsupported` if it is of the old style.
    pub fn connect(address: &Address, options: ClientOptions) -> Result<Self> {
        Self::with(Dialer::of(address, options))
    }

    /// Uses a connection that exists already, and cannot be made anew.
    ///
    /// Errors: as of [`Self::connect`].
    pub fn over(
        stream: impl Read + Write + Send + 'static,
        export: &str,
        options: ClientOptions,
    ) -> Result<Self> {
        Self::with(Dialer::given(Box::new(stream), export, options))
    }

    fn with(dialer: Dialer) -> Result<Self> {
        let (link, facts) = dialer.first()?;
        let count = match facts.can_share {
            true => dialer.options().connections_max.clamp(1, 64),
            false => 1,
        };
        let mut lanes: Vec<_> = (1..count).map(|_| Mutex::new(Lane::new(None))).collect();
        lanes.insert(0, Mutex::new(Lane::new(Some(link))));
        Ok(Self {
            dialer,
            facts,
            lanes,
            next: AtomicUsize::new(0),
        })
    }

    /// What the server said when it was asked first; a server that says other things later is
    /// refused.
    pub fn facts(&self) -> &ExportFacts {
        &self.facts
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.facts.size
    }

    /// Where the export is.
    pub fn address(&self) -> &Address {
        self.dialer.address()
    }

    /// How often a connection was made anew so far.
    pub fn reconnects(&self) -> u64 {
        self.dialer.reconnects()
    }

    /// A connection that nobody uses now, else the one whose turn it is.
    fn lane(&self) -> (usize, MutexGuard<'_, Lane>) {
        for (index, lane) in self.lanes.iter().enumerate() {
            match lane.try_lock() {
                Ok(lane) => return (index, lane),
                Err(TryLockError::Poisoned(poisoned)) => return (index, poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        (index, self.lane_at(index))
    }

    /// # Panics
    /// Never: `index` came from [`Self::lane`].
    fn lane_at(&self, index: usize) -> MutexGuard<'_, Lane> {
        let lane = self.lanes.get(index).or(self.lanes.first());
        let lane = lane.unwrap_or_else(|| unreachable!("a client has a connection"));
        lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of one request at most, a multiple of the smallest block.
    fn request_bytes(&self) -> u32 {
        let least = self.facts.block_bytes_min;
        let most = self.facts.request_bytes_max;
        let wanted = self.dialer.options().request_bytes.min(most).max(least);
        wanted - wanted % least
    }

    fn window(&self) -> usize {
        self.dialer.options().window.clamp(1, 64)
    }

    /// Refuses a range beyond the disk or between blocks.
    fn check(&self, doing: &'static str, offset: u64, length: u64) -> Result<()> {
        let refuse = |seen: String| fault::invalid(doing, self.address(), offset, seen);
        let size = self.facts.size;
        match offset.checked_add(length) {
            Some(end) if end <= size => {}
            _ => return refuse(format!("{length} bytes there end beyond its {size} bytes")),
        }
        let least = u64::from(self.facts.block_bytes_min);
        match offset.is_multiple_of(least) && length.is_multiple_of(least) {
            true => Ok(()),
            false => refuse(format!("the server wants multiples of {least} bytes")),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address())
    }
}

/// Lists the exports of the address's server; the address's own export does not matter.
///
/// Errors: as of [`Client::connect`]; `Denied` if the server does not tell.
pub fn list_exports(address: &Address, options: ClientOptions) -> Result<Vec<Listed>> {
    Dialer::of(address, options).list_exports()
}

/// Lists the meta contexts of an export that match the queries, as `qemu:dirty-bitmap:`; all for
/// no query.
///
/// Errors: as of [`Client::connect`].
pub fn list_contexts(
    address: &Address,
    queries: &[String],
    options: ClientOptions,
) -> Result<Vec<String>> {
    Dialer::of(address, options).list_contexts(queries)
}
