//! The backup of one machine, from looking at it to leaving nothing behind.
//!
//! Order is the safety argument: the platform confirms the view when the last byte was read,
//! only then the snapshot is recorded, only then the mark that the next increment builds upon
//! replaces the old one. Whatever fails on the way, the old mark and the old snapshot stay.

mod files;
mod manifest;
mod plan;

use std::sync::{Arc, Mutex};

use jiff::Zoned;
use lifeboat_chunker::ChunkSizes;
use lifeboat_engine::backup::{
    BackupRequest, BackupResult, DiskOutcome, DiskTask, PlainFile, backup,
};
use lifeboat_format::{SnapshotFile, label};
use lifeboat_model::ErrorKind;
use lifeboat_platform::{
    Capture, CaptureOutcome, CaptureRequest, CheckpointId, Consistency, Finding, Origin, Platform,
    Vm, VmState,
};
use lifeboat_repository::{Index, Lock, Repository, WriteOptions};
use lifeboat_rescue::Settings as RescueSettings;

use crate::error::{Doing, chain};
use crate::hook::{HookContext, HookRun, run_and_judge};
use crate::job::{Job, OfflinePolicy};
use crate::pace::Pacer;
use crate::parent::{Parent, parent_of_vm};
use crate::steps::{Step, Watch};
use crate::turns::{Turn, Turns};
use crate::{Error, Result};
pub use files::StoredFiles;
pub use plan::DiskFacts;

/// Where snapshots go, and how they are written.
pub struct BackupPlace<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its index.
    pub index: &'a Index,
    /// A lock on it.
    pub lock: &'a Lock<'a>,
    /// Sizes of chunks for small disks.
    pub sizes: ChunkSizes,
    /// How blobs are written.
    pub write: WriteOptions,
}

/// Backups of machines of one platform by one job.
pub struct VmBackup<'a> {
    /// Where the machines run.
    pub platform: &'a dyn Platform,
    /// Where their snapshots go.
    pub place: &'a BackupPlace<'a>,
    /// What is wanted.
    pub job: &'a Job,
    /// Reads every disk as a whole.
    pub is_forced: bool,
    /// One rate for all disks, if there is a limit.
    pub pacer: Option<Arc<Pacer>>,
    /// Where turns are taken that other runs share.
    pub turns: &'a Turns,
    /// Is told what happens.
    pub watch: &'a dyn Watch,
    /// The program and its version, for manifests.
    pub program: &'a str,
    /// How rescue VMs are started, for files.
    pub rescue: &'a RescueSettings,
}

/// What became of one machine.
pub struct VmOutcome {
    /// The machine.
    pub vm: Vm,
    /// What was stored; nothing if it was passed over.
    pub result: Result<Option<Stored>>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// Hooks that ran, with what they printed.
    pub hooks: Vec<HookRun>,
}

/// A snapshot that was recorded.
pub struct Stored {
    /// What the engine has done.
    pub result: BackupResult,
    /// How each disk was read.
    pub disks: Vec<DiskFacts>,
    /// What the bytes are worth.
    pub consistency: Consistency,
    /// What became of the files, where they were wanted instead of disks.
    pub files: Option<StoredFiles>,
}

/// The name under which a repository makes checkpoints.
pub fn origin_of(repository: &Repository) -> Result<Origin> {
    let id = repository.config().id.to_string();
    let start = id.get(..16).unwrap_or(&id);
    start.parse().map_err(|error: lifeboat_model::ParseError| {
        Error::new(ErrorKind::Corrupt, format!("the repository's id: {error}"))
    })
}

/// What a run collects.
#[derive(Default)]
struct Notes {
    findings: Vec<Finding>,
    hooks: Vec<HookRun>,
}

