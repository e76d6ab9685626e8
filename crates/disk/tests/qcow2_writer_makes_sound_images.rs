//! Written qcow2 images pass QEMU's check and hold exactly what was written.

use std::path::Path;
use std::sync::Arc;

use lifeboat_disk::{
    BackingFile, BackingPolicy, ClusterCompression, DiskWriter, ImageFormat, OpenOptions,
    Qcow2Image, Qcow2Writer, Qcow2WriterOptions, TargetMode, open_reader,
};
use lifeboat_model::ErrorKind;

use crate::qemu::{self, Dice, assert_reads_as, content, folder, img, text};

const ZSTD: ClusterCompression = ClusterCompression::Zstd { level: 3 };

fn shape(cluster_size: u64, compression: ClusterCompression) -> Qcow2WriterOptions {
    let options = Qcow2WriterOptions::new(TargetMode::Replace);
    Qcow2WriterOptions {
        cluster_size,
        compression,
        ..options
    }
}

/// Checks the finished image by QEMU and by our reader; `expected` is the whole disk.
fn judge(image: &Path, expected: &[u8], what: &str) {
    let said = img("check -q -f qcow2 @", image);
    assert!(
        said.is_empty(),
        "{what}: {}",
        String::from_utf8_lossy(&said)
    );
    let mut padded = expected.to_vec();
    padded.resize(expected.len().next_multiple_of(512), 0);
    let judged = content(&["-f", "qcow2", text(image)], image.parent().unwrap());
    assert!(judged == padded, "{what}: QEMU reads something else");
    let options = OpenOptions {
        backing: BackingPolicy::Allow {
            root: None,
            depth_max: 3,
        },
        ..OpenOptions::default()
    };
    let disk = open_reader(image, ImageFormat::Qcow2, &options).unwrap();
    assert_reads_as(&*disk, &padded, what);
}

/// Random writes and zeros, also overlapping ones, to the writer and to the model.
fn scribble(writer: &dyn DiskWriter, model: &mut [u8], dice: &mut Dice, count: usize) {
    let size = model.len() as u64;
    for _ in 0..count {
        let grain = [1, 512, 4096][dice.below(3) as usize].min(size);
        let (start, length) = dice.range(size, grain, (size / 8).max(grain));
        let range = &mut model[start as usize..(start + length) as usize];
        match dice.below(4) {
            0 => {
                range.fill(0);
                writer.zero_at(start, length).unwrap();
            }
            1 => {
                dice.fill(range);
                writer.write_at(start, range).unwrap();
            }
            _ => {
                range.fill(dice.below(256) as u8);
                writer.write_at(start, range).unwrap();
            }
        }
    }
}

#[test]
fn any_order_of_writes_and_zeros() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, (cluster_size, size)) in [
        (512, 200_000u64),
        (4096, 3_000_001),
        (65_536, 5_000_704),
        (2 << 20, 30_000_128),
        (512, 1),
    ]
    .into_iter()
    .enumerate()
    {
        for compression in [ClusterCompression::None, ZSTD] {
            let image = folder.join("a.qcow2");
            let what = format!("{cluster_size} {compression:?}");
            let writer =
                Qcow2Writer::create(&image, size, &shape(cluster_size, compression)).unwrap();
            let mut model = vec![0; size as usize];
            scribble(&writer, &mut model, &mut Dice::new(seed as u64 + 1), 60);
            writer.finish().unwrap();
            judge(&image, &model, &what);
        }
    }
}

#[test]
fn pieces_of_any_length_from_several_threads() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for compression in [ClusterCompression::None, ZSTD] {
        let image = folder.join("a.qcow2");
        let mut dice = Dice::new(8);
        let mut model = vec![0; 24_000_000];
        for piece in model.chunks_mut(100_000) {
            match dice.below(3) {
                0 => {}
                1 => dice.fill(piece),
                _ => piece.fill(dice.below(256) as u8),
            }
        }
        let mut pieces: Vec<(u64, &[u8])> = Vec::new();
        let mut at = 0;
        while at < model.len() {
            let end = (at + 1 + dice.below(150_000) as usize).min(model.len());
            pieces.push((at as u64, &model[at..end]));
            at = end;
        }
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, dice.below(last as u64 + 1) as usize);
        }
        let size = model.len() as u64;
        let writer = Qcow2Writer::create(&image, size, &shape(65_536, compression)).unwrap();
        assert!(writer.is_blank());
        std::thread::scope(|scope| {
            for share in pieces.chunks(pieces.len().div_ceil(3)) {
                let writer = &writer;
                scope.spawn(move || {
                    for (offset, bytes) in share {
                        if bytes.iter().all(|b| *b == 0) {
                            writer.zero_at(*offset, bytes.len() as u64).unwrap();
                        } else {
                            writer.write_at(*offset, bytes).unwrap();
                        }
                    }
                });
            }
        });
        writer.finish().unwrap();
        judge(&image, &model, &format!("{compression:?}"));
    }
}

#[test]
fn more_half_written_clusters_than_memory_allows() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let cluster = 2 << 20;
    let writer = Qcow2Writer::create(&image, 50 * cluster, &shape(cluster, ZSTD)).unwrap();
    let mut model = vec![0; (50 * cluster) as usize];
    for round in 0..3 {
        for index in 0..50 {
            let start = index * cluster + round * 300_000;
            let range = &mut model[start as usize..][..300_000];
            range.fill((index + 50 * round + 1) as u8);
            writer.write_at(start, range).unwrap();
        }
    }
    writer.finish().unwrap();
    judge(&image, &model, "half-written clusters");
}

