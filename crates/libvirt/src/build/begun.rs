//! A machine on its way into being.
//!
//! Order: the old machine is stopped and renamed, disks are made, the new machine is defined.
//! Undoing goes the other way, and goes on where one step fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat, OpenOptions, open_reader};
use lifeboat_model::{DiskName, ErrorKind};
use lifeboat_platform::{Build, BuildPlan, Error, Finding, LocalDisk, Replaced, Result, VmId};

use crate::access::Access;
use crate::binding::{DefinitionKind, Domain, DomainState, Failure, Undefining};
use crate::capture::{marks_of_ours, remove_record};
use crate::definition::{Definition, DiskSource};

use super::place::{self, Place};

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
        let connection = self.access.connection()?;
        for disk in self.plan.disks.clone() {
            let place = place::find(&connection, &self.plan.name, &disk)?;
            let writer = place.make(&connection, &disk)?;
            self.disks.push(MadeDisk {
                name: disk.name,
                place,
                writer,
            });
        }
        Ok(())
    }

    fn write_nvram(&mut self) -> Result<()> {
        let path = Definition::parse(&self.plan.definition)?.nvram;
        let (Some(file), Some(path)) = (self.plan.files.first(), path) else {
            return Ok(());
        };
        let failed = |e| Error::io("writing", path.display().to_string(), e);
        let mut made = std::fs::OpenOptions::new();
        let mut made = made
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        self.nvram = Some(path.clone());
        std::io::Write::write_all(&mut made, &file.content)
            .and_then(|()| made.sync_all())
            .map_err(failed)?;
        place::hand_over(&path)
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
            let connection = self.access.connection();
            let removed = connection.and_then(|it| disk.place.remove(&it));
            errors.extend(removed.err());
        }
        if let Some(nvram) = self.nvram.take() {
            errors.extend(place::remove_file(&nvram).err());
        }
        errors.extend(self.put_back().err());
        errors
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
                    place::remove_file(path)?;
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

    fn is_used(&self, path: &std::path::Path) -> Result<bool> {
        let connection = self.access.connection()?;
        let all = connection
            .domains()
            .map_err(self.failed("listing machines beside"))?;
        let shown = crate::capture::escaped(&path.display().to_string());
        // Any mention counts: as a disk, a backing file, a log.
        let forms = [("'", "'"), ("\"", "\""), (">", "<")];
        let forms = forms.map(|(before, behind)| format!("{before}{shown}{behind}"));
        let mentions = |domain: &Domain| {
            let xml = domain.xml(DefinitionKind::Stored);
            xml.map_or(true, |xml| forms.iter().any(|form| xml.contains(form)))
        };
        Ok(all.iter().any(mentions))
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
        let Some(disk) = self.local(name) else {
            return Ok(None);
        };
        let reader = open_reader(&disk.path, disk.format, &OpenOptions::default())?;
        // A device may be larger than its disk.
        Ok((reader.size() == disk.size).then_some(reader))
    }

    fn local(&self, name: &DiskName) -> Option<LocalDisk> {
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

    fn define(&mut self) -> Result<VmId> {
        for disk in &self.disks {
            disk.place.hand_over()?;
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
        match &self.aside {
            Some(aside) => self.remove_aside(aside),
            None => Ok(Vec::new()),
        }
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
