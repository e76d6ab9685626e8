//! Opening folders of the target without following anything.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::item::Folder;

/// Folders each thread holds open.
const OPEN_MAX: usize = 16;

/// Opens folders by number; one per thread.
///
/// Every name on the way is opened in the folder before it, and must be a real folder.
pub(super) struct OpenFolders<'a> {
    root: BorrowedFd<'a>,
    folders: &'a [Folder],
    /// The last used first.
    open: Vec<(u32, Rc<OwnedFd>)>,
}

impl<'a> OpenFolders<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, folders: &'a [Folder]) -> Self {
        Self {
            root,
            folders,
            open: Vec::with_capacity(OPEN_MAX + 1),
        }
    }

    /// The descriptor of a folder.
    pub(super) fn get(&mut self, number: u32) -> Result<Rc<OwnedFd>, Errno> {
        let (mut way, mut at) = (Vec::new(), number);
        let mut folder = loop {
            if let Some(open) = self.cached(at) {
                break open;
            }
            if at == 0 {
                break Rc::new(open_folder(self.root, b".")?);
            }
            way.push(at);
            at = self.folders[at as usize].parent;
        };
        if at == 0 {
            self.keep(0, &folder);
        }
        while let Some(next) = way.pop() {
            let name = &self.folders[next as usize].name;
            folder = Rc::new(open_folder(folder.as_fd(), name)?);
            // Of a long way only the end is worth keeping.
            if way.len() < 2 {
                self.keep(next, &folder);
            }
        }
        Ok(folder)
    }

    fn cached(&mut self, number: u32) -> Option<Rc<OwnedFd>> {
        let at = self.open.iter().position(|(open, _)| *open == number)?;
        self.open[..=at].rotate_right(1);
        Some(Rc::clone(&self.open[0].1))
    }

    fn keep(&mut self, number: u32, folder: &Rc<OwnedFd>) {
        self.open.insert(0, (number, Rc::clone(folder)));
        self.open.truncate(OPEN_MAX);
    }
}

/// Opens a folder by a plain name; a symbolic link is `ENOTDIR` or `ELOOP`.
pub(super) fn open_folder(folder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}
