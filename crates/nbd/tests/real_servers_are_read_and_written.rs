//! The client against qemu-nbd and nbdkit.

use std::fs;

use lifeboat_model::{ErrorKind, Extent};
use lifeboat_nbd::{
    Address, Client, ClientOptions, Durability, Fragments, Order, Replies, Zeroing, list_contexts,
    list_exports,
};

use crate::disks::{dice, range, sparse};
use crate::tools::{Peer, are_here, options, run, with_contexts};

const SIZE: u64 = 12 << 20;

/// Every way of asking that a client has.
fn ways() -> Vec<ClientOptions> {
    let mut ways = Vec::new();
    for replies in [Replies::Best, Replies::Structured, Replies::Simple] {
        for fragments in [Fragments::Allowed, Fragments::Refused] {
            for (window, request_bytes) in [(16, 64 << 10), (4, 32 << 20)] {
                ways.push(ClientOptions {
                    replies,
                    fragments,
                    window,
                    request_bytes,
                    ..options()
                });
            }
        }
    }
    ways
}

fn read_all(client: &Client, order: Order) -> Vec<u8> {
    let mut found = vec![0xee; client.size() as usize];
    let (half, size) = (client.size() / 2, client.size());
    let ranges = [Extent::new(half, size), Extent::new(0, half)];
    let mut last = None;
    for piece in client.reads(ranges.into_iter().flatten(), order) {
        let piece = piece.unwrap();
        found[piece.offset() as usize..][..piece.len()].copy_from_slice(&piece);
        if order == Order::Given {
            let expected = last.filter(|at| *at < size).unwrap_or(match last {
                None => half,
                Some(_) => 0,
            });
            assert_eq!(piece.offset(), expected);
            last = Some(piece.offset() + piece.len() as u64);
        }
    }
    found
}

fn check_reads(address: &Address, content: &[u8], ways: &[ClientOptions]) {
    let dice = dice();
    for options in ways {
        let client = Client::connect(address, options.clone()).unwrap();
        assert_eq!(client.size(), content.len() as u64);
        for order in [Order::Given, Order::Arrival] {
            assert!(read_all(&client, order) == content, "{options:?} {order:?}");
        }
        for _ in 0..20 {
            let (start, length) = range(&dice, client.size(), 1, 3 << 20);
            let mut buffer = vec![0xee; length as usize];
            client.read_into(start, &mut buffer).unwrap();
            assert!(buffer == content[start as usize..][..length as usize]);
        }
        client.read_into(0, &mut []).unwrap();
        let beyond = client.read_into(client.size(), &mut [0]).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn qemu_nbd_gives_every_byte_in_every_way_of_asking() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, image) = (folder.path().join("raw"), folder.path().join("image"));
    let content = sparse(&raw, SIZE, &dice());
    run("qemu-img convert -O qcow2 @1 @2", &[&raw, &image]);
    let socket = folder.path().join("s");
    let peer = Peer::start(
        &socket,
        "qemu-nbd -r -t -e 8 -k @1 -f qcow2 -x vda -D text @2",
        &[&image],
    );
    check_reads(&peer.address("vda"), &content, &ways());
    let client = Client::connect(&peer.address("vda"), options()).unwrap();
    let facts = client.facts();
    assert!(facts.is_read_only && facts.has_structured_replies && facts.can_read_whole);
    assert_eq!(facts.request_bytes_max, 32 << 20);
    assert_eq!(facts.description, "text");
    let listed = list_exports(&peer.address("any"), options()).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].name.as_str(), listed[0].description.as_str()),
        ("vda", "text")
    );
    let missing = Client::connect(&peer.address("vdb"), options()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let denied = client.write_at(0, &[1], Durability::Cached).unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
}

#[test]
fn nbdkit_gives_every_byte_with_and_without_structured_replies() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let content = sparse(&raw, SIZE, &dice());
    let lines = [
        ("nbdkit -f -r -U @1 file @2", ways()),
        ("nbdkit -f -r --no-sr -U @1 file @2", ways()[..2].to_vec()),
        ("nbdkit -f -r -t 1 -U @1 file @2", ways()[..2].to_vec()),
        (
            "nbdkit -f -r --mask-handshake=0x1 -U @1 file @2",
            ways()[..1].to_vec(),
        ),
        (
            "nbdkit -f -r -U @1 --filter=blocksize-policy file @2 blocksize-minimum=512 \
             blocksize-preferred=4096 blocksize-maximum=65536 blocksize-error-policy=error",
            Vec::new(),
        ),
    ];
    for (index, (line, ways)) in lines.into_iter().enumerate() {
        let peer = Peer::start(&folder.path().join(format!("s{index}")), line, &[&raw]);
        check_reads(&peer.address(""), &content, &ways);
        if ways.is_empty() {
            let client = Client::connect(&peer.address(""), options()).unwrap();
            assert_eq!(client.facts().block_bytes_min, 512);
            assert!(read_all(&client, Order::Given) == content);
            let odd = client.read_into(1, &mut [0; 512]).unwrap_err();
            assert_eq!(odd.kind(), ErrorKind::Invalid, "{odd}");
        }
    }
}

