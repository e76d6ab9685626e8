//! Doing what the plan says.
//!
//! Order: folders (only for us), files, their names, links and special files, owner, mode and
//! times of folders from the deepest up, everything durable.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use lifeboat_model::{ErrorKind, ExtentSet, Phase};
use lifeboat_repository::{Index, Repository};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::folders::{OpenFolders, open_folder};
use super::inspect::stat;
use super::item::{Found, FoundFolder, Item, mark_name, shown_path, work_name};
use super::metadata::{Place, said};
use super::{ExistingFiles, FilesPlan, FilesResult, FindingKind, Findings, special, worker};
use crate::{Error, Result};

/// Files get their names in groups: what makes them durable is one call for all of them.
const GROUP_FILES: usize = 4096;

/// A group is closed at this many bytes.
const GROUP_BYTES: u64 = 1 << 30;

/// Executes `plan`.
///
/// Errors: `Exists` if the plan has conflicts; `Full`; `Unreachable`; `Cancelled`. Complete files
/// stay, others have no name yet; the same restore again goes on from there.
pub fn apply(repository: &Repository, index: &Index, plan: &FilesPlan) -> Result<FilesResult> {
    if let Some(first) = plan.conflicts.first() {
        let doing = format!(
            "{} entries exist in {} and differ, the first is {first}: nothing was written; \
             choose to overwrite them or another folder",
            plan.conflicts.len(),
            plan.target.display()
        );
        return Err(Error::new(ErrorKind::Exists, doing));
    }
    let environment = repository.environment();
    let start = environment.clock.monotonic();
    environment.progress.begin(Phase::Restore, plan.write_bytes);
    let mut run = Run::new(repository, index, plan, open_target(plan)?);
    run.make_folders()?;
    let brought = worker::bring_all(&run);
    // Also after a failure: what is complete deserves its name.
    run.publish_all()?;
    brought?;
    run.tell_missing();
    special::make_all(&run)?;
    run.finish_folders()?;
    run.sync()?;
    let duration = environment.clock.monotonic().saturating_sub(start);
    Ok(run.result(duration))
}

fn open_target(plan: &FilesPlan) -> Result<OwnedFd> {
    let failed = |error: std::io::Error| {
        let doing = format!("cannot open the folder {}: {error}", plan.target.display());
        Error::new(ErrorKind::of_io(&error), doing)
    };
    std::fs::create_dir_all(&plan.target).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &plan.target, flags, Mode::empty()).map_err(|e| failed(e.into()))
}

/// How far a file is.
#[derive(Default)]
pub(super) struct FileState {
    /// Pieces still to be brought.
    pub(super) left: u32,
    pub(super) is_prepared: bool,
    /// It cannot be written: no further try.
    pub(super) is_failed: bool,
    /// Some of its content cannot be had; the rest is written, but it gets no name.
    pub(super) is_damaged: bool,
}

impl FileState {
    /// Whether it will not be complete.
    pub(super) fn is_lost(&self) -> bool {
        self.is_failed || self.is_damaged
    }
}

/// Files that are complete and wait for their names.
#[derive(Default)]
struct Group {
    items: Vec<u32>,
    bytes: u64,
}

/// A restore that goes on; shared by all threads.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) plan: &'a FilesPlan,
    root: OwnedFd,
    root_device: u64,
    states: Vec<Mutex<FileState>>,
    /// Folders that could not be made.
    blocked: Vec<bool>,
    created: Vec<bool>,
    group: Mutex<Group>,
    findings: Mutex<Findings>,
    missing: Mutex<BTreeMap<u32, (ExtentSet, String)>>,
    files: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) read: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

impl<'a> Run<'a> {
    fn new(
        repository: &'a Repository,
        index: &'a Index,
        plan: &'a FilesPlan,
        root: OwnedFd,
    ) -> Self {
        let mut states: Vec<FileState> = plan.items.iter().map(|_| FileState::default()).collect();
        for number in &plan.wanted {
            states[plan.pieces[*number as usize].item as usize].left += 1;
        }
        Self {
            repository,
            index,
            plan,
            root_device: rustix::fs::fstat(&root).map_or(0, |found| found.st_dev),
            root,
            states: states.into_iter().map(Mutex::new).collect(),
            blocked: vec![false; plan.folders.len()],
            created: vec![false; plan.folders.len()],
            group: Mutex::default(),
            findings: Mutex::new(plan.findings.clone()),
            missing: Mutex::default(),
            files: AtomicU64::new(0),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    pub(super) fn folders(&self) -> OpenFolders<'_> {
        OpenFolders::new(self.root.as_fd(), &self.plan.folders)
    }

    pub(super) fn state(&self, item: u32) -> MutexGuard<'_, FileState> {
        locked(&self.states[item as usize])
    }

