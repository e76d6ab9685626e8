//! What runs that died left behind: jobs, checkpoints, folders, sockets, frozen guests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lifeboat_platform::{CheckpointId, Finding, Origin, Result, VmId};

use crate::access::Access;
use crate::binding::{Domain, Failure, Operation};
use crate::host::Host;

use super::ending;
use super::job::JobRecord;
use super::marks::{self, Removed};
use super::scratch::{self, RunRecord, Sign};

/// What a sweep does to one machine.
struct Sweep<'a> {
    vm: &'a VmId,
    origin: &'a Origin,
    domain: &'a Domain,
    host: &'a dyn Host,
    findings: Vec<Finding>,
}

/// What the job that runs now is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobSeen {
    None,
    /// Of a run of ours that lives.
    Alive,
    /// Of another program, or left by a run for another origin.
    Foreign,
}

/// Removes what dead runs for `origin` left on a machine.
pub(crate) fn sweep(
    access: &Access,
    vm: &VmId,
    origin: &Origin,
    wanted: &[CheckpointId],
) -> Result<Vec<Finding>> {
    let domain = access.domain(vm)?;
    let host = access.host()?;
    let mut sweep = Sweep::of((vm, origin), &domain, host.as_ref());
    // The mark of a run that lives is wanted by nobody yet.
    if sweep.runs(access)? != JobSeen::Alive {
        sweep.remove_marks(wanted)?;
    }
    Ok(sweep.findings)
}

/// The same but for marks: ends their jobs, removes their folders, thaws the guest.
pub(crate) fn sweep_runs(access: &Access, vm: &VmId, origin: &Origin) -> Result<Vec<Finding>> {
    let (domain, host) = (access.domain(vm)?, access.host()?);
    let mut sweep = Sweep::of((vm, origin), &domain, host.as_ref());
    sweep.runs(access)?;
    Ok(sweep.findings)
}

impl<'a> Sweep<'a> {
    fn of((vm, origin): (&'a VmId, &'a Origin), domain: &'a Domain, host: &'a dyn Host) -> Self {
        Self {
            vm,
            origin,
            domain,
            host,
            findings: Vec::new(),
        }
    }

    fn runs(&mut self, access: &Access) -> Result<JobSeen> {
        let mut bases: BTreeSet<PathBuf> = [scratch::usual_base(access)?].into();
        let seen = match self.domain.number() {
            Some(_) => self.end_job(access, &mut bases)?,
            None => JobSeen::None,
        };
        for base in &bases {
            self.clean(base)?;
        }
        Ok(seen)
    }

    fn is_of(&self, record: &RunRecord) -> bool {
        record.vm == self.vm.as_str() && record.origin == self.origin.to_string()
    }

    /// Ends a job that a dead run of ours left; adds where its folder is.
    fn end_job(&mut self, access: &Access, bases: &mut BTreeSet<PathBuf>) -> Result<JobSeen> {
        let failed = |failure: Failure| failure.of("asking for the jobs of", self.vm.as_str());
        if self.domain.job().map_err(failed)? != Some(Operation::Backup) {
            return Ok(JobSeen::None);
        }
        let Some(xml) = self.domain.backup().map_err(failed)? else {
            return Ok(JobSeen::None);
        };
        let record = JobRecord::parse(&xml)?;
        let socket = record.socket.clone().unwrap_or_default();
        let folder = record.scratches.first().and_then(|it| it.parent());
        let Some(folder) = folder.filter(|it| scratch::is_ours(it) && scratch::is_ours(&socket))
        else {
            return Ok(JobSeen::Foreign);
        };
        match scratch::look(self.host, folder)? {
            Sign::Alive(_) => return Ok(JobSeen::Alive),
            Sign::Dead(record) if self.is_of(&record) => {}
            Sign::Dead(_) | Sign::Gone => return Ok(JobSeen::Foreign),
        }
        ending::end(access, self.domain, self.vm, &socket)?;
        let text = "a backup job that an earlier run left was ended";
        self.findings.push(Finding::note(text));
        bases.extend(folder.parent().map(Path::to_owned));
        Ok(JobSeen::None)
    }

    /// Removes folders of dead runs, and thaws the guest if one of them froze it.
    fn clean(&mut self, base: &Path) -> Result<()> {
        for folder in scratch::folders(self.host, base)? {
            let record = match scratch::look(self.host, &folder)? {
                Sign::Dead(record) if self.is_of(&record) => record,
                _ => continue,
            };
            if self.domain.number().is_some() && scratch::was_frozen(self.host, &folder)? {
                self.thaw()?;
            }
            scratch::remove(self.host, &folder, &record.socket)?;
            self.findings.push(Finding::note(format!(
                "scratch files that an earlier run left were removed: {}",
                folder.display()
            )));
        }
        Ok(())
    }

    fn thaw(&mut self) -> Result<()> {
        let thawed = self
            .domain
            .thaw()
            .map_err(|failure| failure.of("thawing the guest of", self.vm.as_str()))?;
        if thawed > 0 {
            self.findings.push(Finding::warning(
                "an earlier run had left the guest frozen; it was thawed",
            ));
        }
        Ok(())
    }

    fn remove_marks(&mut self, wanted: &[CheckpointId]) -> Result<()> {
        let ours = Some(self.origin.to_string());
        let all = marks::ours(self.domain, self.vm)?;
        let unwanted = all
            .into_iter()
            .filter(|mark| mark.record.origin == ours && !wanted.contains(&mark.id));
        for mark in unwanted {
            if self.domain.number().is_none() {
                self.findings.push(Finding::note(format!(
                    "the checkpoint {} is not needed any more and goes when the machine runs",
                    mark.id
                )));
                continue;
            }
            let removed = marks::remove(self.domain, self.vm, &mark.checkpoint)?;
            let plain = || {
                let text = "which no snapshot needs, was removed";
                Finding::note(format!("the checkpoint {}, {text}", mark.id))
            };
            self.findings
                .push(told(&mark.id, removed).unwrap_or_else(plain));
        }
        Ok(())
    }
}

/// What is worth telling about a checkpoint that was removed.
pub(crate) fn told(id: &CheckpointId, removed: Removed) -> Option<Finding> {
    (removed == Removed::Record).then(|| {
        Finding::note(format!(
            "the bitmaps of the checkpoint {id} were gone already; its record was removed"
        ))
    })
}
