//! Every variant of qcow2 reads and maps as QEMU reads and maps it.

use std::path::Path;

use lifeboat_disk::{
    BackingPolicy, DataFilePolicy, ImageFormat, OpenOptions, Qcow2Disk, Qcow2Image, open_reader,
};

use crate::qemu::{
    self, Dice, assert_maps_as, assert_reads_as, content, folder, img, io, storm, text,
};

const ALL_SHAPES: [(&str, u64); 8] = [
    ("compat=0.10,cluster_size=512", 1_000_448),
    ("compat=0.10,cluster_size=4K", 5_000_192),
    ("compat=0.10,cluster_size=64K", 9_437_184),
    ("compat=0.10,cluster_size=2M", 21_000_192),
    ("compat=1.1,cluster_size=512", 700_416),
    ("compat=1.1,cluster_size=4K", 5_000_704),
    ("compat=1.1,cluster_size=64K", 9_000_448),
    ("compat=1.1,cluster_size=2M", 33_554_432),
];

fn trusting() -> OpenOptions {
    OpenOptions {
        backing: BackingPolicy::Allow {
            root: None,
            depth_max: 8,
        },
        data_file: DataFilePolicy::Allow { root: None },
        ..OpenOptions::default()
    }
}

fn check(image: &Path, what: &str) {
    let select = ["-f", "qcow2", text(image)];
    let expected = content(&select, image.parent().unwrap());
    let disk = open_reader(image, ImageFormat::Qcow2, &trusting()).unwrap();
    assert_reads_as(&*disk, &expected, what);
    assert_maps_as(&*disk, &select, what);
}

fn create(image: &Path, shape: &str, size: u64) {
    img(&format!("create -q -f qcow2 -o {shape} @ {size}"), image);
}

#[test]
fn plain_images_of_all_versions_and_cluster_sizes() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, (shape, size)) in ALL_SHAPES.into_iter().enumerate() {
        let image = folder.join("a.qcow2");
        create(&image, shape, size);
        check(&image, &format!("{shape}, empty"));
        let mut dice = Dice::new(seed as u64 + 1);
        io(&[text(&image)], &storm(&mut dice, size, 512, 40));
        check(&image, shape);
    }
}

#[test]
fn preallocated_and_lazy_images() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, option) in [
        "preallocation=metadata",
        "preallocation=falloc",
        "preallocation=full",
        "lazy_refcounts=on",
    ]
    .into_iter()
    .enumerate()
    {
        for cluster_size in ["4K", "64K", "2M"] {
            let image = folder.join("a.qcow2");
            let shape = format!("{option},cluster_size={cluster_size}");
            create(&image, &shape, 8_389_120);
            check(&image, &format!("{shape}, empty"));
            io(
                &[text(&image)],
                &storm(&mut Dice::new(seed as u64 + 70), 8_389_120, 512, 20),
            );
            check(&image, &shape);
        }
    }
}

#[test]
fn extended_entries_with_subclusters() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, cluster_size) in ["16K", "64K", "128K", "2M"].into_iter().enumerate() {
        let (base, image) = (folder.join("base.qcow2"), folder.join("a.qcow2"));
        let size = 12_000_256;
        create(&base, "cluster_size=4K", 7_000_064);
        io(
            &[text(&base)],
            &storm(&mut Dice::new(seed as u64 + 3), 7_000_064, 512, 30),
        );
        for backing in ["", ",backing_file=base.qcow2,backing_fmt=qcow2"] {
            let shape = format!("extended_l2=on,cluster_size={cluster_size}{backing}");
            create(&image, &shape, size);
            io(
                &[text(&image)],
                &storm(&mut Dice::new(seed as u64 + 9), size, 512, 40),
            );
            check(&image, &shape);
        }
    }
}

#[test]
fn compressed_clusters() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, (shape, size)) in ALL_SHAPES.into_iter().enumerate() {
        let mut dice = Dice::new(seed as u64 + 20);
        let (source, image) = (folder.join("source.raw"), folder.join("a.qcow2"));
        let mut bytes = vec![0; size as usize];
        for _ in 0..30 {
            let (start, length) = dice.range(size, 1, size / 20);
            let range = &mut bytes[start as usize..(start + length) as usize];
            match dice.below(3) {
                0 => dice.fill(range),
                1 => range.fill(dice.below(256) as u8),
                _ => range
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, b)| *b = (i / 7) as u8),
            }
        }
        std::fs::write(&source, &bytes).unwrap();
        for kind in ["zlib", "zstd"] {
            if kind == "zstd" && shape.contains("0.10") {
                continue;
            }
            let extended = shape.ends_with("64K") && !shape.contains("0.10");
            for extra in if extended {
                &["", ",extended_l2=on"][..]
            } else {
                &[""]
            } {
                let compression = if kind == "zlib" {
                    String::new()
                } else {
                    format!(",compression_type={kind}")
                };
                let shape = format!("{shape}{compression}{extra}");
                let line = format!("convert -c -f raw -O qcow2 -o {shape} {} @", text(&source));
                img(&line, &image);
                check(&image, &shape);
                io(&[text(&image)], &storm(&mut dice, size, 512, 10));
                check(&image, &format!("{shape}, then written"));
            }
        }
    }
}

