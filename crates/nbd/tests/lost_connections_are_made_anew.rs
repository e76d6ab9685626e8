//! Servers that die while they are read, and what a client may and may not do about it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_model::{CancelToken, ErrorKind, Extent};
use lifeboat_nbd::{Address, Client, ClientOptions, Durability, Order, RetryRule};
use lifeboat_testkit::{Effort, figure};

use crate::disks::{dice, sparse};
use crate::tools::{Peer, are_here, options};

const SIZE: u64 = 16 << 20;

fn patient() -> ClientOptions {
    ClientOptions {
        retry: RetryRule {
            attempts_max: 200,
            pause_first: Duration::from_millis(5),
            pause_max: Duration::from_millis(50),
        },
        ..options()
    }
}

/// Carries bytes to a server and cuts each connection after some of its answers.
struct Cutter {
    socket: PathBuf,
    cuts: Arc<AtomicU64>,
}

impl Cutter {
    /// `allowed` gives the bytes of answers that the next connection may carry.
    fn start(
        folder: &Path,
        server: &Path,
        mut allowed: impl FnMut() -> Option<u64> + Send + 'static,
    ) -> Self {
        let socket = folder.join("cutter");
        let listener = UnixListener::bind(&socket).unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let (server, count) = (server.to_owned(), Arc::clone(&cuts));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Some(bytes) = allowed() else { return };
                let (client, upstream) = (client.unwrap(), UnixStream::connect(&server).unwrap());
                let (mut from, mut to) =
                    (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
                let (mut client, count) = (client, Arc::clone(&count));
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut (&upstream).take(bytes), &mut client));
                    drop(client.flush());
                    drop(client.shutdown(Shutdown::Both));
                    drop(upstream.shutdown(Shutdown::Both));
                    count.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { socket, cuts }
    }
}

#[test]
fn reads_go_on_after_every_cut() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let dice = dice();
    let content = sparse(&raw, SIZE, &dice);
    let socket = folder.path().join("s");
    let _peer = Peer::start(&socket, "qemu-nbd -r -t -e 20 -k @1 -f raw @2", &[&raw]);
    // Cuts within handshakes, heads and payloads.
    let allowed = move || Some(1 + dice.below(1_500_000));
    let cutter = Cutter::start(folder.path(), &socket, allowed);
    let address = Address::unix(&cutter.socket, "");
    let rounds = Effort::current().pick(2, 60);
    let mut reconnects = 0;
    for order in [Order::Given, Order::Arrival]
        .into_iter()
        .cycle()
        .take(rounds)
    {
        let client = loop {
            // The first connection is the caller's own affair.
            match Client::connect(&address, patient()) {
                Ok(client) => break client,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}"),
            }
        };
        let mut end = 0;
        for piece in client.reads(Extent::new(0, SIZE), order) {
            let piece = piece.unwrap();
            let at = piece.offset() as usize;
            assert!(*piece == content[at..at + piece.len()]);
            end += piece.len() as u64;
        }
        assert_eq!(end, SIZE);
        let mut buffer = vec![0; SIZE as usize];
        client.read_into(0, &mut buffer).unwrap();
        assert!(buffer == content);
        reconnects += client.reconnects();
    }
    assert!(reconnects > 5, "{reconnects}");
    figure(
        "network disks",
        "reads: connections cut",
        cutter.cuts.load(Ordering::SeqCst),
    );
}

#[test]
fn a_killed_server_that_comes_back_is_read_on() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let content = sparse(&raw, SIZE, &dice());
    let socket = folder.path().join("s");
    let line = "nbdkit -f -r -U @1 --filter=delay file @2 rdelay=2ms";
    let mut peer = Peer::start(&socket, line, &[&raw]);
    let client = Client::connect(&peer.address(""), patient()).unwrap();
    let mut found = Vec::new();
    for piece in client.reads(Extent::new(0, SIZE), Order::Given) {
        found.extend_from_slice(&piece.unwrap());
        if found.len() == 4 << 20 {
            peer.kill();
            std::fs::remove_file(&socket).unwrap();
            peer = Peer::start(&socket, line, &[&raw]);
        }
    }
    assert!(found == content);
    assert!(client.reconnects() >= 1);
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let line = "nbdkit -f -r -U @1 memory 8M";
    let mut peer = Peer::start(&socket, line, &[]);
    let cancel = CancelToken::new();
    let few = ClientOptions {
        retry: RetryRule {
            attempts_max: 3,
            pause_first: Duration::from_millis(1),
            pause_max: Duration::from_millis(2),
        },
        cancel: cancel.clone(),
        ..options()
    };
    let client = Client::connect(&peer.address(""), few).unwrap();
    client.read_into(0, &mut [0; 512]).unwrap();
    peer.kill();
    let error = client.read_into(0, &mut [0; 512]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("3 attempts"), "{error}");
    cancel.cancel();
    let error = client.read_into(0, &mut [0; 512]).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unreachable),
        "{error}"
    );
    // It may come back even then.
    drop(std::fs::remove_file(&socket));
    let _peer = Peer::start(&socket, line, &[]);
    client.read_into(0, &mut [0; 512]).unwrap();
}

#[test]
fn a_server_that_comes_back_with_another_disk_is_refused() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let mut peer = Peer::start(&socket, "nbdkit -f -r -U @1 memory 8M", &[]);
    let client = Client::connect(&peer.address(""), patient()).unwrap();
    peer.kill();
    drop(std::fs::remove_file(&socket));
    let _peer = Peer::start(&socket, "nbdkit -f -r -U @1 memory 9M", &[]);
    let error = client.read_into(0, &mut [0; 512]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn writes_that_a_dead_server_may_have_forgotten_are_never_flushed() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let line = "nbdkit -f -U @1 memory 8M";
    let restart = |peer: Option<Peer>| {
        drop(peer);
        drop(std::fs::remove_file(&socket));
        Peer::start(&socket, line, &[])
    };
    let peer = restart(None);
    let client = Client::connect(&peer.address(""), patient()).unwrap();
    client.write_at(0, &[1; 512], Durability::Cached).unwrap();
    client.flush().unwrap();
    // Everything is flushed: nothing can be lost, and writing goes on.
    let peer = restart(Some(peer));
    client.read_into(0, &mut [0; 512]).unwrap();
    client.write_at(0, &[2; 512], Durability::Cached).unwrap();
    let _peer = restart(Some(peer));
    // The write was answered, the disk is empty again: a flush must not vouch for it.
    let mut byte = [9];
    client.read_into(0, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    let flushed = client.flush().unwrap_err();
    assert_eq!(flushed.kind(), ErrorKind::Unreachable, "{flushed}");
    let written = client.write_at(0, &[3], Durability::Cached).unwrap_err();
    assert!(
        written.to_string().contains("begin the restore again"),
        "{written}"
    );
}
