//! Looking at what is in the target already. Writes nothing.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lifeboat_model::{ErrorKind, Phase};
use lifeboat_repository::{Index, Repository};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::compare::{Differing, compare};
use super::folders::OpenFolders;
use super::item::{Found, FoundFolder, Item, What, shown_path, work_name};
use super::metadata::said;
use super::{ExistingFiles, FilesPlan, FindingKind};
use crate::{Error, Result};

/// What is to be brought to files that hold a part of their content already.
pub(super) type Partial = HashMap<u32, Differing>;

/// Fills `found` of all folders and items, conflicts and findings.
pub(super) fn inspect(
    plan: &mut FilesPlan,
    repository: &Repository,
    index: &Index,
) -> Result<Partial> {
    let Some(root) = open_target(plan)? else {
        return Ok(Partial::new());
    };
    plan.folders[0].found = FoundFolder::Folder;
    inspect_folders(plan, root.as_fd());
    let candidates = inspect_items(plan, root.as_fd())?;
    compare_all(plan, repository, index, root.as_fd(), &candidates)
}

/// The target's own path is the caller's: links in it are followed.
fn open_target(plan: &FilesPlan) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, &plan.target, flags, Mode::empty()) {
        Ok(root) => Ok(Some(root)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => {
            let error = std::io::Error::from(error);
            let doing = format!("cannot open the folder {}: {error}", plan.target.display());
            Err(Error::new(ErrorKind::of_io(&error), doing))
        }
    }
}

fn inspect_folders(plan: &mut FilesPlan, root: BorrowedFd<'_>) {
    let mut all: Vec<FoundFolder> = plan.folders.iter().map(|folder| folder.found).collect();
    let mut blocked = Vec::new();
    let mut open = OpenFolders::new(root, &plan.folders);
    for (number, folder) in plan.folders.iter().enumerate().skip(1) {
        all[number] = match all[folder.parent as usize] {
            FoundFolder::Folder if folder.is_wanted => match open.get(number as u32) {
                Ok(_) => FoundFolder::Folder,
                Err(Errno::NOENT) => FoundFolder::Nothing,
                Err(error) => {
                    blocked.push((number, error));
                    FoundFolder::Blocked
                }
            },
            above => above,
        };
    }
    for (number, error) in blocked {
        let folder = &plan.folders[number];
        let path = shown_path(&plan.folders, folder.parent, &folder.name);
        let seen = match error {
            Errno::NOTDIR | Errno::LOOP => "the target has something else than a folder there",
            _ => &said(error),
        };
        match plan.existing {
            ExistingFiles::Refuse => plan.conflicts.push(path),
            _ => {
                let seen = format!("nothing below is restored: {seen}");
                plan.findings.add(FindingKind::Failed, path, seen);
            }
        }
    }
    for (folder, found) in plan.folders.iter_mut().zip(all) {
        folder.found = found;
    }
}

