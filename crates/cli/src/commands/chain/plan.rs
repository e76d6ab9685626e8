//! The order in which the files of a chain become snapshots.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use lifeboat_disk::{DiskReader, Qcow2Disk, Qcow2Image};
use lifeboat_model::ErrorKind;

use super::folder::PointFile;
use crate::error::{Error, Result};

/// A point in time, ready to be stored.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) path: PathBuf,
    pub(super) time: Timestamp,
    /// The point it was made upon: its place in the plan, before this one.
    pub(super) below: Option<usize>,
    /// Bytes of the guest's view.
    pub(super) size: u64,
    /// Bytes that the file itself defines.
    pub(super) own_bytes: u64,
}

impl Point {
    /// The file's name, for people and manifests.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        crate::tables::shown(&name.to_string_lossy())
    }
}

/// Orders files by time, every file behind the one below it.
///
/// A point gets a time after the point below it, whatever its file says.
///
/// Errors: `Denied` if a chain leads out of the folder, `Corrupt` for circles and broken images,
/// `NotFound` for missing files; `Invalid` for an incremental that names nothing below it.
pub(super) fn order(folder: &Path, files: Vec<PointFile>) -> Result<Vec<Point>> {
    let mut files = files;
    files.sort_by(|a, b| (a.time, &a.path).cmp(&(b.time, &b.path)));
    let (mut points, mut below) = (Vec::new(), Vec::new());
    for file in &files {
        let (point, base) = look(folder, file)?;
        points.push(point);
        below.push(base.and_then(|base| files.iter().position(|other| other.path == base)));
    }
    let mut places: Vec<Option<usize>> = vec![None; points.len()];
    let mut ordered: Vec<Point> = Vec::with_capacity(points.len());
    for start in 0..points.len() {
        // From the file down to one that is placed already. Opening has refused circles.
        let downwards = std::iter::successors(Some(start), |at| below[*at]);
        let mut line: Vec<usize> = downwards.take_while(|at| places[*at].is_none()).collect();
        while let Some(at) = line.pop() {
            let mut point = points[at].clone();
            point.below = below[at].and_then(|base| places[base]);
            if let Some(base) = point.below {
                let after = ordered[base]
                    .time
                    .saturating_add(SignedDuration::from_secs(1));
                point.time = point.time.max(after.unwrap_or(point.time));
            }
            places[at] = Some(ordered.len());
            ordered.push(point);
        }
    }
    Ok(ordered)
}

/// Opens a file with everything below it; gives the file right below it.
fn look(folder: &Path, file: &PointFile) -> Result<(Point, Option<PathBuf>)> {
    let disk = Qcow2Disk::open(&file.path, &super::confined_to(folder))?;
    let base = base(disk.image(), &file.path);
    if base.is_none() && file.is_incremental {
        let message = format!(
            "{} is incremental but names no backing file: tell it with \
             'qemu-img rebase -u -b BELOW -F qcow2'",
            file.path.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let point = Point {
        path: file.path.clone(),
        time: file.time,
        below: None,
        size: disk.size(),
        own_bytes: disk.own_extents()?.byte_count(),
    };
    Ok((point, base))
}

fn base(image: &Qcow2Image, path: &Path) -> Option<PathBuf> {
    let stated = image.backing()?;
    let path = super::folder_of(path).join(OsStr::from_bytes(&stated.name));
    path.canonicalize().ok()
}
