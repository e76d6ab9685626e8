//! What was typed about disks, parsed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lifeboat_disk::{BackingPolicy, DataFilePolicy, ImageFormat, OpenOptions};
use lifeboat_engine::backup::PlainFile;
use lifeboat_model::{DiskName, ErrorKind};

use crate::args::BackupArguments;
use crate::error::{Error, Result};

/// Longest chain of backing files that is followed.
const BACKING_DEPTH_MAX: u32 = 64;

/// Largest description file.
const DESCRIPTION_BYTES_MAX: u64 = 256 << 20;

/// Where the changed extents of a disk come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangeSource {
    /// Nothing is known.
    None,
    /// A persistent bitmap of the disk's own qcow2 file.
    Bitmap(String),
    /// A list in a file.
    List(PathBuf),
}

/// One disk to be stored.
#[derive(Clone, Debug)]
pub(crate) struct DiskRequest {
    pub(crate) name: DiskName,
    pub(crate) path: PathBuf,
    pub(crate) format: ImageFormat,
    pub(crate) options: OpenOptions,
    pub(crate) change: ChangeSource,
}

/// Values typed as `DISK=VALUE`.
struct ByDisk {
    flag: &'static str,
    values: BTreeMap<DiskName, String>,
}

impl ByDisk {
    fn parse(flag: &'static str, list: &[String]) -> Result<Self> {
        let mut values = BTreeMap::new();
        for text in list {
            let (disk, value) = split(flag, text)?;
            if values.insert(disk.parse()?, value.to_owned()).is_some() {
                return Err(Error::usage(format!(
                    "{flag} names the disk \"{disk}\" twice"
                )));
            }
        }
        Ok(Self { flag, values })
    }

    fn take(&mut self, disk: &DiskName) -> Option<String> {
        self.values.remove(disk)
    }

    /// Refuses values for disks that are not stored.
    fn finish(self) -> Result<()> {
        match self.values.keys().next() {
            Some(disk) => Err(Error::usage(format!(
                "{} names the disk \"{disk}\", which no --disk names",
                self.flag
            ))),
            None => Ok(()),
        }
    }
}

fn split<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    match text.split_once('=') {
        Some((name, value)) if !value.is_empty() => Ok((name, value)),
        _ => Err(Error::usage(format!(
            "{flag} \"{text}\": write NAME=VALUE, as in vda=/path"
        ))),
    }
}

/// Parses everything that was typed about disks.
pub(crate) fn parse(arguments: &BackupArguments) -> Result<Vec<DiskRequest>> {
    let mut formats = ByDisk::parse("--format", &arguments.format)?;
    let mut bitmaps = ByDisk::parse("--bitmap", &arguments.bitmap)?;
    let mut lists = ByDisk::parse("--changed", &arguments.changed)?;
    let mut snapshots = ByDisk::parse("--internal-snapshot", &arguments.internal_snapshot)?;
    let mut requests: Vec<DiskRequest> = Vec::new();
    for text in &arguments.disk {
        let (name, path) = split("--disk", text)?;
        let name: DiskName = name.parse()?;
        if requests.iter().any(|request| request.name == name) {
            return Err(Error::usage(format!(
                "--disk names the disk \"{name}\" twice"
            )));
        }
        let format = formats
            .take(&name)
            .map_or(Ok(ImageFormat::Raw), |text| text.parse())?;
        let change = match (bitmaps.take(&name), lists.take(&name)) {
            (None, None) => ChangeSource::None,
            (Some(bitmap), None) => ChangeSource::Bitmap(bitmap),
            (None, Some(list)) => ChangeSource::List(PathBuf::from(list)),
            (Some(_), Some(_)) => {
                let message = format!("disk \"{name}\" has both --bitmap and --changed");
                return Err(Error::usage(message));
            }
        };
        let options = options(arguments.allow_backing.as_deref(), snapshots.take(&name));
        requests.push(DiskRequest {
            name,
            path: PathBuf::from(path),
            format,
            options,
            change,
        });
    }
    [formats, bitmaps, lists, snapshots]
        .into_iter()
        .try_for_each(ByDisk::finish)?;
    Ok(requests)
}

fn options(allowed: Option<&Path>, internal_snapshot: Option<String>) -> OpenOptions {
    let mut options = OpenOptions {
        internal_snapshot,
        ..OpenOptions::default()
    };
    if let Some(root) = allowed {
        let root = Some(root.to_owned());
        options.data_file = DataFilePolicy::Allow { root: root.clone() };
        options.backing = BackingPolicy::Allow {
            root,
            depth_max: BACKING_DEPTH_MAX,
        };
    }
    options
}

/// Reads the files that describe the machine.
pub(crate) fn plain_files(list: &[String]) -> Result<Vec<PlainFile>> {
    let mut files: Vec<PlainFile> = Vec::new();
    for text in list {
        let (name, path) = split("--describe", text)?;
        // The rule for machine names is the rule for file names at the snapshot's root.
        let name: lifeboat_model::VmName = name.parse()?;
        let reserved = [lifeboat_format::MANIFEST_NAME, "disks"];
        if reserved.contains(&name.as_str()) || files.iter().any(|f| f.name == name.as_str()) {
            return Err(Error::usage(format!(
                "--describe cannot use the name \"{name}\""
            )));
        }
        let content = read(Path::new(path))?;
        files.push(PlainFile {
            name: name.to_string(),
            content,
        });
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: &std::io::Error| {
        let message = format!("cannot read the description {}: {e}", path.display());
        Error::new(ErrorKind::of_io(e), message)
    };
    let size = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
    if size > DESCRIPTION_BYTES_MAX {
        let message = format!("the description {} is larger than 256 MiB", path.display());
        return Err(Error::usage(message));
    }
    std::fs::read(path).map_err(|e| failed(&e))
}
