//! Disks of terabytes are stored, brought back and looked at within 512 MiB, and within the bound
//! that is told before.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Output;

use lifeboat_model::Secret;
use lifeboat_testkit::{Effort, Fleet, SeededEntropy, figure, tool};
use serde_json::json;

use crate::{Place, memory_told};

const MEMORY_MAX: u64 = 512 << 20;
const EXTENT_BYTES: u64 = 64 << 10;

fn lifeboat(place: &Place, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_lifeboat"));
    place.command(program, &[&["-r", "r", "-v"], arguments].concat())
}

/// Gives the peak, which keeps to the bound where one is told.
fn peak(doing: &str, output: &Output) -> u64 {
    let (bound, peak) = memory_told(output);
    assert!(peak <= MEMORY_MAX, "{doing}: {peak} bytes");
    let bound = bound.unwrap_or(MEMORY_MAX);
    assert!(peak <= bound, "{doing}: {peak} bytes, told {bound}");
    peak
}

/// A new file `vda.raw` that is a hole.
fn blank(place: &Place, size: u64) -> File {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    let file = options.open(place.path("vda.raw")).unwrap();
    file.set_len(size).unwrap();
    file
}

/// Writes an extent of data into each of `count` equal parts of the disk; gives their offsets.
fn scatter(file: &File, size: u64, count: u64, entropy: &SeededEntropy) -> Vec<u64> {
    let part = size / count;
    let write = |number| {
        let offset = number * part + entropy.below((part - EXTENT_BYTES) / 4096) * 4096;
        let mut bytes = entropy.bytes(4096);
        bytes.resize(EXTENT_BYTES as usize, number as u8);
        file.write_all_at(&bytes, offset).unwrap();
        offset
    };
    (0..count).map(write).collect()
}

/// The list of changes as `nbdinfo` gives it.
fn changes(size: u64, offsets: &[u64]) -> Vec<u8> {
    let (mut list, mut end) = (Vec::new(), 0);
    let mut add = |start: u64, stop: u64, kind: u64, word: &str| {
        if start < stop {
            let length = stop - start;
            let entry =
                json!({"offset": start, "length": length, "type": kind, "description": word});
            list.push(entry);
        }
    };
    for offset in offsets {
        add(end, *offset, 0, "clean");
        end = offset + EXTENT_BYTES;
        add(*offset, end, 1, "dirty");
    }
    add(end, size, 0, "clean");
    serde_json::to_vec(&list).unwrap()
}

fn extent_at(file: &File, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0; EXTENT_BYTES as usize];
    file.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

#[test]
fn a_sparse_disk_goes_there_and_back() {
    let (size, count) = Effort::current().pick((64 << 30, 400), (2u64 << 40, 40_000));
    let place = Place::new();
    place.lifeboat(&["-r", "r", "init"]);
    let file = blank(&place, size);
    let entropy = SeededEntropy::new(11);
    let mut offsets = scatter(&file, size, count, &entropy);
    let backup = ["backup", "-m", "vm", "-d", "vda=vda.raw"];
    let mut peaks = vec![peak("backup", &lifeboat(&place, &backup))];
    let changed = scatter(&file, size, count / 10, &entropy);
    fs::write(place.path("changed"), changes(size, &changed)).unwrap();
    let increment = [&backup[..], &["--changed", "vda=changed"]].concat();
    peaks.push(peak("increment", &lifeboat(&place, &increment)));
    offsets.extend(changed);
    let restore = ["restore", "latest", "-d", "vda", "-t", "restored.raw"];
    for command in [&["check"][..], &["verify"], &restore] {
        peaks.push(peak(command[0], &lifeboat(&place, command)));
    }
    let restored = File::open(place.path("restored.raw")).unwrap();
    assert_eq!(restored.metadata().unwrap().len(), size);
    for offset in &offsets {
        assert!(
            extent_at(&restored, *offset) == extent_at(&file, *offset),
            "at {offset}"
        );
    }
    let (from, length) = (size / 2, 64 << 20);
    let (offset, bytes) = (from.to_string(), length.to_string());
    let part = ["--offset", &offset, "--length", &bytes];
    let dumped = lifeboat(
        &place,
        &[&["dump", "latest", "disks/vda.raw"][..], &part].concat(),
    );
    peaks.push(peak("dump", &dumped));
    let mut expected = vec![0; length];
    file.read_exact_at(&mut expected, from).unwrap();
    assert!(dumped.stdout == expected, "the dump is the disk");
    for name in ["restic-new", "restic"] {
        let Some(restic) = tool(name) else { continue };
        place.tool(&restic, &["-r", "r", "check"]);
        let listed = place.tool(&restic, &["-r", "r", "ls", "--json", "latest"]);
        assert!(
            listed.contains(&format!("\"size\":{size}")),
            "{name}: {listed}"
        );
    }
    figure("scale", "sparse disk, GiB", size >> 30);
    figure(
        "scale",
        "most memory for it, MiB",
        peaks.iter().max().unwrap() >> 20,
    );
}

