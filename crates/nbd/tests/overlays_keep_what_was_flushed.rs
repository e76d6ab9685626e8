//! The local overlay: copy-on-write over a disk that never changes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use lifeboat_model::{ErrorKind, Extent, ExtentSet};
use lifeboat_nbd::{
    Access, Client, Durability, Export, OVERLAY_BLOCK_BYTES, Overlay, ServerOptions, Zeroing,
};
use lifeboat_testkit::{Effort, SeededEntropy, figure};

use crate::disks::{RawFile, dice, range, serve, sparse};
use crate::tools::{are_here, options, run};

const SIZE: u64 = (16 << 20) + 4096;
const NAME: [u8; 32] = [9; 32];
/// Says to the killed process where to work, and which dice to throw.
const VICTIM: &str = "LIFEBOAT_NBD_VICTIM";

fn base(folder: &Path) -> Arc<dyn Export> {
    Arc::new(RawFile::open(&folder.join("raw"), Access::ReadOnly))
}

fn content_of(disk: &dyn Export) -> Vec<u8> {
    let mut content = vec![0; disk.size() as usize];
    disk.read_at(0, &mut content).unwrap();
    content
}

/// One random write; the same dice make the same change.
fn change(disk: &dyn Export, content: &mut [u8], dice: &SeededEntropy) -> Extent {
    let (start, length) = range(dice, SIZE, 512, 400 << 10);
    let extent = Extent::at(start, length).unwrap();
    let place = start as usize..(start + length) as usize;
    match dice.below(5) {
        0 => {
            let zeroing = [Zeroing::MayFreeRoom, Zeroing::KeepsRoom][dice.below(2) as usize];
            disk.zero(extent, zeroing).unwrap();
            content[place].fill(0);
        }
        _ => {
            let bytes = dice.bytes(length as usize);
            disk.write_at(start, &bytes).unwrap();
            content[place].copy_from_slice(&bytes);
        }
    }
    extent
}

#[test]
fn reads_see_writes_and_the_base_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let dice = dice();
    let original = sparse(&folder.path().join("raw"), SIZE, &dice);
    let path = folder.path().join("overlay");
    let mut overlay = Overlay::create(&path, base(folder.path()), NAME).unwrap();
    let mut content = original.clone();
    let mut touched = ExtentSet::new();
    for round in 0..60 {
        touched.insert(change(&overlay, &mut content, &dice));
        if round % 20 == 19 {
            overlay.flush().unwrap();
            drop(overlay);
            overlay = Overlay::open(&path, base(folder.path()), NAME).unwrap();
        }
        let (start, length) = range(&dice, SIZE, 1, 1 << 20);
        let mut found = vec![0; length as usize];
        overlay.read_at(start, &mut found).unwrap();
        assert!(found == content[start as usize..][..length as usize]);
    }
    assert!(content_of(&overlay) == content);
    assert_eq!(
        overlay.changed(),
        touched.aligned(OVERLAY_BLOCK_BYTES, SIZE)
    );
    let mut at = 0;
    for stated in overlay.extents(Extent::new(0, SIZE).unwrap()) {
        let stated = stated.unwrap();
        assert_eq!(stated.extent.start(), at);
        at = stated.extent.end();
        let place = stated.extent.start() as usize..at as usize;
        let is_zero = content[place].iter().all(|byte| *byte == 0);
        assert!(is_zero || stated.allocation == lifeboat_nbd::Allocation::Data);
    }
    assert_eq!(at, SIZE);
    assert!(fs::read(folder.path().join("raw")).unwrap() == original);
    // What trim leaves is anything, but it is readable and stays.
    overlay.trim(Extent::new(0, SIZE).unwrap()).unwrap();
    drop(content_of(&overlay));
}

#[test]
fn a_real_client_writes_into_an_overlay_and_finds_it_again() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let dice = dice();
    sparse(&place("raw"), SIZE, &dice);
    let content = sparse(&place("new"), SIZE, &dice);
    let overlay = Overlay::create(&place("overlay"), base(folder.path()), NAME).unwrap();
    let server = serve(folder.path(), Arc::new(overlay), ServerOptions::default());
    let uri = format!("nbd+unix:///disk?socket={}", place("ours.sock").display());
    run("nbdcopy --flush @1 @2", &[&place("new"), &uri]);
    run(
        "qemu-img compare -f raw -F raw @1 @2",
        &[&uri, &place("new")],
    );
    let client = Client::connect(&uri.parse().unwrap(), options()).unwrap();
    client
        .write_at(5, b"a few bytes", Durability::Forced)
        .unwrap();
    server.stop(std::time::Duration::from_secs(5));
    let overlay = Overlay::open(&place("overlay"), base(folder.path()), NAME).unwrap();
    let mut expected = content;
    expected[5..16].copy_from_slice(b"a few bytes");
    assert!(content_of(&overlay) == expected);
}

