//! The capture of a machine that is off: its images as they lie there.
//!
//! The machine may be started meanwhile; a backup must not keep it from that. So nothing is
//! locked: `confirm` sees whether anything was written, and then refuses.
//!
//! libvirt makes no checkpoint of a machine that is off, so such a capture leaves no mark. The
//! mark that was asked for goes on recording, but must not serve the next run as well: an image
//! put back from a copy between the two runs would carry it, and not what it forgot.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_disk::{BackingPolicy, DiskReader, ImageFormat, OpenOptions, Qcow2Disk, open_reader};
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    Capture, CaptureOutcome, CaptureRequest, CapturedChange, CapturedDisk, Consistency,
    DescribingFile, Error, Finding, Result, VmId,
};

use crate::access::Access;
use crate::binding::{Connection, DefinitionKind, Domain, DomainState};
use crate::definition::{DefinedDisk, DiskSource};

use super::choice::{Change, Chosen, Marks, choose};
use super::describe;

/// Limit: images below one image.
const CHAIN_MAX: u32 = 64;
/// File systems count time in steps of at most this.
const TIME_STEP: Duration = Duration::from_millis(50);
const STEPS_MAX: u32 = 40;

/// A capture of a machine that is off.
struct OfflineCapture {
    access: Arc<Access>,
    vm: VmId,
    name: VmName,
    captured_at: Timestamp,
    disks: Vec<CapturedDisk>,
    files: Vec<DescribingFile>,
    findings: Vec<Finding>,
    marks: Vec<StillImage>,
}

/// An image, and how to see that somebody wrote to it.
struct StillImage {
    file: File,
    path: PathBuf,
    state: ImageState,
}