#[test]
fn a_disk_of_unique_chunks_is_built_upon_and_planned() {
    // Chunks of 2 MiB: what a disk of 2 TiB is cut into.
    let chunks: u64 = Effort::current().pick(1 << 15, 1 << 20);
    let place = Place::new();
    let fleet = Fleet {
        snapshots: 1,
        blobs: chunks,
        disk_chunks: chunks,
        chunk_bytes: 2 << 20,
        ..Fleet::default()
    };
    let password = Secret::new(b"geheim".to_vec());
    let size = fleet.make(&place.path("r"), &password).unwrap().disk_bytes;
    let file = blank(&place, size);
    let changed = scatter(&file, size, 100, &SeededEntropy::new(12));
    fs::write(place.path("changed"), changes(size, &changed)).unwrap();
    let backup = [
        "backup",
        "-m",
        "db000",
        "-d",
        "vda=vda.raw",
        "--changed",
        "vda=changed",
    ];
    let stored = lifeboat(&place, &backup);
    let told = String::from_utf8_lossy(&stored.stdout);
    assert!(told.contains("incremental"), "{told}");
    let increment = peak("increment", &stored);
    let restore = ["restore", "latest", "-n", "-d", "vda", "-t", "restored.raw"];
    let plan = peak("plan", &lifeboat(&place, &restore));
    figure("scale", "disk of unique chunks, GiB", size >> 30);
    figure("scale", "memory of its increment, MiB", increment >> 20);
    figure("scale", "memory of its restore's plan, MiB", plan >> 20);
}

/// Bytes of memory that each chunk more may take: what the bound adds for it.
const CHUNK_BYTES_MAX: u64 = 200;

/// A disk of that many bytes on which no two blocks are equal; most of each block is zero.
fn unique_disk(place: &Place, size: u64) {
    const BLOCK_BYTES: usize = 4096;
    let file = blank(place, size);
    let entropy = SeededEntropy::new(13);
    let mut bytes = vec![0; 256 * BLOCK_BYTES];
    for offset in (0..size).step_by(bytes.len()) {
        for block in bytes.chunks_mut(BLOCK_BYTES) {
            block[..64].copy_from_slice(&entropy.bytes(64));
            block[BLOCK_BYTES - 1] = 1;
        }
        file.write_all_at(&bytes, offset).unwrap();
    }
}

/// Peaks of everything that is done with a disk of `chunks` chunks of 8 KiB, none like another.
fn peaks_of_unique(chunks: u64) -> Vec<(&'static str, u64)> {
    let place = Place::new();
    let few = ["--threads", "1", "--pack-size", "4M"];
    let run = |arguments: &[&str]| lifeboat(&place, &[&few[..], arguments].concat());
    let size = chunks * (8 << 10);
    place.lifeboat(&["-r", "r", "init", "--chunk-sizes", "4K,4K,64K"]);
    unique_disk(&place, size);
    let backup = ["backup", "-m", "vm", "-d", "vda=vda.raw"];
    let mut peaks = vec![("backup", peak("backup", &run(&backup)))];
    let file = File::options().write(true).open(place.path("vda.raw"));
    let changed = scatter(&file.unwrap(), size, 100, &SeededEntropy::new(14));
    fs::write(place.path("changed"), changes(size, &changed)).unwrap();
    let increment = [&backup[..], &["--changed", "vda=changed"]].concat();
    peaks.push(("increment", peak("increment", &run(&increment))));
    let restore = [
        "restore", "latest", "-d", "vda", "-t", "back.raw", "--verify",
    ];
    let again = [&restore[..], &["--in-place"]].concat();
    for (name, arguments) in [
        ("check", &["check"][..]),
        ("verify", &["verify"]),
        ("restore", &restore),
        ("restore in place", &again),
    ] {
        peaks.push((name, peak(name, &run(arguments))));
    }
    peaks
}

#[test]
fn each_chunk_takes_no_more_memory_than_the_bound_says() {
    let few = 64 << 10;
    let before = peaks_of_unique(few);
    // Fewer would drown in what the allocator keeps and the password's key takes.
    let Some(many) = Effort::current().pick(None, Some(576 << 10)) else {
        return;
    };
    for ((name, least), (_, most)) in before.into_iter().zip(peaks_of_unique(many)) {
        let each = most.saturating_sub(least) / (many - few);
        assert!(
            each <= CHUNK_BYTES_MAX,
            "{name}: {least} bytes for {few} chunks, {most} for {many}: {each} each"
        );
        figure("scale", &format!("{name}: memory of a chunk, bytes"), each);
    }
}
