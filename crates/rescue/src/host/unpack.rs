//! Writes a walk into a folder of the host.
//!
//! Everything is made anew below an opened folder, name by name: nothing that exists is followed
//! or replaced. Owner, mode, times and attributes are set as far as rights go; the rest is told.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use lifeboat_model::ErrorKind;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::walk::{Step, Walk};
use crate::wire::{Entry, FileKind, Moment};
use crate::{Error, Result};

/// Findings kept; more are only counted.
const FINDINGS_MAX: usize = 10_000;
const SET_ID_BITS: u32 = 0o6000;

/// What has been written, and what could not be.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Regular files with all their content; further names count.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Links, pipes, sockets and devices.
    pub others: u64,
    /// Bytes of content, without holes.
    pub bytes: u64,
    /// What is missing or differs: path and what was seen.
    pub findings: Vec<(String, String)>,
    /// How many findings there were.
    pub finding_count: u64,
}

/// Writes a walk as `folder/name`, which must not exist.
///
/// Errors: `Exists`; whatever the walk or the host's file system reports. What is written stays.
pub fn unpack(walk: &mut Walk<'_>, folder: &Path, name: &[u8]) -> Result<Unpacked> {
    let shown = folder.display().to_string();
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        let error = Error::new(ErrorKind::Invalid, "writing into", shown);
        return Err(error.seen("what is written needs a plain name"));
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|error| Error::io("opening", shown, error))?;
    let mut unpacking = Unpacking {
        result: Unpacked::default(),
        top: &top,
        open: Vec::new(),
        file: None,
        first_names: HashMap::new(),
        name,
    };
    for step in walk {
        unpacking.take(step?)?;
    }
    Ok(unpacking.result)
}

struct Unpacking<'a> {
    result: Unpacked,
    top: &'a OwnedFd,
    name: &'a [u8],
    open: Vec<OpenFolder>,
    file: Option<OpenFile>,
    /// Path below the top of the first name of files with several.
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

struct OpenFolder {
    descriptor: OwnedFd,
    path: Vec<u8>,
    entry: Entry,
}

struct OpenFile {
    file: File,
    path: Vec<u8>,
    entry: Entry,
}

impl Unpacking<'_> {
    fn take(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Entry(entry) => self.begin(*entry),
            Step::Data { offset, bytes } => self.write(offset, &bytes),
            Step::ContentEnd => self.complete_file(),
            Step::SameContent => self.link_again(),
            Step::Leave => {
                self.leave();
                Ok(())
            }
            Step::Fault(text) => self.fault(&text),
        }
    }

    /// The folder that the next entry goes to.
    fn parent(&self) -> BorrowedFd<'_> {
        let open = self.open.last();
        open.map_or(self.top.as_fd(), |folder| folder.descriptor.as_fd())
    }

    fn begin(&mut self, entry: Entry) -> Result<()> {
        let (path, name) = match self.open.last() {
            Some(folder) => (
                [&folder.path[..], b"/", &entry.name].concat(),
                entry.name.clone(),
            ),
            None => (self.name.to_vec(), self.name.to_vec()),
        };
        let failed = |error: Errno| Error::io("making", shown(&path), error);
        match entry.kind {
            FileKind::Folder => {
                rustix::fs::mkdirat(self.parent(), &name[..], Mode::RWXU).map_err(failed)?;
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let descriptor = rustix::fs::openat(self.parent(), &name[..], flags, Mode::empty())
                    .map_err(failed)?;
                self.result.folders += 1;
                self.open.push(OpenFolder {
                    descriptor,
                    path,
                    entry,
                });
            }
            FileKind::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::RUSR | Mode::WUSR;
                let file = rustix::fs::openat(self.parent(), &name[..], flags, mode);
                let file = file.map_err(failed)?.into();
                self.file = Some(OpenFile { file, path, entry });
            }
            _ => self.make(&entry, &name, &path)?,
        }
        Ok(())
    }

    fn make(&mut self, entry: &Entry, name: &[u8], path: &[u8]) -> Result<()> {
        let key = (entry.device_id, entry.inode);
        if let Some(first) = self.first_names.get(&key) {
            let flags = AtFlags::empty();
            if rustix::fs::linkat(self.top, &first[..], self.parent(), name, flags).is_ok() {
                self.result.others += 1;
                return Ok(());
            }
        }
        let node = |kind| {
            let device = entry.device;
            rustix::fs::mknodat(self.parent(), name, kind, Mode::RUSR | Mode::WUSR, device)
        };
        let made = match (entry.kind, &entry.link_target) {
            (FileKind::Symlink, Some(target)) => {
                rustix::fs::symlinkat(&target[..], self.parent(), name)
            }
            (FileKind::Fifo, _) => node(FileType::Fifo),
            (FileKind::Socket, _) => node(FileType::Socket),
            (FileKind::BlockDevice, _) => node(FileType::BlockDevice),
            (FileKind::CharDevice, _) => node(FileType::CharacterDevice),
            _ => Err(Errno::OPNOTSUPP),
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(Error::io("making", shown(path), Errno::EXIST)),
            Err(error) => {
                self.find(path, format!("it cannot be made: {error}"));
                return Ok(());
            }
        }
        self.result.others += 1;
        let faults = set_metadata(Spot::Named(self.parent(), name), entry);
        self.find_all(path, faults);
        if entry.links > 1 {
            self.first_names.insert(key, path.to_vec());
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(open) = &self.file else {
            return Ok(());
        };
        let written = open.file.write_all_at(bytes, offset);
        written.map_err(|error| Error::io("writing", shown(&open.path), error))?;
        self.result.bytes += bytes.len() as u64;
        Ok(())
    }

    fn complete_file(&mut self) -> Result<()> {
        let Some(open) = self.file.take() else {
            return Ok(());
        };
        let sized = open.file.set_len(open.entry.size);
        sized.map_err(|error| Error::io("sizing", shown(&open.path), error))?;
        let faults = set_metadata(Spot::Open(open.file.as_fd()), &open.entry);
        self.find_all(&open.path, faults);
        if open.entry.links > 1 {
            let key = (open.entry.device_id, open.entry.inode);
            self.first_names.entry(key).or_insert(open.path);
        }
        self.result.files += 1;
        Ok(())
    }

    /// Replaces the empty file just made by a further name of the first.
    fn link_again(&mut self) -> Result<()> {
        let Some(open) = self.file.take() else {
            return Ok(());
        };
        let name = open
            .path
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default();
        let flags = AtFlags::empty();
        let linked = match self
            .first_names
            .get(&(open.entry.device_id, open.entry.inode))
        {
            Some(first) => rustix::fs::unlinkat(self.parent(), name, flags).and_then(|()| {
                rustix::fs::linkat(self.top, &first[..], self.parent(), name, flags)
            }),
            None => Err(Errno::NOENT),
        };
        match linked {
            Ok(()) => self.result.files += 1,
            Err(error) => {
                let text = format!("it cannot be linked to its first name: {error}");
                self.find(&open.path, text);
            }
        }
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(folder) = self.open.pop() {
            let faults = set_metadata(Spot::Open(folder.descriptor.as_fd()), &folder.entry);
            self.find_all(&folder.path, faults);
        }
    }

    /// A file that could not be read keeps what was read, under its name.
    fn fault(&mut self, text: &str) -> Result<()> {
        let is_file = self.file.is_some();
        let path = match (&self.file, self.open.last()) {
            (Some(open), _) => open.path.clone(),
            (None, Some(folder)) => folder.path.clone(),
            (None, None) => self.name.to_vec(),
        };
        self.find(&path, text.into());
        if is_file {
            self.complete_file()?;
            self.result.files -= 1;
        }
        Ok(())
    }

    fn find(&mut self, path: &[u8], text: String) {
        self.result.finding_count += 1;
        if self.result.findings.len() < FINDINGS_MAX {
            self.result.findings.push((shown(path), text));
        }
    }

    fn find_all(&mut self, path: &[u8], faults: Vec<String>) {
        for fault in faults {
            self.find(path, fault);
        }
    }
}

