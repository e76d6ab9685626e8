//! Reading restored files back.

use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lifeboat_model::{ErrorKind, Phase};
use lifeboat_repository::{Index, Repository};
use rustix::fs::{CWD, Mode, OFlags};

use super::compare::compare;
use super::folders::OpenFolders;
use super::inspect::open_file;
use super::item::Item;
use super::{FilesPlan, FilesResult, FindingKind, Findings};
use crate::{Error, Result};

/// Reads every restored file and compares its content with the snapshot; gives what differs.
///
/// Files that `result` has told about are left out. Reads nothing from the repository.
pub fn verify(
    repository: &Repository,
    index: &Index,
    plan: &FilesPlan,
    result: &FilesResult,
) -> Result<Findings> {
    let environment = repository.environment();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, &plan.target, flags, Mode::empty()).map_err(|error| {
        let error = std::io::Error::from(error);
        let doing = format!("cannot open the folder {}: {error}", plan.target.display());
        Error::new(ErrorKind::of_io(&error), doing)
    })?;
    environment.progress.begin(Phase::Verify, plan.size);
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Findings::default()));
    let work = || {
        let mut folders = OpenFolders::new(root.as_fd(), &plan.folders);
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(item) = plan.items.get(number) else {
                return;
            };
            let is_told = result.failed.contains(&(number as u32));
            if !item.is_file() || is_told || environment.cancel.is_cancelled() {
                continue;
            }
            let seen = examine(repository, index, plan, &mut folders, item);
            environment.progress.advance(item.size());
            if let Some(seen) = seen {
                let mut findings = findings.lock().unwrap_or_else(|p| p.into_inner());
                findings.add(FindingKind::Failed, plan.shown(item), seen);
            }
        }
    };
    std::thread::scope(|scope| {
        (1..environment.threads.clamp(1, 16)).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    if environment.cancel.is_cancelled() {
        return Err(Error::cancelled());
    }
    Ok(findings.into_inner().unwrap_or_else(|p| p.into_inner()))
}

fn examine(
    repository: &Repository,
    index: &Index,
    plan: &FilesPlan,
    folders: &mut OpenFolders<'_>,
    item: &Item,
) -> Option<String> {
    let cancel = &repository.environment().cancel;
    let opened = folders
        .get(item.folder)
        .and_then(|folder| open_file(folder.as_fd(), &item.name));
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            return Some(format!(
                "cannot be read back: {}",
                super::metadata::said(error)
            ));
        }
    };
    match file.metadata() {
        Ok(found) if found.len() != item.size() => {
            return Some(format!(
                "has {} bytes instead of {}",
                found.len(),
                item.size()
            ));
        }
        Ok(_) => {}
        Err(error) => return Some(format!("cannot be read back: {error}")),
    }
    match compare(
        &file,
        index,
        &plan.pieces[item.pieces()],
        item.size(),
        cancel,
    ) {
        Ok(differing) if differing.is_empty() => None,
        Ok(differing) => Some(format!(
            "differs from the snapshot in {} chunks and {} zero ranges",
            differing.pieces.len(),
            differing.zeros.count()
        )),
        Err(error) => Some(format!("cannot be read back: {error}")),
    }
}