    pub(super) fn item(&self, number: u32) -> &'a Item {
        &self.plan.items[number as usize]
    }

    /// Whether the item cannot be made at all; told already.
    pub(super) fn is_blocked(&self, item: &Item) -> bool {
        item.found == Found::Blocked || self.blocked[item.folder as usize]
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.repository.environment().cancel.is_cancelled() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }

    pub(super) fn find(&self, kind: FindingKind, item: &Item, seen: impl Into<String>) {
        self.find_at(kind, self.plan.shown(item), seen);
    }

    fn find_at(&self, kind: FindingKind, path: String, seen: impl Into<String>) {
        let progress = &self.repository.environment().progress;
        progress.findings.fetch_add(1, Relaxed);
        locked(&self.findings).add(kind, path, seen);
    }

    /// Gives an item up: a finding, or an error if all others would fail as well.
    pub(super) fn fail(&self, number: u32, doing: &str, error: &std::io::Error) -> Result<()> {
        let item = self.item(number);
        let kind = ErrorKind::of_io(error);
        if kind == ErrorKind::Full {
            let doing = format!("{doing} {}: {error}", self.plan.shown(item));
            return Err(Error::new(kind, doing));
        }
        let mut state = self.state(number);
        if !state.is_failed {
            state.is_failed = true;
            let said = error.raw_os_error().map_or_else(
                || error.to_string(),
                |raw| said(Errno::from_raw_os_error(raw)),
            );
            self.find(FindingKind::Failed, item, format!("{doing}: {said}"));
        }
        Ok(())
    }

    /// Notes that a piece of a file cannot be had.
    pub(super) fn miss(&self, number: u32, range: lifeboat_model::Extent, cause: &str) {
        self.state(number).is_damaged = true;
        let mut missing = locked(&self.missing);
        let entry = missing.entry(number);
        let (ranges, _) = entry.or_insert_with(|| (ExtentSet::new(), cause.to_owned()));
        ranges.insert(range);
    }

    fn tell_missing(&self) {
        let missing = std::mem::take(&mut *locked(&self.missing));
        for (number, (ranges, cause)) in missing {
            let item = self.item(number);
            let shown: Vec<String> = ranges
                .iter()
                .take(8)
                .map(|range| format!("{}..{}", range.start(), range.end()))
                .collect();
            let more = if ranges.count() > 8 { ", ..." } else { "" };
            let rest = match item.found {
                _ if !self.state(number).is_prepared => String::new(),
                Found::InPlace => "; it is incomplete and stays marked".to_owned(),
                _ => {
                    let work = work_name(&item.name);
                    format!(
                        "; what is left is in \"{}\" beside it",
                        super::item::shown(&work)
                    )
                }
            };
            let seen = format!(
                "misses the bytes {}{more} ({cause}){rest}; run 'lifeboat verify', then \
                 'lifeboat repair packs'",
                shown.join(", ")
            );
            self.find(FindingKind::Damaged, item, seen);
        }
    }

    fn make_folders(&mut self) -> Result<()> {
        let plan = self.plan;
        for number in 1..plan.folders.len() {
            self.check_cancelled()?;
            let folder = &plan.folders[number];
            if self.blocked[folder.parent as usize] || folder.found == FoundFolder::Blocked {
                self.blocked[number] = true;
            } else if folder.is_wanted && folder.found == FoundFolder::Nothing {
                match self.make_folder(number) {
                    Ok(is_new) => self.created[number] = is_new,
                    Err(Errno::NOSPC | Errno::DQUOT) => {
                        let path = shown_path(&plan.folders, folder.parent, &folder.name);
                        let doing = format!("cannot make the folder {path}: no space is left");
                        return Err(Error::new(ErrorKind::Full, doing));
                    }
                    Err(error) => {
                        self.blocked[number] = true;
                        let path = shown_path(&plan.folders, folder.parent, &folder.name);
                        let seen = format!("nothing below is restored: {}", said(error));
                        self.find_at(FindingKind::Failed, path, seen);
                    }
                }
            }
        }
        Ok(())
    }

    fn make_folder(&self, number: usize) -> std::result::Result<bool, Errno> {
        let folder = &self.plan.folders[number];
        // Made anew for each folder: parents come long before their children.
        let parent = self.folders().get(folder.parent)?;
        match rustix::fs::mkdirat(parent.as_fd(), &*folder.name, Mode::RWXU) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => open_folder(parent.as_fd(), &folder.name).map(|_| false),
            Err(error) => Err(error),
        }
    }

    /// Adds a complete file; it gets its name with the next group.
    pub(super) fn complete(&self, number: u32, device: u64, file: &std::fs::File) -> Result<()> {
        if device != self.root_device {
            // Another file system is mounted below the target.
            if let Err(error) = file.sync_all() {
                return self.fail(number, "cannot be made durable", &error);
            }
        }
        let is_full = {
            let mut group = locked(&self.group);
            group.items.push(number);
            group.bytes = group.bytes.saturating_add(self.item(number).size());
            group.items.len() >= GROUP_FILES || group.bytes >= GROUP_BYTES
        };
        if is_full { self.publish_all() } else { Ok(()) }
    }

    fn publish_all(&self) -> Result<()> {
        let group = std::mem::take(&mut *locked(&self.group));
        if group.items.is_empty() {
            return Ok(());
        }
        self.sync()?;
        let mut folders = self.folders();
        for number in group.items {
            match self.publish(&mut folders, self.item(number)) {
                Ok(()) => drop(self.files.fetch_add(1, Relaxed)),
                Err(error) => self.fail(number, "does not get its name", &error.into())?,
            }
        }
        Ok(())
    }

    fn publish(
        &self,
        folders: &mut OpenFolders<'_>,
        item: &Item,
    ) -> std::result::Result<(), Errno> {
        let folder = folders.get(item.folder)?;
        let folder = folder.as_fd();
        match item.found {
            Found::Nothing | Found::Part => self.rename(folder, &work_name(&item.name), &item.name),
            _ if self.plan.existing != ExistingFiles::InPlace => Ok(()),
            _ => match rustix::fs::unlinkat(folder, &mark_name(&item.name)[..], AtFlags::empty()) {
                Err(Errno::NOENT) => Ok(()),
                removed => removed,
            },
        }
    }

    /// Gives a complete entry its name.
    pub(super) fn rename(
        &self,
        folder: std::os::fd::BorrowedFd<'_>,
        work: &[u8],
        name: &[u8],
    ) -> std::result::Result<(), Errno> {
        if self.plan.existing != ExistingFiles::Refuse {
            return rustix::fs::renameat(folder, work, folder, name);
        }
        match rustix::fs::renameat_with(folder, work, folder, name, RenameFlags::NOREPLACE) {
            // File systems without this flag (NFS, some FUSE): the next best thing.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match stat(folder, name)? {
                Some(_) => Err(Errno::EXIST),
                None => rustix::fs::renameat(folder, work, folder, name),
            },
            renamed => renamed,
        }
    }

    fn finish_folders(&self) -> Result<()> {
        let mut folders = self.folders();
        for (number, folder) in self.plan.folders.iter().enumerate().skip(1).rev() {
            self.check_cancelled()?;
            let is_ours = folder.is_selected || self.created[number];
            if !folder.is_wanted || !is_ours || self.blocked[number] {
                continue;
            }
            let faults = match folders.get(number as u32) {
                Ok(open) => folder.metadata.set(Place::Open(open.as_fd().as_fd())),
                Err(error) => vec![said(error)],
            };
            for fault in faults {
                let path = shown_path(&self.plan.folders, folder.parent, &folder.name);
                self.find_at(FindingKind::Metadata, path, fault);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.root).map_err(|error| {
            let error = std::io::Error::from(error);
            let place = self.plan.target.display();
            let doing = format!("cannot make what was written to {place} durable: {error}");
            Error::new(ErrorKind::of_io(&error), doing)
        })
    }

    fn result(self, duration: std::time::Duration) -> FilesResult {
        let failed: HashSet<u32> = (0..)
            .zip(&self.states)
            .filter(|(number, state)| {
                locked(state).is_lost() || self.is_blocked(self.item(*number))
            })
            .map(|(number, _)| number)
            .collect();
        FilesResult {
            files: self.files.into_inner(),
            written: self.written.into_inner(),
            read: self.read.into_inner(),
            duration,
            findings: self
                .findings
                .into_inner()
                .unwrap_or_else(|p| p.into_inner()),
            failed,
        }
    }
}
