//! Meta contexts, against what nbdinfo makes of the same server.

use lifeboat_model::Extent;
use lifeboat_nbd::{Client, ClientOptions, Replies};

use crate::disks::{dice, range, sparse};
use crate::tools::{Peer, are_here, run, with_contexts};

const SIZE: u64 = 64 << 20;

/// The map of nbdinfo: offset, length, flags; neighbours with equal flags joined.
fn map_of(uri: &str, context: &str) -> Vec<(u64, u64, u64)> {
    let said = run(&format!("nbdinfo --map={context} @1"), &[&uri]);
    let mut map: Vec<(u64, u64, u64)> = Vec::new();
    for line in said.lines() {
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>());
        let mut number = || words.next().unwrap().unwrap();
        let (offset, length, flags) = (number(), number(), number());
        match map.last_mut() {
            Some(last) if last.2 == flags => last.1 += length,
            _ => map.push((offset, length, flags)),
        }
    }
    map
}

fn ours(client: &Client, context: &str, range: Extent) -> Vec<(u64, u64, u64)> {
    let found = client.extents(&[context], range).unwrap();
    found
        .map(|mapped| {
            let mapped = mapped.unwrap();
            (mapped.extent.start(), mapped.extent.len(), mapped.flags[0])
        })
        .collect()
}

/// A part of a map, as asking for that part should give it.
fn cut(map: &[(u64, u64, u64)], range: Extent) -> Vec<(u64, u64, u64)> {
    let part = map.iter().filter_map(|(offset, length, flags)| {
        let part = Extent::at(*offset, *length)?.intersect(range)?;
        Some((part.start(), part.len(), *flags))
    });
    part.collect()
}

#[test]
fn allocation_depth_and_dirty_bitmaps_agree_and_join() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let dice = dice();
    sparse(&place("raw"), SIZE, &dice);
    run(
        "qemu-img convert -O qcow2 @1 @2",
        &[&place("raw"), &place("base")],
    );
    run(
        "qemu-img create -f qcow2 -F qcow2 -b @1 @2",
        &[&place("base"), &place("top")],
    );
    run("qemu-img bitmap --add -g 64k @1 b0", &[&place("top")]);
    let mut line = "qemu-io -f qcow2 @1".to_owned();
    let writes: Vec<String> = (0..60)
        .map(|_| {
            let (start, length) = range(&dice, SIZE, 512, 512 << 10);
            format!("write -P 7 {start} {length}")
        })
        .collect();
    let image = place("top");
    let mut places: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&image];
    for write in &writes {
        places.push(write);
        line.push_str(&format!(" -c @{}", places.len()));
    }
    run(&line, &places);
    let line = "qemu-nbd -r -t -e 8 -k @1 -f qcow2 -x vda -B b0 -A @2";
    let peer = Peer::start(&place("s"), line, &[&place("top")]);
    let contexts = [
        "base:allocation",
        "qemu:allocation-depth",
        "qemu:dirty-bitmap:b0",
    ];
    let client = Client::connect(&peer.address("vda"), with_contexts(&contexts)).unwrap();
    let uri = peer.address("vda").to_string();
    let maps: Vec<_> = contexts.iter().map(|it| map_of(&uri, it)).collect();
    let all = Extent::new(0, SIZE).unwrap();
    for (context, map) in contexts.iter().zip(&maps) {
        assert!(map.len() > 20, "{context}: {map:?}");
        assert_eq!(&ours(&client, context, all), map, "{context}");
        for _ in 0..10 {
            let (start, length) = range(&dice, SIZE, 512, SIZE);
            let part = Extent::at(start, length).unwrap();
            assert_eq!(ours(&client, context, part), cut(map, part), "{context}");
        }
    }
    let order = [contexts[2], contexts[0], contexts[1]];
    let mut end = 0;
    for mapped in client.extents(&order, all).unwrap() {
        let mapped = mapped.unwrap();
        assert_eq!(mapped.extent.start(), end);
        end = mapped.extent.end();
        for (flags, map) in mapped.flags.iter().zip([&maps[2], &maps[0], &maps[1]]) {
            assert_eq!(
                cut(map, mapped.extent),
                [(mapped.extent.start(), mapped.extent.len(), *flags)]
            );
        }
    }
    assert_eq!(end, SIZE);
}

#[test]
fn a_disk_larger_than_one_question_is_mapped_to_its_end() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let file = std::fs::File::create(&raw).unwrap();
    file.set_len((5 << 40) + 512).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4096], 3 << 40).unwrap();
    let line = "qemu-nbd -r -t -e 8 -k @1 -f raw @2";
    let peer = Peer::start(&folder.path().join("s"), line, &[&raw]);
    for replies in [Replies::Best, Replies::Structured] {
        let options = ClientOptions {
            replies,
            ..with_contexts(&["base:allocation"])
        };
        let client = Client::connect(&peer.address(""), options).unwrap();
        let all = Extent::new(0, client.size()).unwrap();
        let found = ours(&client, "base:allocation", all);
        let end = (3 << 40) + 4096;
        let rest = client.size() - end;
        assert_eq!(found, [(0, 3 << 40, 3), (3 << 40, 4096, 0), (end, rest, 3)]);
    }
}
