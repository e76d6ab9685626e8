//! Storage that forgets: after a loss of power, any part of what was not synced may be there;
//! after the death of the process, everything.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use lifeboat_testkit::{Effort, SeededEntropy, figure};

use super::header::Header;
use super::storage::Storage;
use super::{Overlay, format};
use crate::server::{Export, Zeroing};
use crate::{Error, Result};

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;
/// Nine whole blocks and a part.
const SIZE: u64 = (9 << 16) + 1536;
const NAME: [u8; 32] = [5; 32];

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    open: Vec<(usize, Vec<u8>)>,
    /// Writes and syncs that are still done; then the power is gone.
    steps_left: Option<u64>,
}

/// A file in memory, shared with who makes it crash.
#[derive(Clone, Default)]
struct Forgetful(Arc<Mutex<Content>>);

impl Content {
    fn write_now(&mut self, at: usize, bytes: &[u8]) {
        self.now.resize(self.now.len().max(at + bytes.len()), 0);
        self.now[at..][..bytes.len()].copy_from_slice(bytes);
    }

    fn step(&mut self) -> io::Result<()> {
        match &mut self.steps_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Forgetful {
    fn new(length: usize) -> Self {
        let this = Self::default();
        {
            let mut content = this.0.lock().unwrap();
            content.now = vec![0; length];
            content.synced = vec![0; length];
        }
        this
    }

    /// What is there when the power comes back: of each open write any of its sectors.
    fn after_crash(&self, dice: &SeededEntropy) -> Self {
        let content = self.0.lock().unwrap();
        let mut found = content.synced.clone();
        let share = dice.below(4);
        for (at, bytes) in &content.open {
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                if dice.below(3) < share {
                    let start = at + index * SECTOR;
                    found.resize(found.len().max(start + sector.len()), 0);
                    found[start..][..sector.len()].copy_from_slice(sector);
                }
            }
        }
        let this = Self::new(0);
        {
            let mut content = this.0.lock().unwrap();
            content.now.clone_from(&found);
            content.synced = found;
        }
        this
    }
}

impl Storage for Forgetful {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let content = self.0.lock().unwrap();
        buffer.copy_from_slice(&content.now[at as usize..][..buffer.len()]);
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.open.push((at as usize, bytes.to_vec()));
        content.step()?;
        content.write_now(at as usize, bytes);
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.step()?;
        content.now.resize(length as usize, 0);
        Ok(())
    }

    fn zero(&self, at: u64, length: u64, _: Zeroing) -> io::Result<()> {
        self.write_at(at, &vec![0; length as usize])
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.step()?;
        content.synced = content.now.clone();
        content.open.clear();
        Ok(())
    }

    fn next_data(&self, at: u64) -> io::Result<u64> {
        Ok(at)
    }

    fn next_hole(&self, _: u64) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A base whose bytes follow from their place.
struct Base;

fn base_byte(at: u64) -> u8 {
    (at / 512 % 251) as u8 | 1
}

impl Export for Base {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = base_byte(offset + index as u64);
        }
        Ok(())
    }
}

/// Opens it as a process does after so many losses of power.
fn open(file: &Forgetful, boot: u8) -> Result<Overlay> {
    let base: Arc<dyn Export> = Arc::new(Base);
    let path = Path::new("simulated");
    Overlay::over(Box::new(file.clone()), path, (base, NAME), [boot; 16])
}

/// What may be read after a loss of power: what was flushed, or any write since, sector by
/// sector; and after the death of the process: the last write that was answered.
struct Model {
    flushed: Vec<u8>,
    now: Vec<u8>,
    since: HashMap<usize, Vec<Vec<u8>>>,
    /// The content before the last write, and its sectors: nobody knows whether it was answered.
    before: Vec<u8>,
    last: std::ops::Range<usize>,
}

