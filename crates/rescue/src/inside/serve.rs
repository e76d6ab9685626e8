//! Answers requests, one after the other.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use lifeboat_model::ErrorKind;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::outlet::Outlet;
use super::survey::{self, Survey};
use super::tree::Tree;
use super::{command, describe, mounts, places};
use crate::wire::{DATA_BYTES_MAX, MISSING_MAX, Place, Reply, Request, VERSION};

/// A lookup that raced with a rename is tried again; nothing renames here, but the kernel counts.
const LOOKUPS_MAX: u32 = 8;

/// Why a request is not fulfilled, for the host.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        let error = io::Error::from(error);
        Self::new(ErrorKind::of_io(&error), error.to_string())
    }
}

/// Serves until the host says `Finish`; an error if it is gone or speaks another language.
pub(super) fn serve(mut outlet: Outlet, is_writable: bool) -> io::Result<()> {
    outlet.send(&Reply::Hello { version: VERSION })?;
    outlet.flush()?;
    let survey = survey::survey(&mut outlet, is_writable)?;
    loop {
        let reply = match outlet.next_request()? {
            Request::Stop => continue,
            Request::Volumes => {
                for (path, text) in survey.missing.iter().take(MISSING_MAX).cloned() {
                    outlet.send(&Reply::Missing { path, text })?;
                }
                Ok(Reply::Volumes(survey.volumes.clone()))
            }
            Request::Describe(place) => answer(&survey, &place, |found| {
                Tree::new(&mut outlet).describe(found)
            })?,
            Request::List(place) => {
                answer(&survey, &place, |found| Tree::new(&mut outlet).list(found))?
            }
            Request::Walk(place) => {
                answer(&survey, &place, |found| Tree::new(&mut outlet).walk(found))?
            }
            Request::Read {
                place,
                offset,
                length,
            } => answer(&survey, &place, |found| {
                read(&mut outlet, found, offset, length as usize)
            })?,
            Request::Run {
                words,
                environment,
                seconds_max,
            } => match command::may_run(&survey, is_writable) {
                Ok(()) => command::run(&mut outlet, &words, &environment, seconds_max)?,
                Err(refusal) => Err(refusal),
            },
            Request::Finish => {
                return match mounts::release_all(survey.has_logical) {
                    Ok(()) => outlet.send(&Reply::Done),
                    Err(text) => outlet.send(&Reply::Failed {
                        kind: ErrorKind::Busy,
                        text,
                    }),
                }
                .and_then(|()| outlet.flush());
            }
        };
        outlet.send(&reply.unwrap_or_else(|refusal| Reply::Failed {
            kind: refusal.kind,
            text: refusal.text,
        }))?;
    }
}

/// Finds a place and does something with it. The outer error is the channel's.
fn answer(
    survey: &Survey,
    place: &Place,
    work: impl FnOnce(&OwnedFd) -> io::Result<Result<(), Refusal>>,
) -> io::Result<Result<Reply, Refusal>> {
    match find(survey, place) {
        Ok(found) => Ok(work(&found)?.map(|()| Reply::Done)),
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn find(survey: &Survey, place: &Place) -> Result<OwnedFd, Refusal> {
    let root = match place.volume {
        None if survey.has_system => places::SYSTEM.to_owned(),
        None => {
            let text = "no operating system is found on the disks: name a volume, as in \
                        VOLUME:/path";
            return Err(Refusal::new(ErrorKind::NotFound, text));
        }
        Some(number) => match survey.volumes.get(number as usize) {
            Some(volume) if volume.is_readable => format!("{}/{number}", places::VOLUMES),
            Some(volume) => {
                let text = format!("the volume cannot be read: {}", volume.note);
                return Err(Refusal::new(ErrorKind::Unsupported, text));
            }
            None => return Err(Refusal::new(ErrorKind::NotFound, "there is no such volume")),
        },
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    Ok(look_up(root.as_fd(), &place.path, place.follows_last)?)
}

/// Opens what is at a path below `root`, for its description only. No link leads out of `root`.
pub(super) fn look_up(root: impl AsFd, path: &[u8], follows_last: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if !follows_last {
        flags |= OFlags::NOFOLLOW;
    }
    let path = if path.is_empty() { b"/" } else { path };
    let mut tries = 0;
    loop {
        let inside = ResolveFlags::IN_ROOT;
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), inside) {
            Err(Errno::AGAIN) if tries < LOOKUPS_MAX => tries += 1,
            found => return found,
        }
    }
}

fn read(
    outlet: &mut Outlet,
    found: &OwnedFd,
    offset: u64,
    length: usize,
) -> io::Result<Result<(), Refusal>> {
    let piece = || -> Result<Vec<u8>, Errno> {
        if describe::kind_of(&rustix::fs::fstat(found)?) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        let file = describe::reopen(found)?;
        let mut bytes = vec![0; length.min(DATA_BYTES_MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    };
    match piece() {
        Ok(bytes) if bytes.is_empty() => Ok(Ok(())),
        Ok(bytes) => outlet.send(&Reply::Data { offset, bytes }).map(Ok),
        Err(error) => Ok(Err(error.into())),
    }
}

/// Path by which the kernel finds an opened file again.
pub(super) fn path_of(opened: impl AsFd) -> String {
    format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd())
}

/// Says whether there is something at a path below a folder, its links followed inside it.
pub(super) fn exists(folder: &str, path: &str) -> bool {
    let root = fs::File::open(folder);
    root.is_ok_and(|root| look_up(&root, path.as_bytes(), true).is_ok())
}
