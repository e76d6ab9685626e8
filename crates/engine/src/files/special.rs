//! Further names of files, symbolic links, pipes and devices.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::apply::Run;
use super::folders::OpenFolders;
use super::inspect::{same_file, stat};
use super::item::{Found, Item, What, shown, work_name};
use super::metadata::{Place, said};
use super::{ExistingFiles, FindingKind};
use crate::Result;

/// Makes everything that is neither a folder nor the first name of a file.
pub(super) fn make_all(run: &Run<'_>) -> Result<()> {
    let mut folders = run.folders();
    for (number, item) in (0..).zip(&run.plan.items) {
        if item.is_file() || run.is_blocked(item) {
            continue;
        }
        run.check_cancelled()?;
        let made = match item.what {
            What::Link(first) => make_link(run, &mut folders, item, first),
            _ => make(run, &mut folders, item),
        };
        if let Err(error) = made {
            run.fail(number, what_failed(item), &error.into())?;
        }
    }
    Ok(())
}

fn what_failed(item: &Item) -> &'static str {
    match item.what {
        What::Link(_) => "the hard link cannot be made",
        What::Symlink(_) => "the symbolic link cannot be made",
        What::BlockDevice(_) | What::CharDevice(_) => "the device cannot be made",
        What::Fifo | What::File { .. } => "cannot be made",
    }
}

fn make_link(
    run: &Run<'_>,
    folders: &mut OpenFolders<'_>,
    item: &Item,
    first: u32,
) -> std::result::Result<(), Errno> {
    let first_item = run.item(first);
    if run.is_blocked(first_item) || run.state(first).is_lost() {
        let name = shown(&first_item.name);
        let seen = format!("a hard link to \"{name}\", which is not restored");
        run.find(FindingKind::Failed, item, seen);
        return Ok(());
    }
    let first_folder = folders.get(first_item.folder)?;
    let folder = folders.get(item.folder)?;
    let (first_folder, folder) = (first_folder.as_fd(), folder.as_fd());
    // Renaming one name of a file over another does nothing and leaves both.
    if let (Some(a), Some(b)) = (
        stat(first_folder, &first_item.name)?,
        stat(folder, &item.name)?,
    ) && same_file(&a, &b)
    {
        return Ok(());
    }
    let work = work_name(&item.name);
    clear(folder, &work)?;
    let flags = AtFlags::empty();
    rustix::fs::linkat(first_folder, &*first_item.name, folder, &work[..], flags)?;
    named(run, folder, &work, item)
}

fn make(
    run: &Run<'_>,
    folders: &mut OpenFolders<'_>,
    item: &Item,
) -> std::result::Result<(), Errno> {
    let folder = folders.get(item.folder)?;
    let folder = folder.as_fd();
    let is_symlink = matches!(item.what, What::Symlink(_));
    let place = |name| Place::Named {
        folder,
        name,
        is_symlink,
    };
    if let Found::Equal { .. } = item.found {
        if run.plan.existing != ExistingFiles::Refuse {
            set_metadata(run, item, place(&item.name));
        }
        return Ok(());
    }
    let work = work_name(&item.name);
    clear(folder, &work)?;
    match &item.what {
        What::Symlink(target) => rustix::fs::symlinkat(&**target, folder, &work[..])?,
        What::Fifo => make_node(folder, &work, FileType::Fifo, 0)?,
        What::BlockDevice(device) => make_node(folder, &work, FileType::BlockDevice, *device)?,
        What::CharDevice(device) => make_node(folder, &work, FileType::CharacterDevice, *device)?,
        What::File { .. } | What::Link(_) => return Ok(()),
    }
    set_metadata(run, item, place(&work));
    named(run, folder, &work, item)
}

fn make_node(
    folder: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    device: u64,
) -> std::result::Result<(), Errno> {
    rustix::fs::mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, device)
}

fn set_metadata(run: &Run<'_>, item: &Item, place: Place<'_>) {
    for fault in item.metadata.set(place) {
        run.find(FindingKind::Metadata, item, fault);
    }
}

/// Gives the name; what could not get it is removed again.
fn named(
    run: &Run<'_>,
    folder: BorrowedFd<'_>,
    work: &[u8],
    item: &Item,
) -> std::result::Result<(), Errno> {
    run.rename(folder, work, &item.name).inspect_err(|_| {
        if let Err(error) = clear(folder, work) {
            run.find(FindingKind::Failed, item, said(error));
        }
    })
}

fn clear(folder: BorrowedFd<'_>, work: &[u8]) -> std::result::Result<(), Errno> {
    match rustix::fs::unlinkat(folder, work, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        cleared => cleared,
    }
}
