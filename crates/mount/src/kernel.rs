//! The kernel's questions and answers, as its protocol has them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use fuser::{
    Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyXattr,
    Request,
};
use lifeboat_model::ErrorKind;

use crate::source::Source;
use crate::tree::Tree;

/// How long the kernel may believe what it was told: a snapshot does not change.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);
/// What the kernel reads ahead of whoever reads in order.
const AHEAD_BYTES: u32 = 1 << 20;

/// A tree that answers the kernel.
#[derive(Debug)]
pub(crate) struct Answering<S>(Mutex<Tree<S>>);

impl<S: Source> Answering<S> {
    pub(crate) fn new(tree: Tree<S>) -> Self {
        Self(Mutex::new(tree))
    }

    fn tree(&self) -> MutexGuard<'_, Tree<S>> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::Denied => Errno::EACCES,
        ErrorKind::Invalid => Errno::EINVAL,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}

/// The kernel asks for the length first, then for as much.
fn give(reply: ReplyXattr, value: &[u8], room: u32) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match room {
        0 => reply.size(length),
        room if room < length => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}

impl<S: Source> Filesystem for Answering<S> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What it does not accept it answers with the most it can.
        if let Err(most) = config.set_max_readahead(AHEAD_BYTES) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.tree().look_up(parent.into(), name.as_bytes()) {
            Ok(attr) => reply.entry(&BELIEVED, &attr, Generation(0)),
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn forget(&self, _request: &Request, number: INodeNo, count: u64) {
        self.tree().forget(number.into(), count);
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.tree().attr(number.into()) {
            Ok(attr) => reply.attr(&BELIEVED, &attr),
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.tree().link_target(number.into()) {
            Ok(target) => reply.data(target),
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree().read(number.into(), offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.tree().open_folder(number.into()) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_CACHE_DIR),
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree();
        let done = tree.entries(
            number.into(),
            handle.into(),
            offset,
            |number, next, kind, name| {
                reply.add(INodeNo(number), next, kind, OsStr::from_bytes(name))
            },
        );
        match done {
            Ok(()) => reply.ok(),
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.tree().close_folder(handle.into());
        reply.ok();
    }

    fn getxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        match self.tree().attributes(number.into()) {
            Ok(all) => match all.iter().find(|it| it.name == name.as_bytes()) {
                Some(attribute) => give(reply, &attribute.value, size),
                None => reply.error(Errno::ENODATA),
            },
            Err(kind) => reply.error(errno(kind)),
        }
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        match self.tree().attributes(number.into()) {
            Ok(all) => {
                let names = all.iter().flat_map(|it| [&it.name[..], &[0]]);
                give(reply, &names.collect::<Vec<_>>().concat(), size);
            }
            Err(kind) => reply.error(errno(kind)),
        }
    }
}
