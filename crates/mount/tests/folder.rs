//! A folder of the host that answers as a rescue VM does.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;
use lifeboat_mount::Source;
use lifeboat_rescue::GuestPath;
use lifeboat_rescue::wire::{Attribute, Entry, FileKind, Moment};

/// The system's own tree; volumes are folders in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    fn place(&self, path: &GuestPath) -> PathBuf {
        let below = OsStr::from_bytes(path.path());
        let root = self.0.join(path.volume().unwrap_or(""));
        root.join(
            below
                .as_bytes()
                .strip_prefix(b"/")
                .map_or(below, OsStr::from_bytes),
        )
    }
}

fn failed(error: &io::Error) -> ErrorKind {
    ErrorKind::of_io(error)
}

impl Source for Folder {
    fn each(&mut self, path: &GuestPath, take: &mut dyn FnMut(Entry)) -> Result<(), ErrorKind> {
        let place = self.place(path);
        take(entry(&place, b"").map_err(|error| failed(&error))?);
        let mut names: Vec<_> = fs::read_dir(&place)
            .map_err(|error| failed(&error))?
            .map(|it| it.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            take(entry(&place.join(&name), name.as_bytes()).map_err(|error| failed(&error))?);
        }
        Ok(())
    }

    fn describe(&mut self, path: &GuestPath) -> Result<Entry, ErrorKind> {
        entry(&self.place(path), b"").map_err(|error| failed(&error))
    }

    /// A little at a time, as over a narrow channel.
    fn read(
        &mut self,
        path: &GuestPath,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, ErrorKind> {
        let file = File::open(self.place(path)).map_err(|error| failed(&error))?;
        let length = buffer.len().min(10_000);
        file.read_at(&mut buffer[..length], offset)
            .map_err(|error| failed(&error))
    }
}

fn entry(path: &Path, name: &[u8]) -> io::Result<Entry> {
    let found = fs::symlink_metadata(path)?;
    let kind = found.file_type();
    let kind = match () {
        () if kind.is_dir() => FileKind::Folder,
        () if kind.is_file() => FileKind::File,
        () if kind.is_symlink() => FileKind::Symlink,
        () if kind.is_fifo() => FileKind::Fifo,
        () if kind.is_char_device() => FileKind::CharDevice,
        () => FileKind::Other,
    };
    let moment = |seconds, nanoseconds| Moment {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap(),
    };
    Ok(Entry {
        name: name.to_vec(),
        kind,
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        size: if kind == FileKind::File {
            found.len()
        } else {
            0
        },
        allocated: found.blocks() * 512,
        atime: moment(found.atime(), found.atime_nsec()),
        mtime: moment(found.mtime(), found.mtime_nsec()),
        ctime: moment(found.ctime(), found.ctime_nsec()),
        inode: found.ino(),
        device_id: found.dev(),
        links: found.nlink(),
        device: found.rdev(),
        link_target: fs::read_link(path)
            .ok()
            .map(|it| it.as_os_str().as_bytes().to_vec()),
        attributes: attributes(path),
    })
}

/// All attributes, sorted.
pub(crate) fn attributes(path: &Path) -> Vec<Attribute> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0);
    let mut all: Vec<_> = names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            Attribute {
                name: name.to_vec(),
                value: value[..length].to_vec(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
