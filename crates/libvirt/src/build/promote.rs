//! Moving a disk of a running machine to its final place while the machine runs.
//!
//! For a machine that was started on a disk elsewhere: QEMU copies it here, keeps both equal,
//! and goes over to the copy when it is told.

use std::fmt;
use std::sync::Arc;

use lifeboat_model::{DiskName, ErrorKind, VmName};
use lifeboat_platform::{Error, PlannedDisk, Result, VmId};

use crate::access::Access;
use crate::binding::{CopyRule, DefinitionKind as Definition, Domain, Failure, JobEnd};
use crate::definition::{child, children, parse};
use crate::host::FileKind;

use super::place::{self, Place};
use super::rewrite::source_xml;

/// How far a promotion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes that must be; grows while the machine writes.
    pub end: u64,
}

impl Promoted {
    /// Whether the machine can go over.
    pub fn is_ready(self) -> bool {
        self.end > 0 && self.done == self.end
    }
}

/// A disk that is being moved. One that is dropped goes on: the machine keeps both places
/// equal until it is told to go over, or to give up.
pub struct Promotion {
    access: Arc<Access>,
    vm: VmId,
    disk: DiskName,
    place: Place,
}

/// Begins to move a disk of a running machine.
///
/// Errors: `Exists` for a place that is taken; `Busy` if a job runs on the disk.
pub(crate) fn promote(
    access: &Arc<Access>,
    vm: &VmId,
    disk: &DiskName,
    target: &PlannedDisk,
) -> Result<Promotion> {
    let (connection, host) = (access.connection()?, access.host()?);
    let domain = access.domain(vm)?;
    let name = named(&domain, vm)?;
    let place = place::find((&connection, host.as_ref()), &name, target)?;
    match &place {
        Place::Remote(_) => {
            return Err(
                Error::new(ErrorKind::Invalid, "moving the disk", disk.as_str())
                    .seen("its target is elsewhere; name a place on this host"),
            );
        }
        Place::File(path) if host.kind(path)? != FileKind::Absent => {
            return Err(Error::new(
                ErrorKind::Exists,
                "moving the disk to",
                path.display().to_string(),
            )
            .seen("something is there already"));
        }
        Place::Volume { pool, .. } => {
            place.make_volume(&connection, pool, target.size)?;
        }
        Place::File(_) | Place::Device(_) => {}
    }
    let (kind, source) = source_xml(&place.source());
    let xml = format!(
        "<disk type='{kind}'>{source}<driver type='{}'/></disk>",
        target.format
    );
    let rule = match &place {
        Place::File(_) => CopyRule::Create,
        _ => CopyRule::IntoExisting,
    };
    let promotion = Promotion {
        access: Arc::clone(access),
        vm: vm.clone(),
        disk: disk.clone(),
        place,
    };
    if let Err(failure) = domain.begin_copy(disk.as_str(), &xml, rule) {
        // What libvirt may have made of the target.
        let _ = promotion.place.remove(&connection, host.as_ref());
        return Err(promotion.failed("moving the disk")(failure));
    }
    Ok(promotion)
}

/// The move of a disk that goes on although the process that began it is gone.
///
/// Errors: `Busy` if another job runs on the disk.
pub(crate) fn find(
    access: &Arc<Access>,
    vm: &VmId,
    target: &PlannedDisk,
) -> Result<Option<Promotion>> {
    let connection = access.connection()?;
    let domain = access.domain(vm)?;
    let name = named(&domain, vm)?;
    let disk = target.name.as_str();
    let failed = |failure: Failure| failure.of("asking for the move of", disk);
    if domain.number().is_none() || domain.block_job(disk).map_err(failed)?.is_none() {
        return Ok(None);
    }
    let host = access.host()?;
    let place = place::find((&connection, host.as_ref()), &name, target)?;
    let definition = domain.xml(Definition::Present).map_err(failed)?;
    let to = mirror_of(&definition, disk)?;
    if to.as_deref() != Some(place.shown().as_str()) {
        let elsewhere = to.map_or("of another sort".into(), |to| format!("a copy to {to}"));
        return Err(
            Error::new(ErrorKind::Busy, "moving the disk", disk).seen(format!(
                "a job of libvirt runs on it, {elsewhere}; end it with `virsh blockjob --abort`"
            )),
        );
    }
    Ok(Some(Promotion {
        access: Arc::clone(access),
        vm: vm.clone(),
        disk: target.name.clone(),
        place,
    }))
}

