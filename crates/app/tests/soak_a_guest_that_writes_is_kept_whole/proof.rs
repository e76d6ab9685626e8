//! Restores every point and proves it: against the copies, by its file systems, by its journal.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_testkit::tool;

use super::life::{Life, Manner, seed};

const PIECE_BYTES: usize = 1 << 20;
/// Where ext4 says which of its features a reader must know.
///
/// Source: the kernel's Documentation/filesystems/ext4, "Super Block": at 1024, field 0x60.
const FEATURES_AT: u64 = 1024 + 0x60;
/// Of these: the journal holds what is not in its place yet.
const NEEDS_RECOVERY: u32 = 4;

/// What was compared and judged.
pub(super) struct Proven {
    pub(super) bytes: u64,
    pub(super) differing: u64,
    /// Records on both disks at each point.
    pub(super) records: Vec<[u64; 2]>,
}

/// Proves every point.
pub(super) fn of_points(life: &Life) -> Proven {
    let (mut bytes, mut differing) = (0, 0);
    let mut pairs = Vec::new();
    for number in 0..life.points.len() {
        let pair = restored(life, number);
        for (disk, file) in ["vda", "vdb"].iter().zip(&pair) {
            let (same, other) = compare(file, &life.truth(number, disk));
            (bytes, differing) = (bytes + same + other, differing + other);
        }
        is_frozen_where_it_says(life, number, &pair[0]);
        pairs.push(pair);
    }
    assert_eq!(differing, 0, "of {bytes} bytes, seed {}", seed());
    let records = life.guest.judge(life.journal, &pairs);
    let mut before = [0, 0];
    for (point, &[first, second]) in life.points.iter().zip(&records) {
        let when = format!("seed {}, {point:?}: {first} {second}", seed());
        assert!(second >= point.acknowledged, "{when}");
        assert!(first >= before[0] && second >= before[1], "{when}");
        before = [first, second];
    }
    for [first, second] in &pairs {
        succeeds("e2fsck", &["-f", "-n"], first);
        succeeds("xfs_repair", &["-n"], second);
    }
    Proven {
        bytes,
        differing,
        records,
    }
}

fn restored(life: &Life, number: usize) -> [PathBuf; 2] {
    ["vda", "vdb"].map(|disk| {
        let file = life.path(&format!("restored/{number}-{disk}.raw"));
        let target = file.to_str().unwrap();
        let snapshot = &life.points[number].snapshot;
        life.lifeboat(&["restore", snapshot, "-d", disk, "-t", target]);
        file
    })
}

/// Bytes that are the same, and others.
fn compare(one: &Path, other: &Path) -> (u64, u64) {
    let mut files = [one, other].map(|path| File::open(path).unwrap());
    let sizes = files.each_ref().map(|file| file.metadata().unwrap().len());
    assert_eq!(sizes[0], sizes[1], "{} {}", one.display(), other.display());
    let mut pieces = [vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]];
    let (mut done, mut differing) = (0, 0);
    while done < sizes[0] {
        let length = PIECE_BYTES.min((sizes[0] - done) as usize);
        for (file, piece) in files.iter_mut().zip(&mut pieces) {
            file.read_exact(&mut piece[..length]).unwrap();
        }
        let [first, second] = pieces.each_ref().map(|piece| &piece[..length]);
        if first != second {
            let pairs = first.iter().zip(second);
            let others: Vec<_> = pairs.enumerate().filter(|(_, (a, b))| a != b).collect();
            let at = done + others[0].0 as u64;
            eprintln!("{} differs from byte {at} on", one.display());
            differing += others.len() as u64;
        }
        done += length as u64;
    }
    (done - differing, differing)
}

/// Frozen file systems have nothing left to replay; a running machine's always have.
fn is_frozen_where_it_says(life: &Life, number: usize, disk: &Path) {
    let mut features = [0; 4];
    let file = File::open(disk).unwrap();
    file.read_exact_at(&mut features, FEATURES_AT).unwrap();
    let is_open = u32::from_le_bytes(features) & NEEDS_RECOVERY != 0;
    let is_frozen = life.points[number].manner == Manner::Frozen;
    assert_eq!(is_open, !is_frozen, "seed {}, point {number}", seed());
}

fn succeeds(program: &str, arguments: &[&str], disk: &Path) {
    let program = tool(program).unwrap();
    let output = Command::new(&program).args(arguments).arg(disk).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "seed {}: {program:?} {disk:?}: {said}{}",
        seed(),
        String::from_utf8_lossy(&output.stderr)
    );
}
