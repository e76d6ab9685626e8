//! Streams entries and their content to the host.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Dir, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::describe::{describe, reopen};
use super::outlet::Outlet;
use super::serve::Refusal;
use crate::wire::{DEPTH_MAX, Entry, FileKind, LIST_MAX, NAME_BYTES_MAX, Reply};

/// Bytes read and sent at once.
const PIECE_BYTES: usize = 128 << 10;

/// One request's walk.
///
/// A file system made by an enemy may have folders in several places, or in themselves: each
/// is entered once, so that a walk ends.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    outlet: &'a mut Outlet,
    entered: HashSet<(u64, u64)>,
    /// Files with several names whose content was sent.
    sent: HashSet<(u64, u64)>,
    piece: Vec<u8>,
}

type Sent = io::Result<Result<(), Refusal>>;

impl<'a> Tree<'a> {
    pub(super) fn new(outlet: &'a mut Outlet) -> Self {
        Self {
            outlet,
            entered: HashSet::new(),
            sent: HashSet::new(),
            piece: vec![0; PIECE_BYTES],
        }
    }

    /// Sends an entry.
    pub(super) fn describe(self, opened: &OwnedFd) -> Sent {
        match describe(opened, b"") {
            Ok((entry, _)) => self.outlet.send(&Reply::Entry(entry.into())).map(Ok),
            Err(error) => Ok(Err(error.into())),
        }
    }

