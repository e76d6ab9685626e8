//! Disks of a snapshot for NBD clients: read-only, or writable above the snapshot.

use std::path::Path;
use std::sync::Arc;

use lifeboat_disk::{DiskReader, ExtentState};
use lifeboat_engine::{ChunkCache, SnapshotDisk, place};
use lifeboat_format::{DiskManifest, MachineManifest};
use lifeboat_model::{ErrorKind, Extent};
use lifeboat_nbd::{Allocation, Export, Exports, Overlay, Stated};
use lifeboat_repository::{BlobReader, Index, Repository, Snapshot};

use crate::error::Doing;
use crate::parent::{node_at, read_manifest};
use crate::{Error, Result};

/// Bytes of opened chunks that all disks of a server keep together.
pub const CACHE_BYTES: usize = 128 << 20;

/// A disk that can only be read, for NBD clients.
pub struct ReadOnlyExport {
    disk: Arc<dyn DiskReader>,
    text: String,
}

impl ReadOnlyExport {
    /// Shows `disk` to clients under `text`.
    pub fn new(disk: Arc<dyn DiskReader>, text: impl Into<String>) -> Self {
        Self {
            disk,
            text: text.into(),
        }
    }
}

fn failed(error: lifeboat_disk::Error) -> lifeboat_nbd::Error {
    let place = error.path().display().to_string();
    lifeboat_nbd::Error::new(error.kind(), "reading", place).because(error)
}

impl Export for ReadOnlyExport {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_nbd::Result<()> {
        self.disk.read_at(offset, buffer).map_err(failed)
    }

    fn description(&self) -> String {
        self.text.clone()
    }

    fn extents<'a>(
        &'a self,
        range: Extent,
    ) -> Box<dyn Iterator<Item = lifeboat_nbd::Result<Stated>> + 'a> {
        let mut offset = range.start();
        Box::new(std::iter::from_fn(move || {
            (offset < range.end()).then(|| {
                let mapped = self.disk.next_extent(offset).map_err(|error| {
                    offset = range.end();
                    failed(error)
                })?;
                let end = mapped.extent.end().min(range.end());
                let extent = Extent::new(offset, end).unwrap_or(range);
                offset = extent.end();
                let allocation = match mapped.state {
                    ExtentState::Data => Allocation::Data,
                    ExtentState::Zero => Allocation::Hole,
                };
                Ok(Stated { extent, allocation })
            })
        }))
    }
}

/// The disks of one snapshot.
pub struct SnapshotDisks {
    /// What the snapshot says of its machine.
    pub manifest: MachineManifest,
    disks: Vec<(DiskManifest, Arc<dyn DiskReader>)>,
}

impl SnapshotDisks {
    /// Opens the disks of a machine's snapshot.
    ///
    /// Errors: `NotFound` for a snapshot that is no machine's; `Corrupt` for missing data.
    pub fn open(
        repository: &Arc<Repository>,
        index: &Arc<Index>,
        snapshot: &Snapshot,
    ) -> Result<Self> {
        let mut reader = BlobReader::new(repository, index);
        let manifest = read_manifest(&mut reader, snapshot)?;
        let cache = ChunkCache::new(CACHE_BYTES);
        let mut disks = Vec::new();
        for disk in &manifest.disks {
            let node = node_at(&mut reader, &snapshot.file.tree, &disk.path)?;
            let content = place(index, &node);
            let content = content.doing(|| format!("cannot open the disk {}", disk.name))?;
            let (repository, index) = (Arc::clone(repository), Arc::clone(index));
            let name = format!("disk {} of snapshot {}", disk.name, snapshot.id.short());
            let cache = Arc::clone(&cache);
            let opened = SnapshotDisk::new(repository, index, content, cache, &name);
            disks.push((disk.clone(), Arc::new(opened) as Arc<dyn DiskReader>));
        }
        Ok(Self { manifest, disks })
    }

    /// The disks, in the machine's own order.
    pub fn disks(&self) -> impl Iterator<Item = (&DiskManifest, &Arc<dyn DiskReader>)> {
        self.disks.iter().map(|(disk, reader)| (disk, reader))
    }

    /// Gives every disk to NBD clients, under its name.
    ///
    /// With a folder, clients may write: what they write lies in `NAME.overlay` there, and is
    /// found again by the next call with the same snapshot.
    ///
    /// Errors: `Busy` while another process serves from that folder; those of the file system.
    pub fn publish(&self, exports: &Exports, overlays: Option<&Path>) -> Result<()> {
        for (disk, reader) in self.disks() {
            let text = format!("{} of {}", disk.name, self.manifest.machine.name);
            let base = Arc::new(ReadOnlyExport::new(Arc::clone(reader), text));
            let export: Arc<dyn Export> = match overlays {
                None => base,
                Some(folder) => Arc::new(overlay(folder, disk, base)?),
            };
            let published = exports.publish(&disk.name, export);
            published.map_err(|error| of_nbd("cannot serve the disk", error))?;
        }
        Ok(())
    }
}

fn overlay(folder: &Path, disk: &DiskManifest, base: Arc<dyn Export>) -> Result<Overlay> {
    let name: lifeboat_model::DiskName = disk.name.parse().map_err(|error| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the snapshot's manifest: {error}"),
        )
    })?;
    let path = folder.join(format!("{name}.overlay"));
    let root = disk.root.id().0;
    let opened = match path.exists() {
        true => Overlay::open(&path, base, root),
        false => Overlay::create(&path, base, root),
    };
    opened.map_err(|error| of_nbd("cannot keep what is written", error))
}

/// A failure of NBD with what was being done.
pub fn of_nbd(doing: impl Into<String>, error: lifeboat_nbd::Error) -> Error {
    Error::new(error.kind(), doing).with_source(error)
}
