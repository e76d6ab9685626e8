//! This computer itself.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use lifeboat_disk::{
    BlockDeviceWriter, DiskReader, DiskWriter, ImageFormat, OpenOptions as DiskOptions, open_reader,
};
use lifeboat_model::{Clock, ErrorKind, SystemClock};
use lifeboat_platform::{Error, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::system::{Answer, AtLimit, Command, LockGuard, System};

/// Limit: bytes of a program's complaints.
const ERRORS_BYTES_MAX: usize = 64 << 10;
/// How long a program that was asked to end is waited for.
const GRACE: Duration = Duration::from_secs(5);
/// How long the outputs of an ended program are waited for: a daemon that it started may hold
/// them open.
const OUTPUTS: Duration = Duration::from_secs(5);
/// How often waiting looks again.
const LOOK: Duration = Duration::from_millis(10);
/// Memory, offsets and lengths of reads past the page cache are multiples of this.
const ALIGNMENT: usize = 4096;
/// Where the programs are for those whose `PATH` ends before.
const PROGRAM_FOLDERS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// Runs programs and opens devices of this computer.
#[derive(Debug)]
pub struct LocalSystem {
    locks: PathBuf,
}

impl Default for LocalSystem {
    fn default() -> Self {
        Self::new("/run/lock")
    }
}

impl LocalSystem {
    /// Keeps its locks in a folder that every process of lifeboat on this computer uses.
    pub fn new(locks: impl Into<PathBuf>) -> Self {
        Self {
            locks: locks.into(),
        }
    }
}

impl System for LocalSystem {
    fn run(&self, command: &Command) -> Result<Answer> {
        let mut child = process(command)
            .spawn()
            .map_err(|e| not_started(command, e))?;
        let output = collected(child.stdout.take(), command.output_bytes_max);
        let errors = collected(child.stderr.take(), ERRORS_BYTES_MAX);
        let code = ended(&mut child, command)?;
        let (output, is_whole) = output.recv_timeout(OUTPUTS).unwrap_or_default();
        let (errors, _) = errors.recv_timeout(OUTPUTS).unwrap_or_default();
        if !is_whole {
            let seen = format!("it answered more than {} bytes", command.output_bytes_max);
            return Err(Error::new(ErrorKind::Invalid, "running", command.to_string()).seen(seen));
        }
        let errors = String::from_utf8_lossy(&errors).into_owned();
        Ok(Answer {
            code,
            output,
            errors,
        })
    }

    fn device_number(&self, path: &Path) -> Option<(u32, u32)> {
        let found = std::fs::metadata(path).ok()?;
        let number = found.rdev();
        let is_device = found.file_type().is_block_device();
        is_device.then(|| (rustix::fs::major(number), rustix::fs::minor(number)))
    }

    fn mounted_devices(&self) -> Result<BTreeSet<(u32, u32)>> {
        const TABLE: &str = "/proc/self/mountinfo";
        let table = std::fs::read_to_string(TABLE).map_err(|e| Error::io("reading", TABLE, e))?;
        let mut found = BTreeSet::new();
        for (number, source) in table.lines().filter_map(mount) {
            add_with_lower(number, &mut found);
            // File systems with volumes of their own tell no device's number.
            if let Some(number) = self.device_number(Path::new(source)) {
                add_with_lower(number, &mut found);
            }
        }
        Ok(found)
    }

    fn open(&self, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>> {
        Ok(open_reader(path, format, &DiskOptions::default())?)
    }

    fn open_for_writing(&self, path: &Path, size: u64) -> Result<Arc<dyn DiskWriter>> {
        Ok(Arc::new(BlockDeviceWriter::open(path, size)?))
    }

    fn read_uncached(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>> {
        read_direct(path, offset, length)
            .map_err(|e| Error::io("reading the store", path.display().to_string(), e))
    }

    fn lock(&self, name: &str, patience: Duration) -> Result<Option<LockGuard>> {
        let path = self.locks.join(name);
        let failed = |e: io::Error| Error::io("locking", path.display().to_string(), e);
        let file = lock_file(&path).map_err(failed)?;
        let clock = SystemClock::new();
        let end = clock.monotonic() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Box::new(file))),
                Err(rustix::io::Errno::WOULDBLOCK) if clock.monotonic() < end => clock.sleep(LOOK),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(failed(e.into())),
            }
        }
    }
}