impl VmBackup<'_> {
    /// Backs up one machine; whatever happens, its capture has ended when this returns.
    pub fn run(&self, vm: &Vm) -> VmOutcome {
        let mut notes = Notes::default();
        let result = self
            .turns(vm)
            .and_then(|_turns| self.attempt(vm, &mut notes));
        VmOutcome {
            vm: vm.clone(),
            result,
            findings: notes.findings,
            hooks: notes.hooks,
        }
    }

    /// Waits until the host and the repository are free for one more.
    fn turns(&self, vm: &Vm) -> Result<Vec<Turn>> {
        let limits = &self.job.limits;
        let repository = format!("repository {}", origin_of(self.place.repository)?);
        // Order: everybody takes the host's first, so that no two wait for each other.
        let wanted = [
            (self.platform.place(), limits.per_host),
            (repository, limits.per_repository),
        ];
        let wanted = wanted
            .iter()
            .filter_map(|(name, limit)| Some((name, (*limit)?)));
        let waits = || self.watch.step(&vm.name, Step::Wait);
        wanted
            .map(|(name, count)| self.turns.take(name, count, waits))
            .collect()
    }

    fn attempt(&self, vm: &Vm, notes: &mut Notes) -> Result<Option<Stored>> {
        self.watch.step(&vm.name, Step::Validate);
        if let Some(why) = self.passed_over(vm)? {
            self.note(vm, notes, [Finding::note(why)]);
            return Ok(None);
        }
        self.watch.step(&vm.name, Step::Inspect);
        let origin = origin_of(self.place.repository)?;
        let parent = parent_of_vm(self.place.repository, self.place.index, vm)?;
        self.watch.step(&vm.name, Step::Sweep);
        let wanted = parent.as_ref().map(Parent::checkpoints).unwrap_or_default();
        let swept = self.platform.sweep(&vm.id, &origin, &wanted);
        let swept = swept.doing(|| format!("cannot clear leftovers of {}", vm.name))?;
        self.note(vm, notes, swept);
        let stored = self.between_hooks(vm, notes, |notes| match &self.job.files {
            Some(files) => self.captured_files(vm, origin, files, notes),
            None => self.captured(vm, origin, parent.as_ref(), notes),
        })?;
        Ok(Some(stored))
    }

    fn passed_over(&self, vm: &Vm) -> Result<Option<String>> {
        match (vm.state, self.job.offline) {
            (VmState::Off, OfflinePolicy::Skip) => {
                Ok(Some(format!("{} is not running: passed over", vm.name)))
            }
            (VmState::Off, OfflinePolicy::Fail) => {
                let message = format!("{} is not running, and the job wants it to", vm.name);
                Err(Error::new(ErrorKind::Unsupported, message))
            }
            (VmState::Unsettled, _) => {
                let message = format!("{} is changing its state: try again later", vm.name);
                Err(Error::new(ErrorKind::Busy, message))
            }
            _ => Ok(None),
        }
    }

    /// Runs the hook before, the work, and the hook after, which runs whatever happened.
    fn between_hooks(
        &self,
        vm: &Vm,
        notes: &mut Notes,
        work: impl FnOnce(&mut Notes) -> Result<Stored>,
    ) -> Result<Stored> {
        let done = self
            .hooks(vm, Step::PreSnapshot, Vec::new(), notes)
            .and_then(|()| work(notes));
        let outcome = match &done {
            Ok(stored) => {
                let id = stored.result.snapshot.map(|id| id.to_string());
                vec![
                    ("LIFEBOAT_OUTCOME".to_owned(), "success".to_owned()),
                    ("LIFEBOAT_SNAPSHOT".to_owned(), id.unwrap_or_default()),
                ]
            }
            Err(error) => vec![
                ("LIFEBOAT_OUTCOME".to_owned(), "failure".to_owned()),
                ("LIFEBOAT_ERROR".to_owned(), chain(error)),
            ],
        };
        let after = self.hooks(vm, Step::PostSnapshot, outcome, notes);
        match (done, after) {
            (Ok(stored), Ok(())) => Ok(stored),
            (Ok(stored), Err(error)) => {
                let id = stored
                    .result
                    .snapshot
                    .map(|id| id.short())
                    .unwrap_or_default();
                let message = format!("snapshot {id} is saved, but {error}");
                Err(Error::new(error.kind(), message))
            }
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(also)) => {
                self.note(vm, notes, [Finding::warning(chain(&also))]);
                Err(error)
            }
        }
    }

    /// What a capture is asked for that knows no earlier one and leaves no mark.
    fn unmarked(&self, vm: &Vm, origin: Origin) -> Result<CaptureRequest> {
        Ok(CaptureRequest {
            vm: vm.id.clone(),
            disks: self.job.disks_of(vm)?,
            since: Default::default(),
            checkpoint: None,
            origin,
            quiesce: self.job.quiesce,
            freeze_max: self.job.freeze_max,
            scratch: self.job.scratch.clone(),
            scratch_bytes_min: None,
        })
    }

    fn captured(
        &self,
        vm: &Vm,
        origin: Origin,
        parent: Option<&Parent>,
        notes: &mut Notes,
    ) -> Result<Stored> {
        let parents = self.parent_disks(vm, parent);
        let environment = self.place.repository.environment();
        let request = CaptureRequest {
            since: parents.since(),
            checkpoint: Some(CheckpointId::new(&*environment.entropy)),
            ..self.unmarked(vm, origin)?
        };
        self.watch.step(&vm.name, Step::Capture);
        let capture = self.platform.begin_capture(&request);
        let mut capture = capture.doing(|| format!("cannot capture {}", vm.name))?;
        let done = self.stored(vm, &mut *capture, parent, parents, notes);
        let done = done.map_err(|error| explained(&mut *capture, error));
        let seen = capture.findings().to_vec();
        self.note(vm, notes, seen);
        let outcome = match &done {
            Ok(_) => CaptureOutcome::Committed,
            Err(_) => CaptureOutcome::Abandoned,
        };
        self.release(vm, capture, outcome, notes);
        done
    }

    fn release(
        &self,
        vm: &Vm,
        capture: Box<dyn Capture>,
        outcome: CaptureOutcome,
        notes: &mut Notes,
    ) {
        self.watch.step(&vm.name, Step::Release);
        match capture.finish(outcome) {
            Ok(findings) => self.note(vm, notes, findings),
            Err(error) => {
                let text = format!("{}; the next run clears it", chain(&error));
                self.note(vm, notes, [Finding::warning(text)]);
            }
        }
    }

    /// What the captured bytes are worth, told to the hooks that wait for the capture.
    fn reached(&self, vm: &Vm, capture: &dyn Capture, notes: &mut Notes) -> Result<Consistency> {
        let consistency = self.consistency(capture, notes);
        let facts = [("LIFEBOAT_CONSISTENCY".to_owned(), consistency.to_string())];
        self.hooks(vm, Step::OnSnapshot, facts.to_vec(), notes)?;
        Ok(consistency)
    }

    fn stored(
        &self,
        vm: &Vm,
        capture: &mut dyn Capture,
        parent: Option<&Parent>,
        parents: plan::ParentDisks,
        notes: &mut Notes,
    ) -> Result<Stored> {
        let consistency = self.reached(vm, capture, notes)?;
        self.watch.step(&vm.name, Step::Transfer);
        let (tasks, disks) = self.tasks(capture, parents);
        let files = plain_files(capture)?;
        let names = files.iter().map(|file| file.name.clone()).collect();
        let maker = manifest::Maker {
            backup: self,
            vm,
            captured_at: capture.captured_at(),
            consistency,
            files: names,
            hooks: notes.hooks.clone(),
        };
        let label = self.label(capture, parent);
        let capture = Mutex::new(capture);
        let describe = |outcomes: &[DiskOutcome]| {
            self.watch.step(&vm.name, Step::Confirm);
            let mut capture = capture.lock().unwrap_or_else(|p| p.into_inner());
            capture.confirm().map_err(|error| {
                let doing = format!("the capture of {} was lost while it was read", vm.name);
                lifeboat_engine::Error::new(error.kind(), doing).with_source(error)
            })?;
            self.watch.step(&vm.name, Step::Record);
            Ok(maker.file(&disks, outcomes))
        };
        let result = self.store(vm, tasks, files, &describe, label)?;
        Ok(Stored {
            result,
            disks,
            consistency,
            files: None,
        })
    }

    fn store(
        &self,
        vm: &Vm,
        disks: Vec<DiskTask>,
        files: Vec<PlainFile>,
        describe: &dyn Fn(&[DiskOutcome]) -> lifeboat_engine::Result<PlainFile>,
        label: SnapshotFile,
    ) -> Result<BackupResult> {
        let request = BackupRequest {
            disks,
            files,
            describe,
            label,
            sizes: self.place.sizes,
            write: self.place.write,
            is_dry_run: false,
        };
        let place = self.place;
        let result = backup(place.repository, place.index, place.lock, request);
        result.doing(|| format!("cannot store {}", vm.name))
    }

    /// Hooks before the capture that brought applications in order make more of frozen file
    /// systems.
    fn consistency(&self, capture: &dyn Capture, notes: &Notes) -> Consistency {
        let mut before = notes.hooks.iter().filter(|run| run.when == "pre_snapshot");
        let has_any = self.job.hooks_at("pre_snapshot").next().is_some();
        match capture.consistency() {
            Consistency::Filesystem if has_any && before.all(HookRun::is_success) => {
                Consistency::Application
            }
            reached => reached,
        }
    }

    fn label(&self, capture: &dyn Capture, parent: Option<&Parent>) -> SnapshotFile {
        let zone = jiff::tz::TimeZone::system();
        let time: Zoned = capture.captured_at().to_zoned(zone);
        let mut label = label::of(capture.name(), time.into(), &self.job.tags);
        label.parent = parent.map(|parent| parent.snapshot.id);
        self.own(&mut label);
        label
    }

    fn own(&self, label: &mut SnapshotFile) {
        let owner = &self.place.repository.environment().owner;
        label.username = owner.username.clone();
        (label.uid, label.gid) = (owner.uid, owner.gid);
    }

    fn hooks(
        &self,
        vm: &Vm,
        step: Step,
        more: Vec<(String, String)>,
        notes: &mut Notes,
    ) -> Result<()> {
        let when = step.to_string();
        if self.job.hooks_at(&when).next().is_some() {
            self.watch.step(&vm.name, step);
        }
        let mut facts = self.facts(vm, &when);
        facts.extend(more);
        let environment = self.place.repository.environment();
        // The hook after everything also runs when the run was stopped: applications wait for it.
        let never = lifeboat_model::CancelToken::new();
        let is_last = step == Step::PostSnapshot;
        let context = HookContext {
            platform: self.platform,
            vm: &vm.id,
            facts: &facts,
            cancel: if is_last { &never } else { &environment.cancel },
        };
        let mut failed = None;
        for hook in self.job.hooks_at(&when) {
            match run_and_judge(hook, &context, &mut notes.hooks) {
                Ok(None) => {}
                Ok(Some(warning)) => self.note(vm, notes, [Finding::warning(warning)]),
                Err(error) if is_last => failed = failed.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn facts(&self, vm: &Vm, when: &str) -> Vec<(String, String)> {
        let disks: Vec<&str> = vm.disks.iter().map(|disk| disk.name.as_str()).collect();
        [
            ("LIFEBOAT_HOOK", when.to_owned()),
            ("LIFEBOAT_MACHINE", vm.name.to_string()),
            ("LIFEBOAT_MACHINE_ID", vm.id.to_string()),
            ("LIFEBOAT_MACHINE_STATE", vm.state.to_string()),
            ("LIFEBOAT_PLATFORM", self.platform.kind().to_owned()),
            ("LIFEBOAT_PLACE", self.platform.place()),
            ("LIFEBOAT_DISKS", disks.join(" ")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn note(&self, vm: &Vm, notes: &mut Notes, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if !notes.findings.contains(&finding) {
                self.watch.finding(&vm.name, &finding);
                notes.findings.push(finding);
            }
        }
    }
}

/// The failure; if the capture is lost, that: reads that fail are only how it showed.
fn explained(capture: &mut dyn Capture, error: Error) -> Error {
    if error.kind() == ErrorKind::Cancelled {
        return error;
    }
    match capture.confirm() {
        Ok(()) => error,
        Err(cause) => {
            let name = capture.name();
            let message = format!("the capture of {name} was lost while it was read");
            Error::new(cause.kind(), message).with_source(cause)
        }
    }
}

/// What describes the machine, under names that may stand at a snapshot's root.
fn plain_files(capture: &dyn Capture) -> Result<Vec<PlainFile>> {
    let mut files: Vec<PlainFile> = Vec::new();
    for file in capture.files() {
        let name: lifeboat_model::VmName = file.name.parse().map_err(|error| {
            Error::new(
                ErrorKind::Invalid,
                format!("a file of the machine's definition: {error}"),
            )
        })?;
        files.push(PlainFile {
            name: name.to_string(),
            content: file.content.clone(),
        });
    }
    Ok(files)
}
