//! How fast bytes travel: printed, and nothing is asserted about it.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use lifeboat_model::Extent;
use lifeboat_nbd::{Access, Client, ClientOptions, Order, ServerOptions};
use lifeboat_testkit::Effort;

use crate::disks::{RawFile, dice, serve};
use crate::tools::{Peer, are_here, options, run};

fn told(what: &str, bytes: u64, began: Instant) {
    let speed = bytes as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20);
    println!("speed: {what}: {speed:.0} MiB/s");
}

#[test]
fn sequential_reads_both_ways() {
    if !are_here() {
        return;
    }
    let size: u64 = Effort::current().pick(128 << 20, 1 << 30);
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let block = dice().bytes(8 << 20);
    fs::write(&raw, block.repeat((size >> 23) as usize)).unwrap();
    let socket = folder.path().join("s");
    let peer = Peer::start(
        &socket,
        "qemu-nbd -r -t -e 9 -k @1 -f raw -x disk @2",
        &[&raw],
    );
    let disk = RawFile::open(&raw, Access::ReadOnly);
    let server = serve(folder.path(), Arc::new(disk), ServerOptions::default());
    let servers = [
        ("qemu-nbd", peer.address("disk")),
        ("our server", server.address().clone()),
    ];
    for (name, address) in servers {
        let options = ClientOptions {
            request_bytes: 1 << 20,
            ..options()
        };
        let client = Client::connect(&address, options).unwrap();
        let began = Instant::now();
        let mut sum = 0u64;
        for piece in client.reads(Extent::new(0, size), Order::Arrival) {
            sum += piece.unwrap().len() as u64;
        }
        assert_eq!(sum, size);
        told(&format!("our client's pieces from {name}"), size, began);
        let mut buffer = vec![0; 8 << 20];
        let began = Instant::now();
        for at in (0..size).step_by(8 << 20) {
            client.read_into(at, &mut buffer).unwrap();
        }
        told(&format!("our client's buffers from {name}"), size, began);
    }
    for (name, socket) in [
        ("qemu-nbd", &socket),
        ("our server", &folder.path().join("ours.sock")),
    ] {
        let uri = format!("nbd+unix:///disk?socket={}", socket.display());
        let began = Instant::now();
        run("nbdcopy @1 null:", &[&uri]);
        told(&format!("nbdcopy from {name}"), size, began);
    }
}
