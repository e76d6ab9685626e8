//! A capture: the snapshots of a machine from their making to their end.

use jiff::Timestamp;
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    Capture, CaptureOutcome, CapturedDisk, Consistency, DescribingFile, Error, Finding, Percent,
    Result,
};

use crate::FullName;
use crate::report::Volume;
use crate::room::refuse_failing;
use crate::system::LockGuard;
use crate::tools::Tools;

/// What is said of a store that became full.
pub(crate) const OVERFLOWED: &str = "the snapshot overflowed, size it bigger: the machine wrote \
    more meanwhile than its store holds; nothing of this run can be kept";

/// A snapshot that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) name: FullName,
    /// Which of the wanted disks it is of.
    pub(crate) place: usize,
    pub(crate) is_thin: bool,
    /// Whether it stays when the run was committed.
    pub(crate) keeps: bool,
    pub(crate) pool: Option<FullName>,
    /// The checkpoint that goes when it stays.
    pub(crate) replaced: Option<FullName>,
}

/// The snapshots of a capture; removed when dropped.
pub(crate) struct Snapshots {
    tools: Tools,
    pub(crate) made: Vec<Made>,
}

impl Snapshots {
    pub(crate) fn new(tools: Tools) -> Self {
        Self {
            tools,
            made: Vec::new(),
        }
    }

    /// The snapshot of a wanted disk.
    pub(crate) fn of(&mut self, place: usize) -> Result<&mut Made> {
        let missing = || Error::new(ErrorKind::NotFound, "looking for", "the snapshot of a disk");
        self.made
            .iter_mut()
            .find(|it| it.place == place)
            .ok_or_else(missing)
    }

    /// Ends every snapshot; the first failure is told when all were tried.
    fn end(&mut self, outcome: CaptureOutcome) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let mut result = Ok(());
        for made in std::mem::take(&mut self.made) {
            result = result.and(self.end_one(&made, outcome, &mut findings));
        }
        result.map(|()| findings)
    }

    fn end_one(
        &self,
        made: &Made,
        outcome: CaptureOutcome,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        if !made.keeps || outcome == CaptureOutcome::Abandoned {
            return self.tools.remove(&made.name);
        }
        // A classic snapshot stays active: it must see what is written.
        if made.is_thin
            && let Err(error) = self.tools.deactivate(&made.name)
        {
            let text = format!("the kept snapshot stays active, which does no harm: {error}");
            findings.push(Finding::note(text));
        }
        match &made.replaced {
            Some(replaced) => self.tools.remove(replaced),
            None => Ok(()),
        }
    }

    fn confirm(&self) -> Result<()> {
        if self.made.is_empty() {
            return Ok(());
        }
        let all = self.tools.volumes()?;
        self.made.iter().try_for_each(|made| confirm(made, &all))
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next sweep.
        let _ = self.end(CaptureOutcome::Abandoned);
    }
}

fn confirm(made: &Made, all: &[Volume]) -> Result<()> {
    let lost = |kind, seen| {
        Err(Error::new(kind, "confirming the snapshot", made.name.to_string()).seen(seen))
    };
    let Some(snapshot) = all.iter().find(|it| it.name == made.name) else {
        return lost(
            ErrorKind::NotFound,
            "it is gone; nothing of this run can be kept",
        );
    };
    if made.is_thin {
        let pool = made
            .pool
            .as_ref()
            .and_then(|name| all.iter().find(|it| it.name == *name));
        return match pool {
            Some(pool) => refuse_failing(pool),
            None => lost(
                ErrorKind::NotFound,
                "its pool is gone; nothing of this run can be kept",
            ),
        };
    }
    let is_full = snapshot.used.is_none_or(|used| used >= Percent::FULL);
    if snapshot.is_lost || is_full {
        return lost(ErrorKind::Full, OVERFLOWED);
    }
    Ok(())
}

/// A machine's snapshots, open for reading.
pub(crate) struct LvmCapture {
    // Order: the readers are closed before the snapshots are removed, the locks end last.
    pub(crate) disks: Vec<CapturedDisk>,
    pub(crate) snapshots: Snapshots,
    pub(crate) name: VmName,
    pub(crate) at: Timestamp,
    pub(crate) consistency: Consistency,
    pub(crate) files: Vec<DescribingFile>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) _locks: Vec<LockGuard>,
}

impl Capture for LvmCapture {
    fn name(&self) -> &VmName {
        &self.name
    }

    fn captured_at(&self) -> Timestamp {
        self.at
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
        self.snapshots.confirm()
    }

    fn finish(mut self: Box<Self>, outcome: CaptureOutcome) -> Result<Vec<Finding>> {
        self.disks.clear();
        self.snapshots.end(outcome)
    }
}
