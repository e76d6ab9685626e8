//! Where disks of new machines go, and making and removing them there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_disk::{DiskWriter, ImageFormat};
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_nbd::{Address, Endpoint};
use lifeboat_platform::{BuildDisk, Error, Placement, PlannedDisk, Result};

use crate::binding::{Connection, DefinitionKind, Domain, Failure};
use crate::capture::escaped;
use crate::definition::{child, parse, text_of};
use crate::host::{FileKind, Host};

use super::rewrite::NewSource;

/// A place, as far as it is known before anything is made.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Device(PathBuf),
    /// A logical volume that libvirt makes.
    Volume {
        pool: String,
        volume: String,
        path: PathBuf,
    },
    Remote(Address),
}

/// A storage pool, as far as a disk's place depends on it.
struct PoolFacts {
    kind: String,
    folder: PathBuf,
    available: u64,
}

/// Says where a disk goes.
///
/// Errors: `NotFound` for pools and folders, `Exists` for what is there already, `Full`.
pub(crate) fn plan(
    (connection, host): (&Connection, &dyn Host),
    vm: &VmName,
    disk: &BuildDisk,
) -> Result<PlannedDisk> {
    let placed = |format| PlannedDisk {
        name: disk.name.clone(),
        size: disk.size,
        format,
        placement: disk.placement.clone(),
        place: String::new(),
    };
    let wanted = disk.format.unwrap_or(ImageFormat::Qcow2);
    let mut planned = placed(wanted);
    let place = find((connection, host), vm, &planned)?;
    match &place {
        Place::Device(_) | Place::Volume { .. } | Place::Remote(_) => {
            if disk.format == Some(ImageFormat::Qcow2) {
                return Err(
                    Error::new(ErrorKind::Unsupported, "placing", disk.name.as_str())
                        .seen("devices, volumes and exports hold raw disks only"),
                );
            }
            planned.format = ImageFormat::Raw;
        }
        Place::File(path) => refuse_unfit(host, path)?,
    }
    if let Place::Volume { pool, .. } = &place {
        let facts = PoolFacts::of(connection, pool)?;
        if facts.available < disk.size {
            return Err(
                Error::new(ErrorKind::Full, "placing", disk.name.as_str()).seen(format!(
                    "the pool {pool} has {} bytes left",
                    facts.available
                )),
            );
        }
    }
    planned.place = place.shown();
    Ok(planned)
}

fn refuse_unfit(host: &dyn Host, path: &Path) -> Result<()> {
    let failed = |kind| Error::new(kind, "placing a disk at", path.display().to_string());
    let is_below_dev = path.starts_with("/dev") && !path.starts_with("/dev/shm");
    let kind = host.kind(path)?;
    if kind == FileKind::Absent && is_below_dev {
        return Err(failed(ErrorKind::NotFound)
            .seen("there is no such device; a file there would be lost with the next start"));
    }
    if kind != FileKind::Absent {
        return Err(failed(ErrorKind::Exists)
            .seen("something is there already; choose another place, or move it away"));
    }
    let folder = path.parent().unwrap_or(path);
    match host.kind(folder)? {
        FileKind::Folder => Ok(()),
        _ => Err(failed(ErrorKind::NotFound).seen("there is no such folder")),
    }
}

/// The place of a planned disk.
pub(crate) fn find(
    (connection, host): (&Connection, &dyn Host),
    vm: &VmName,
    disk: &PlannedDisk,
) -> Result<Place> {
    let ending = match disk.format {
        ImageFormat::Raw => "img",
        ImageFormat::Qcow2 => "qcow2",
    };
    let file = format!("{vm}-{}.{ending}", disk.name);
    match &disk.placement {
        Placement::Folder(folder) => Ok(Place::File(folder.join(file))),
        Placement::Exact(path) => Ok(match host.kind(path)? {
            FileKind::Device => Place::Device(path.clone()),
            _ => Place::File(path.clone()),
        }),
        Placement::Remote(address) => {
            let address: Address = address.parse().map_err(|cause| {
                Error::new(ErrorKind::Invalid, "placing", disk.name.as_str()).because(cause)
            })?;
            refuse_socket_elsewhere(host, &address)?;
            Ok(Place::Remote(address))
        }
        Placement::Pool(pool) => {
            let facts = PoolFacts::of(connection, pool)?;
            match facts.kind.as_str() {
                "dir" | "fs" | "netfs" => Ok(Place::File(facts.folder.join(file))),
                "logical" => {
                    let volume = plain(&format!("{vm}-{}", disk.name));
                    Ok(Place::Volume {
                        pool: pool.clone(),
                        path: facts.folder.join(&volume),
                        volume,
                    })
                }
                kind => Err(
                    Error::new(ErrorKind::Unsupported, "placing a disk in", pool).seen(format!(
                        "it is a pool of kind {kind}; dir, fs, netfs and logical work"
                    )),
                ),
            }
        }
    }
}

