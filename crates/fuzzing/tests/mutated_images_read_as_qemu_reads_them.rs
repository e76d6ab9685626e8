//! Damaged images that both of us accept: QEMU and we see the same disk in them.
//!
//! `LIFEBOAT_SEED` takes a seed back.

use std::fs;
use std::path::Path;
use std::process::Command;

use lifeboat_disk::{DiskReader, ExtentState, OpenOptions, Qcow2Disk};
use lifeboat_testkit::{Effort, SeededEntropy, figure, tool};

const SECTOR: usize = 512;

const SEED: u64 = 7;
/// Largest disk that is compared whole.
const SIZE_MAX: u64 = 4 << 20;
/// The tables of the small images that are mutated lie before this byte.
const TABLES_END: u64 = 6 << 10;

type Range = (u64, u64);

/// What we see: the bytes, and the ranges that we call zero and data.
struct Seen {
    bytes: Vec<u8>,
    zeros: Vec<Range>,
    data: Vec<Range>,
}

/// Nothing for an image that we refuse, in part or whole, or that is too large.
fn seen(path: &Path) -> Option<Seen> {
    let disk = Qcow2Disk::open(path, &OpenOptions::default()).ok()?;
    if disk.size() > SIZE_MAX {
        return None;
    }
    let mut seen = Seen {
        bytes: vec![0; usize::try_from(disk.size()).ok()?],
        zeros: Vec::new(),
        data: Vec::new(),
    };
    disk.read_at(0, &mut seen.bytes).ok()?;
    let mut at = 0;
    while at < disk.size() {
        let next = disk.next_extent(at).ok()?;
        let range = (at, next.extent.end());
        match next.state {
            ExtentState::Zero => seen.zeros.push(range),
            ExtentState::Data => seen.data.push(range),
        }
        at = next.extent.end();
    }
    Some(seen)
}

/// Runs qemu-img, for at most twenty seconds; nothing when it refuses.
fn ask(qemu: &Path, arguments: &[&str], image: &Path, more: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("timeout");
    command.arg("20").arg(qemu).args(arguments).arg(image);
    let output = command.args(more).output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// The ranges that QEMU calls zero.
fn zeros_of_qemu(map: &[u8]) -> Vec<Range> {
    let map: serde_json::Value = serde_json::from_slice(map).unwrap();
    let entries = map.as_array().unwrap().iter();
    let zeros = entries.filter(|entry| entry["zero"] == true);
    zeros
        .map(|entry| {
            let number = |key: &str| entry[key].as_u64().unwrap();
            (number("start"), number("start") + number("length"))
        })
        .collect()
}

fn damaged(kept: &[Vec<u8>], dice: &SeededEntropy) -> Vec<u8> {
    let mut image = kept[dice.below(kept.len() as u64) as usize].clone();
    for _ in 0..=dice.below(3) {
        let limit = TABLES_END.min(image.len() as u64) - 8;
        let at = dice.below(limit) as usize / 8 * 8;
        let value = match dice.below(4) {
            0 => 0,
            1 => 1 << dice.below(64),
            2 => (dice.below(image.len() as u64) / 512 * 512) | (dice.below(2) << 63),
            _ => (dice.below(image.len() as u64) / 512 * 512) | 1,
        };
        image[at..at + 8].copy_from_slice(&u64::to_be_bytes(value));
    }
    image
}

#[test]
fn what_both_accept_is_one_disk() {
    let Some(qemu) = tool("qemu-img") else {
        return;
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/qcow2_image");
    let mut paths: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let folder = tempfile::tempdir().unwrap();
    let (image, raw) = (folder.path().join("a.qcow2"), folder.path().join("a.raw"));
    let mut kept = Vec::new();
    for path in &paths {
        fs::copy(path, &image).unwrap();
        let sound = fs::read(path).unwrap();
        if sound.len() > 1024 && seen(&image).is_some() {
            kept.push(sound);
        }
    }
    assert!(!kept.is_empty(), "the corpus has images that open");
    let seed = std::env::var("LIFEBOAT_SEED").ok();
    let seed = seed.map_or(SEED, |text| text.parse().unwrap());
    let dice = SeededEntropy::new(seed);
    let (mut tried, mut compared) = (0, 0);
    while tried < Effort::current().pick(400, 20_000) {
        tried += 1;
        fs::write(&image, damaged(&kept, &dice)).unwrap();
        // Every fifth: each takes three programs.
        let Some(ours) = seen(&image).filter(|_| tried % 5 == 0) else {
            continue;
        };
        let what = format!("seed {seed}, image {tried}");
        let converted = ask(
            &qemu,
            &["convert", "-f", "qcow2", "-O", "raw"],
            &image,
            &[raw.to_str().unwrap()],
        );
        let map = ask(&qemu, &["map", "-f", "qcow2", "--output=json"], &image, &[]);
        let (Some(_), Some(map)) = (converted, map) else {
            continue;
        };
        compare(&ours, &fs::read(&raw).unwrap(), &zeros_of_qemu(&map), &what);
        compared += 1;
    }
    assert!(compared > 0, "some damaged images are accepted");
    figure("fuzz", "mutated images that read as in QEMU", compared);
}

fn compare(ours: &Seen, bytes: &[u8], zeros: &[Range], what: &str) {
    // A size that is no whole number of sectors: QEMU shows whole ones only, we keep every byte.
    let whole = ours.bytes.len() / SECTOR * SECTOR;
    assert_eq!(whole, bytes.len(), "{what}: the sizes differ");
    assert!(ours.bytes[..whole] == *bytes, "{what}: the bytes differ");
    for (start, end) in &ours.zeros {
        let part = &ours.bytes[*start as usize..*end as usize];
        let is_zero = part.iter().all(|byte| *byte == 0);
        assert!(is_zero, "{what}: {start}..{end} is not zero");
    }
    for (start, end) in zeros {
        let data = ours.data.iter().find(|it| it.0 < *end && *start < it.1);
        assert!(
            data.is_none(),
            "{what}: QEMU calls {start}..{end} zero, we call {data:?} data"
        );
    }
}
