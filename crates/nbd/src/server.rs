//! Gives disks to clients.
//!
//! One thread accepts; each client has some threads of its own, so that a slow one holds up
//! nobody else. Memory: `connections_max` times `workers` times 1 MiB for replies in pieces, and
//! `memory_bytes_max` for payloads and for replies that must be in one piece.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::socket::Socket;
use crate::{Address, Error, Result, TlsServer};

mod budget;
mod export;
mod handshake;
mod listener;
mod pace;
mod session;

use budget::Budget;
pub use export::{Access, Allocation, BlockSizes, Durability, Export, Exports, Stated, Zeroing};
use handshake::Handshake;
pub use listener::Listener;
use pace::{Limits, Pace, Paced};
use session::Session;

/// Whether connections are put under TLS.
#[derive(Clone, Debug)]
pub enum TlsPolicy {
    /// Never.
    Off,
    /// If the client wants it.
    Offered(TlsServer),
    /// Always: others are told nothing, not even names.
    Required(TlsServer),
}

/// How to serve, and what is too much.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Whether connections are put under TLS.
    pub tls: TlsPolicy,
    /// Clients at once; more are hung up on.
    pub connections_max: usize,
    /// Requests under way of one client; each has a thread. 1 to 64.
    pub workers: usize,
    /// Bytes of payloads that are held at once, for all clients.
    pub memory_bytes_max: u64,
    /// Time for the whole handshake, TLS included.
    pub handshake_time_max: Duration,
    /// Longest silence within a request, and longest wait for a client that does not read.
    pub stall_time_max: Duration,
    /// Longest silence between requests; nothing for any: a machine's disk may rest for days.
    pub idle_time_max: Option<Duration>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tls: TlsPolicy::Off,
            connections_max: 64,
            workers: 4,
            memory_bytes_max: 256 << 20,
            handshake_time_max: Duration::from_secs(10),
            stall_time_max: Duration::from_secs(30),
            idle_time_max: None,
        }
    }
}

/// The two directions of a connection.
pub(crate) struct Halves {
    pub(crate) source: Box<dyn Read + Send>,
    pub(crate) sink: Box<dyn Write + Send>,
}

impl Halves {
    /// A connection that is over.
    fn ended() -> Self {
        Self {
            source: Box::new(io::empty()),
            sink: Box::new(io::sink()),
        }
    }
}

/// Serves one client over any two streams, until it leaves; time limits are the streams' own.
///
/// Errors: `Corrupt` or `Unreachable` for a handshake that fails.
pub fn serve_stream(
    source: impl Read + Send + 'static,
    sink: impl Write + Send + 'static,
    exports: &Exports,
    options: &ServerOptions,
) -> Result<()> {
    let halves = Halves {
        source: Box::new(source),
        sink: Box::new(sink),
    };
    let budget = Budget::new(options.memory_bytes_max);
    serve(halves, exports, options, &Pace::of(None), &budget)
}

fn serve(
    halves: Halves,
    exports: &Exports,
    options: &ServerOptions,
    pace: &Pace,
    budget: &Arc<Budget>,
) -> Result<()> {
    let handshake = Handshake::new(exports, &options.tls, halves);
    let agreed = handshake
        .run()
        .map_err(|cause| Error::io("shaking hands with", "a client", cause))?;
    if let Some(agreed) = agreed {
        Session::new(agreed, pace.clone(), Arc::clone(budget)).run(options.workers.clamp(1, 64));
    }
    Ok(())
}

/// A server that runs; dropping it stops it.
pub struct Server {
    shared: Arc<Shared>,
    wake: UnixStream,
    accepting: Option<JoinHandle<Listener>>,
    address: Address,
}

struct Shared {
    exports: Exports,
    options: ServerOptions,
    budget: Arc<Budget>,
    is_stopping: AtomicBool,
    roster: Arc<Roster>,
}

/// Who is connected. Apart from the exports: who has left here holds none of them any more.
#[derive(Default)]
struct Roster {
    clients: Mutex<BTreeMap<u64, Socket>>,
    left: Condvar,
}

