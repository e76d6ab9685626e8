//! Following the names inside an image: backing files and external data files.
//!
//! Source: reliability catalogue 66: images that name host files, URLs, themselves.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::ErrorKind;

use crate::error::shown;
use crate::host_file::{HostFile, Identity};
use crate::{
    BackingPolicy, DataFilePolicy, DiskReader, Error, ImageFormat, OpenOptions, RawDisk, Result,
};

use super::disk::Qcow2Disk;
use super::image::Qcow2Image;

/// The files that were opened on the way down from the first image.
pub(crate) struct Chain<'a> {
    pub(crate) options: &'a OpenOptions,
    opened: Vec<Identity>,
    backing_count: u32,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(options: &'a OpenOptions) -> Self {
        Self {
            options,
            opened: Vec::new(),
            backing_count: 0,
        }
    }

    /// `Corrupt` if the file is in the chain already.
    pub(crate) fn enter(&mut self, file: &HostFile) -> Result<()> {
        let identity = file.identity()?;
        if self.opened.contains(&identity) {
            return Err(Error::new(ErrorKind::Corrupt, "opening", file.path())
                .seen("it is part of its own backing chain"));
        }
        self.opened.push(identity);
        Ok(())
    }

    pub(crate) fn open_backing(
        &mut self,
        image: &Qcow2Image,
    ) -> Result<Option<Arc<dyn DiskReader>>> {
        let Some(stated) = image.backing() else {
            return Ok(None);
        };
        let refuse = |kind, seen: String| {
            let named = shown(&stated.name);
            Err(Error::new(kind, "opening", image.path())
                .seen(format!("its backing file \"{named}\" {seen}")))
        };
        let BackingPolicy::Allow { root, depth_max } = &self.options.backing else {
            let seen = "may not be followed; allow it if the image is to be trusted";
            return refuse(ErrorKind::Denied, seen.to_owned());
        };
        if self.backing_count >= *depth_max {
            return refuse(
                ErrorKind::Denied,
                format!("is deeper than {depth_max} files"),
            );
        }
        let format = match stated.format.as_deref() {
            Some("raw") => ImageFormat::Raw,
            Some("qcow2") => ImageFormat::Qcow2,
            Some(other) => {
                let seen = format!("has format \"{}\", not read here", shown(other.as_bytes()));
                return refuse(ErrorKind::Unsupported, seen);
            }
            None => {
                let seen = "has no stated format; set it with qemu-img rebase -u -F";
                return refuse(ErrorKind::Denied, seen.to_owned());
            }
        };
        let path = local_path(image.path(), &stated.name)?;
        let file = open_confined(&path, root.as_deref())?;
        self.backing_count += 1;
        self.enter(&file)?;
        Ok(Some(match format {
            ImageFormat::Raw => Arc::new(RawDisk::of(file, self.options.holes)),
            ImageFormat::Qcow2 => Arc::new(Qcow2Disk::build(Qcow2Image::of(file)?, None, self)?),
        }))
    }

    pub(crate) fn open_data_file(&mut self, image: &Qcow2Image) -> Result<Option<HostFile>> {
        let Some(stated) = image.data_file() else {
            return Ok(None);
        };
        let DataFilePolicy::Allow { root } = &self.options.data_file else {
            return Err(
                Error::new(ErrorKind::Denied, "opening", image.path()).seen(format!(
                    "its data is in the file \"{}\", which may not be followed; allow it if the \
                 image is to be trusted",
                    shown(&stated.name)
                )),
            );
        };
        let path = local_path(image.path(), &stated.name)?;
        let file = open_confined(&path, root.as_deref())?;
        self.enter(&file)?;
        Ok(Some(file))
    }
}

/// The path that a name inside `image` means: relative to the image's directory.
///
/// Errors: `Unsupported` for everything that QEMU would not take as a plain path.
fn local_path(image: &Path, name: &[u8]) -> Result<PathBuf> {
    let refuse = |kind, seen| {
        Err(Error::new(kind, "opening", image)
            .seen(format!("it names the file \"{}\": {seen}", shown(name))))
    };
    if name.is_empty() || name.contains(&0) {
        return refuse(ErrorKind::Corrupt, "which is no path");
    }
    let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
    if first.contains(&b':') {
        return refuse(
            ErrorKind::Unsupported,
            "only plain paths are followed, no protocols",
        );
    }
    Ok(image
        .parent()
        .unwrap_or(Path::new(""))
        .join(OsStr::from_bytes(name)))
}

/// Opens a file that must lie in `root` after all symbolic links.
fn open_confined(path: &Path, root: Option<&Path>) -> Result<HostFile> {
    let failed = |e| Error::io("opening", path, e);
    let Some(root) = root else {
        return HostFile::open(path);
    };
    let inside = path.canonicalize().map_err(failed)?;
    let root = root
        .canonicalize()
        .map_err(|e| Error::io("opening", root, e))?;
    if !inside.starts_with(&root) {
        return Err(Error::new(ErrorKind::Denied, "opening", path)
            .seen(format!("it is not in {}", root.display())));
    }
    let file = HostFile::open(path)?;
    if file.identity()? != HostFile::open(&inside)?.identity()? {
        return Err(Error::new(ErrorKind::Denied, "opening", path)
            .seen("it was exchanged while it was opened"));
    }
    Ok(file)
}