/// Errors: `Unsupported` for a socket of this host where the machine is on another one.
fn refuse_socket_elsewhere(host: &dyn Host, address: &Address) -> Result<()> {
    match address.endpoint() {
        Endpoint::Unix(socket) if !host.is_here() => Err(Error::new(
            ErrorKind::Unsupported,
            "giving the machine the disk at",
            socket.display().to_string(),
        )
        .seen(
            "that socket is here, and the machine would run on another host: run `lifeboat \
             instant start` on that host, or restore it there with `machine recover`",
        )),
        _ => Ok(()),
    }
}

/// A name that LVM takes.
fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    name.chars()
        .map(|c| if fits(c) { c } else { '_' })
        .take(120)
        .collect()
}

impl PoolFacts {
    fn of(connection: &Connection, name: &str) -> Result<Self> {
        let failed = |failure: Failure| failure.of("looking up the pool", name);
        let xml = connection
            .pool(name)
            .and_then(|pool| pool.xml())
            .map_err(failed)?;
        let document = parse(&xml, "a pool's description")?;
        let root = document.root_element();
        let folder = child(root, "target").and_then(|it| text_of(it, "path"));
        let available = text_of(root, "available").and_then(|it| it.parse().ok());
        Ok(Self {
            kind: root.attribute("type").unwrap_or_default().to_owned(),
            folder: folder.unwrap_or_default().into(),
            available: available.unwrap_or(0),
        })
    }
}

impl Place {
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File(path) | Self::Device(path) | Self::Volume { path, .. } => {
                path.display().to_string()
            }
            Self::Remote(address) => address.to_string(),
        }
    }

    pub(crate) fn source(&self) -> NewSource {
        match self {
            Self::File(path) => NewSource::File(path.clone()),
            Self::Device(path) | Self::Volume { path, .. } => NewSource::Device(path.clone()),
            Self::Remote(address) => {
                let (socket, host) = match address.endpoint() {
                    Endpoint::Unix(socket) => (Some(socket.clone()), None),
                    Endpoint::Tcp { host, port } => (None, Some((host.clone(), *port))),
                };
                NewSource::Nbd {
                    export: address.export().to_owned(),
                    socket,
                    host,
                }
            }
        }
    }

    /// Makes room for a disk; nothing to write for one that stays remote.
    pub(crate) fn make(
        &self,
        (connection, host): (&Connection, &dyn Host),
        disk: &PlannedDisk,
    ) -> Result<Option<Arc<dyn DiskWriter>>> {
        Ok(match self {
            Self::Remote(_) => None,
            Self::Device(path) => Some(host.overwrite_device(path, disk.size)?),
            Self::Volume { pool, .. } => {
                let path = self.make_volume(connection, pool, disk.size)?;
                Some(host.overwrite_device(&path, disk.size)?)
            }
            Self::File(path) => Some(host.make_disk(path, disk.size, disk.format)?),
        })
    }

    /// Makes the logical volume, if it is one.
    pub(crate) fn make_volume(
        &self,
        connection: &Connection,
        pool: &str,
        size: u64,
    ) -> Result<PathBuf> {
        let Self::Volume { volume, .. } = self else {
            return Ok(PathBuf::new());
        };
        let xml = format!(
            "<volume><name>{}</name><capacity unit='bytes'>{size}</capacity></volume>",
            escaped(volume)
        );
        let made = connection.pool(pool).and_then(|it| it.create(&xml));
        made.map_err(|failure| failure.of("making the volume", volume))
    }

    /// Removes what was made here, if it is something that can be removed.
    pub(crate) fn remove(&self, connection: &Connection, host: &dyn Host) -> Result<()> {
        match self {
            Self::Device(_) | Self::Remote(_) => Ok(()),
            Self::File(path) => host.remove_file(path),
            Self::Volume { pool, volume, .. } => {
                let gone = connection.pool(pool).and_then(|it| it.delete(volume));
                gone.map_err(|failure| failure.of("removing the volume", volume))
            }
        }
    }

    /// Whoever owns the folder can use the file.
    pub(crate) fn hand_over(&self, host: &dyn Host) -> Result<()> {
        match self {
            Self::File(path) => host.hand_over(path),
            _ => Ok(()),
        }
    }
}

/// Whether the definition of any machine has this path in it: as a disk, a backing file, a log.
pub(crate) fn is_mentioned(connection: &Connection, path: &str) -> Result<bool> {
    let all = connection.domains();
    let all = all.map_err(|failure| failure.of("listing machines that may use", path))?;
    let shown = escaped(path);
    let forms = [("'", "'"), ("\"", "\""), (">", "<")];
    let forms = forms.map(|(before, behind)| format!("{before}{shown}{behind}"));
    let has = |xml: &str| forms.iter().any(|form| xml.contains(form));
    let mentions = |domain: &Domain| {
        let kinds = [DefinitionKind::Stored, DefinitionKind::Present];
        // A machine that cannot be asked may have it.
        kinds
            .into_iter()
            .any(|kind| domain.xml(kind).map_or(true, |xml| has(&xml)))
    };
    Ok(all.iter().any(mentions))
}