impl Server {
    /// Begins to serve.
    ///
    /// Errors: what the operating system says about threads and sockets.
    pub fn start(listener: Listener, exports: Exports, options: ServerOptions) -> Result<Self> {
        let address = listener.address();
        let failed = |cause| Error::io("serving at", &address, cause);
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        let shared = Arc::new(Shared {
            exports,
            budget: Budget::new(options.memory_bytes_max),
            options,
            is_stopping: AtomicBool::new(false),
            roster: Arc::default(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("nbd accept".into())
                .spawn(move || {
                    accept_all(&listener, &woken, &shared);
                    listener
                })
                .map_err(failed)?
        };
        Ok(Self {
            shared,
            wake,
            accepting: Some(accepting),
            address,
        })
    }

    /// Where it listens, with the port that was chosen, for the default export.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The exports; they may change while it runs.
    pub fn exports(&self) -> &Exports {
        &self.shared.exports
    }

    /// How many clients are connected now.
    pub fn client_count(&self) -> usize {
        self.shared.roster.clients().len()
    }

    /// Accepts nobody any more, lets requests that have arrived be answered for at most `grace`,
    /// ends all connections, removes the socket. Then it holds no export any more.
    pub fn stop(mut self, grace: Duration) {
        self.end(grace);
    }

    fn end(&mut self, grace: Duration) {
        let Some(accepting) = self.accepting.take() else {
            return;
        };
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        drop((&self.wake).write_all(&[0]));
        // The listener goes first: nobody may connect to what is about to end.
        drop(accepting.join());
        let end = Instant::now() + grace;
        let mut clients = self.shared.roster.clients();
        clients.values().for_each(|it| it.shut(Shutdown::Read));
        let mut is_late = false;
        while !clients.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() && !is_late {
                clients.values().for_each(|it| it.shut(Shutdown::Both));
                is_late = true;
            }
            let pause = if is_late {
                Duration::from_secs(1)
            } else {
                left
            };
            let waited = self.shared.roster.left.wait_timeout(clients, pause);
            clients = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}, {:?})", self.address, self.shared.exports)
    }
}

impl Roster {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Socket>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn limits(&self) -> Limits {
        Limits {
            handshake: self.options.handshake_time_max,
            stall: self.options.stall_time_max,
            idle: self.options.idle_time_max,
        }
    }
}

/// Forgets a client however its thread ends.
struct Connected {
    roster: Arc<Roster>,
    number: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let socket = self.roster.clients().remove(&self.number);
        if let Some(socket) = socket {
            socket.shut(Shutdown::Both);
        }
        self.roster.left.notify_all();
    }
}

fn accept_all(listener: &Listener, woken: &UnixStream, shared: &Arc<Shared>) {
    let mut number = 0;
    while !shared.is_stopping.load(Ordering::SeqCst) {
        let mut polled = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN),
        ];
        if poll(&mut polled, None).is_err() || shared.is_stopping.load(Ordering::SeqCst) {
            continue;
        }
        match listener.accept() {
            Ok(socket) => {
                number += 1;
                // A client that cannot be served is hung up on; it may come again.
                drop(welcome(socket, number, shared));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of files: somebody must leave first.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn welcome(socket: Socket, number: u64, shared: &Arc<Shared>) -> io::Result<()> {
    if shared.roster.clients().len() >= shared.options.connections_max {
        return Ok(());
    }
    socket.set_write_time_max(Some(shared.options.stall_time_max))?;
    let pace = Pace::of(Some(socket.another()?));
    let paced = Paced::new(socket.another()?, pace.clone(), shared.limits());
    let halves = Halves {
        source: Box::new(paced),
        sink: Box::new(socket.another()?),
    };
    shared.roster.clients().insert(number, socket);
    let connected = Connected {
        roster: Arc::clone(&shared.roster),
        number,
    };
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name(format!("nbd client {number}"))
        .spawn(move || {
            let _connected = connected;
            // Order: dropped before the line above, so that a stop ends with all exports free.
            let shared = shared;
            // What a client does wrong is between it and its connection.
            drop(serve(
                halves,
                &shared.exports,
                &shared.options,
                &pace,
                &shared.budget,
            ));
        })?;
    Ok(())
}
