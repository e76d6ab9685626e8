//! Images of machines that are off, read as they lie here.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_disk::{BackingPolicy, DiskReader, ImageFormat, OpenOptions, Qcow2Disk, open_reader};
use lifeboat_model::{Clock, ErrorKind};
use lifeboat_platform::{Error, Result};

use super::super::{CHAIN_MAX, Image, OpenedImage, SEVERAL_IMAGES, Watched, written_meanwhile};

/// File systems count time in steps of at most this.
const TIME_STEP: Duration = Duration::from_millis(50);
const STEPS_MAX: u32 = 40;

/// An image, and how to see that somebody wrote to it.
pub(super) struct StillImage {
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

/// An open image.
pub(super) struct LocalImage {
    reader: Arc<dyn DiskReader>,
    qcow2: Option<Arc<Qcow2Disk>>,
}

impl LocalImage {
    pub(super) fn of(path: &Path, format: ImageFormat, backing: &Path) -> Result<Self> {
        let options = OpenOptions {
            backing: BackingPolicy::Allow {
                root: Some(backing.to_owned()),
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
}

impl Image for LocalImage {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn open(self: Box<Self>, bitmap: Option<&str>) -> Result<OpenedImage> {
        let changed = match (bitmap, &self.qcow2) {
            (None, _) => None,
            (Some(_), None) => Some(Err("raw disks have no bitmaps".into())),
            (Some(bitmap), Some(qcow2)) if qcow2.image().backing().is_some() => {
                Some(Err(format!("the bitmap {bitmap} {SEVERAL_IMAGES}")))
            }
            (Some(bitmap), Some(qcow2)) => match qcow2.image().read_bitmap(bitmap) {
                Ok(changed) => Some(Ok(changed)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                    Some(Err(error.to_string()))
                }
                Err(error) => return Err(error.into()),
            },
        };
        Ok(OpenedImage {
            reader: self.reader,
            changed,
        })
    }
}

impl StillImage {
    pub(super) fn watch(clock: &dyn Clock, path: &Path) -> Result<Self> {
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
                ImageState::File { modified, .. } if is_recent(clock.now(), *modified) => {
                    clock.sleep(TIME_STEP);
                }
                _ => return Ok(mark),
            }
        }
        Err(written_meanwhile(path))
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
}

impl Watched for StillImage {
    fn is_same(&self) -> Result<bool> {
        Ok(self.look()? == self.state)
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