#[test]
fn backing_chains_of_every_kind() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let size = 6_291_456;
    let raw = folder.join("base.raw");
    img(&format!("create -q -f raw @ {}", 4_000_768), &raw);
    io(
        &["-f", "raw", text(&raw)],
        &storm(&mut Dice::new(5), 4_000_768, 512, 20),
    );
    let packed = folder.join("packed.qcow2");
    img(
        &format!("convert -c -f raw -O qcow2 {} @", text(&raw)),
        &packed,
    );
    let large = folder.join("large.qcow2");
    create(&large, "compat=0.10", 9_000_448);
    io(
        &[text(&large)],
        &storm(&mut Dice::new(6), 9_000_448, 4096, 20),
    );
    for (name, format) in [
        ("base.raw", "raw"),
        ("packed.qcow2", "qcow2"),
        ("large.qcow2", "qcow2"),
    ] {
        for (seed, shape) in ["compat=0.10", "compat=1.1,cluster_size=4K"]
            .into_iter()
            .enumerate()
        {
            let (middle, top) = (folder.join("middle.qcow2"), folder.join("top.qcow2"));
            create(
                &middle,
                &format!("{shape},backing_file={name},backing_fmt={format}"),
                size,
            );
            io(
                &[text(&middle)],
                &storm(&mut Dice::new(seed as u64 + 11), size, 512, 12),
            );
            check(&middle, &format!("{shape} over {name}"));
            let shape = format!("{shape},backing_file={},backing_fmt=qcow2", text(&middle));
            create(&top, &shape, 7_340_032);
            io(
                &[text(&top)],
                &storm(&mut Dice::new(seed as u64 + 31), 7_340_032, 512, 12),
            );
            check(&top, &format!("{shape} over middle over {name}"));
        }
    }
}

#[test]
fn external_data_files() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, shape) in [
        "data_file=data.raw",
        "data_file=data.raw,data_file_raw=on",
        "data_file=data.raw,cluster_size=16K,extended_l2=on",
        "data_file=data.raw,preallocation=metadata",
    ]
    .into_iter()
    .enumerate()
    {
        let image = folder.join("a.qcow2");
        let data = folder.join("data.raw");
        // The tool opens a relative data file name against its own directory.
        let shape = shape.replace("data.raw", text(&data));
        create(&image, &shape, 6_000_128);
        check(&image, &format!("{shape}, empty"));
        io(
            &[text(&image)],
            &storm(&mut Dice::new(seed as u64 + 41), 6_000_128, 512, 25),
        );
        check(&image, &shape);
        img("resize -q @ 9M", &image);
        check(&image, &format!("{shape}, grown"));
    }
}

#[test]
fn internal_snapshots_by_id_and_by_name() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for shape in [
        "compat=0.10",
        "compat=1.1",
        "cluster_size=4K",
        "cluster_size=16K,extended_l2=on",
    ] {
        let image = folder.join("a.qcow2");
        create(&image, shape, 4_194_304);
        let mut states = Vec::new();
        for name in ["first", "2", "third one"] {
            io(
                &[text(&image)],
                &storm(&mut Dice::new(name.len() as u64), 4_194_304, 512, 15),
            );
            qemu::run("qemu-img", &["snapshot", "-c", name, text(&image)]);
            states.push(content(&["-f", "qcow2", text(&image)], &folder));
        }
        if shape != "compat=0.10" {
            img("resize -q @ 6M", &image);
        }
        io(
            &[text(&image)],
            &storm(&mut Dice::new(99), 4_194_304, 512, 15),
        );
        check(&image, &format!("{shape} with snapshots"));
        let listed = Qcow2Image::open(&image).unwrap().snapshots().unwrap();
        let names: Vec<_> = listed
            .iter()
            .map(|s| (s.id.as_str(), s.name.as_str()))
            .collect();
        assert_eq!(names, [("1", "first"), ("2", "2"), ("3", "third one")]);
        for (wanted, state) in [("1", 0), ("first", 0), ("2", 1), ("third one", 2), ("3", 2)] {
            let options = OpenOptions {
                internal_snapshot: Some(wanted.to_owned()),
                ..trusting()
            };
            let disk = Qcow2Disk::open(&image, &options).unwrap();
            assert_reads_as(
                &disk,
                &states[state],
                &format!("{shape}, snapshot {wanted}"),
            );
        }
        let options = OpenOptions {
            internal_snapshot: Some("4".into()),
            ..trusting()
        };
        let error = Qcow2Disk::open(&image, &options).unwrap_err();
        assert_eq!(error.kind(), lifeboat_model::ErrorKind::NotFound);
    }
}

#[test]
fn an_image_on_several_threads() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let (source, image) = (folder.join("plain.qcow2"), folder.join("a.qcow2"));
    create(&source, "cluster_size=4K", 8 << 20);
    io(
        &[text(&source)],
        &storm(&mut Dice::new(1), 8 << 20, 512, 60),
    );
    img(
        &format!("convert -c -f qcow2 -O qcow2 {} @", text(&source)),
        &image,
    );
    let expected = content(&["-f", "qcow2", text(&image)], &folder);
    let disk = open_reader(&image, ImageFormat::Qcow2, &trusting()).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (disk, expected) = (&disk, &expected);
            scope.spawn(move || {
                let mut dice = Dice::new(seed + 100);
                for _ in 0..300 {
                    let (start, length) = dice.range(disk.size(), 1, 100_000);
                    let mut part = vec![1; length as usize];
                    disk.read_at(start, &mut part).unwrap();
                    assert!(part == expected[start as usize..][..part.len()]);
                }
            });
        }
    });
}

#[test]
fn an_empty_disk_has_no_extents() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    create(&image, "compat=1.1", 0);
    let disk = open_reader(&image, ImageFormat::Qcow2, &trusting()).unwrap();
    assert_eq!(disk.size(), 0);
    assert!(disk.next_extent(0).is_err());
    assert!(disk.read_at(0, &mut []).is_ok());
}
