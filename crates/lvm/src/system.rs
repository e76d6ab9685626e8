//! The door to this computer: programs, devices, locks.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_platform::Result;

/// What happens to a program that runs beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// It is killed: it only reads.
    Kill,
    /// It is asked to end, and left alone if it does not: killed in the middle of a change it
    /// could leave devices suspended, and everybody who uses them waiting for ever.
    Ask,
}

/// A program to run: words, never a line for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// `lvm`, `dmsetup` or `thin_delta`.
    pub program: &'static str,
    /// What follows it.
    pub arguments: Vec<String>,
    /// It is given up after this time.
    pub limit: Duration,
    /// How it is given up.
    pub at_limit: AtLimit,
    /// An answer of more bytes is an error.
    pub output_bytes_max: usize,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        self.arguments.iter().try_for_each(|it| write!(f, " {it}"))
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code; nothing for one that a signal ended.
    pub code: Option<i32>,
    /// What it wrote.
    pub output: Vec<u8>,
    /// The beginning of what it complained.
    pub errors: String,
}

/// Holds a lock until it is dropped.
pub type LockGuard = Box<dyn Send + Sync>;

/// This computer, or a recording of it.
pub trait System: Send + Sync + fmt::Debug {
    /// Runs a program to its end, with `LC_ALL=C` and nothing on its standard input.
    ///
    /// Errors: `Unsupported` if the program is missing, with the package that has it;
    /// `Unreachable` after the limit; `Invalid` for too long an answer.
    fn run(&self, command: &Command) -> Result<Answer>;

    /// Major and minor number of the block device at a path; nothing where there is none.
    fn device_number(&self, path: &Path) -> Option<(u32, u32)>;

    /// Major and minor numbers of the block devices on which file systems are mounted, and of
    /// those of which these are made.
    fn mounted_devices(&self) -> Result<BTreeSet<(u32, u32)>>;

    /// Opens a disk for reading.
    fn open(&self, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>>;

    /// Opens a device that nobody uses for a disk of `size` bytes.
    fn open_for_writing(&self, path: &Path, size: u64) -> Result<Arc<dyn DiskWriter>>;

    /// Reads `length` bytes of a device at `offset` from the storage itself; both are multiples
    /// of 4096. Gives less at the device's end.
    ///
    /// The kernel's snapshot target writes its stores past the page cache: a page that an
    /// earlier read left there would hide every later change.
    fn read_uncached(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>>;

    /// Takes a lock of this computer that ends with the process at the latest; nothing if
    /// somebody else has it for longer than `patience`.
    fn lock(&self, name: &str, patience: Duration) -> Result<Option<LockGuard>>;
}