#[test]
fn a_server_of_the_old_style_is_refused() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(
        &folder.path().join("s"),
        "nbdkit -f -o -U @1 memory 1M",
        &[],
    );
    let error = Client::connect(&peer.address(""), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("old style"), "{error}");
}

#[test]
fn several_threads_and_connections_read_one_disk() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let content = sparse(&raw, SIZE, &dice());
    let socket = folder.path().join("s");
    let peer = Peer::start(&socket, "qemu-nbd -r -t -e 8 -k @1 -f raw @2", &[&raw]);
    for connections_max in [1, 4] {
        let options = ClientOptions {
            connections_max,
            ..options()
        };
        let client = Client::connect(&peer.address(""), options).unwrap();
        assert!(client.facts().can_share);
        std::thread::scope(|scope| {
            let (client, content) = (&client, &content);
            for thread in 0..4u64 {
                scope.spawn(move || {
                    let start = thread * SIZE / 4;
                    let mut buffer = vec![0; (SIZE / 4) as usize];
                    client.read_into(start, &mut buffer).unwrap();
                    assert!(buffer == content[start as usize..][..buffer.len()]);
                });
            }
            // One that is not read to its end does not hold up the others.
            let mut reads = client.reads(Extent::new(0, SIZE), Order::Arrival);
            let piece = reads.next().unwrap().unwrap();
            assert!(*piece == content[piece.offset() as usize..][..piece.len()]);
            let mut byte = [0];
            client.read_into(7, &mut byte).unwrap();
            assert_eq!(byte[0], content[7]);
        });
    }
}

#[test]
fn what_is_written_to_qemu_nbd_is_on_its_disk() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let dice = dice();
    let mut content = sparse(&raw, SIZE, &dice);
    let lines = [
        "qemu-nbd -t -e 8 -k @1 -f raw --discard=unmap --detect-zeroes=unmap @2",
        "nbdkit -f -t 1 -U @1 file @2",
    ];
    for (index, line) in lines.iter().enumerate() {
        let mut peer = Peer::start(&folder.path().join(format!("s{index}")), line, &[&raw]);
        let client = Client::connect(&peer.address(""), options()).unwrap();
        // Reads under way while others write: a server with one thread must not get stuck.
        let mut reads = client.reads(Extent::new(0, SIZE), Order::Given);
        drop(reads.next().unwrap().unwrap());
        for round in 0..40 {
            let (start, length) = range(&dice, SIZE, 512, 2 << 20);
            let place = start as usize..(start + length) as usize;
            let durability = match round % 5 {
                0 => Durability::Forced,
                _ => Durability::Cached,
            };
            if round % 4 == 3 {
                let zeroing = [Zeroing::MayFreeRoom, Zeroing::KeepsRoom][round / 4 % 2];
                client.zero(start, length, zeroing, durability).unwrap();
                content[place].fill(0);
            } else {
                let bytes = dice.bytes(length as usize);
                client.write_at(start, &bytes, durability).unwrap();
                content[place].copy_from_slice(&bytes);
            }
        }
        drop(reads);
        client.trim(SIZE - 4096, 4096, Durability::Cached).unwrap();
        client
            .write_at(SIZE - 4096, &[9; 4096], Durability::Cached)
            .unwrap();
        content[(SIZE - 4096) as usize..].fill(9);
        client.prefetch(0, SIZE).unwrap();
        client.flush().unwrap();
        assert!(read_all(&client, Order::Given) == content);
        peer.kill();
        assert!(fs::read(&raw).unwrap() == content);
    }
}

#[test]
fn contexts_are_listed_and_a_missing_one_is_said() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    run("qemu-img create -f qcow2 @1 8M", &[&image]);
    run("qemu-img bitmap --add @1 b0", &[&image]);
    let socket = folder.path().join("s");
    let line = "qemu-nbd -r -t -e 8 -k @1 -f qcow2 -x vda -B b0 -A @2";
    let peer = Peer::start(&socket, line, &[&image]);
    let address = peer.address("vda");
    let all = list_contexts(&address, &[], options()).unwrap();
    let expected = [
        "base:allocation",
        "qemu:allocation-depth",
        "qemu:dirty-bitmap:b0",
    ];
    let mut sorted = all;
    sorted.sort();
    assert_eq!(sorted, expected);
    let queries = ["qemu:dirty-bitmap:".to_owned()];
    let some = list_contexts(&address, &queries, options()).unwrap();
    assert_eq!(some, expected[2..]);
    let wanted = ["base:allocation", "qemu:dirty-bitmap:b1"];
    let client = Client::connect(&address, with_contexts(&wanted)).unwrap();
    assert_eq!(client.facts().contexts, wanted[..1]);
    let all = Extent::new(0, client.size()).unwrap();
    let missing = client.extents(&wanted[1..], all).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}