    /// Sends an entry and, if it is a folder, those in it.
    pub(super) fn list(mut self, opened: &OwnedFd) -> Sent {
        let (entry, _) = match describe(opened, b"") {
            Ok(described) => described,
            Err(error) => return Ok(Err(error.into())),
        };
        let is_folder = entry.kind == FileKind::Folder;
        self.outlet.send(&Reply::Entry(entry.into()))?;
        if !is_folder {
            return Ok(Ok(()));
        }
        let (names, faults) = match names(opened) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.into())),
        };
        self.send_faults(faults)?;
        if names.len() > LIST_MAX {
            let text = format!("of its {} entries only {LIST_MAX} are listed", names.len());
            self.send_faults([text])?;
        }
        for name in names.into_iter().take(LIST_MAX) {
            if !self.outlet.goes_on()? {
                break;
            }
            let described = open_below(opened, &name).and_then(|it| describe(&it, &name));
            let shown = name.escape_ascii();
            match described {
                Ok((entry, faults)) => {
                    self.outlet.send(&Reply::Entry(entry.into()))?;
                    let faults = faults.into_iter().map(|fault| format!("{shown}: {fault}"));
                    self.send_faults(faults)?;
                }
                Err(error) => {
                    let fault = format!("{shown} cannot be read: {error}");
                    self.send_faults([fault])?;
                }
            }
        }
        Ok(Ok(()))
    }

    /// Sends an entry, its content, and all below it.
    pub(super) fn walk(mut self, opened: &OwnedFd) -> Sent {
        match describe(opened, b"") {
            Ok(described) => self.send(opened, described, 0).map(Ok),
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn send(
        &mut self,
        opened: &OwnedFd,
        (entry, mut faults): (Entry, Vec<String>),
        depth: usize,
    ) -> io::Result<()> {
        let key = (entry.device_id, entry.inode);
        let (kind, size, links) = (entry.kind, entry.size, entry.links);
        self.outlet.send(&Reply::Entry(entry.into()))?;
        if kind == FileKind::Folder {
            self.folder(opened, key, faults, depth)?;
            return self.outlet.send(&Reply::Leave);
        }
        if kind == FileKind::File {
            let end = match links > 1 && self.sent.contains(&key) {
                true => Reply::SameContent,
                false => self.content(opened, size)?,
            };
            if links > 1 && end == Reply::ContentEnd {
                self.sent.insert(key);
            }
            match end {
                // A fault ends the content: only one can be told.
                Reply::Fault(text) => {
                    faults.push(text);
                    return self.outlet.send(&Reply::Fault(faults.join("; ")));
                }
                end => self.outlet.send(&end)?,
            }
        }
        self.send_faults(faults)
    }

    fn send_faults(&mut self, faults: impl IntoIterator<Item = String>) -> io::Result<()> {
        faults
            .into_iter()
            .try_for_each(|fault| self.outlet.send(&Reply::Fault(fault)))
    }

    fn folder(
        &mut self,
        opened: &OwnedFd,
        key: (u64, u64),
        faults: Vec<String>,
        depth: usize,
    ) -> io::Result<()> {
        self.send_faults(faults)?;
        if !self.entered.insert(key) {
            let text = "the folder lies in two places, or in itself: it is not entered again";
            return self.outlet.send(&Reply::Fault(text.into()));
        }
        if depth + 1 >= DEPTH_MAX {
            let text = "folders nest too deep: what is in this one is left out";
            return self.outlet.send(&Reply::Fault(text.into()));
        }
        let (names, faults) = match names(opened) {
            Ok(found) => found,
            Err(error) => (
                Vec::new(),
                vec![format!("the folder cannot be read: {error}")],
            ),
        };
        self.send_faults(faults)?;
        for name in names {
            if !self.outlet.goes_on()? {
                break;
            }
            let below = open_below(opened, &name)
                .and_then(|below| describe(&below, &name).map(|described| (below, described)));
            match below {
                Ok((below, described)) => self.send(&below, described, depth + 1)?,
                Err(error) => {
                    let text = format!("{} cannot be read: {error}", name.escape_ascii());
                    self.outlet.send(&Reply::Fault(text))?;
                }
            }
        }
        Ok(())
    }

    /// Sends the content; gives what is to be said at its end.
    fn content(&mut self, opened: &OwnedFd, size: u64) -> io::Result<Reply> {
        let broken = |error: Errno| Ok(Reply::Fault(format!("its content is damaged: {error}")));
        let file = match reopen(opened) {
            Ok(file) => file,
            Err(error) => return broken(error),
        };
        let mut position = 0;
        while position < size {
            let (start, end) = match next_data(&file, position, size) {
                Ok(Some(range)) => range,
                Ok(None) => break,
                Err(error) => return broken(error),
            };
            position = start;
            while position < end {
                let length = usize::try_from(end - position).unwrap_or(usize::MAX);
                let piece = &mut self.piece[..length.min(PIECE_BYTES)];
                let read = match file.read_at(piece, position) {
                    Ok(0) => return broken(Errno::IO),
                    Ok(read) => read,
                    Err(error) => return broken(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
                };
                if piece[..read].iter().any(|byte| *byte != 0) {
                    self.outlet.send(&Reply::Data {
                        offset: position,
                        bytes: piece[..read].to_vec(),
                    })?;
                }
                if !self.outlet.goes_on()? {
                    return Ok(Reply::Fault("the walk was stopped".into()));
                }
                position += read as u64;
            }
        }
        Ok(Reply::ContentEnd)
    }
}

/// The next range that is no hole; all that is left where the file system knows no holes.
fn next_data(file: &File, position: u64, size: u64) -> Result<Option<(u64, u64)>, Errno> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((position, size))),
        Err(error) => return Err(error),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size);
    // A file system that gives no progress is broken.
    match start >= position && end > start {
        true => Ok(Some((start, end))),
        false if start >= size => Ok(None),
        false => Err(Errno::IO),
    }
}

/// The names in a folder, sorted by their bytes, and what is wrong with others.
fn names(opened: &OwnedFd) -> Result<(Vec<Vec<u8>>, Vec<String>), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(opened, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    let mut faults = Vec::new();
    for entry in Dir::new(folder)? {
        match entry {
            Ok(entry) => names.push(entry.file_name().to_bytes().to_vec()),
            Err(error) => {
                faults.push(format!("the folder is damaged: {error}"));
                break;
            }
        }
    }
    names.retain(|name| !matches!(&name[..], b"." | b".."));
    names.sort();
    let count = names.len();
    names.dedup();
    names.retain(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(&b'/'));
    if names.len() < count {
        let text = format!("{} names that come twice, or are none", count - names.len());
        faults.push(text);
    }
    Ok((names, faults))
}

fn open_below(folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}
