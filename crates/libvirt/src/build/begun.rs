//! A machine on its way into being.
//!
//! Order: the old machine is stopped and renamed, disks are made, the new machine is defined.
//! Undoing goes the other way, and goes on where one step fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_model::{DiskName, ErrorKind};
use lifeboat_platform::{Build, BuildPlan, Error, Finding, LocalDisk, Replaced, Result, VmId};

use crate::access::Access;
use crate::binding::{DefinitionKind, Domain, DomainState, Failure, Undefining};
use crate::capture::{marks_of_ours, remove_record};
use crate::definition::{Definition, DiskSource};

use super::place::{self, Place};
use super::record::{AsideChange, MadeFile, Record};

/// Pause between two looks whether a machine has shut down.
const STOP_PAUSE: Duration = Duration::from_millis(250);

/// A machine being built.
struct BegunBuild {
    access: Arc<Access>,
    plan: BuildPlan,
    disks: Vec<MadeDisk>,
    nvram: Option<PathBuf>,
    aside: Option<Aside>,
    defined: Option<VmId>,
    /// Written as soon as something is changed.
    record: Option<Record>,
    is_over: bool,
}

struct MadeDisk {
    name: DiskName,
    place: Place,
    writer: Option<Arc<dyn DiskWriter>>,
}

/// The machine that made room.
struct Aside {
    id: VmId,
    name: String,
    is_renamed: bool,
    was_running: bool,
}

/// Makes room and creates the disks.
pub(crate) fn begin(access: &Arc<Access>, plan: &BuildPlan) -> Result<Box<dyn Build>> {
    let mut build = BegunBuild {
        access: Arc::clone(access),
        plan: plan.clone(),
        disks: Vec::new(),
        nvram: None,
        aside: None,
        defined: None,
        record: None,
        is_over: false,
    };
    // Dropped on failure, which undoes what was done until then.
    build.set_aside()?;
    build.refuse_taken()?;
    build.make_disks()?;
    build.write_nvram()?;
    Ok(Box::new(build))
}

impl BegunBuild {
    fn failed(&self, doing: &'static str) -> impl Fn(Failure) -> Error + '_ {
        move |failure| failure.of(doing, self.plan.name.as_str())
    }

    /// Writes down what changes, for the time after a crash; only for machines of this host,
    /// whose files can be told from others' by their numbers.
    fn note(&mut self, change: impl FnOnce(&mut Record)) -> Result<()> {
        if !self.access.is_local() {
            return Ok(());
        }
        let mut record = match self.record.take() {
            Some(record) => record,
            None => {
                let uuid = Definition::parse(&self.plan.definition)?.uuid;
                Record::begin(&self.access, &self.plan.name, &uuid)?
            }
        };
        change(&mut record);
        let saved = record.save();
        self.record = Some(record);
        saved
    }

    fn set_aside(&mut self) -> Result<()> {
        let Some(Replaced { id, aside }) = self.plan.replaced.clone() else {
            return Ok(());
        };
        let old = self.access.domain(&id)?;
        let name = old.name();
        if name != self.plan.name.as_str() {
            return Err(Error::new(ErrorKind::NotFound, "setting aside", name)
                .seen("the machine was renamed since the plan was made; plan anew"));
        }
        let state = old.state().map_err(self.failed("setting aside"))?;
        self.aside = Some(Aside {
            id: id.clone(),
            name,
            is_renamed: false,
            was_running: matches!(state, DomainState::Running | DomainState::Paused { .. }),
        });
        let was_running = self.aside.as_ref().is_some_and(|it| it.was_running);
        self.note(|record| {
            record.changes.aside = Some(AsideChange {
                id: id.to_string(),
                aside: aside.to_string(),
                was_running,
            });
        })?;
        self.stop(&old)?;
        for mark in marks_of_ours(&old, &id)? {
            remove_record(&mark).map_err(self.failed("removing the checkpoints of"))?;
        }
        old.rename(aside.as_str())
            .map_err(self.failed("setting aside"))?;
        if let Some(aside) = &mut self.aside {
            aside.is_renamed = true;
        }
        Ok(())
    }

    /// Asks the machine to shut down, and switches it off when its time is over.
    fn stop(&self, old: &Domain) -> Result<()> {
        if old.number().is_none() {
            return Ok(());
        }
        let limit = self.access.options.stop_limit;
        let end = self.access.clock.monotonic() + limit;
        // A machine that does not listen is switched off below.
        let asked = old.shut_down().is_ok();
        while asked && old.number().is_some() && self.access.clock.monotonic() < end {
            self.access.clock.sleep(STOP_PAUSE);
        }
        match old.number() {
            None => Ok(()),
            Some(_) => old.switch_off().map_err(self.failed("stopping")),
        }
    }

    /// Defining a machine anew under a UUID that is there would change that machine.
    fn refuse_taken(&self) -> Result<()> {
        let definition = Definition::parse(&self.plan.definition)?;
        let connection = self.access.connection()?;
        let name = self.plan.name.as_str();
        let named = connection.domain_by_name(name);
        let is_taken = named
            .map_err(self.failed("looking up the machine"))?
            .is_some()
            || connection.domain_by_uuid(&definition.uuid).is_ok();
        if !is_taken {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Exists, "building", name)
            .seen("a machine of this name or UUID came since the plan was made; plan anew"))
    }

