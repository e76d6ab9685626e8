//! What an opened file is.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes;
use super::serve::path_of;
use crate::wire::{Entry, FileKind, Moment};

/// Describes what was opened for description only (`O_PATH`), and says what could not be read.
pub(super) fn describe(opened: &OwnedFd, name: &[u8]) -> Result<(Entry, Vec<String>), Errno> {
    let found = rustix::fs::fstat(opened)?;
    let mut faults = Vec::new();
    let kind = match kind_of(&found) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Symlink,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::Unknown => FileKind::Other,
    };
    let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
    let entry = Entry {
        name: name.to_vec(),
        kind,
        mode: found.st_mode & 0o7777,
        uid: found.st_uid,
        gid: found.st_gid,
        size: match kind {
            FileKind::File => u64::try_from(found.st_size).unwrap_or(0),
            _ => 0,
        },
        allocated: u64::try_from(found.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512),
        atime: moment(found.st_atime, found.st_atime_nsec),
        mtime: moment(found.st_mtime, found.st_mtime_nsec),
        ctime: moment(found.st_ctime, found.st_ctime_nsec),
        inode: found.st_ino,
        device_id: found.st_dev,
        links: found.st_nlink,
        device: if is_device { found.st_rdev } else { 0 },
        link_target: match kind {
            FileKind::Symlink => Some(link_target(opened)?),
            _ => None,
        },
        attributes: attributes::read(&path_of(opened), &mut faults),
    };
    Ok((entry, faults))
}

pub(super) fn kind_of(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Opens a regular file for reading its content.
pub(super) fn reopen(opened: &OwnedFd) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path_of(opened), flags, Mode::empty())?;
    Ok(file.into())
}

fn link_target(opened: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let target = rustix::fs::readlinkat(opened, "", Vec::new())?.into_bytes();
    match target.len() {
        1..=4095 => Ok(target),
        _ => Err(Errno::NAMETOOLONG),
    }
}

fn moment(seconds: i64, nanoseconds: impl TryInto<u32>) -> Moment {
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    Moment {
        seconds,
        nanoseconds: if nanoseconds < 1_000_000_000 {
            nanoseconds
        } else {
            0
        },
    }
}
