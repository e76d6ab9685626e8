//! The capture of a running machine: one pull-mode backup job and one checkpoint.
//!
//! Order: folder, room, freeze, job with checkpoint (one call, one instant), thaw, reading.
//! From the moment the job may run, everything that fails ends it and removes its checkpoint:
//! a mark whose data nobody kept would make the next increment skip what changed before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    Capture, CaptureOutcome, CaptureRequest, CapturedChange, CapturedDisk, CheckpointId,
    Consistency, DescribingFile, Error, Finding, Origin, Quiesce, Result, VmId,
};

use crate::access::Access;
use crate::binding::{Code, DefinitionKind, Domain, DomainState, Failure, Operation};
use crate::definition::Definition;
use crate::exported::{self, Kept};
use crate::host::Reached;

use super::choice::{Change, Chosen, Marks, choose, record_of};
use super::ending;
use super::freeze::freeze;
use super::guard::GuardVerdict;
use super::job::{CHANGED, JobDisk, JobRecord, backup_xml, checkpoint_xml};
use super::marks::remove_named;
use super::offline::named;
use super::scratch::{self, RunFolder};
use super::watch::ScratchWatch;
use super::{describe, leftovers};

/// The capture of a running machine.
struct RunningCapture {
    access: Arc<Access>,
    vm: VmId,
    name: VmName,
    origin: Origin,
    /// The number of this life of the machine.
    number: Option<u32>,
    run: RunFolder,
    watch: Option<ScratchWatch>,
    captured_at: Timestamp,
    consistency: Consistency,
    disks: Vec<CapturedDisk>,
    files: Vec<DescribingFile>,
    findings: Vec<Finding>,
    /// The mark that was made.
    checkpoint: Option<CheckpointId>,
    /// The marks that were built upon.
    since: BTreeSet<CheckpointId>,
    has_ended: bool,
}

/// What is known before the job begins.
struct Prepared<'a> {
    access: &'a Arc<Access>,
    request: &'a CaptureRequest,
    domain: Arc<Domain>,
    definition: Definition,
    chosen: Vec<Chosen>,
    findings: Vec<Finding>,
}

/// Begins the capture of a machine that runs or is paused.
pub(crate) fn begin(
    access: &Arc<Access>,
    request: &CaptureRequest,
    domain: Domain,
) -> Result<Box<dyn Capture>> {
    refuse_busy(&domain, &request.vm)?;
    let mut prepared = Prepared::of(access, request, domain)?;
    let name = named(&prepared.definition.name)?;
    let (xml, files_kind) = (&request.vm, DefinitionKind::Portable);
    let (whole, xml) = describe::definition(&prepared.domain, xml, files_kind)?;
    let host = access.host()?;
    let (files, missing) = describe::files(host.as_ref(), &whole, xml);
    prepared.findings.extend(missing);
    let run = prepared.make_room()?;
    let mut capture = RunningCapture {
        access: Arc::clone(access),
        vm: request.vm.clone(),
        name,
        origin: request.origin.clone(),
        number: prepared.domain.number(),
        run,
        watch: None,
        captured_at: access.clock.now(),
        consistency: Consistency::Crash,
        disks: Vec::new(),
        files,
        findings: Vec::new(),
        checkpoint: None,
        since: request
            .since
            .values()
            .map(|it| it.checkpoint.clone())
            .collect(),
        // Nothing runs yet; the folder is removed in any case.
        has_ended: false,
    };
    prepared.begin_job(&mut capture)?;
    capture.findings.append(&mut prepared.findings);
    let needed = prepared.scratch_bytes();
    let folder = capture.run.scratch(0);
    let folder = folder.parent().unwrap_or(&folder);
    capture.watch = Some(ScratchWatch::begin(access, &request.vm, folder, needed));
    let reached = Arc::new(host.reach(capture.run.socket())?);
    for chosen in &prepared.chosen {
        let disk = capture.open(chosen, &reached)?;
        capture.disks.push(disk);
    }
    Ok(Box::new(capture))
}

/// Errors: `Busy` if a job runs: libvirt would let a second one wait for half a minute.
fn refuse_busy(domain: &Domain, vm: &VmId) -> Result<()> {
    let failed = |failure: Failure| failure.of("asking for the jobs of", vm.as_str());
    let seen = match domain.job().map_err(failed)? {
        None => return Ok(()),
        Some(Operation::Other(number)) => {
            format!("a job of libvirt runs on it (operation {number}); try again later")
        }
        Some(Operation::Backup) => match domain.backup().map_err(failed)? {
            None => return Ok(()),
            Some(xml) => whose(&JobRecord::parse(&xml)?),
        },
    };
    Err(Error::new(ErrorKind::Busy, "capturing", vm.as_str()).seen(seen))
}

