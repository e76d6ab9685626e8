//! A qcow2 image as a disk.

use std::path::Path;
use std::sync::Arc;

use lifeboat_model::{ErrorKind, Extent, ExtentSet};

use crate::host_file::{HostFile, HostKind};
use crate::open::refuse_in_use;
use crate::port::{bytes, capped, range_within};
use crate::raw_disk::beyond_the_end;
use crate::{DiskReader, ExtentState, HolePolicy, MappedExtent, OpenOptions, Result};

use super::cache::Cache;
use super::chain::Chain;
use super::compressed::Unpackers;
use super::entry::{Descriptor, Unit};
use super::image::Qcow2Image;
use super::mapping::{Mapping, Run};

/// Limit: memory for unpacked clusters that were read in part.
const CLUSTERS_BYTES_MAX: usize = 8 << 20;
/// Limit: pieces that one answer of `next_extent` merges, so that it takes bounded time.
const PIECES_MAX: usize = 1024;

/// Limit: separate ranges in one set, 16 bytes each; beyond it the set becomes coarser.
const EXTENTS_MAX: usize = 4 << 20;

/// The guest's view of a qcow2 image and of the files below it.
pub struct Qcow2Disk {
    image: Qcow2Image,
    /// Holds the data clusters; the image itself if there is no external data file.
    data: HostFile,
    backing: Option<Arc<dyn DiskReader>>,
    size: u64,
    mapping: Mapping,
    unpackers: Unpackers,
    clusters: Cache<Arc<[u8]>>,
    holes: HolePolicy,
}