#[test]
fn other_bases_second_users_and_damage_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    sparse(&place("raw"), SIZE, &dice());
    let path = place("overlay");
    let overlay = Overlay::create(&path, base(folder.path()), NAME).unwrap();
    let kind = |path: &Path, name| {
        let opened = Overlay::open(path, base(folder.path()), name);
        opened.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(kind(&path, NAME), Err(ErrorKind::Busy));
    let again = Overlay::create(&path, base(folder.path()), NAME).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists, "{again}");
    overlay.write_at(0, &[1; 512]).unwrap();
    overlay.flush().unwrap();
    drop(overlay);
    assert_eq!(kind(&path, [0; 32]), Err(ErrorKind::Invalid));
    assert_eq!(kind(&place("missing"), NAME), Err(ErrorKind::NotFound));
    assert_eq!(kind(&place("raw"), NAME), Err(ErrorKind::Corrupt));
    let sound = fs::read(&path).unwrap();
    let damaged = |places: &[usize]| {
        let mut bytes = sound.clone();
        places.iter().for_each(|at| bytes[*at] ^= 4);
        fs::write(place("damaged"), bytes).unwrap();
        kind(&place("damaged"), NAME)
    };
    // The header; one copy of the bitmap's only page; the other; both.
    assert_eq!(damaged(&[20]), Err(ErrorKind::Corrupt));
    assert_eq!(damaged(&[4096 + 99]), Ok(()));
    assert_eq!(damaged(&[8192 + 99]), Ok(()));
    assert_eq!(damaged(&[4096 + 99, 8192 + 99]), Err(ErrorKind::Corrupt));
    fs::write(place("damaged"), &sound[..sound.len() - 1]).unwrap();
    assert_eq!(kind(&place("damaged"), NAME), Err(ErrorKind::Corrupt));
    fs::write(place("damaged"), []).unwrap();
    assert!(kind(&place("damaged"), NAME).is_err());
    assert_eq!(kind(&path, NAME), Ok(()));
}

/// The process that is killed: writes and flushes until then, and says what was answered.
#[test]
fn a_victim_writes_until_it_is_killed() {
    let Ok(text) = std::env::var(VICTIM) else {
        return;
    };
    let (folder, seed) = text.split_once('#').unwrap();
    let (folder, dice) = (Path::new(folder), SeededEntropy::new(seed.parse().unwrap()));
    let overlay = Overlay::open(&folder.join("overlay"), base(folder), NAME).unwrap();
    let mut nothing = vec![0; SIZE as usize];
    for round in 0.. {
        change(&overlay, &mut nothing, &dice);
        println!("\nanswered {round}");
        if round % 3 == 2 {
            overlay.flush().unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let dice = dice();
    let mut content = sparse(&folder.path().join("raw"), SIZE, &dice);
    let path = folder.path().join("overlay");
    drop(Overlay::create(&path, base(folder.path()), NAME).unwrap());
    let kills = Effort::current().pick(6, 200);
    for _ in 0..kills {
        let seed = dice.number();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("overlays_keep_what_was_flushed::a_victim_writes_until_it_is_killed")
            .env(VICTIM, format!("{}#{seed}", folder.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(victim.stdout.take().unwrap());
        let until = 3 + dice.below(20);
        let mut last = 0;
        for line in said.lines() {
            let line = line.unwrap();
            if let Some(round) = line.strip_prefix("answered ") {
                last = round.parse::<u64>().unwrap();
                if last >= until {
                    victim.kill().unwrap();
                }
            }
        }
        victim.wait().unwrap();
        assert!(last >= until, "the victim ended by itself");
        let again = SeededEntropy::new(seed);
        // What was said is there. What came later may be there or not, sector by sector.
        let mirror = Mirror::new(SIZE);
        for _ in 0..=last {
            change(&mirror, &mut content, &again);
        }
        let mut later = ExtentSet::new();
        let mut ahead = content.clone();
        for _ in 0..60 {
            later.insert(change(&mirror, &mut ahead, &again));
        }
        let overlay = Overlay::open(&path, base(folder.path()), NAME).unwrap();
        let found = content_of(&overlay);
        for (index, sector) in found.chunks(512).enumerate() {
            let place = Extent::at(index as u64 * 512, 512).unwrap();
            let is_kept = sector == &content[index * 512..][..512];
            assert!(
                is_kept || later.touches(place),
                "sector {index}, seed {seed}"
            );
        }
        overlay.flush().unwrap();
        content = found;
    }
    figure("network disks", "overlay: processes killed", kills);
}

/// A disk that forgets everything: only the changes' places matter.
struct Mirror(u64);

impl Mirror {
    fn new(size: u64) -> Self {
        Self(size)
    }
}

impl Export for Mirror {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _: u64, buffer: &mut [u8]) -> lifeboat_nbd::Result<()> {
        buffer.fill(0);
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> lifeboat_nbd::Result<()> {
        Ok(())
    }

    fn zero(&self, _: Extent, _: Zeroing) -> lifeboat_nbd::Result<()> {
        Ok(())
    }
}
