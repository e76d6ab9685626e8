//! Broken and hostile images give errors: no panic, no endless work, no huge memory.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lifeboat_disk::{BackingPolicy, DiskReader, OpenOptions, Qcow2Disk, Qcow2Image};
use proptest::prelude::*;

use crate::qemu::{self, Dice, folder, img, io, run, storm, text};

/// Small images that have every structure between them.
fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let size = 600_064;
    let plain = folder.join("plain.qcow2");
    img(
        &format!("create -q -f qcow2 -o cluster_size=512 @ {size}"),
        &plain,
    );
    run(
        "qemu-img",
        &[
            "bitmap",
            "--add",
            "-g",
            "512",
            "-f",
            "qcow2",
            text(&plain),
            "b",
        ],
    );
    io(&[text(&plain)], &storm(&mut Dice::new(1), size, 512, 6));
    run("qemu-img", &["snapshot", "-c", "one", text(&plain)]);
    io(&[text(&plain)], &storm(&mut Dice::new(2), size, 512, 2));
    let mut images = vec![plain.clone()];
    for (name, shape) in [
        ("v2", "compat=0.10,cluster_size=512"),
        ("extended", "extended_l2=on,cluster_size=16K"),
        (
            "overlay",
            "cluster_size=4K,backing_file=plain.qcow2,backing_fmt=qcow2",
        ),
    ] {
        let image = folder.join(name);
        img(&format!("create -q -f qcow2 -o {shape} @ {size}"), &image);
        io(&[text(&image)], &storm(&mut Dice::new(3), size, 512, 6));
        images.push(image);
    }
    for kind in ["zlib", "zstd"] {
        let image = folder.join(kind);
        let shape = format!("compression_type={kind},cluster_size=4K");
        img(
            &format!("convert -c -f qcow2 -O qcow2 -o {shape} {} @", text(&plain)),
            &image,
        );
        images.push(image);
    }
    images
        .into_iter()
        .map(|image| std::fs::read(image).unwrap())
        .collect()
}

/// Uses everything that an image offers, as far as it is offered.
fn exercise(image: &Path) {
    if let Ok(opened) = Qcow2Image::open(image) {
        let _ = (opened.backing(), opened.data_file(), opened.snapshots());
        for bitmap in opened.bitmaps().unwrap_or_default() {
            let _ = opened.read_bitmap(&bitmap.name);
        }
    }
    for snapshot in [None, Some("1".to_owned())] {
        let options = OpenOptions {
            backing: BackingPolicy::Allow {
                root: image.parent().map(PathBuf::from),
                depth_max: 2,
            },
            internal_snapshot: snapshot,
            ..OpenOptions::default()
        };
        let Ok(disk) = Qcow2Disk::open(image, &options) else {
            continue;
        };
        let mut at = 0;
        for _ in 0..300 {
            match disk.next_extent(at) {
                Ok(next) => {
                    assert_eq!(next.extent.start(), at);
                    assert!(next.extent.end() <= disk.size());
                    at = next.extent.end();
                }
                Err(_) => at += 65_536,
            }
            if at >= disk.size() {
                break;
            }
        }
        let mut buffer = vec![0; 50_000];
        let limit = disk.size().saturating_sub(50_000);
        for offset in (0..limit.min(600_000)).step_by(50_000).chain([limit]) {
            let _ = disk.read_at(offset, &mut buffer);
        }
    }
}

/// Largest address space so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmPeak"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn every_byte_of_the_header_and_every_length() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("mutant.qcow2");
    for sound in corpus(&folder) {
        std::fs::write(&image, &sound).unwrap();
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&image)
            .unwrap();
        for (at, byte) in sound.iter().enumerate().take(400) {
            for value in [0, 1, 0x7f, 0xff, byte ^ 1, byte ^ 0x80] {
                file.write_all_at(&[value], at as u64).unwrap();
                exercise(&image);
            }
            file.write_all_at(&[*byte], at as u64).unwrap();
        }
        let step = sound.len().div_ceil(300).next_multiple_of(512);
        let boundaries = (0..sound.len())
            .step_by(step)
            .flat_map(|b| [b.saturating_sub(1), b, b + 1]);
        let lengths: std::collections::BTreeSet<_> = (0..130).chain(boundaries).collect();
        for length in lengths.into_iter().rev() {
            file.set_len(length as u64).unwrap();
            exercise(&image);
        }
    }
    assert!(peak() < 6 << 20, "{} KiB", peak());
}

