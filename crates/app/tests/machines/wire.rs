//! What stands between the program and libvirt's daemon, counts the program's calls, and stops
//! at the one that is wanted.
//!
//! Source: libvirt's documentation, "libvirt RPC infrastructure": packets and their header.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lifeboat_testkit::libvirtd::uri_of;

/// The programs of libvirt's protocol whose calls change or ask something: remote, qemu.
const PROGRAMS: [u32; 2] = [0x2000_8086, 0x2000_8087];
/// Types of packets.
const CALL: u32 = 0;
const REPLY: u32 = 1;
/// Bytes of the length and of the header after it.
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 24;
/// Limit: bytes of a packet in libvirt.
const PACKET_BYTES_MAX: usize = 32 << 20;

/// On which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The daemon has not seen the call.
    Before,
    /// The daemon has answered it, and the program has not seen the answer.
    After,
}

/// A moment of a run: beside its call of this number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) edge: Edge,
    pub(crate) call: usize,
}

/// Whoever holds this lets the program wait.
pub(crate) struct Held {
    _go_on: Sender<()>,
}

/// A socket that leads to the daemon.
pub(crate) struct Wire {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    reached: Receiver<Held>,
}

struct State {
    calls: usize,
    moment: Option<Moment>,
    reached: Sender<Held>,
}

impl Wire {
    /// Listens at `socket` for as long as the process lives, and leads to `daemon`.
    pub(crate) fn begin(socket: &Path, daemon: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o777)).unwrap();
        let (sender, reached) = channel();
        let state = Arc::new(Mutex::new(State {
            calls: 0,
            moment: None,
            reached: sender,
        }));
        let (shared, daemon) = (Arc::clone(&state), daemon.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Where there is no daemon the client sees its connection end.
                if let Ok(above) = UnixStream::connect(&daemon) {
                    connect(client, above, &shared);
                }
            }
        });
        Self {
            socket: socket.to_owned(),
            state,
            reached,
        }
    }

    pub(crate) fn uri(&self) -> String {
        uri_of(&self.socket)
    }

    /// Counts anew, and stops at this moment.
    pub(crate) fn aim(&self, moment: Option<Moment>) {
        while self.reached.try_recv().is_ok() {}
        let mut state = self.state.lock().unwrap();
        state.calls = 0;
        state.moment = moment;
    }

    /// Calls since the count began.
    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    /// Waits a moment for the moment.
    pub(crate) fn reached(&self, limit: Duration) -> Option<Held> {
        self.reached.recv_timeout(limit).ok()
    }
}

impl State {
    /// Counts a call; says whether the moment is before or after this one.
    fn count(&mut self) -> Option<Edge> {
        self.calls += 1;
        let moment = self.moment.filter(|it| it.call == self.calls)?;
        self.moment = None;
        Some(moment.edge)
    }
}

/// Tells of the moment and waits until it has passed.
fn stop(state: &Mutex<State>) {
    let (go_on, wait) = channel();
    let held = Held { _go_on: go_on };
    let reached = state.lock().unwrap().reached.clone();
    if reached.send(held).is_ok() {
        let _ = wait.recv();
    }
}

fn connect(client: UnixStream, daemon: UnixStream, state: &Arc<Mutex<State>>) {
    // The serial number of the call whose answer is the moment.
    let awaited = Arc::new(Mutex::new(None));
    let ends = |one: &UnixStream, other: &UnixStream| {
        (one.try_clone().unwrap(), other.try_clone().unwrap())
    };
    let (from, to) = ends(&client, &daemon);
    let (shared, serial) = (Arc::clone(state), Arc::clone(&awaited));
    thread::spawn(move || {
        carry(from, to, |packet| {
            if packet.kind != CALL || !PROGRAMS.contains(&packet.program) {
                return;
            }
            let edge = shared.lock().unwrap().count();
            match edge {
                Some(Edge::Before) => stop(&shared),
                Some(Edge::After) => *serial.lock().unwrap() = Some(packet.serial),
                None => {}
            }
        });
    });
    let (from, to, shared) = (daemon, client, Arc::clone(state));
    thread::spawn(move || {
        carry(from, to, |packet| {
            let is_it = packet.kind == REPLY
                && awaited
                    .lock()
                    .unwrap()
                    .take_if(|it| *it == packet.serial)
                    .is_some();
            if is_it {
                stop(&shared);
            }
        });
    });
}

struct Packet {
    program: u32,
    kind: u32,
    serial: u32,
}

/// Carries packets until one end is closed; then both are.
fn carry(mut from: UnixStream, mut to: UnixStream, mut seen: impl FnMut(&Packet)) {
    while let Some(bytes) = packet(&mut from) {
        let word = |at: usize| {
            let bytes = bytes[LENGTH_BYTES + at..][..4].try_into().unwrap();
            u32::from_be_bytes(bytes)
        };
        seen(&Packet {
            program: word(0),
            kind: word(12),
            serial: word(16),
        });
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// One packet with its length.
fn packet(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; LENGTH_BYTES];
    from.read_exact(&mut length).ok()?;
    let whole = u32::from_be_bytes(length) as usize;
    assert!((LENGTH_BYTES + HEADER_BYTES..=PACKET_BYTES_MAX).contains(&whole));
    let mut bytes = vec![0; whole];
    bytes[..LENGTH_BYTES].copy_from_slice(&length);
    from.read_exact(&mut bytes[LENGTH_BYTES..]).ok()?;
    Some(bytes)
}
