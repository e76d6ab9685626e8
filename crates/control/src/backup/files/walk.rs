//! Walks the files inside a machine: lists folders, asks for contents that are not known.

use std::collections::{HashMap, HashSet};
use std::vec::IntoIter;

use lifeboat_engine::file_backup::{FileWriter, Folders};
use lifeboat_engine::files::{Judged, Positions};
use lifeboat_format::{BlobId, Node};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_rescue::wire::{DEPTH_MAX, Entry, FileKind, Moment};
use lifeboat_rescue::{GuestPath, LastLink, Listed, Rescue, Step, Walk};

use super::node::node;
use super::unread::Unread;
use crate::error::chain;
use crate::files::of_rescue;
use crate::job::FilesJob;
use crate::{Error, Result};

/// Memory for the entries of open folders: a hostile file system may have folders without end.
const ENTRY_BYTES_MAX: usize = 1 << 30;
/// An entry that has neither name nor attributes.
const ENTRY_BYTES: usize = 256;

/// A file that is one under several names: device and inode.
type Key = (u64, u64);

/// A folder whose entries are under way.
struct Level {
    /// Nothing for the root, else with a slash before each name.
    path: Vec<u8>,
    entries: IntoIter<Entry>,
    /// What they take.
    bytes: usize,
    at: Positions,
}

/// Why a file's content did not come.
enum Broken {
    /// Damage inside: the file is left out.
    Inside(String),
    Rescue(lifeboat_rescue::Error),
    Store(lifeboat_engine::Error),
}

impl From<lifeboat_engine::Error> for Broken {
    fn from(error: lifeboat_engine::Error) -> Self {
        Self::Store(error)
    }
}

/// One walk. Memory: the entries of open folders, the chunks of files with several names.
pub(super) struct Walker<'r, 'f, 'a, 'w> {
    rescue: &'r mut Rescue,
    folders: &'f mut Folders<'a, 'w>,
    files: &'f FilesJob,
    cancel: &'f CancelToken,
    entered: HashSet<Key>,
    contents: HashMap<Key, Vec<BlobId>>,
    /// Sources that were met, by number.
    met: HashSet<usize>,
    held_bytes: usize,
    unread: &'f mut Unread,
}

impl<'r, 'f, 'a, 'w> Walker<'r, 'f, 'a, 'w> {
    pub(super) fn new(
        rescue: &'r mut Rescue,
        folders: &'f mut Folders<'a, 'w>,
        files: &'f FilesJob,
        cancel: &'f CancelToken,
        unread: &'f mut Unread,
    ) -> Self {
        Self {
            rescue,
            folders,
            files,
            cancel,
            entered: HashSet::new(),
            contents: HashMap::new(),
            met: HashSet::new(),
            held_bytes: 0,
            unread,
        }
    }

