//! The files of a machine as an ordinary snapshot of files.
//!
//! The machine is captured as for its disks, without a mark: increments of disks and of files
//! know nothing of each other. A rescue VM reads the captured disks; what it says streams into
//! the repository. The platform confirms the view when the last byte was read, then the snapshot
//! is recorded.

mod node;
mod unread;
mod walk;

use std::sync::Arc;

use jiff::Zoned;
use lifeboat_disk::DiskReader;
use lifeboat_engine::file_backup::{FileBackup, FileCounts, file_backup};
use lifeboat_format::{SnapshotFile, label, label::FILES_TAG};
use lifeboat_model::{DiskName, VmName};
use lifeboat_platform::{Capture, CaptureOutcome, Consistency, Finding, Origin, Vm};
use lifeboat_repository::{Repository, Snapshot, snapshots};
use serde_json::json;

use super::{Notes, Stored, VmBackup, explained};
use crate::Result;
use crate::error::Doing;
use crate::files::Inside;
use crate::job::FilesJob;
use crate::steps::Step;
use unread::{Unread, left_aside};
use walk::Walker;

/// What became of the files of a machine.
#[derive(Clone, Debug)]
pub struct StoredFiles {
    /// What was stored and taken over.
    pub counts: FileCounts,
    /// Files and folders that could not be read, or not in full.
    pub unread: u64,
}

impl VmBackup<'_> {
    /// Captures a machine and stores its files.
    pub(super) fn captured_files(
        &self,
        vm: &Vm,
        origin: Origin,
        files: &FilesJob,
        notes: &mut Notes,
    ) -> Result<Stored> {
        let request = self.unmarked(vm, origin)?;
        self.watch.step(&vm.name, Step::Capture);
        let capture = self.platform.begin_capture(&request);
        let mut capture = capture.doing(|| format!("cannot capture {}", vm.name))?;
        let done = self.stored_files(vm, &mut *capture, files, notes);
        let done = done.map_err(|error| explained(&mut *capture, error));
        let seen = capture.findings().to_vec();
        self.note(vm, notes, seen);
        // No mark was made: the one of the disks stays, whatever became of this run.
        self.release(vm, capture, CaptureOutcome::Abandoned, notes);
        done
    }

    fn stored_files(
        &self,
        vm: &Vm,
        capture: &mut dyn Capture,
        files: &FilesJob,
        notes: &mut Notes,
    ) -> Result<Stored> {
        let consistency = self.reached(vm, capture, notes)?;
        self.watch.step(&vm.name, Step::Transfer);
        let repository = self.place.repository;
        let parent = match self.is_forced {
            true => None,
            false => parent_of_files(repository, capture.name(), &files.sources)?,
        };
        let mut inside = self.inside_of(capture)?;
        let files = files.on(inside.rescue().volumes())?;
        let mut label = self.files_label(vm, capture, consistency, &files, notes);
        label.parent = parent.as_ref().map(|it| it.id);
        let request = FileBackup {
            label,
            parent: parent.map(|it| it.file.tree),
            sizes: self.place.sizes,
            write: self.place.write,
        };
        let mut unread = Unread::default();
        unread.survey(inside.rescue(), &files);
        let aside = left_aside(inside.rescue(), &files);
        self.note(vm, notes, aside.into_iter().map(Finding::note));
        let (index, lock) = (self.place.index, self.place.lock);
        let result = file_backup(repository, index, lock, request, |folders| -> Result<()> {
            let cancel = &repository.environment().cancel;
            Walker::new(inside.rescue(), folders, &files, cancel, &mut unread).run()?;
            // Everything was read: how its rescue VM ends says nothing.
            drop(inside);
            self.watch.step(&vm.name, Step::Confirm);
            let confirmed = capture.confirm();
            confirmed.doing(|| format!("the capture of {} was lost while it was read", vm.name))?;
            self.watch.step(&vm.name, Step::Record);
            Ok(())
        })?;
        let unread_count = unread.count();
        self.note(vm, notes, unread.told().into_iter().map(Finding::warning));
        Ok(Stored {
            result: lifeboat_engine::backup::BackupResult {
                snapshot: Some(result.snapshot),
                tree: result.tree,
                totals: result.totals,
                disks: Vec::new(),
                duration: result.duration,
            },
            disks: Vec::new(),
            consistency,
            files: Some(StoredFiles {
                counts: result.counts,
                unread: unread_count,
            }),
        })
    }

    /// A rescue VM on the captured disks.
    fn inside_of(&self, capture: &dyn Capture) -> Result<Inside> {
        let disks = capture.disks().iter();
        let disks: Vec<(DiskName, Arc<dyn DiskReader>)> = disks
            .map(|disk| (disk.name.clone(), self.paced(&disk.reader)))
            .collect();
        let cancel = &self.place.repository.environment().cancel;
        Inside::on(&disks, self.rescue, cancel)
    }

    fn files_label(
        &self,
        vm: &Vm,
        capture: &dyn Capture,
        consistency: Consistency,
        files: &FilesJob,
        notes: &Notes,
    ) -> SnapshotFile {
        let zone = jiff::tz::TimeZone::system();
        let time: Zoned = capture.captured_at().to_zoned(zone);
        let (name, paths) = (capture.name(), &files.sources);
        let mut label = label::of(name, time.clone().into(), &[]);
        // The paths are those taken: so it is in no group with the machine's disks.
        label.paths.clone_from(paths);
        let own = std::iter::once(FILES_TAG.to_owned());
        label.tags = own.chain(self.job.tags.iter().cloned()).collect();
        label.excludes.clone_from(&files.excludes);
        self.own(&mut label);
        let disks: Vec<&str> = capture
            .disks()
            .iter()
            .map(|disk| disk.name.as_str())
            .collect();
        let facts = json!({
            "version": 1,
            "machine": {
                "platform": self.platform.kind(),
                "id": vm.id.as_str(),
                "name": vm.name.as_str(),
            },
            "captured_at": lifeboat_format::GoTime::from(time),
            "consistency": consistency.as_str(),
            "disks": disks,
            "mount": files.mounts,
            "hooks": notes.hooks,
        });
        label.other.insert("lifeboat".to_owned(), facts);
        label
    }
}

/// The newest snapshot of the same files of the same machine.
fn parent_of_files(
    repository: &Repository,
    machine: &VmName,
    sources: &[String],
) -> Result<Option<Snapshot>> {
    let all = snapshots::list_tolerant(repository);
    let (all, _) = all.doing(|| "cannot list snapshots".to_owned())?;
    let is_earlier = |it: &Snapshot| {
        let is_of_files = it.file.tags.iter().any(|tag| tag == FILES_TAG);
        is_of_files && it.file.hostname == machine.as_str() && it.file.paths == sources
    };
    Ok(all.into_iter().rev().find(is_earlier))
}
