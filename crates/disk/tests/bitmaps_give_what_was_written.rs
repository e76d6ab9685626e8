//! Persistent bitmaps name every range that was written, and are refused when in doubt.

use std::path::Path;
use std::process::{Command, Stdio};

use lifeboat_disk::{BitmapFitness, Qcow2Image};
use lifeboat_model::{ErrorKind, Extent, ExtentSet};

use crate::qemu::{self, Dice, folder, img, io, run, storm, text};

/// The ranges that qemu-io commands touch.
fn touched(commands: &[String], size: u64) -> ExtentSet {
    commands
        .iter()
        .filter_map(|command| {
            let mut numbers = command.split(' ').rev().map(|n| n.parse::<u64>().unwrap());
            let (length, start) = (numbers.next().unwrap(), numbers.next().unwrap());
            Extent::new(start, (start + length).min(size))
        })
        .collect()
}

fn add(image: &Path, name: &str, granularity: u64) {
    let granularity = granularity.to_string();
    run(
        "qemu-img",
        &[
            "bitmap",
            "--add",
            "-g",
            &granularity,
            "-f",
            "qcow2",
            text(image),
            name,
        ],
    );
}

fn directory(bytes: &[u8]) -> usize {
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let at = bytes
        .windows(4)
        .position(|w| w == [0x23, 0x85, 0x28, 0x75])
        .unwrap();
    number(at + 8 + 16) as usize
}

