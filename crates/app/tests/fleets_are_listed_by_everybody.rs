//! A repository of thousands of snapshots and millions of blobs opens in little memory, and stock
//! programs read it.

use std::fs;
use std::path::Path;

use lifeboat_model::Secret;
use lifeboat_testkit::{Effort, Fleet, figure, tool};
use serde_json::Value;

use crate::{Place, memory_told};

/// What any command takes besides the index: mostly the key's derivation, and buffers.
const FIXED_BYTES: u64 = 96 << 20;

/// The promise; a row has 48.
const BLOB_BYTES: u64 = 64;

#[test]
fn the_index_takes_little_and_nothing_is_left_out() {
    let (snapshots, blobs) = Effort::current().pick((230, 200_000), (10_000, 10_000_000));
    let place = Place::new();
    let fleet = Fleet {
        snapshots,
        blobs,
        ..Fleet::default()
    };
    let made = fleet
        .make(&place.path("r"), &Secret::new(b"geheim".to_vec()))
        .unwrap();
    assert_eq!(place.snapshots("r").len(), snapshots);
    let program = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
    let listed = place.command(program, &["-r", "r", "-v", "list", "blobs"]);
    let lines = listed.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines as u64, made.blobs);
    let (_, peak) = memory_told(&listed);
    assert!(
        peak <= FIXED_BYTES + BLOB_BYTES * made.blobs,
        "{peak} bytes for {} blobs",
        made.blobs
    );
    for name in ["restic-new", "restic"] {
        let Some(restic) = tool(name) else { continue };
        let told = place.tool(&restic, &["-r", "r", "snapshots", "--json"]);
        let told: Vec<Value> = serde_json::from_str(&told).unwrap();
        assert_eq!(told.len(), snapshots, "{name}");
        let told = place.tool(&restic, &["-r", "r", "list", "blobs"]);
        assert_eq!(told.lines().count() as u64, made.blobs, "{name}");
        let told = place.tool(&restic, &["-r", "r", "list", "index"]);
        assert_eq!(told.lines().count(), made.index_files, "{name}");
        let told = place.tool(&restic, &["-r", "r", "ls", "latest"]);
        assert!(told.contains("/disks/vda.raw"), "{name}: {told}");
    }
    figure("scale", "snapshots listed", snapshots);
    figure("scale", "blobs in one index", made.blobs);
    figure("scale", "peak memory for it, MiB", peak >> 20);
}

#[test]
fn what_needs_no_index_reads_none() {
    let place = Place::new();
    place.two_backups();
    for entry in fs::read_dir(place.path("r/index")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(place.path("r/index").join("ab".repeat(32)), "no index").unwrap();
    let id = place.snapshots("r").remove(0);
    for command in [
        &["snapshots"][..],
        &["list", "snapshots"],
        &["list", "packs"],
        &["cat", "config"],
        &["cat", "snapshot", &id],
        &["key", "list"],
        &["tag", "--add", "kept", &id],
        &["forget", "--keep-last", "5"],
        &["unlock"],
    ] {
        place.lifeboat(&[&["-r", "r"], command].concat());
    }
    let (code, told) = place.fails(&["-r", "r", "ls", "latest"]);
    assert!(code != 0 && told.contains("index"), "{told}");
}