#[test]
fn many_small_packed_clusters_share_host_clusters() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let size = 40 << 20;
    let writer = Qcow2Writer::create(&image, size, &shape(4096, ZSTD)).unwrap();
    let model: Vec<u8> = (0..size).map(|i| (i / 4096) as u8 | 1).collect();
    for (index, piece) in model
        .chunks(10_000)
        .enumerate()
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        writer.write_at(index as u64 * 10_000, piece).unwrap();
    }
    writer.finish().unwrap();
    judge(&image, &model, "constant clusters");
    assert!(std::fs::metadata(&image).unwrap().len() < size / 20);
}

#[test]
fn overlays_hold_only_what_was_written() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let mut dice = Dice::new(77);
    let base = folder.join("base.raw");
    let mut below = vec![0; 5_000_000];
    dice.fill(&mut below);
    std::fs::write(&base, &below).unwrap();
    let content = open_reader(&base, ImageFormat::Raw, &OpenOptions::default()).unwrap();
    for (seed, cluster_size) in [4096, 65_536].into_iter().enumerate() {
        for compression in [ClusterCompression::None, ZSTD] {
            let image = folder.join("a.qcow2");
            let options = Qcow2WriterOptions {
                backing: Some(BackingFile {
                    path: "base.raw".into(),
                    format: ImageFormat::Raw,
                    content: Some(Arc::clone(&content)),
                }),
                ..shape(cluster_size, compression)
            };
            let size = 6_000_128;
            let writer = Qcow2Writer::create(&image, size, &options).unwrap();
            assert!(!writer.is_blank());
            let mut model = below.clone();
            model.resize(size as usize, 0);
            scribble(&writer, &mut model, &mut Dice::new(seed as u64 + 5), 12);
            writer.finish().unwrap();
            judge(
                &image,
                &model,
                &format!("overlay {cluster_size} {compression:?}"),
            );
        }
    }
    let image = folder.join("b.qcow2");
    let options = Qcow2WriterOptions {
        backing: Some(BackingFile {
            path: "base.raw".into(),
            format: ImageFormat::Raw,
            content: None,
        }),
        ..Qcow2WriterOptions::new(TargetMode::New)
    };
    let writer = Qcow2Writer::create(&image, 5_000_000, &options).unwrap();
    writer.write_at(65_536, &[7; 65_536]).unwrap();
    writer.zero_at(131_072, 65_536).unwrap();
    writer.zero_at(4_980_736, 5_000_000 - 4_980_736).unwrap();
    let error = writer.write_at(1, &[1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    writer.finish().unwrap();
    let mut model = below;
    model[65_536..131_072].fill(7);
    model[131_072..196_608].fill(0);
    model[4_980_736..].fill(0);
    judge(&image, &model, "after a refused write");
    let own: u64 = qemu::map(&["-f", "qcow2", text(&image)])
        .iter()
        .filter(|e| e.2)
        .map(|e| e.1 - e.0)
        .sum();
    assert!(own >= 65_536);
    let stated = Qcow2Image::open(&image).unwrap().backing().unwrap();
    assert_eq!(
        (stated.name, stated.format),
        (b"base.raw".to_vec(), Some("raw".into()))
    );
}

#[test]
fn nothing_has_the_final_name_before_the_end() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let options = Qcow2WriterOptions::new(TargetMode::New);
    let writer = Qcow2Writer::create(&image, 1 << 20, &options).unwrap();
    writer.write_at(5, b"hello").unwrap();
    assert!(!image.exists());
    assert!(folder.join(".a.qcow2.lifeboat-part").exists());
    let second = Qcow2Writer::create(&image, 1 << 20, &options).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Busy);
    writer.finish().unwrap();
    assert!(image.exists() && !folder.join(".a.qcow2.lifeboat-part").exists());
    assert_eq!(
        writer.write_at(0, b"x").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Invalid);
    let again = Qcow2Writer::create(&image, 1 << 20, &options).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
    let writer =
        Qcow2Writer::create(&image, 1 << 20, &shape(512, ClusterCompression::None)).unwrap();
    writer.abort().unwrap();
    let mut model = vec![0; 1 << 20];
    model[5..10].copy_from_slice(b"hello");
    judge(&image, &model, "after an abort");
    for cluster_size in [0, 256, 1000, 4 << 20] {
        let wrong = shape(cluster_size, ClusterCompression::None);
        let error = Qcow2Writer::create(&image, 1, &wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let error = Qcow2Writer::create(&image, 1 << 40, &shape(512, ZSTD)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_disk_of_many_tebibytes_costs_only_what_is_written() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let size = 60 << 40;
    let options = Qcow2WriterOptions::new(TargetMode::New);
    let writer = Qcow2Writer::create(&image, size, &options).unwrap();
    let places = [0, 3 << 40, (30 << 40) + 12345, size - 3];
    for place in places {
        writer.write_at(place, b"abc").unwrap();
    }
    writer.zero_at(10, size - 20).unwrap();
    writer.finish().unwrap();
    img("check -q -f qcow2 @", &image);
    let disk = open_reader(&image, ImageFormat::Qcow2, &OpenOptions::default()).unwrap();
    assert_eq!(disk.size(), size);
    let read = |offset| {
        let mut bytes = [1; 3];
        disk.read_at(offset, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(places.map(read), [*b"abc", [0; 3], [0; 3], *b"abc"]);
    let data: u64 = qemu::our_map(&*disk)
        .iter()
        .filter(|e| !e.2)
        .map(|e| e.1 - e.0)
        .sum();
    assert!(data <= 2 * 65_536, "{data}");
}