/// The device's number and the source of a line of the kernel's table of mounts.
///
/// Source: proc(5), `/proc/pid/mountinfo`.
fn mount(line: &str) -> Option<((u32, u32), &str)> {
    let (fixed, rest) = line.split_once(" - ")?;
    let number = number(fixed.split(' ').nth(2)?)?;
    Some((number, rest.split(' ').nth(1)?))
}

fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Adds a device and, where the kernel says of which others it is made, those.
fn add_with_lower(device: (u32, u32), found: &mut BTreeSet<(u32, u32)>) {
    if !found.insert(device) {
        return;
    }
    let (major, minor) = device;
    let lower = std::fs::read_dir(format!("/sys/dev/block/{major}:{minor}/slaves"));
    for entry in lower.into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path().join("dev")).unwrap_or_default();
        if let Some(device) = number(&text) {
            add_with_lower(device, found);
        }
    }
}

/// The file stays when the lock ends: were it removed, two could each lock a file of its name.
fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

fn process(command: &Command) -> Process {
    let mut process = Process::new(command.program);
    let path = std::env::var("PATH").unwrap_or_default();
    process
        .args(&command.arguments)
        .env("LC_ALL", "C")
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .env("PATH", format!("{path}:{PROGRAM_FOLDERS}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is for us; a change that has begun goes to its end.
        .process_group(0);
    process
}

fn not_started(command: &Command, error: io::Error) -> Error {
    let failed = Error::new(ErrorKind::Unsupported, "starting", command.program);
    if error.kind() != io::ErrorKind::NotFound {
        return Error::io("starting", command.program, error);
    }
    let package = match command.program {
        "lvm" => "lvm2",
        "dmsetup" => "dmsetup",
        _ => "thin-provisioning-tools",
    };
    failed.seen(format!(
        "the program is missing; install the Debian package {package}"
    ))
}

/// Reads to the end, keeps at most `bytes_max`, and says whether that was all.
fn collected(source: Option<impl Read + Send + 'static>, bytes_max: usize) -> Receiver<Collected> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let Some(mut source) = source else { return };
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut is_whole = source.by_ref().take(most).read_to_end(&mut kept).is_ok();
        // The rest is read away: the program would wait for ever for room in the pipe.
        is_whole &= io::copy(&mut source, &mut io::sink()).is_ok_and(|more| more == 0);
        // Nobody listens any more where the program was given up.
        let _ = sender.send((kept, is_whole));
    });
    receiver
}

type Collected = (Vec<u8>, bool);

fn ended(child: &mut Child, command: &Command) -> Result<Option<i32>> {
    if let Some(code) = ended_within(child, command.limit)? {
        return Ok(code);
    }
    match command.at_limit {
        AtLimit::Kill => child.kill().map_err(|e| failed(command, e))?,
        AtLimit::Ask => {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It may just have ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
    let seen = match ended_within(child, GRACE)? {
        Some(_) => format!(
            "no answer after {} s; it was ended",
            command.limit.as_secs()
        ),
        None => format!(
            "no answer after {} s; it still runs as process {}: a device or a lock that it waits \
             for does not answer",
            command.limit.as_secs(),
            child.id()
        ),
    };
    Err(Error::new(ErrorKind::Unreachable, "running", command.to_string()).seen(seen))
}

fn ended_within(child: &mut Child, limit: Duration) -> Result<Option<Option<i32>>> {
    let clock = SystemClock::new();
    let end = clock.monotonic() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status.code())),
            Ok(None) if clock.monotonic() < end => clock.sleep(LOOK),
            Ok(None) => return Ok(None),
            Err(e) => {
                return Err(Error::io(
                    "waiting for",
                    format!("process {}", child.id()),
                    e,
                ));
            }
        }
    }
}

fn failed(command: &Command, error: io::Error) -> Error {
    Error::io("ending", command.to_string(), error)
}

fn read_direct(path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(path)?;
    let mut memory = vec![0; length + ALIGNMENT];
    let skip = memory.as_ptr().align_offset(ALIGNMENT);
    let (_, aligned) = memory.split_at_mut(skip);
    let mut done = 0;
    while let Some(part) = aligned.get_mut(done..length).filter(|it| !it.is_empty()) {
        let at = offset + u64::try_from(done).unwrap_or(u64::MAX);
        match file.read_at(part, at) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    memory.truncate(skip + done);
    memory.drain(..skip);
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_tell_numbers_and_sources() {
        let line = "36 35 254:0 / /mnt rw,noatime master:1 shared:2 - ext4 /dev/vg/root rw";
        assert_eq!(mount(line), Some(((254, 0), "/dev/vg/root")));
        assert_eq!(mount("36 35 254:0 / /mnt rw"), None);
    }
}