impl std::fmt::Debug for Qcow2Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qcow2Disk")
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl Qcow2Disk {
    /// Opens the image, and the files that it names as far as `options` allow.
    ///
    /// Errors: `Unsupported` for encryption and unknown features; `Denied` for names that may
    /// not be followed; `Corrupt` for what breaks the format; `NotFound` if there is no such
    /// internal snapshot; `Busy` if another program writes to the image.
    ///
    /// Cost: holds the L1 table, at most 32 MiB of L2 tables, 8 MiB of clusters.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let file = HostFile::open(path)?;
        refuse_in_use(&file, options.in_use)?;
        let mut chain = Chain::new(options);
        chain.enter(&file)?;
        Self::build(
            Qcow2Image::of(file)?,
            options.internal_snapshot.as_deref(),
            &mut chain,
        )
    }

    pub(crate) fn build(
        image: Qcow2Image,
        snapshot: Option<&str>,
        chain: &mut Chain<'_>,
    ) -> Result<Self> {
        let (l1_offset, size) = match snapshot {
            Some(wanted) => image.find_snapshot(wanted)?.place(),
            None => (image.header.l1_offset, image.header.size),
        };
        let data = chain
            .open_data_file(&image)?
            .unwrap_or_else(|| image.file.clone());
        let backing = chain.open_backing(&image)?;
        let mapping = Mapping::open(&image, l1_offset, size, data.length())?;
        let cluster_length = image.header.geometry.cluster_length();
        Ok(Self {
            data,
            backing,
            size,
            mapping,
            unpackers: Unpackers::new(image.header.compression),
            clusters: Cache::new((CLUSTERS_BYTES_MAX / cluster_length).min(32)),
            holes: chain.options.holes,
            image,
        })
    }

    /// The image behind the disk: its snapshots and bitmaps.
    pub fn image(&self) -> &Qcow2Image {
        &self.image
    }

    /// The ranges that this image itself defines, its explicit zeros too.
    ///
    /// Everything else reads as the backing file does: an overlay differs from it nowhere else.
    /// Of an image with millions of ranges it is more than the truth, never less.
    ///
    /// Memory: at most 64 MiB for the set.
    pub fn own_extents(&self) -> Result<ExtentSet> {
        let (mut own, mut rest) = (ExtentSet::new(), Extent::new(0, self.size));
        let mut grain = self.image.cluster_size();
        while let Some(range) = rest {
            let run = self.mapping.run(&self.image, range)?;
            if !matches!(run.unit, Unit::Unallocated) {
                own.insert(run.extent);
            }
            while own.count() > EXTENTS_MAX {
                grain = grain.saturating_mul(2);
                own = own.aligned(grain, self.size);
            }
            rest = Extent::new(run.extent.end(), range.end());
        }
        Ok(own)
    }

    fn read_run(&self, run: Run, buffer: &mut [u8]) -> Result<()> {
        match run.unit {
            Unit::Zero => buffer.fill(0),
            Unit::Unallocated => self.read_backing(run.extent.start(), buffer)?,
            Unit::Host(host) => self.data.read_padded(host, buffer)?,
            Unit::Compressed(descriptor) => {
                self.read_compressed(descriptor, run.extent.start(), buffer)?;
            }
        }
        Ok(())
    }

    fn read_backing(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let Some(backing) = &self.backing else {
            buffer.fill(0);
            return Ok(());
        };
        let present = capped(backing.size().saturating_sub(offset), buffer.len());
        let (inside, outside) = buffer.split_at_mut(present);
        outside.fill(0);
        if inside.is_empty() {
            Ok(())
        } else {
            backing.read_at(offset, inside)
        }
    }

    fn read_compressed(&self, packed: Descriptor, guest: u64, buffer: &mut [u8]) -> Result<()> {
        let geometry = self.mapping.geometry();
        if buffer.len() == geometry.cluster_length() {
            return self.unpack(packed, buffer);
        }
        let cluster = match self.clusters.find(packed.offset) {
            Some(cluster) => cluster,
            None => {
                let mut cluster = vec![0; geometry.cluster_length()];
                self.unpack(packed, &mut cluster)?;
                let cluster: Arc<[u8]> = cluster.into();
                self.clusters.put(packed.offset, Arc::clone(&cluster));
                cluster
            }
        };
        let start = capped(geometry.within_cluster(guest), cluster.len());
        let part = cluster
            .get(start..)
            .and_then(|rest| rest.get(..buffer.len()));
        // A run of a compressed cluster never leaves the cluster.
        assert!(part.is_some(), "a compressed run ends with its cluster");
        buffer.copy_from_slice(part.unwrap_or_default());
        Ok(())
    }

    fn unpack(&self, packed: Descriptor, cluster: &mut [u8]) -> Result<()> {
        if packed.offset >= self.data.length() {
            let seen = "a compressed cluster lies behind the end of the file";
            return Err(self.image.corrupt("reading", packed.offset, seen));
        }
        let unpacked = self.unpackers.with(|unpacker| {
            unpacker.packed.resize(packed.length, 0);
            self.data.read_padded(packed.offset, &mut unpacker.packed)?;
            self.image.checked("reading", unpacker.unpack(cluster))
        });
        unpacked.map_err(|e| {
            if e.kind() == ErrorKind::Corrupt {
                e.at(packed.offset)
            } else {
                e
            }
        })
    }

    /// One extent from `range.start()` on, in one state, as far as is told at once.
    fn piece(&self, range: Extent) -> Result<MappedExtent> {
        let run = self.mapping.run(&self.image, range)?;
        let extent = run.extent;
        let whole = |state| Ok(MappedExtent { extent, state });
        match run.unit {
            Unit::Zero => whole(ExtentState::Zero),
            Unit::Compressed(_) => whole(ExtentState::Data),
            Unit::Unallocated => self.backing_piece(extent),
            Unit::Host(host) => self.host_piece(extent, host),
        }
    }

    fn backing_piece(&self, extent: Extent) -> Result<MappedExtent> {
        let backing = self
            .backing
            .as_ref()
            .filter(|backing| extent.start() < backing.size());
        let Some(backing) = backing else {
            return Ok(MappedExtent {
                extent,
                state: ExtentState::Zero,
            });
        };
        let below = backing.next_extent(extent.start())?;
        let extent = below.extent.intersect(extent).unwrap_or(extent);
        Ok(MappedExtent {
            extent,
            state: below.state,
        })
    }

    /// Preallocated images have data clusters that are holes in the file.
    fn host_piece(&self, extent: Extent, host: u64) -> Result<MappedExtent> {
        let data = Ok(MappedExtent {
            extent,
            state: ExtentState::Data,
        });
        if self.holes == HolePolicy::Ignore || self.data.kind() == HostKind::BlockDevice {
            return data;
        }
        let Some(place) = Extent::at(host, extent.len()) else {
            return data;
        };
        let below = self.data.next_extent(place)?;
        let end = extent.start() + below.extent.len();
        let extent = Extent::new(extent.start(), end).unwrap_or(extent);
        Ok(MappedExtent {
            extent,
            state: below.state,
        })
    }
}

impl DiskReader for Qcow2Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let asked = (offset, bytes(buffer.len()));
        let mut rest = range_within(asked, self.size, "reading", self.image.path())?;
        let mut left = buffer;
        while let Some(range) = rest {
            let run = self.mapping.run(&self.image, range)?;
            let (now, later) = left.split_at_mut(capped(run.extent.len(), left.len()));
            self.read_run(run, now)?;
            left = later;
            rest = Extent::new(run.extent.end(), range.end());
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        let Some(rest) = Extent::new(offset, self.size) else {
            return Err(beyond_the_end(self.image.path(), offset, self.size));
        };
        let mut sum = self.piece(rest)?;
        for _ in 1..PIECES_MAX {
            let Some(rest) = Extent::new(sum.extent.end(), self.size) else {
                break;
            };
            let next = self.piece(rest)?;
            if next.state != sum.state {
                break;
            }
            sum.extent = Extent::new(offset, next.extent.end()).unwrap_or(sum.extent);
        }
        Ok(sum)
    }
}