    fn make_disks(&mut self) -> Result<()> {
        let (connection, host) = (self.access.connection()?, self.access.host()?);
        let there = (&connection, host.as_ref());
        for disk in self.plan.disks.clone() {
            let place = place::find(there, &self.plan.name, &disk)?;
            let writer = place.make(there, &disk)?;
            let made = match &place {
                Place::File(path) if self.access.is_local() => MadeFile::at(path),
                _ => None,
            };
            self.disks.push(MadeDisk {
                name: disk.name,
                place,
                writer,
            });
            if let Some(made) = made {
                self.note(|record| record.changes.files.push(made))?;
            }
        }
        Ok(())
    }

    fn write_nvram(&mut self) -> Result<()> {
        let path = Definition::parse(&self.plan.definition)?.nvram;
        let (Some(file), Some(path)) = (self.plan.files.first().cloned(), path) else {
            return Ok(());
        };
        let host = self.access.host()?;
        host.write_new(&path, &file.content)?;
        self.nvram = Some(path.clone());
        let made = self.access.is_local().then(|| MadeFile::at(&path));
        if let Some(made) = made.flatten() {
            self.note(|record| record.changes.files.push(made))?;
        }
        Ok(())
    }

    fn domain(&self) -> Result<Domain> {
        match &self.defined {
            Some(id) => self.access.domain(id),
            None => Err(
                Error::new(ErrorKind::Invalid, "starting", self.plan.name.as_str())
                    .seen("the machine is not defined yet"),
            ),
        }
    }

    /// Undoes all of it and tells what could not be undone.
    fn take_back(&mut self) -> Vec<Error> {
        self.is_over = true;
        let mut errors = Vec::new();
        errors.extend(self.remove_machine().err());
        for disk in std::mem::take(&mut self.disks) {
            if let Some(writer) = &disk.writer {
                errors.extend(writer.give_up().err().map(Error::from));
            }
            errors.extend(self.remove_disk(&disk.place).err());
        }
        if let Some(nvram) = self.nvram.take() {
            let host = self.access.host();
            errors.extend(host.and_then(|it| it.remove_file(&nvram)).err());
        }
        errors.extend(self.put_back().err());
        // What could not be taken back is tried again before the next build.
        if let Some(record) = self.record.take().filter(|_| errors.is_empty()) {
            errors.extend(record.remove().err());
        }
        errors
    }

    fn remove_disk(&self, place: &Place) -> Result<()> {
        let (connection, host) = (self.access.connection()?, self.access.host()?);
        place.remove(&connection, host.as_ref())
    }

    fn remove_machine(&mut self) -> Result<()> {
        if self.defined.is_none() {
            return Ok(());
        }
        let domain = self.domain()?;
        if domain.number().is_some() {
            domain.switch_off().map_err(self.failed("stopping"))?;
        }
        domain
            .undefine(Undefining::KeepNvram)
            .map_err(self.failed("removing"))?;
        self.defined = None;
        Ok(())
    }

    fn put_back(&mut self) -> Result<()> {
        let Some(aside) = self.aside.take() else {
            return Ok(());
        };
        let old = self.access.domain(&aside.id)?;
        if aside.is_renamed {
            old.rename(&aside.name)
                .map_err(self.failed("putting back"))?;
        }
        if aside.was_running && old.number().is_none() {
            old.start().map_err(self.failed("starting again"))?;
        }
        Ok(())
    }