/// Where an entry is.
#[derive(Clone, Copy)]
enum Spot<'a> {
    Open(BorrowedFd<'a>),
    Named(BorrowedFd<'a>, &'a [u8]),
}

/// Order: owner, attributes, mode, times: a new owner takes capabilities and set-user-id bits
/// away, everything changes times.
fn set_metadata(spot: Spot<'_>, entry: &Entry) -> Vec<String> {
    let mut faults = Vec::new();
    let mut mode = entry.mode;
    if let Err(error) = set_owner(spot, entry) {
        mode &= !SET_ID_BITS;
        let (uid, gid) = (entry.uid, entry.gid);
        faults.push(format!("owner {uid}:{gid} is not set: {error}"));
    }
    for attribute in &entry.attributes {
        let path = match spot {
            Spot::Open(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes(),
            Spot::Named(folder, name) => {
                let folder = format!("/proc/self/fd/{}/", folder.as_raw_fd());
                [folder.as_bytes(), name].concat()
            }
        };
        let (name, value, flags) = (&attribute.name[..], &attribute.value, XattrFlags::empty());
        let set = match spot {
            Spot::Open(_) => rustix::fs::setxattr(path, name, value, flags),
            Spot::Named(..) => rustix::fs::lsetxattr(path, name, value, flags),
        };
        if let Err(error) = set {
            faults.push(format!("attribute {} is not set: {error}", shown(name)));
        }
    }
    if let Err(error) = set_mode(spot, mode, entry.kind) {
        faults.push(format!("mode {mode:04o} is not set: {error}"));
    }
    if let Err(error) = set_times(spot, entry) {
        faults.push(format!("times are not set: {error}"));
    }
    faults
}

fn set_owner(spot: Spot<'_>, entry: &Entry) -> std::result::Result<(), Errno> {
    // -1 means "leave as it is" to the system.
    if entry.uid == u32::MAX || entry.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    let (uid, gid) = (
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    );
    match spot {
        Spot::Open(file) => rustix::fs::fchown(file, uid, gid),
        Spot::Named(folder, name) => {
            rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

fn set_mode(spot: Spot<'_>, mode: u32, kind: FileKind) -> std::result::Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match spot {
        Spot::Open(file) => rustix::fs::fchmod(file, mode),
        Spot::Named(..) if kind == FileKind::Symlink => Ok(()),
        Spot::Named(folder, name) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let pinned = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), mode)
        }
    }
}

fn set_times(spot: Spot<'_>, entry: &Entry) -> std::result::Result<(), Errno> {
    let times = Timestamps {
        last_access: timespec(entry.atime),
        last_modification: timespec(entry.mtime),
    };
    match spot {
        Spot::Open(file) => rustix::fs::futimens(file, &times),
        Spot::Named(folder, name) => {
            rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

fn timespec(moment: Moment) -> Timespec {
    Timespec {
        tv_sec: moment.seconds,
        tv_nsec: moment.nanoseconds.into(),
    }
}

/// A path for people: what is not text is escaped.
fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