/// What changes with every write.
#[derive(Debug, PartialEq, Eq)]
enum ImageState {
    File {
        length: u64,
        modified: (i64, i64),
    },
    /// Sectors that were written to the device since the system started.
    Device {
        written: u64,
    },
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
    let connection = access.connection()?;
    let mut marks = Marks::new(domain, vm, request);
    let (mut disks, mut still) = (Vec::new(), Vec::new());
    for (name, disk) in chosen {
        let path = local(&connection, &disk)?;
        still.push(StillImage::watch(access, &path)?);
        let image = Image::open(access, &path, &disk)?;
        let size = image.reader.size();
        let change = marks.decide(&name, &disk, size)?;
        let chosen = Chosen {
            name,
            disk,
            size,
            change,
        };
        disks.push(image.captured(&chosen)?);
    }
    let (files, missing) = describe::files(&definition, xml);
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

/// The path of a disk on this host.
///
/// Errors: `Unsupported` for disks elsewhere.
fn local(connection: &Connection, disk: &DefinedDisk) -> Result<PathBuf> {
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

/// An open image.
struct Image {
    reader: Arc<dyn DiskReader>,
    qcow2: Option<Arc<Qcow2Disk>>,
}

impl Image {
    fn open(access: &Access, path: &Path, disk: &DefinedDisk) -> Result<Self> {
        let format = disk.driver.as_deref().unwrap_or("raw").parse();
        let format = format.map_err(|cause| {
            Error::new(ErrorKind::Unsupported, "reading the disk", disk.place())
                .seen("start the machine: then QEMU reads it")
                .because(cause)
        })?;
        let above = path.parent().map(Path::to_owned);
        let options = OpenOptions {
            backing: BackingPolicy::Allow {
                root: access.options.backing.clone().or(above),
                depth_max: CHAIN_MAX,
            },
            ..OpenOptions::default()
        };
        if format == ImageFormat::Raw {
            return Ok(Self {
                reader: open_reader(path, format, &options)?,
                qcow2: None,
            });
        }
        let qcow2 = Arc::new(Qcow2Disk::open(path, &options)?);
        Ok(Self {
            reader: Arc::clone(&qcow2) as Arc<dyn DiskReader>,
            qcow2: Some(qcow2),
        })
    }

    fn captured(self, chosen: &Chosen) -> Result<CapturedDisk> {
        Ok(CapturedDisk {
            name: chosen.name.clone(),
            format: chosen.format(),
            change: self.change(chosen)?,
            reader: self.reader,
            checkpoint: None,
        })
    }

    fn change(&self, chosen: &Chosen) -> Result<CapturedChange> {
        let everything = |reason: String| Ok(CapturedChange::Everything { reason });
        let checkpoint = match (&chosen.change, &self.qcow2) {
            (Change::Everything(reason), _) => return everything(reason.clone()),
            (Change::Since(_), None) => return everything("raw disks have no bitmaps".into()),
            (Change::Since(checkpoint), Some(qcow2)) if qcow2.image().backing().is_some() => {
                return everything(format!(
                    "the bitmap {checkpoint} lies in several images on top of each other"
                ));
            }
            (Change::Since(checkpoint), Some(qcow2)) => (checkpoint, qcow2),
        };
        let (checkpoint, qcow2) = checkpoint;
        match qcow2.image().read_bitmap(checkpoint.as_str()) {
            Ok(changed) => Ok(CapturedChange::Since { changed }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                everything(error.to_string())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl StillImage {
    fn watch(access: &Access, path: &Path) -> Result<Self> {
        let failed = |e| Error::io("opening", path.display().to_string(), e);
        let file = File::open(path).map_err(failed)?;
        let mut mark = Self {
            file,
            path: path.to_owned(),
            state: ImageState::Device { written: 0 },
        };
        // A write in the same step of the file system's clock would not show.
        for _ in 0..STEPS_MAX {
            mark.state = mark.look()?;
            match &mark.state {
                ImageState::File { modified, .. } if is_recent(access.clock.now(), *modified) => {
                    access.clock.sleep(TIME_STEP);
                }
                _ => return Ok(mark),
            }
        }
        Err(mark.busy())
    }

    fn look(&self) -> Result<ImageState> {
        let failed = |e| Error::io("looking at", self.path.display().to_string(), e);
        let meta = self.file.metadata().map_err(failed)?;
        if !meta.file_type().is_block_device() {
            return Ok(ImageState::File {
                length: meta.len(),
                modified: (meta.mtime(), meta.mtime_nsec()),
            });
        }
        // What waits in memory is counted when it reaches the device.
        rustix::fs::fsync(&self.file).map_err(|e| failed(e.into()))?;
        let (major, minor) = (
            rustix::fs::major(meta.rdev()),
            rustix::fs::minor(meta.rdev()),
        );
        let place = format!("/sys/dev/block/{major}:{minor}/stat");
        let counts =
            std::fs::read_to_string(&place).map_err(|e| Error::io("reading", &place, e))?;
        let written = counts.split_ascii_whitespace().nth(6);
        let written = written
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "reading", &place)
                    .seen("it does not say how many sectors were written")
            })?;
        Ok(ImageState::Device { written })
    }

    fn busy(&self) -> Error {
        Error::new(
            ErrorKind::Busy,
            "reading the disk",
            self.path.display().to_string(),
        )
        .seen("somebody wrote to it meanwhile; run the backup again")
    }
}

/// Whether a file changed within the last steps of time, or in the future.
fn is_recent(now: Timestamp, (seconds, nanoseconds): (i64, i64)) -> bool {
    let Ok(nanoseconds) = i32::try_from(nanoseconds) else {
        return false;
    };
    let Ok(modified) = Timestamp::new(seconds, nanoseconds) else {
        return false;
    };
    let age = now.duration_since(modified);
    // A time far in the future was set by hand and moves with the next write all the same.
    age.unsigned_abs() < TIME_STEP
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
        for mark in &self.marks {
            if mark.look()? != mark.state {
                return Err(mark.busy());
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _outcome: CaptureOutcome) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
}
