//! Runs one command after the other and measures each from outside.
//!
//! Wall time comes from a monotonic clock, CPU time and peak memory from the kernel's account of
//! the process that ended. The account takes over this program's own peak at the fork, so this
//! program stays small.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs as calls;
use rustix::io::Errno;
use wait4::Wait4;

use crate::process;

/// Names a program that is started before and after each measurement, if it is set.
const QUIET_VARIABLE: &str = "LIFEBOAT_BENCH_QUIET";
const BUFFER_BYTES: usize = 1 << 20;
/// Files above this are warmed where they hold data: their holes would fill the memory.
const WHOLE_BYTES_MAX: u64 = 16 << 30;
/// How much of a failed program's words an error repeats, in lines.
const ERROR_LINES_MAX: usize = 12;

/// A file and its size in bytes.
pub(crate) type StoredFile = (PathBuf, u64);

/// A command, and where its output goes if that is wanted.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: Command,
    pub(crate) output: Option<PathBuf>,
}

impl From<Command> for Call {
    fn from(command: Command) -> Self {
        Self {
            command,
            output: None,
        }
    }
}

impl Call {
    /// As a person would type it.
    pub(crate) fn shown(&self) -> String {
        let words = process::shown(&self.command);
        match &self.output {
            Some(path) => format!("{words} > {}", path.display()),
            None => words,
        }
    }
}

/// What one or several commands took; times add up, memory is that of the largest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) wall: Duration,
    /// Wall time until the file system holds everything that was written.
    pub(crate) durable: Duration,
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
}

/// Runs the commands in turn. Nothing that was written before is still on its way to the disk.
///
/// `folder` is on the file system that they write to; what they say goes into files called
/// `log` with other endings.
pub(crate) fn measure(list: Vec<Call>, folder: &Path, log: &Path) -> Result<Measured> {
    let place = File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    quietly(|| {
        let began = Instant::now();
        let mut all = run_all(list, log)?;
        calls::syncfs(&place).context("bringing everything to the disk")?;
        all.durable = began.elapsed();
        Ok(all)
    })
}

/// Runs the commands in turn, whatever else happens.
pub(crate) fn run_all(list: Vec<Call>, log: &Path) -> Result<Measured> {
    let mut all = Measured::default();
    for call in list {
        let one = run(call, log)?;
        all.wall += one.wall;
        all.cpu += one.cpu;
        all.resident_bytes = all.resident_bytes.max(one.resident_bytes);
    }
    all.durable = all.wall;
    Ok(all)
}

/// Measures while nothing else works on this machine, as far as the named program knows, and
/// nothing that was written before is still on its way to the disk.
pub(crate) fn quietly<T>(measured: impl FnOnce() -> Result<T>) -> Result<T> {
    let tell = |word: &str| match env::var_os(QUIET_VARIABLE) {
        Some(program) => process::quiet(Command::new(program).arg(word)),
        None => Ok(()),
    };
    tell("before")?;
    calls::sync();
    let result = measured();
    tell("after")?;
    result
}

/// Where the standard output of a measured command is kept.
pub(crate) fn words_of(log: &Path) -> PathBuf {
    log.with_extension("out")
}

fn run(mut call: Call, log: &Path) -> Result<Measured> {
    let shown = call.shown();
    let output = call.output.take().unwrap_or_else(|| words_of(log));
    let errors = log.with_extension("err");
    let create =
        |path: &Path| File::create(path).with_context(|| format!("creating {}", path.display()));
    call.command
        .stdin(Stdio::null())
        .stdout(create(&output)?)
        .stderr(create(&errors)?);
    let began = Instant::now();
    let mut child = call
        .command
        .spawn()
        .with_context(|| format!("starting {shown}"))?;
    let used = child
        .wait4()
        .with_context(|| format!("waiting for {shown}"))?;
    let wall = began.elapsed();
    if !used.status.success() {
        bail!(
            "{shown} ended with {}: {}",
            used.status,
            last_words(&errors)
        );
    }
    Ok(Measured {
        wall,
        durable: wall,
        cpu: used.rusage.utime + used.rusage.stime,
        resident_bytes: used.rusage.maxrss,
    })
}

fn last_words(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(ERROR_LINES_MAX)..].join("\n")
}

/// Reads a file, or every file in a folder, so that it lies in the page cache.
pub(crate) fn warm(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            warm(&entry?.path())?;
        }
        return Ok(());
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let is_whole = metadata.len() <= WHOLE_BYTES_MAX;
    let mut at = 0;
    while at < metadata.len() {
        let (from, to) = if is_whole {
            (0, metadata.len())
        } else {
            match data_extent(&file, at)? {
                Some(extent) => extent,
                None => break,
            }
        };
        read_extent(&file, from, to).with_context(|| format!("reading {}", path.display()))?;
        at = to;
    }
    Ok(())
}

/// The next range that is no hole, from an offset on.
pub(crate) fn data_extent(file: &File, offset: u64) -> Result<Option<(u64, u64)>> {
    let from = match calls::seek(file, calls::SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => return Ok(None),
        found => found.context("looking for data")?,
    };
    let to = calls::seek(file, calls::SeekFrom::Hole(from)).context("looking for a hole")?;
    Ok(Some((from, to)))
}

fn read_extent(mut file: &File, from: u64, to: u64) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    file.seek(SeekFrom::Start(from))?;
    let mut left = file.take(to - from);
    while left.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Sizes of all files below a folder, in bytes; of a folder that is not there, none.
pub(crate) fn stored_bytes(folder: &Path) -> Result<u64> {
    Ok(files(folder)?.iter().map(|(_, bytes)| bytes).sum())
}

/// Every file below a folder with its size; of a folder that is not there, none.
pub(crate) fn files(folder: &Path) -> Result<Vec<StoredFile>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path(), metadata.len()));
        }
    }
    Ok(found)
}

/// Bytes that a file takes on its disk.
pub(crate) fn allocated_bytes(path: &Path) -> Result<u64> {
    /// The unit of `st_blocks`.
    const BLOCK_BYTES: u64 = 512;
    Ok(fs::metadata(path)?.blocks() * BLOCK_BYTES)
}

/// How much more a folder's file system takes.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64> {
    let room =
        calls::statvfs(folder).with_context(|| format!("looking at {}", folder.display()))?;
    Ok(room.f_bavail * room.f_frsize)
}
