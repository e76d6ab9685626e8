//! Ports for servers that must be told theirs.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// First port that is given; above the services of a computer.
const FIRST: u32 = 20_000;
/// How many there are: they end below those that the kernel gives to whoever connects, so that
/// nobody takes one between this answer and the server's start.
const COUNT: u32 = 12_000;
/// Apart by more than one test asks for.
const PER_PROCESS: u32 = 16;

/// A port of this computer's that nobody listens at, and that no other test gets soon.
///
/// # Panics
/// When every one is taken.
#[must_use]
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let begin = process::id().wrapping_mul(PER_PROCESS).wrapping_add(asked);
    let ports = (0..COUNT).map(|step| FIRST + (begin % COUNT + step) % COUNT);
    let mut ports = ports.filter_map(|port| u16::try_from(port).ok());
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