/// Removes what a move left that ended before the machine went over.
///
/// Errors: `Busy` if a machine has it.
pub(crate) fn remove_copy(access: &Access, vm: &VmName, target: &PlannedDisk) -> Result<()> {
    let (connection, host) = (access.connection()?, access.host()?);
    let place = place::find((&connection, host.as_ref()), vm, target)?;
    if place::is_mentioned(&connection, &place.shown())? {
        return Err(
            Error::new(ErrorKind::Busy, "removing the copy", place.shown())
                .seen("a machine has it as its disk"),
        );
    }
    match place.remove(&connection, host.as_ref()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn named(domain: &Domain, vm: &VmId) -> Result<VmName> {
    domain.name().parse().map_err(|cause| {
        Error::new(ErrorKind::Invalid, "moving a disk of", vm.as_str()).because(cause)
    })
}

/// Where a disk of a running machine is being copied to.
fn mirror_of(definition: &str, disk: &str) -> Result<Option<String>> {
    let document = parse(definition, "a machine's definition")?;
    let devices = child(document.root_element(), "devices");
    let disks = devices.into_iter().flat_map(|it| children(it, "disk"));
    let is_it = |it: &roxmltree::Node<'_, '_>| {
        child(*it, "target").and_then(|it| it.attribute("dev")) == Some(disk)
    };
    let mirrors = disks.filter(is_it).filter_map(|it| child(it, "mirror"));
    let sources = mirrors.filter_map(|it| child(it, "source"));
    let mut places = sources.filter_map(|it| it.attribute("file").or(it.attribute("dev")));
    Ok(places.next().map(str::to_owned))
}

impl Promotion {
    fn failed(&self, doing: &'static str) -> impl Fn(Failure) -> Error + '_ {
        move |failure| failure.of(doing, self.disk.as_str())
    }

    /// Says how far it is.
    ///
    /// Errors: `NotFound` if the copy ended by itself, as when its target is full.
    pub fn progress(&self) -> Result<Promoted> {
        let domain = self.access.domain(&self.vm)?;
        let job = domain.block_job(self.disk.as_str());
        let job = job.map_err(self.failed("asking how far the copy is of"))?;
        let job = job.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "moving the disk", self.disk.as_str())
                .seen("the copy has ended by itself; the machine stays where it was; see its log")
        })?;
        Ok(Promoted {
            done: job.done,
            end: job.end,
        })
    }

    /// Lets the machine go over to the copy.
    ///
    /// Errors: `Busy` while it is not ready; then it goes on.
    pub fn finish(&self) -> Result<()> {
        if !self.progress()?.is_ready() {
            return Err(
                Error::new(ErrorKind::Busy, "moving the disk", self.disk.as_str())
                    .seen("the copy is not complete yet"),
            );
        }
        self.end(JobEnd::Pivot)
    }

    /// Gives up: the machine stays where it was, the copy is removed.
    pub fn give_up(&self) -> Result<()> {
        self.end(JobEnd::Cancel)?;
        let host = self.access.host()?;
        self.place.remove(&self.access.connection()?, host.as_ref())
    }

    fn end(&self, how: JobEnd) -> Result<()> {
        let domain = self.access.domain(&self.vm)?;
        domain
            .end_block_job(self.disk.as_str(), how)
            .map_err(self.failed("ending the move of"))
    }
}

impl fmt::Debug for Promotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Promotion({} to {})", self.disk, self.place.shown())
    }
}