#[test]
fn bitmaps_hold_the_written_ranges_at_their_granularity() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    for (seed, (cluster_size, granularity, size)) in [
        (512, 512, 8_000_512),
        (4096, 65_536, 50_000_384),
        (65_536, 65_536, 64 << 20),
        (65_536, 1 << 20, 70_000_128),
        (2 << 20, 4096, 30_000_128),
    ]
    .into_iter()
    .enumerate()
    {
        let image = folder.join("a.qcow2");
        img(
            &format!("create -q -f qcow2 -o cluster_size={cluster_size} @ {size}"),
            &image,
        );
        let mut dice = Dice::new(seed as u64 + 1);
        io(&[text(&image)], &storm(&mut dice, size, 512, 8));
        add(&image, "first", granularity);
        add(&image, "empty", granularity);
        run(
            "qemu-img",
            &["bitmap", "--disable", "-f", "qcow2", text(&image), "empty"],
        );
        let early: Vec<String> = (0..12)
            .map(|_| {
                let (start, length) = dice.range(size, 512, 100_000);
                format!("write -P 7 {start} {length}")
            })
            .collect();
        io(&[text(&image)], &early);
        add(&image, "second", granularity);
        let late = vec![
            format!("write -z {} 4096", size / 2),
            "write 0 512".to_owned(),
        ];
        io(&[text(&image)], &late);

        let opened = Qcow2Image::open(&image).unwrap();
        let listed = opened.bitmaps().unwrap();
        assert_eq!(listed.len(), 3);
        for bitmap in &listed {
            assert_eq!(bitmap.granularity, granularity);
            assert_eq!(bitmap.fitness, BitmapFitness::Sound);
            assert_eq!(bitmap.is_recording, bitmap.name != "empty");
        }
        let all: Vec<String> = early.into_iter().chain(late.clone()).collect();
        let expected = |commands: &[String]| touched(commands, size).aligned(granularity, size);
        assert_eq!(opened.read_bitmap("first").unwrap(), expected(&all));
        assert_eq!(opened.read_bitmap("second").unwrap(), expected(&late));
        assert_eq!(opened.read_bitmap("empty").unwrap(), ExtentSet::new());
        assert_eq!(
            opened.read_bitmap("third").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

#[test]
fn qemu_nbd_reads_the_same_bitmap() {
    if !qemu::is_here() || Command::new("qemu-nbd").arg("--version").output().is_err() {
        return;
    }
    let (_held, folder) = folder();
    let (image, socket) = (folder.join("a.qcow2"), folder.join("socket"));
    let size = 200 << 20;
    img(&format!("create -q -f qcow2 @ {size}"), &image);
    add(&image, "b", 65_536);
    io(&[text(&image)], &storm(&mut Dice::new(3), size, 512, 6));
    let ours = Qcow2Image::open(&image).unwrap().read_bitmap("b").unwrap();
    let arguments = [
        "--fork",
        "-r",
        "-B",
        "b",
        "-k",
        text(&socket),
        "-f",
        "qcow2",
        text(&image),
    ];
    // Its copy in the background must not hold our pipe.
    let status = Command::new("qemu-nbd")
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let select = format!(
        "driver=nbd,server.type=unix,server.path={},x-dirty-bitmap=qemu:dirty-bitmap:b",
        text(&socket)
    );
    let listed = run(
        "qemu-img",
        &["map", "--output=json", "--image-opts", &select],
    );
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    // In this mode "no data" means dirty.
    let judge: ExtentSet = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["data"] == false)
        .filter_map(|e| Extent::at(e["start"].as_u64().unwrap(), e["length"].as_u64().unwrap()))
        .collect();
    assert_eq!(ours, judge);
}

#[test]
fn bitmaps_that_may_have_missed_writes_are_refused() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    img("create -q -f qcow2 -o cluster_size=512 @ 8M", &image);
    add(&image, "b", 512);
    io(&[text(&image)], &["write 1M 64k".into()]);
    let sound = std::fs::read(&image).unwrap();
    let entry = directory(&sound);
    let verdict = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        std::fs::write(&image, bytes).unwrap();
        let opened = Qcow2Image::open(&image).unwrap();
        let fitness = opened
            .bitmaps()
            .map(|all| all[0].fitness)
            .map_err(|e| e.kind());
        let read = opened.read_bitmap("b").map(|set| set.byte_count());
        (fitness, read.map_err(|e| (e.kind(), e.to_string())))
    };
    let (fitness, read) = verdict(&|_| {});
    assert_eq!((fitness, read), (Ok(BitmapFitness::Sound), Ok(65_536)));

    let (fitness, read) = verdict(&|bytes| bytes[entry + 15] |= 1);
    assert_eq!(fitness, Ok(BitmapFitness::InUse));
    let (kind, text) = read.unwrap_err();
    assert_eq!(kind, ErrorKind::Corrupt);
    assert!(
        text.contains("full backup") && text.contains("qemu-img bitmap --remove"),
        "{text}"
    );

    let (fitness, read) = verdict(&|bytes| bytes[95] &= !1);
    assert_eq!(fitness, Ok(BitmapFitness::Outdated));
    assert_eq!(read.unwrap_err().0, ErrorKind::Corrupt);

    let (fitness, read) = verdict(&|bytes| bytes[entry + 16] = 2);
    assert_eq!((fitness, read.is_err()), (Ok(BitmapFitness::Foreign), true));

    // The first cluster of the bitmap "reads as ones": 512 * 8 bits of 512 bytes.
    let table = u64::from_be_bytes(sound[entry..entry + 8].try_into().unwrap()) as usize;
    let (_, read) = verdict(&|bytes| bytes[table..table + 8].copy_from_slice(&1u64.to_be_bytes()));
    assert_eq!(read, Ok(512 * 8 * 512));

    for wrong in [2u64, 513, 1 << 60, 0x00ff_ffff_ffff_fe00] {
        let (_, read) =
            verdict(&|bytes| bytes[table..table + 8].copy_from_slice(&wrong.to_be_bytes()));
        assert_eq!(read.unwrap_err().0, ErrorKind::Corrupt, "{wrong:#x}");
    }
    let (fitness, _) = verdict(&|bytes| bytes[entry + 17] = 63);
    assert_eq!(fitness, Err(ErrorKind::Corrupt));
}

#[test]
fn a_killed_qemu_leaves_its_bitmap_in_use() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    img("create -q -f qcow2 @ 8M", &image);
    add(&image, "b", 65_536);
    // abort kills qemu-io itself without closing the image.
    let mut command = Command::new("qemu-io");
    command.args(["-c", "write 1M 64k", "-c", "abort", text(&image)]);
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    let opened = Qcow2Image::open(&image).unwrap();
    assert_eq!(opened.bitmaps().unwrap()[0].fitness, BitmapFitness::InUse);
    assert_eq!(
        opened.read_bitmap("b").unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}