    /// Walks everything that is wanted, and notes what could not be read.
    ///
    /// Errors: `NotFound` for a source that is not there; the end of the rescue VM; `Cancelled`;
    /// those of the repository.
    pub(super) fn run(mut self) -> Result<()> {
        let first = self.level(Vec::new(), self.files.filter.start())?;
        let mut levels = vec![first];
        while let Some(level) = levels.last_mut() {
            if self.cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "stopped on request"));
            }
            let Some(entry) = level.entries.next() else {
                self.held_bytes -= level.bytes;
                levels.pop();
                if !levels.is_empty() {
                    self.folders.leave()?;
                }
                continue;
            };
            let Judged::In(at) = self.files.filter.step(&level.at, &entry.name) else {
                continue;
            };
            let path = [&level.path[..], b"/", &entry.name].concat();
            let depth = levels.len();
            levels.extend(self.take(&entry, path, at, depth)?);
        }
        self.require_sources()
    }

    /// A source that is not there would be a snapshot of nothing.
    fn require_sources(&self) -> Result<()> {
        let mut sources = self.files.sources.iter().enumerate();
        let missing = sources.find(|(number, path)| *path != "/" && !self.met.contains(number));
        let Some((_, path)) = missing else {
            return Ok(());
        };
        let mut message = format!(
            "there is no {path} in the machine: a name above it is not there, a symbolic link, \
             or excluded"
        );
        if let Some(fault) = self.unread.first() {
            message += &format!("; what could not be read begins with {fault}");
        }
        Err(Error::new(ErrorKind::NotFound, message))
    }

    /// Stores an entry; for a folder gives what is in it.
    fn take(
        &mut self,
        entry: &Entry,
        path: Vec<u8>,
        at: Positions,
        depth: usize,
    ) -> Result<Option<Level>> {
        let sources = self.files.sources.iter().enumerate();
        let met = sources.filter(|(_, source)| source.as_bytes() == path);
        self.met.extend(met.map(|(number, _)| number));
        let is_folder = entry.kind == FileKind::Folder;
        if !is_folder && !at.is_selected() {
            return Ok(None);
        }
        let Some((node, faults)) = node(entry) else {
            self.unread.add(&path, "it is of no known kind");
            return Ok(None);
        };
        faults
            .iter()
            .for_each(|fault| self.unread.add(&path, fault));
        match entry.kind {
            FileKind::Folder => return self.folder(entry, node, path, at, depth),
            FileKind::File => self.file(entry, node, &path)?,
            _ => self.folders.other(node),
        }
        Ok(None)
    }

    fn folder(
        &mut self,
        entry: &Entry,
        node: Node,
        path: Vec<u8>,
        at: Positions,
        depth: usize,
    ) -> Result<Option<Level>> {
        let key = (entry.device_id, entry.inode);
        // Folders of our own have no inode.
        if key != (0, 0) && !self.entered.insert(key) {
            let seen = "the folder lies in two places, or in itself: it is taken once";
            self.unread.add(&path, seen);
            return Ok(None);
        }
        if depth >= DEPTH_MAX {
            let seen = "folders nest too deep: what is in this one is left out";
            self.unread.add(&path, seen);
            return Ok(None);
        }
        let level = self.level(path, at)?;
        self.folders.enter(node);
        Ok(Some(level))
    }

    /// Lists a folder.
    fn level(&mut self, path: Vec<u8>, at: Positions) -> Result<Level> {
        let (mut entries, mut faults) = (Vec::new(), Vec::new());
        let (room, mut bytes, mut left) = (ENTRY_BYTES_MAX - self.held_bytes, 0, 0);
        if let Some(guest) = self.files.locate(&path) {
            let mut is_itself = true;
            let listed = self.rescue.each(&guest, |listed| match listed {
                // The first entry is the folder.
                Listed::Entry(_) if std::mem::take(&mut is_itself) => {}
                Listed::Entry(entry) if bytes + bytes_of(&entry) <= room => {
                    bytes += bytes_of(&entry);
                    entries.push(*entry);
                }
                Listed::Entry(_) => left += 1,
                Listed::Fault(text) => faults.push(text),
            });
            if let Err(error) = listed {
                faults.push(survived(self.rescue, error)?);
            }
        }
        if left > 0 {
            faults.push(format!("{left} of its entries take too much memory"));
        }
        faults
            .iter()
            .for_each(|fault| self.unread.add(&path, fault));
        self.add_mounts(&path, &mut entries)?;
        self.held_bytes += bytes;
        Ok(Level {
            path,
            entries: entries.into_iter(),
            bytes,
            at,
        })
    }

    /// Puts volumes where the job wants them, and the folders that lead to them.
    fn add_mounts(&mut self, path: &[u8], entries: &mut Vec<Entry>) -> Result<()> {
        for (name, volume) in self.files.mounted_in(path) {
            let below = [path, b"/", &name].concat();
            let there = entries.iter().position(|it| it.name == name);
            let Some(volume) = volume else {
                match there.map(|at| entries[at].kind) {
                    Some(FileKind::Folder) => {}
                    Some(_) => {
                        let seen = "it is no folder: the volumes below it are left out";
                        self.unread.add(&below, seen);
                    }
                    None => entries.push(empty_folder(name)),
                }
                continue;
            };
            let guest = GuestPath::on_volume(volume, b"/");
            match self.rescue.describe(&guest, LastLink::Kept) {
                Ok(entry) => {
                    entries.retain(|it| it.name != name);
                    entries.push(Entry { name, ..entry });
                }
                Err(error) => {
                    let seen = survived(self.rescue, error)?;
                    self.unread.add(&below, &seen);
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &Entry, mut node: Node, path: &[u8]) -> Result<()> {
        if self.folders.take_over(&node) {
            return Ok(());
        }
        let key = (entry.device_id, entry.inode);
        if let Some(content) = self.contents.get(&key).filter(|_| entry.links > 1) {
            node.set_content(content.clone());
            self.folders.file_with(node);
            return Ok(());
        }
        let Some(guest) = self.files.locate(path) else {
            return Ok(());
        };
        match self.content(&guest, node) {
            Ok(content) if entry.links > 1 => drop(self.contents.insert(key, content)),
            Ok(_) => {}
            Err(Broken::Inside(seen)) => self.unread.add(path, &seen),
            Err(Broken::Store(error)) => return Err(error.into()),
            Err(Broken::Rescue(error)) => {
                let seen = survived(self.rescue, error)?;
                self.unread.add(path, &seen);
            }
        }
        Ok(())
    }

    /// Reads a file and stores it; gives its chunks.
    fn content(
        &mut self,
        guest: &GuestPath,
        node: Node,
    ) -> std::result::Result<Vec<BlobId>, Broken> {
        let walk = self.rescue.walk(guest, LastLink::Kept);
        let walk = walk.map_err(Broken::Rescue)?;
        let size = node.size;
        self.folders.file(node, |file| fill(file, walk, size))
    }
}

/// What was seen, if the rescue VM lives on.
fn survived(rescue: &Rescue, error: lifeboat_rescue::Error) -> Result<String> {
    match rescue.is_over() {
        true => Err(of_rescue("cannot read inside the disks", error)),
        false => Ok(chain(&error)),
    }
}

/// Hands over the content of one file.
fn fill(
    file: &mut FileWriter<'_, '_>,
    walk: Walk<'_>,
    size: u64,
) -> std::result::Result<(), Broken> {
    for step in walk {
        match step.map_err(Broken::Rescue)? {
            Step::Entry(entry) if entry.kind != FileKind::File || entry.size != size => {
                let seen = "it is another file at a second look";
                return Err(Broken::Inside(seen.to_owned()));
            }
            Step::Data { offset, bytes } => file.piece(offset, &bytes)?,
            Step::Fault(text) => return Err(Broken::Inside(text)),
            Step::Entry(_) | Step::ContentEnd | Step::SameContent | Step::Leave => {}
        }
    }
    Ok(())
}

fn bytes_of(entry: &Entry) -> usize {
    let target = entry.link_target.as_ref().map_or(0, Vec::len);
    let attributes = entry.attributes.iter();
    let attributes = attributes.map(|it| it.name.len() + it.value.len() + ENTRY_BYTES);
    ENTRY_BYTES + entry.name.len() + target + attributes.sum::<usize>()
}

/// A folder that leads to a volume and lies on none.
fn empty_folder(name: Vec<u8>) -> Entry {
    let zero = Moment::default();
    Entry {
        name,
        kind: FileKind::Folder,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        allocated: 0,
        atime: zero,
        mtime: zero,
        ctime: zero,
        inode: 0,
        device_id: 0,
        links: 2,
        device: 0,
        link_target: None,
        attributes: Vec::new(),
    }
}
