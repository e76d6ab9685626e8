//! Our server, judged by libnbd's and QEMU's clients.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lifeboat_model::{Extent, ExtentSet};
use lifeboat_nbd::{
    Access, BlockSizes, Client, Exports, Listener, Server, ServerOptions, list_contexts,
    list_exports,
};

use crate::disks::{RawFile, dice, range, serve, sparse};
use crate::tools::{are_here, options, run, try_run, with_contexts};

const SIZE: u64 = 24 << 20;

fn uri(folder: &Path) -> String {
    format!(
        "nbd+unix:///disk?socket={}",
        folder.join("ours.sock").display()
    )
}

#[test]
fn copies_and_maps_are_right() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let content = sparse(&place("raw"), SIZE, &dice());
    let disk = RawFile::open(&place("raw"), Access::ReadOnly);
    let _server = serve(folder.path(), Arc::new(disk), ServerOptions::default());
    let uri = uri(folder.path());
    run("nbdcopy @1 @2", &[&uri, &place("copy")]);
    assert!(fs::read(place("copy")).unwrap() == content);
    run(
        "nbdcopy --synchronous --connections=1 @1 @2",
        &[&uri, &place("slow")],
    );
    assert!(fs::read(place("slow")).unwrap() == content);
    run(
        "qemu-img convert -f raw -O raw @1 @2",
        &[&uri, &place("image")],
    );
    assert!(fs::read(place("image")).unwrap() == content);
    run(
        "qemu-img compare -f raw -F raw @1 @2",
        &[&uri, &place("raw")],
    );
    let judged = run("nbdinfo --map @1", &[&uri]);
    let plain = place("raw").display().to_string();
    assert_eq!(zeros_of(&uri), zeros_of(&plain));
    let client =
        Client::connect(&uri.parse().unwrap(), with_contexts(&["base:allocation"])).unwrap();
    let all = Extent::new(0, SIZE).unwrap();
    let ours: Vec<_> = client.extents(&["base:allocation"], all).unwrap().collect();
    let theirs: Vec<Vec<u64>> = judged
        .lines()
        .map(|line| {
            let words = line.split_whitespace().take(3);
            words.map(|word| word.parse().unwrap()).collect()
        })
        .collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        let ours = ours.unwrap();
        assert_eq!(
            vec![ours.extent.start(), ours.extent.len(), ours.flags[0]],
            theirs
        );
    }
    assert!(
        !try_run("qemu-io -f raw -c @1 @2", &[&"write 0 512", &uri])
            .1
            .contains("wrote")
    );
}

/// The zero ranges that qemu-img maps.
fn zeros_of(image: &str) -> ExtentSet {
    let said = run("qemu-img map --output=json -f raw @1", &[&image]);
    let listed: serde_json::Value = serde_json::from_str(&said).unwrap();
    let entries = listed.as_array().unwrap().iter();
    let zeros = entries.filter(|it| it["zero"].as_bool().unwrap());
    let number = |it: &serde_json::Value, key: &str| it[key].as_u64().unwrap();
    zeros
        .filter_map(|it| Extent::at(number(it, "start"), number(it, "length")))
        .collect()
}

#[test]
fn facts_and_names_are_told() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    sparse(&raw, 1 << 20, &dice());
    let mut disk = RawFile::open(&raw, Access::Writable);
    disk.sizes = BlockSizes {
        least: 512,
        preferred: 4096,
        most: 1 << 20,
    };
    let exports = Exports::new();
    exports.publish("disk", Arc::new(disk)).unwrap();
    let socket = folder.path().join("ours.sock");
    let listener = Listener::unix(&socket).unwrap();
    let server = Server::start(listener, exports.clone(), ServerOptions::default()).unwrap();
    let said = run("nbdinfo --json @1", &[&uri(folder.path())]);
    for part in [
        "\"export-size\": 1048576",
        "\"protocol\": \"newstyle-fixed\"",
        "\"structured\": true",
        "\"description\": \"a file of the tests\"",
        "\"base:allocation\"",
        "\"is_read_only\": false",
        "\"can_cache\": true",
        "\"can_df\": true",
        "\"can_flush\": true",
        "\"can_fua\": true",
        "\"can_multi_conn\": true",
        "\"can_trim\": true",
        "\"can_zero\": true",
        "\"block_size_minimum\": 512",
        "\"block_size_preferred\": 4096",
        "\"block_size_maximum\": 1048576",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let other = RawFile::open(&raw, Access::ReadOnly);
    exports.publish("öther name", Arc::new(other)).unwrap();
    let listed = list_exports(server.address(), options()).unwrap();
    let names: Vec<_> = listed.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["disk", "öther name"]);
    let address = uri(folder.path()).parse().unwrap();
    let contexts = list_contexts(&address, &[], options()).unwrap();
    assert_eq!(contexts, ["base:allocation"]);
    let said = run("nbdinfo --list @1", &[&uri(folder.path())]);
    assert!(said.contains("export=\"öther name\""), "{said}");
    assert!(exports.withdraw("disk"));
    assert!(!try_run("nbdinfo @1", &[&uri(folder.path())]).0);
    server.stop(std::time::Duration::from_secs(5));
    assert!(!socket.exists());
}