fn whose(job: &JobRecord) -> String {
    let socket = job.socket.as_deref();
    let name = socket.map_or("without a socket".into(), |it| it.display().to_string());
    match socket.is_some_and(scratch::is_ours) {
        true => format!(
            "another lifeboat captures it ({name}); try again when that is done, or, if that \
             run is dead, after `virsh domjobabort`"
        ),
        false => format!(
            "another program's backup job runs on it ({name}); try again when that is done, or \
             end it with `virsh domjobabort`"
        ),
    }
}

impl<'a> Prepared<'a> {
    fn of(access: &'a Arc<Access>, request: &'a CaptureRequest, domain: Domain) -> Result<Self> {
        let vm = &request.vm;
        let (definition, _) = describe::definition(&domain, vm, DefinitionKind::Present)?;
        let (disks, findings) = choose(&definition, request)?;
        let mut marks = Marks::new(&domain, vm, request);
        let mut chosen = Vec::new();
        for (name, disk) in disks {
            let size = domain
                .disk_size(&disk.target)
                .map_err(|failure| failure.of("asking the size of", name.as_str()))?;
            let change = marks.decide(&name, &disk, size)?;
            chosen.push(Chosen {
                name,
                disk,
                size,
                change,
            });
        }
        Ok(Self {
            access,
            request,
            domain: Arc::new(domain),
            definition,
            chosen,
            findings,
        })
    }

    /// Bytes that must be free for what the guest overwrites meanwhile.
    fn scratch_bytes(&self) -> u64 {
        let tenth = self.chosen.iter().map(|it| it.size / 10).sum();
        self.request.scratch_bytes_min.map_or(tenth, |it| it.0)
    }

    /// Errors: `Full`.
    fn make_room(&self) -> Result<RunFolder> {
        let base = match self.request.scratch.clone() {
            Some(base) => base,
            None => scratch::usual_base(self.access)?,
        };
        let vm = (&self.request.vm, &self.request.origin);
        let run = RunFolder::create(self.access, &base, vm, self.domain.number())?;
        let (free, needed) = (run.free_bytes()?, self.scratch_bytes());
        if free >= needed {
            return Ok(run);
        }
        run.remove()?;
        Err(Error::new(
            ErrorKind::Full,
            "making room for what the machine overwrites in",
            base.display().to_string(),
        )
        .seen(format!(
            "{free} bytes are free and {needed} are wanted; name another folder for scratch, or \
             fewer bytes"
        )))
    }

    /// Freezes, begins the job, thaws.
    fn begin_job(&mut self, capture: &mut RunningCapture) -> Result<()> {
        if self.request.quiesce == Quiesce::Never {
            capture.captured_at = self.access.clock.now();
            return self.begin_with_checkpoint(capture);
        }
        let vm = (&self.request.vm, &Arc::clone(&self.domain));
        let frozen = match self.definition.has_agent {
            true => freeze(self.access, vm, &capture.run, self.request.freeze_max),
            false => Err("the machine has no channel to a guest agent".into()),
        };
        let reason = match frozen {
            Err(reason) => reason,
            Ok(frozen) => {
                capture.captured_at = self.access.clock.now();
                let mut begun = Begun::default();
                let result = self.begin_any(&capture.run, &mut begun);
                let verdict = frozen.thaw();
                capture.checkpoint = begun.checkpoint;
                result?;
                if verdict == GuardVerdict::Unused {
                    capture.consistency = Consistency::Filesystem;
                    return Ok(());
                }
                "it was thawed before the instant was certainly fixed".into()
            }
        };
        self.go_on_unfrozen(capture, &reason)
    }