    /// Removes the machine that was set aside, and its files that nobody else has.
    fn remove_aside(&self, aside: &Aside) -> Result<Vec<Finding>> {
        let old = self.access.domain(&aside.id)?;
        let failed = self.failed("removing the machine set aside for");
        let xml = old.xml(DefinitionKind::Stored).map_err(&failed)?;
        old.undefine(Undefining::WithNvram).map_err(&failed)?;
        let mut findings = Vec::new();
        for disk in Definition::parse(&xml)?.disks {
            if disk.passed_over().is_some() {
                continue;
            }
            let place = disk.place();
            let text = match &disk.source {
                DiskSource::File(path) if !self.is_used(path)? => {
                    self.access.host()?.remove_file(path)?;
                    format!("the old disk {place} was removed")
                }
                _ => {
                    format!("the old disk {place} was left; remove it by hand if it is not needed")
                }
            };
            findings.push(Finding::note(text));
        }
        Ok(findings)
    }

    /// Where a disk was made, on the machine's host.
    fn made(&self, name: &DiskName) -> Option<LocalDisk> {
        let planned = self.plan.disks.iter().find(|it| it.name == *name)?;
        let made = self.disks.iter().find(|it| it.name == *name)?;
        let (path, format) = match &made.place {
            Place::File(path) => (path, planned.format),
            Place::Device(path) | Place::Volume { path, .. } => (path, ImageFormat::Raw),
            Place::Remote(_) => return None,
        };
        Some(LocalDisk {
            path: path.clone(),
            format,
            size: planned.size,
        })
    }

    fn is_used(&self, path: &std::path::Path) -> Result<bool> {
        place::is_mentioned(&self.access.connection()?, &path.display().to_string())
    }
}

impl Build for BegunBuild {
    fn disk(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskWriter>>> {
        let found = self.disks.iter().find(|it| it.name == *name);
        found.map(|disk| disk.writer.clone()).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "opening the disk", name.as_str())
                .seen("the plan has no such disk")
        })
    }

    fn read_back(&mut self, name: &DiskName) -> Result<Option<Arc<dyn DiskReader>>> {
        let Some(disk) = self.made(name) else {
            return Ok(None);
        };
        let reader = self.access.host()?.read_disk(&disk.path, disk.format)?;
        // A device may be larger than its disk.
        Ok((reader.size() == disk.size).then_some(reader))
    }

    fn local(&self, name: &DiskName) -> Option<LocalDisk> {
        self.made(name).filter(|_| self.access.is_local())
    }

    fn define(&mut self) -> Result<VmId> {
        let host = self.access.host()?;
        for disk in &self.disks {
            disk.place.hand_over(host.as_ref())?;
        }
        self.refuse_taken()?;
        let connection = self.access.connection()?;
        for disk in &self.plan.disks {
            if let lifeboat_platform::Placement::Pool(pool) = &disk.placement {
                // Only for people who look at the pool.
                let _ = connection.pool(pool).and_then(|it| it.refresh());
            }
        }
        let domain = connection
            .define(&self.plan.definition)
            .map_err(self.failed("defining"))?;
        let id = VmId::new(domain.uuid().map_err(self.failed("defining"))?);
        self.defined = Some(id.clone());
        Ok(id)
    }

    fn start(&mut self) -> Result<()> {
        self.domain()?.start().map_err(self.failed("starting"))
    }

    fn keep(mut self: Box<Self>) -> Result<Vec<Finding>> {
        self.is_over = true;
        let findings = match &self.aside {
            Some(aside) => self.remove_aside(aside)?,
            None => Vec::new(),
        };
        self.record.take().map_or(Ok(()), |it| it.remove())?;
        Ok(findings)
    }

    fn undo(mut self: Box<Self>) -> Result<Vec<Finding>> {
        let put_back = self.aside.as_ref().map(|aside| aside.name.clone());
        let mut errors = self.take_back();
        if !errors.is_empty() {
            return Err(errors.remove(0));
        }
        let text = |name| Finding::note(format!("{name} was put back"));
        Ok(put_back.map(text).into_iter().collect())
    }
}

impl Drop for BegunBuild {
    fn drop(&mut self) {
        if !self.is_over {
            // Nobody is there to be told.
            let _ = self.take_back();
        }
    }
}