impl Model {
    fn note(&mut self, at: usize, bytes: &[u8]) {
        self.before.clone_from(&self.now);
        self.last = at / SECTOR..(at + bytes.len()).div_ceil(SECTOR);
        self.now[at..][..bytes.len()].copy_from_slice(bytes);
        for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
            let content = self.now[sector * SECTOR..][..SECTOR].to_vec();
            self.since.entry(sector).or_default().push(content);
        }
    }

    fn flush(&mut self) {
        self.flushed.clone_from(&self.now);
        self.since.clear();
    }

    fn check(&mut self, found: Vec<u8>) {
        for (sector, content) in found.chunks(SECTOR).enumerate() {
            let is_flushed = content == &self.flushed[sector * SECTOR..][..SECTOR];
            let later = self.since.get(&sector);
            let is_later = later.is_some_and(|later| later.iter().any(|it| it == content));
            assert!(is_flushed || is_later, "sector {sector}");
        }
        self.now = found;
        self.flush();
    }

    /// After the death of the process: every answered write is there, and is no more durable.
    fn check_killed(&mut self, found: Vec<u8>) {
        for (sector, content) in found.chunks(SECTOR).enumerate() {
            let of = |known: &[u8]| content == &known[sector * SECTOR..][..content.len()];
            let is_open = self.last.contains(&sector) && of(&self.before);
            assert!(of(&self.now) || is_open, "sector {sector} after a kill");
        }
        self.now = found;
    }
}

/// Random writes until the power fails, and on after that; `dice` decides everything.
fn live(dice: &SeededEntropy) -> u64 {
    let header = Header {
        size: SIZE,
        base: NAME,
    };
    let mut file = Forgetful::new(header.file_length() as usize);
    format(&file, &header).unwrap();
    let content: Vec<u8> = (0..SIZE).map(base_byte).collect();
    let mut model = Model {
        flushed: content.clone(),
        before: content.clone(),
        last: 0..0,
        now: content,
        since: HashMap::new(),
    };
    let mut boot = 1;
    for _ in 0..6 {
        file.0.lock().unwrap().steps_left = Some(dice.below(60));
        if let Ok(overlay) = open(&file, boot) {
            while change(&overlay, &mut model, dice).is_ok() {}
        }
        let is_kill = dice.below(2) == 0;
        file.0.lock().unwrap().steps_left = None;
        if !is_kill {
            file = file.after_crash(dice);
            boot += 1;
        }
        let overlay = open(&file, boot).unwrap();
        let mut found = vec![0; SIZE as usize];
        overlay.read_at(0, &mut found).unwrap();
        if is_kill {
            model.check_killed(found);
            continue;
        }
        // What is read after a crash must stay: it is flushed as it is.
        overlay.flush().unwrap();
        model.check(found);
    }
    6
}

fn change(overlay: &Overlay, model: &mut Model, dice: &SeededEntropy) -> Result<()> {
    let sectors = SIZE / SECTOR as u64;
    let start = dice.below(sectors);
    let count = (1 + dice.below(300)).min(sectors - start);
    let (at, length) = (start * SECTOR as u64, count * SECTOR as u64);
    match dice.below(6) {
        0 => {
            let flushed: Result<()> = overlay.flush();
            if flushed.is_ok() {
                model.flush();
            }
            flushed
        }
        1 => {
            model.note(at as usize, &vec![0; length as usize]);
            let range = lifeboat_model::Extent::at(at, length);
            overlay.zero(range.unwrap(), Zeroing::MayFreeRoom)
        }
        _ => {
            let bytes = vec![dice.number() as u8; length as usize];
            model.note(at as usize, &bytes);
            overlay.write_at(at, &bytes)
        }
    }
}

#[test]
fn flushed_writes_survive_a_crash_and_answered_ones_a_kill_at_any_step()
-> std::result::Result<(), Error> {
    let lives = Effort::current().pick(60, 20_000);
    let seed = std::env::var("LIFEBOAT_SEED").ok();
    let seed: u64 = seed.map_or(20_261_121, |text| text.parse().unwrap());
    let mut crashes = 0;
    for life in 0..lives {
        println!("LIFEBOAT_SEED={}", seed + life);
        crashes += live(&SeededEntropy::new(seed + life));
    }
    figure(
        "network disks",
        "overlay: simulated crashes survived",
        crashes,
    );
    Ok(())
}