/// What is said of an item from a look at its name.
enum Look {
    Is(Found),
    /// Its content is worth comparing.
    Compare(Candidate),
    Conflict,
    /// A folder is in its place.
    Folder,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Candidate {
    /// Only full equality counts.
    Whole {
        is_single: bool,
    },
    InPlace {
        has_size: bool,
    },
    /// The part of an interrupted restore.
    Part,
}

fn inspect_items(plan: &mut FilesPlan, root: BorrowedFd<'_>) -> Result<Vec<(u32, Candidate)>> {
    let (mut looks, mut candidates) = (Vec::new(), Vec::new());
    let mut open = OpenFolders::new(root, &plan.folders);
    for (number, item) in plan.items.iter().enumerate() {
        match plan.folders[item.folder as usize].found {
            FoundFolder::Nothing => {}
            FoundFolder::Blocked => looks.push((number, Look::Is(Found::Blocked))),
            FoundFolder::Folder => match look(plan, &mut open, item) {
                Ok(look) => looks.push((number, look)),
                Err(error) => {
                    let doing = format!("cannot look at {} in the target", plan.shown(item));
                    let error = std::io::Error::from(error);
                    return Err(Error::new(ErrorKind::of_io(&error), doing).with_source(error));
                }
            },
        }
    }
    for (number, look) in looks {
        let path = || {
            let item = &plan.items[number];
            shown_path(&plan.folders, item.folder, &item.name)
        };
        match look {
            Look::Is(found) => plan.items[number].found = found,
            Look::Compare(candidate) => candidates.push((number as u32, candidate)),
            Look::Conflict => {
                plan.conflicts.push(path());
                plan.items[number].found = Found::Blocked;
            }
            Look::Folder => {
                let seen = "not restored: the target has a folder there";
                plan.findings.add(FindingKind::Failed, path(), seen);
                plan.items[number].found = Found::Blocked;
            }
        }
    }
    Ok(candidates)
}

fn look(
    plan: &FilesPlan,
    open: &mut OpenFolders<'_>,
    item: &Item,
) -> std::result::Result<Look, Errno> {
    let folder = open.get(item.folder)?;
    let refuses = plan.existing == ExistingFiles::Refuse;
    let Some(found) = stat(folder.as_fd(), &item.name)? else {
        return look_for_part(folder.as_fd(), item);
    };
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Ok(if refuses {
            Look::Conflict
        } else {
            Look::Folder
        });
    }
    let look = match &item.what {
        What::File { size, .. } => look_at_file(plan.existing, item, *size, &found),
        What::Link(first) => {
            let first = &plan.items[*first as usize];
            let first_folder = open.get(first.folder)?;
            match stat(first_folder.as_fd(), &first.name)? {
                Some(other) if same_file(&found, &other) => Some(Look::Is(Found::Nothing)),
                _ => None,
            }
        }
        What::Symlink(target) => {
            let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
            let held = rustix::fs::readlinkat(folder.as_fd(), &*item.name, Vec::new());
            equal(is_link && held.is_ok_and(|held| held.as_bytes() == &**target))
        }
        What::Fifo => equal(is_node(&found, FileType::Fifo, found.st_rdev)),
        What::BlockDevice(device) => equal(is_node(&found, FileType::BlockDevice, *device)),
        What::CharDevice(device) => equal(is_node(&found, FileType::CharacterDevice, *device)),
    };
    match look {
        Some(look) => Ok(look),
        None if refuses => Ok(Look::Conflict),
        None => look_for_part(folder.as_fd(), item),
    }
}

fn equal(is_equal: bool) -> Option<Look> {
    is_equal.then_some(Look::Is(Found::Equal { is_single: true }))
}

fn is_node(found: &Stat, kind: FileType, device: u64) -> bool {
    FileType::from_raw_mode(found.st_mode) == kind && found.st_rdev == device
}

/// Nothing if the file there is of no use.
fn look_at_file(existing: ExistingFiles, item: &Item, size: u64, found: &Stat) -> Option<Look> {
    let is_regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    let is_single = found.st_nlink == 1;
    let has_size = u64::try_from(found.st_size).is_ok_and(|held| held == size);
    let is_alike = has_size && item.metadata.is_like(found);
    if !is_regular {
        return None;
    }
    let whole = Some(Look::Compare(Candidate::Whole { is_single }));
    match existing {
        ExistingFiles::Refuse if is_alike => whole,
        ExistingFiles::Refuse => None,
        // Another name of this file may be outside of the target.
        ExistingFiles::InPlace if is_single => Some(Look::Compare(Candidate::InPlace { has_size })),
        ExistingFiles::Replace if has_size && is_single => whole,
        // A shared file is never changed, so it must be right already.
        _ if is_alike => whole,
        _ => None,
    }
}

fn look_for_part(folder: BorrowedFd<'_>, item: &Item) -> std::result::Result<Look, Errno> {
    let is_part = item.is_file()
        && stat(folder, &work_name(&item.name))?.is_some_and(|part| is_our_part(&part));
    Ok(if is_part {
        Look::Compare(Candidate::Part)
    } else {
        Look::Is(Found::Nothing)
    })
}

/// Whether a work file is a plain one of ours and holds something.
pub(super) fn is_our_part(part: &Stat) -> bool {
    FileType::from_raw_mode(part.st_mode) == FileType::RegularFile
        && part.st_nlink == 1
        && part.st_size > 0
        && part.st_uid == rustix::process::geteuid().as_raw()
}

