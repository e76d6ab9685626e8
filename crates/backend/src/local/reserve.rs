//! Bytes held ready for the day the file system is full.
//!
//! Removing data takes a lock and a new index first, and both need room. The file
//! `lifeboat.reserve` beside the config holds it; restic and rustic pass over it, and whoever
//! needs room by hand may remove it. Its bytes do not compress, so that they take their room.

use std::fs::File;
use std::io;

use lifeboat_model::Clock;

use super::{Local, layout};
use crate::{Doing, FileKind, LEFTOVER_AGE_MIN, Result, Upkeep};

/// The file's name in the repository's directory.
pub const RESERVE_NAME: &str = "lifeboat.reserve";

/// File systems that only one machine can have mounted for writing, by `f_type`: ext2 to ext4,
/// XFS, btrfs, tmpfs, F2FS, ZFS.
///
/// Source: linux/magic.h; ZFS_SUPER_MAGIC of OpenZFS.
const ONE_MACHINE: [u32; 6] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0xf2f5_2010,
    0x2fc1_2fc1,
];

/// Bytes written at a time.
const STEP: usize = 64 << 10;

impl Upkeep for Local {
    fn sweep(&self, kind: Option<FileKind>, clock: &dyn Clock) -> Result<usize> {
        let swept = match kind {
            Some(kind) => self.sweep_beside(kind, clock),
            None => self.sweep_leftovers(clock, LEFTOVER_AGE_MIN),
        };
        swept.map(|paths| paths.len())
    }

    fn hold_reserve(&self, bytes: u64) -> Result<()> {
        let held = std::fs::metadata(self.root.join(RESERVE_NAME));
        if held.is_ok_and(|found| found.is_file() && found.len() >= bytes) {
            return Ok(());
        }
        let made = self.make_reserve(bytes);
        made.map_err(|e| self.failed(Doing::HoldReserve, e))
    }

    fn give_up_reserve(&self) -> Result<bool> {
        let path = self.root.join(RESERVE_NAME);
        match self.calls.unlink(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed
                .and_then(|()| self.calls.sync_directory(layout::parent(&path)))
                .map(|()| true)
                .map_err(|e| self.failed(Doing::GiveUpReserve, e)),
        }
    }

    fn is_coherent(&self) -> bool {
        let found = rustix::fs::statfs(&self.root);
        found.is_ok_and(|found| ONE_MACHINE.contains(&(found.f_type as u32)))
    }
}

impl Local {
    fn make_reserve(&self, bytes: u64) -> io::Result<()> {
        let path = self.root.join(RESERVE_NAME);
        let (work, file) = self.begin_work(&path)?;
        let filled = self.fill_reserve(&file, bytes);
        drop(file);
        if let Err(e) = filled.and_then(|()| self.calls.rename(&work, &path)) {
            // The failure is what counts; a work file that cannot be removed is swept later.
            let _ = self.calls.unlink(&work);
            return Err(e);
        }
        self.calls.sync_directory(layout::parent(&path))
    }

    fn fill_reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        let (mut state, mut left) = (0x9e37_79b9_7f4a_7c15_u64, bytes);
        let mut step = vec![0; STEP];
        while left > 0 {
            for word in step.chunks_exact_mut(8) {
                // Xorshift: what it gives does not compress.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let length = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
            self.calls.write_all(file, &step[..length])?;
            left -= length as u64;
        }
        self.calls.set_mode(file, self.modes.complete)?;
        self.calls.sync(file)
    }
}