#[test]
fn random_damage_anywhere() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("mutant.qcow2");
    let corpus = corpus(&folder);
    let damage = (
        0..corpus.len(),
        prop::collection::vec((any::<u32>(), any::<u64>(), 0u8..4), 1..6),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&damage, |(which, damage)| {
            let mut bytes = corpus[which].clone();
            for (place, value, kind) in damage {
                // Half of the damage hits the tables near the beginning.
                let limit = if kind % 2 == 0 {
                    bytes.len()
                } else {
                    bytes.len().min(16_384)
                };
                let at = place as usize % (limit - 8) / 8 * 8;
                let value = if kind < 2 { value } else { 1 << (value % 64) };
                bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
            }
            std::fs::write(&image, bytes).unwrap();
            exercise(&image);
            Ok(())
        })
        .unwrap();
}

#[test]
fn absurd_sizes_cost_nothing() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    img("create -q -f qcow2 -o cluster_size=2M @ 1M", &image);
    let sound = std::fs::read(&image).unwrap();
    for (at, value) in [
        (24, u64::MAX),
        (24, 1 << 63),
        (24, (1 << 63) - 1),
        (36, u64::MAX),
        (40, u64::MAX - 511),
        (40, 1 << 62),
        (56, u64::MAX),
        (60, u64::MAX),
        (64, u64::MAX),
    ] {
        let mut bytes = sound.clone();
        bytes[at..at + 8].copy_from_slice(&u64::to_be_bytes(value));
        std::fs::write(&image, bytes).unwrap();
        exercise(&image);
    }
    // A large table that the file really has, sparse as it may be.
    let mut bytes = sound;
    bytes[24..32].copy_from_slice(&(1u64 << 61).to_be_bytes());
    bytes[36..40].copy_from_slice(&(4u32 << 20).to_be_bytes());
    std::fs::write(&image, bytes).unwrap();
    exercise(&image);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&image)
        .unwrap();
    file.set_len(1 << 40).unwrap();
    let disk = Qcow2Disk::open(&image, &OpenOptions::default()).unwrap();
    assert_eq!(qemu::our_map(&disk), [(0, 1 << 61, true)]);
}

/// A version 3 image of `size` bytes with clusters of 512 bytes and its L1 table at 512.
fn bare_image(size: u64, l1: &[u64]) -> Vec<u8> {
    let mut image = vec![0; 512];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    image[20..24].copy_from_slice(&9u32.to_be_bytes());
    image[24..32].copy_from_slice(&size.to_be_bytes());
    image[36..40].copy_from_slice(&u32::try_from(l1.len()).unwrap().to_be_bytes());
    image[40..48].copy_from_slice(&512u64.to_be_bytes());
    image[96..104].copy_from_slice(b"\0\0\0\x04\0\0\0\x68");
    image.extend(l1.iter().flat_map(|entry| entry.to_be_bytes()));
    image.resize(image.len().next_multiple_of(512), 0);
    image
}

#[test]
fn a_snapshot_table_of_gigabytes_is_refused() {
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let mut bytes = bare_image(512, &[0]);
    bytes[60..64].copy_from_slice(&65_536u32.to_be_bytes());
    bytes[64..72].copy_from_slice(&(1u64 << 20).to_be_bytes());
    std::fs::write(&image, bytes).unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&image)
        .unwrap();
    // Each entry says that its id and its name have 65,535 bytes.
    for index in 0..1000u64 {
        let at = (1 << 20) + index * (40 + 2 * 65_535u64).next_multiple_of(8) + 12;
        file.write_all_at(&[0xff; 4], at).unwrap();
    }
    file.set_len(16 << 30).unwrap();
    let error = Qcow2Image::open(&image).unwrap().snapshots().unwrap_err();
    assert!(error.to_string().contains("exceeds 64 MiB"), "{error}");
}

#[test]
fn the_ranges_of_an_image_take_bounded_memory() {
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    // One table, in which every second cluster reads as zeros, stands for all the disk.
    let tables = 132_000u32;
    let table_at = (512 + u64::from(tables) * 8).next_multiple_of(512);
    let mut bytes = bare_image(
        u64::from(tables) * 32_768,
        &vec![table_at; usize::try_from(tables).unwrap()],
    );
    for _ in 0..32 {
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    std::fs::write(&image, bytes).unwrap();
    let disk = Qcow2Disk::open(&image, &OpenOptions::default()).unwrap();
    let own = disk.own_extents().unwrap();
    assert!(own.count() <= 4 << 20, "{} ranges", own.count());
    assert!(
        own.byte_count() >= disk.size() / 2,
        "never less than the truth"
    );
}