    fn go_on_unfrozen(&mut self, capture: &mut RunningCapture, reason: &str) -> Result<()> {
        if self.request.quiesce == Quiesce::Required {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "freezing the guest of",
                self.definition.name.as_str(),
            )
            .seen(format!("{reason}; it is required")));
        }
        self.findings.push(Finding::warning(format!(
            "the guest was not frozen, its disks are as after a loss of power: {reason}"
        )));
        if capture.checkpoint.is_some() || self.domain.backup().ok().flatten().is_some() {
            return Ok(());
        }
        capture.captured_at = self.access.clock.now();
        self.begin_with_checkpoint(capture)
    }

    fn begin_with_checkpoint(&mut self, capture: &mut RunningCapture) -> Result<()> {
        let mut begun = Begun::default();
        let result = self.begin_any(&capture.run, &mut begun);
        capture.checkpoint = begun.checkpoint;
        result
    }

    /// Begins the job; a disk whose bitmap turns out to be broken is read as a whole.
    fn begin_any(&mut self, run: &RunFolder, begun: &mut Begun) -> Result<()> {
        loop {
            let disks = self.job_disks(run);
            let mark = self.request.checkpoint.as_ref();
            let mark =
                mark.and_then(|id| Some((id, checkpoint_xml(id, &self.request.origin, &disks)?)));
            let backup = backup_xml(run.socket(), &disks);
            // Known before the call: a call without an answer may have made it.
            begun.checkpoint = mark.as_ref().map(|(id, _)| (*id).clone());
            let xml = mark.as_ref().map(|(_, xml)| xml.as_str());
            match self.domain.begin_backup(&backup, xml) {
                Ok(()) => return Ok(()),
                Err(failure) if self.has_demoted(&failure) => {}
                Err(failure) => return Err(self.refused(&failure)),
            }
        }
    }

    fn job_disks(&self, run: &RunFolder) -> Vec<JobDisk> {
        let numbered = self.chosen.iter().enumerate();
        numbered
            .map(|(index, chosen)| JobDisk {
                target: chosen.disk.target.clone(),
                scratch: run.scratch(index),
                since: chosen.since().cloned(),
                is_marked: chosen.has_bitmaps() && self.request.checkpoint.is_some(),
            })
            .collect()
    }

    /// Whether the refusal was about bitmaps, and other disks are read as a whole now.
    fn has_demoted(&mut self, failure: &Failure) -> bool {
        if failure.code != Code::BROKEN_CHECKPOINT {
            return false;
        }
        let text = failure.to_string();
        let named = |chosen: &Chosen| text.contains(&format!("'{}'", chosen.disk.target));
        let is_any_named = self
            .chosen
            .iter()
            .any(|chosen| chosen.since().is_some() && named(chosen));
        let mut has_demoted = false;
        for chosen in &mut self.chosen {
            if chosen.since().is_some() && (!is_any_named || named(chosen)) {
                chosen.change = Change::Everything(format!("its bitmap cannot be used: {text}"));
                has_demoted = true;
            }
        }
        has_demoted
    }

    fn refused(&self, failure: &Failure) -> Error {
        let is_broken = failure.code == Code::BROKEN_CHECKPOINT;
        let error = failure.clone().of("capturing", &self.definition.name);
        if !is_broken {
            return error;
        }
        error.seen(format!(
            "{failure}; a checkpoint of another program is broken: remove it with that program, \
             or with `virsh checkpoint-delete --metadata`"
        ))
    }
}

/// What beginning a job may have left, even if it failed.
#[derive(Default)]
struct Begun {
    checkpoint: Option<CheckpointId>,
}

impl RunningCapture {
    fn open(&self, chosen: &Chosen, reached: &Arc<Reached>) -> Result<CapturedDisk> {
        let since = chosen.since().map(|_| CHANGED);
        let host = self.access.host()?;
        let way: Kept = Box::new(Arc::clone(reached));
        let (socket, advice) = (&reached.socket, reached.advice);
        let opened = exported::open(socket, &chosen.disk.target, since, advice, way);
        // What ssh said stands where the reason is.
        let opened = opened.map_err(|error| match host.complaints() {
            text if text.is_empty() => error,
            text => error.seen(text),
        })?;
        if opened.reader.size() != chosen.size {
            return Err(
                Error::new(ErrorKind::Busy, "capturing", chosen.name.as_str())
                    .seen("it was resized meanwhile; run the backup again"),
            );
        }
        let change = match (&chosen.change, opened.changed) {
            (Change::Everything(reason), _) => CapturedChange::Everything {
                reason: reason.clone(),
            },
            (Change::Since(_), Some(changed)) => CapturedChange::Since { changed },
            (Change::Since(checkpoint), None) => CapturedChange::Everything {
                reason: format!("QEMU does not show the bitmap of {checkpoint}"),
            },
        };
        Ok(CapturedDisk {
            name: chosen.name.clone(),
            format: chosen.format(),
            reader: opened.reader,
            change,
            checkpoint: self.checkpoint.clone().filter(|_| chosen.has_bitmaps()),
        })
    }

    fn lost(&self, seen: impl Into<String>) -> Error {
        Error::new(
            ErrorKind::Busy,
            "confirming the capture of",
            self.name.as_str(),
        )
        .seen(format!("{}; run the backup again", seen.into()))
    }