/// What a name leads to, links not followed.
pub(super) fn stat(
    folder: BorrowedFd<'_>,
    name: &[u8],
) -> std::result::Result<Option<Stat>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        // A name that is too long cannot be there; making it will say so.
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether both are names of one file.
pub(super) fn same_file(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// What a comparison has found.
enum Compared {
    Equal {
        is_single: bool,
    },
    Part(Differing),
    InPlace(Differing),
    /// Of no use.
    Nothing,
}

fn compare_all(
    plan: &mut FilesPlan,
    repository: &Repository,
    index: &Index,
    root: BorrowedFd<'_>,
    candidates: &[(u32, Candidate)],
) -> Result<Partial> {
    let environment = repository.environment();
    let bytes = candidates
        .iter()
        .map(|(number, _)| plan.items[*number as usize].size());
    environment.progress.begin(Phase::Verify, bytes.sum());
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let planned = &*plan;
    let work = || {
        let mut open = OpenFolders::new(root, &planned.folders);
        while let Some((number, candidate)) = candidates.get(next.fetch_add(1, Relaxed)) {
            if environment.cancel.is_cancelled() {
                return;
            }
            let item = &planned.items[*number as usize];
            let compared = examine(planned, index, &mut open, item, *candidate, environment);
            environment.progress.advance(item.size());
            let mut results = results.lock().unwrap_or_else(|p| p.into_inner());
            results.push((*number, compared));
        }
    };
    std::thread::scope(|scope| {
        (1..environment.threads.clamp(1, 16)).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    if environment.cancel.is_cancelled() {
        return Err(Error::cancelled());
    }
    let mut results = results.into_inner().unwrap_or_else(|p| p.into_inner());
    results.sort_unstable_by_key(|(number, _)| *number);
    let mut partial = Partial::new();
    for (number, compared) in results {
        let (found, differing) = match compared {
            Compared::Equal { is_single } => (Found::Equal { is_single }, None),
            Compared::Part(differing) => (Found::Part, Some(differing)),
            Compared::InPlace(differing) => (Found::InPlace, Some(differing)),
            Compared::Nothing if plan.existing == ExistingFiles::Refuse => {
                plan.conflicts
                    .push(plan.shown(&plan.items[number as usize]));
                (Found::Blocked, None)
            }
            Compared::Nothing => (Found::Nothing, None),
        };
        plan.items[number as usize].found = found;
        if let Some(differing) = differing {
            partial.insert(number, differing);
        }
    }
    Ok(partial)
}

/// A file that cannot be read is of no use: it is replaced, or is a conflict.
fn examine(
    plan: &FilesPlan,
    index: &Index,
    open: &mut OpenFolders<'_>,
    item: &Item,
    candidate: Candidate,
    environment: &lifeboat_repository::Environment,
) -> Compared {
    let mut differing = |name: &[u8]| -> Option<Differing> {
        let folder = open.get(item.folder).ok()?;
        let file = open_file(folder.as_fd(), name).ok()?;
        let pieces = &plan.pieces[item.pieces()];
        compare(&file, index, pieces, item.size(), &environment.cancel).ok()
    };
    match candidate {
        Candidate::Whole { is_single } => match differing(&item.name) {
            Some(differing) if differing.is_empty() => Compared::Equal { is_single },
            _ if plan.existing == ExistingFiles::Refuse => Compared::Nothing,
            _ => match differing(&work_name(&item.name)) {
                Some(differing) => Compared::Part(differing),
                None => Compared::Nothing,
            },
        },
        Candidate::InPlace { has_size } => match differing(&item.name) {
            Some(differing) if has_size && differing.is_empty() => {
                Compared::Equal { is_single: true }
            }
            Some(differing) => Compared::InPlace(differing),
            None => Compared::Nothing,
        },
        // A part that cannot be read is made anew: it is no conflict.
        Candidate::Part => Compared::Part(differing(&work_name(&item.name)).unwrap_or_else(|| {
            let pieces = (0..item.pieces().len() as u32).collect();
            Differing {
                pieces,
                ..Differing::default()
            }
        })),
    }
}

/// Opens a regular file for reading.
pub(super) fn open_file(folder: BorrowedFd<'_>, name: &[u8]) -> std::result::Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
        Ok(file.into())
    } else {
        Err(Errno::INVAL)
    }
}
