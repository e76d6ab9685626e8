//! The capture of a machine that is off: its images as they lie there.
//!
//! The machine may be started meanwhile; a backup must not keep it from that. So nothing is
//! locked: `confirm` sees whether anything was written, and then refuses.
//!
//! libvirt makes no checkpoint of a machine that is off, so such a capture leaves no mark. The
//! mark that was asked for goes on recording, but must not serve the next run as well: an image
//! put back from a copy between the two runs would carry it, and not what it forgot.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_disk::ImageFormat;
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    Capture, CaptureOutcome, CaptureRequest, CapturedChange, CapturedDisk, Consistency,
    DescribingFile, Error, Finding, Result, VmId,
};

use crate::access::Access;
use crate::binding::{Connection, DefinitionKind, Domain, DomainState};
use crate::definition::{DefinedDisk, DiskSource};
use crate::host::{Image, Watched, written_meanwhile};

use super::choice::{Change, Chosen, Marks, choose};
use super::describe;

/// A capture of a machine that is off.
struct OfflineCapture {
    access: Arc<Access>,
    vm: VmId,
    name: VmName,
    captured_at: Timestamp,
    disks: Vec<CapturedDisk>,
    files: Vec<DescribingFile>,
    findings: Vec<Finding>,
    marks: Vec<(PathBuf, Box<dyn Watched>)>,
}

/// Begins the capture of a machine that is off.
pub(crate) fn begin(
    access: &Arc<Access>,
    request: &CaptureRequest,
    domain: &Domain,
) -> Result<Box<dyn Capture>> {
    let vm = &request.vm;
    let (definition, xml) = describe::definition(domain, vm, DefinitionKind::Stored)?;
    let (chosen, mut findings) = choose(&definition, request)?;
    let (connection, host) = (access.connection()?, access.host()?);
    let mut marks = Marks::new(domain, vm, request);
    let (mut disks, mut still) = (Vec::new(), Vec::new());
    for (name, disk) in chosen {
        let path = of_the_host(&connection, &disk)?;
        let watched = host.watch(access.clock.as_ref(), &path)?;
        let above = path.parent().unwrap_or(&path);
        let backing = access.options.backing.as_deref().unwrap_or(above);
        let image = host.image(&path, format(&disk)?, backing)?;
        still.push((path, watched));
        let size = image.size();
        let change = marks.decide(&name, &disk, size)?;
        let chosen = Chosen {
            name,
            disk,
            size,
            change,
        };
        disks.push(captured(image, &chosen)?);
    }
    let (files, missing) = describe::files(host.as_ref(), &definition, xml);
    findings.extend(missing);
    let mut capture = OfflineCapture {
        access: Arc::clone(access),
        vm: vm.clone(),
        name: named(&definition.name)?,
        captured_at: access.clock.now(),
        disks,
        files,
        findings,
        marks: still,
    };
    capture.confirm()?;
    Ok(Box::new(capture))
}

pub(crate) fn named(name: &str) -> Result<VmName> {
    name.parse().map_err(|cause| {
        Error::new(ErrorKind::Invalid, "capturing", name)
            .seen("rename the machine")
            .because(cause)
    })
}

/// The path of a disk on the host.
///
/// Errors: `Unsupported` for disks elsewhere.
fn of_the_host(connection: &Connection, disk: &DefinedDisk) -> Result<PathBuf> {
    match &disk.source {
        DiskSource::File(path) | DiskSource::Device(path) => Ok(path.clone()),
        DiskSource::Volume { pool, volume } => {
            let found = connection.pool(pool).and_then(|it| it.path(volume));
            found.map_err(|failure| failure.of("looking up the volume", &disk.place()))
        }
        _ => Err(
            Error::new(ErrorKind::Unsupported, "reading the disk", disk.place()).seen(
                "it is kept elsewhere, and can be read only while its machine runs; start the \
                 machine, or name the other disks",
            ),
        ),
    }
}

/// Errors: `Unsupported` for formats that are not read here.
fn format(disk: &DefinedDisk) -> Result<ImageFormat> {
    let format = disk.driver.as_deref().unwrap_or("raw").parse();
    format.map_err(|cause| {
        Error::new(ErrorKind::Unsupported, "reading the disk", disk.place())
            .seen("start the machine: then QEMU reads it")
            .because(cause)
    })
}

fn captured(image: Box<dyn Image>, chosen: &Chosen) -> Result<CapturedDisk> {
    let since = chosen.since().map(|it| it.as_str());
    let opened = image.open(since)?;
    let change = match (opened.changed, &chosen.change) {
        (Some(Ok(changed)), _) => CapturedChange::Since { changed },
        (Some(Err(reason)), _) => CapturedChange::Everything { reason },
        (None, Change::Everything(reason)) => CapturedChange::Everything {
            reason: reason.clone(),
        },
        (None, Change::Since(checkpoint)) => CapturedChange::Everything {
            reason: format!("the image does not show the bitmap of {checkpoint}"),
        },
    };
    Ok(CapturedDisk {
        name: chosen.name.clone(),
        format: chosen.format(),
        change,
        reader: opened.reader,
        checkpoint: None,
    })
}

impl Capture for OfflineCapture {
    fn name(&self) -> &VmName {
        &self.name
    }

    fn captured_at(&self) -> Timestamp {
        self.captured_at
    }

    fn consistency(&self) -> Consistency {
        Consistency::Offline
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
        let state = self.access.domain(&self.vm)?.state();
        let state =
            state.map_err(|failure| failure.of("confirming the capture of", self.name.as_str()))?;
        if state != DomainState::Off {
            return Err(Error::new(
                ErrorKind::Busy,
                "confirming the capture of",
                self.name.as_str(),
            )
            .seen("the machine was started meanwhile; run the backup again"));
        }
        for (path, mark) in &self.marks {
            if !mark.is_same()? {
                return Err(written_meanwhile(path));
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _outcome: CaptureOutcome) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
}