    /// Ends the job, if it is still ours.
    fn end_job(&self, domain: &Domain) -> Result<()> {
        let socket = self.run.socket();
        if domain.number().is_none() || !ending::is_there(domain, &self.vm, socket)? {
            return Ok(());
        }
        ending::end(&self.access, domain, &self.vm, socket)
    }

    /// Ends everything; goes on where one step fails.
    fn end(&mut self, outcome: CaptureOutcome) -> (Vec<Finding>, Vec<Error>) {
        self.has_ended = true;
        self.watch = None;
        self.disks.clear();
        let mut findings = std::mem::take(&mut self.findings);
        let mut errors = Vec::new();
        let mut is_job_over = true;
        match self.access.domain_patiently(&self.vm) {
            Ok(domain) => {
                errors.extend(self.end_job(&domain).err());
                is_job_over = errors.is_empty();
                self.remove_marks(&domain, outcome, &mut findings, &mut errors);
            }
            // A machine that is gone took its job along.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                is_job_over = false;
                errors.push(error);
            }
        }
        if is_job_over {
            errors.extend(self.run.remove().err());
        }
        (findings, errors)
    }

    fn remove_marks(
        &self,
        domain: &Domain,
        outcome: CaptureOutcome,
        findings: &mut Vec<Finding>,
        errors: &mut Vec<Error>,
    ) {
        let unwanted: Vec<CheckpointId> = match outcome {
            CaptureOutcome::Abandoned => self.checkpoint.iter().cloned().collect(),
            CaptureOutcome::Committed => {
                let since = self
                    .since
                    .iter()
                    .filter(|id| self.is_superseded(domain, id));
                since.cloned().collect()
            }
        };
        for id in unwanted {
            match remove_named(domain, &self.vm, &id) {
                Ok(removed) => findings.extend(leftovers::told(&id, removed)),
                Err(error) => errors.push(error),
            }
        }
    }

    /// Whether the new mark stands for all that the old one stands for.
    fn is_superseded(&self, domain: &Domain, old: &CheckpointId) -> bool {
        let of = |id| record_of(domain, &self.vm, id).ok().flatten();
        let Some(old) = of(old) else {
            return false;
        };
        let ours = Some(self.origin.to_string());
        let new = self.checkpoint.as_ref().and_then(of);
        let covered = new.map_or(Vec::new(), |new| new.disks);
        old.origin == ours && old.disks.iter().all(|disk| covered.contains(disk))
    }
}

impl Capture for RunningCapture {
    fn name(&self) -> &VmName {
        &self.name
    }

    fn captured_at(&self) -> Timestamp {
        self.captured_at
    }

    fn consistency(&self) -> Consistency {
        self.consistency
    }

    fn disks(&self) -> &[CapturedDisk] {
        &self.disks
    }

    fn files(&self) -> &[DescribingFile] {
        &self.files
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn confirm(&mut self) -> Result<()> {
        if self.watch.as_ref().is_some_and(ScratchWatch::has_fired) {
            return Err(Error::new(
                ErrorKind::Full,
                "confirming the capture of",
                self.name.as_str(),
            )
            .seen(
                "there was too little room for what the machine overwrites, so the backup was \
                 ended to protect it; make room or name another folder for scratch",
            ));
        }
        let domain = self.access.domain_patiently(&self.vm)?;
        let asked = |failure: Failure| failure.of("confirming the capture of", self.name.as_str());
        if domain.number().is_none() || domain.number() != self.number {
            return Err(self.lost("the machine was switched off or died meanwhile"));
        }
        match domain.state().map_err(asked)? {
            DomainState::Running | DomainState::Paused { by_error: false } => {}
            DomainState::Paused { by_error: true } => {
                return Err(self.lost("the machine stands still because of an I/O error"));
            }
            _ => return Err(self.lost("the machine is being switched off")),
        }
        if !ending::is_there(&domain, &self.vm, self.run.socket())? {
            return Err(self.lost("its backup job has ended"));
        }
        if !self.run.is_held() {
            return Err(self.lost("the connection to its host was lost"));
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, outcome: CaptureOutcome) -> Result<Vec<Finding>> {
        let (findings, mut errors) = self.end(outcome);
        match errors.is_empty() {
            true => Ok(findings),
            false => Err(errors.remove(0)),
        }
    }
}

impl Drop for RunningCapture {
    fn drop(&mut self) {
        if !self.has_ended {
            // What stays is found by the next sweep.
            let _ = self.end(CaptureOutcome::Abandoned);
        }
    }
}