#[test]
fn random_writes_of_several_clients_end_up_on_the_disk() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let dice = dice();
    sparse(&place("raw"), SIZE, &dice);
    fs::copy(place("raw"), place("twin")).unwrap();
    let disk = Arc::new(RawFile::open(&place("raw"), Access::Writable));
    let _server = serve(folder.path(), disk.clone(), ServerOptions::default());
    let uri = uri(folder.path());
    // Each client has a part of its own; the same commands go to a plain file.
    let parts: Vec<Vec<String>> = (0..4)
        .map(|part| {
            let start_of = |offset: u64| part * SIZE / 4 + offset;
            (0..25)
                .map(|round| {
                    let (offset, length) = range(&dice, SIZE / 4, 512, 1 << 20);
                    let at = start_of(offset);
                    match round % 5 {
                        0 => format!("write -z {at} {length}"),
                        1 => format!("write -z -u {at} {length}"),
                        2 => format!("write -f -P {} {at} {length}", 1 + dice.below(255)),
                        3 => format!("aio_write -P {} {at} {length}", 1 + dice.below(255)),
                        _ => format!("write -P {} {at} {length}", 1 + dice.below(255)),
                    }
                })
                .chain(["aio_flush".into(), "flush".into()])
                .collect()
        })
        .collect();
    std::thread::scope(|scope| {
        for commands in &parts {
            let uri = &uri;
            scope.spawn(move || storm(commands, uri));
        }
    });
    for commands in &parts {
        storm(commands, &place("twin").display().to_string());
    }
    assert!(disk.flushes.load(Ordering::SeqCst) > 0);
    run(
        "qemu-img compare -f raw -F raw @1 @2",
        &[&uri, &place("twin")],
    );
    assert!(fs::read(place("raw")).unwrap() == fs::read(place("twin")).unwrap());
    let content = sparse(&place("new"), SIZE, &dice);
    run("nbdcopy @1 @2", &[&place("new"), &uri]);
    assert!(fs::read(place("raw")).unwrap() == content);
    run(
        "qemu-io -f raw -c @1 -c @2 @3",
        &[&"discard 0 1M", &"read -P 0 0 1M", &uri],
    );
}

fn storm(commands: &[String], image: &str) {
    let mut words = "qemu-io -f raw".to_owned();
    let mut places: Vec<&dyn AsRef<std::ffi::OsStr>> = Vec::new();
    for command in commands {
        places.push(command);
        words.push_str(&format!(" -c @{}", places.len()));
    }
    places.push(&image);
    words.push_str(&format!(" @{}", places.len()));
    let said = run(&words, &places);
    assert!(!said.contains("failed") && !said.contains("rror"), "{said}");
}

#[test]
fn a_machine_starts_from_it_only_by_qemu_opening_it_as_a_backing_file() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let content = sparse(&place("raw"), SIZE, &dice());
    let disk = RawFile::open(&place("raw"), Access::ReadOnly);
    let _server = serve(folder.path(), Arc::new(disk), ServerOptions::default());
    let uri = uri(folder.path());
    run(
        "qemu-img create -f qcow2 -F raw -b @1 @2",
        &[&uri, &place("top")],
    );
    run(
        "qemu-io -f qcow2 -c @1 @2",
        &[&"write -P 5 1M 64k", &place("top")],
    );
    run(
        "qemu-img convert -f qcow2 -O raw @1 @2",
        &[&place("top"), &place("flat")],
    );
    let mut expected = content;
    expected[1 << 20..][..64 << 10].fill(5);
    assert!(fs::read(place("flat")).unwrap() == expected);
}
