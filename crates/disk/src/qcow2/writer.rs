//! Writing qcow2 images, version 3.
//!
//! Takes ranges in any order, from several threads; gives an image that holds only what was
//! written, plain or compressed with zstd, alone or as an overlay on a backing file.
//! Does not open existing images, write bitmaps or internal snapshots, or resume.
//!
//! Clusters are only ever appended to the file, so that what is freshly allocated reads as
//! zeros, and refcounts need to be known at the end only.
//!
//! Source: QEMU docs/interop/qcow2.txt; judged by qemu-img check and compare.

mod layout;
mod packing;
mod partial;
mod tables;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use lifeboat_model::{ErrorKind, Extent};

use crate::port::{bytes, capped, range_within};
use crate::work_file::WorkFile;
use crate::zeros::{punch, write_zeros};
use crate::{DiskReader, DiskWriter, Error, ImageFormat, Leftover, Result, TargetMode};

use super::compressed::Unpacker;
use super::geometry::{COPIED, Geometry, L1_BYTES_MAX, READS_AS_ZEROS};
use super::header::Compression;

use packing::Packers;
use partial::Partials;
use tables::{Place, Tables};

/// How a qcow2 image is written.
#[derive(Clone)]
pub struct Qcow2WriterOptions {
    /// `New` or `Replace`.
    pub mode: TargetMode,
    /// A power of two from 512 bytes to 2 MiB.
    pub cluster_size: u64,
    /// Whether clusters are compressed.
    pub compression: ClusterCompression,
    /// What unwritten ranges read from; without it they are zeros.
    pub backing: Option<BackingFile>,
}

/// Whether clusters of a new image are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterCompression {
    /// Stored as they are.
    #[default]
    None,
    /// By zstd, as QEMU 5.1 and later read it. Level 3 is usual.
    Zstd {
        /// 1 to 19.
        level: i32,
    },
}

/// The file below an overlay.
#[derive(Clone)]
pub struct BackingFile {
    /// Recorded as it is; a relative path is meant from the image's directory.
    pub path: PathBuf,
    /// Recorded, so that nobody needs to guess.
    pub format: ImageFormat,
    /// Fills up clusters that were written in part. Not needed if all ranges consist of whole
    /// clusters.
    pub content: Option<Arc<dyn DiskReader>>,
}

impl Qcow2WriterOptions {
    /// A plain image of 64 KiB clusters without backing file.
    pub fn new(mode: TargetMode) -> Self {
        Self {
            mode,
            cluster_size: 64 << 10,
            compression: ClusterCompression::None,
            backing: None,
        }
    }
}

/// A qcow2 image being written.
///
/// Memory: at most 64 MiB of tables and, if compressing, 64 MiB of clusters that were written
/// in part, and 32 MiB of refcounts per TiB written (64 KiB clusters).
pub struct Qcow2Writer {
    work: WorkFile,
    size: u64,
    geometry: Geometry,
    backing: Option<BackingFile>,
    // Order: `partials` is locked before `tables`.
    partials: Mutex<Partials>,
    tables: Mutex<Tables>,
    packers: Option<Packers>,
}

impl std::fmt::Debug for Qcow2Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qcow2Writer")
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

impl Qcow2Writer {
    /// Begins an image of a disk of `size` bytes that will be at `path`.
    ///
    /// QEMU counts disks in sectors: a size that is no multiple of 512 is rounded up for it.
    ///
    /// Errors: as for [`crate::RawWriter::create`]; `Invalid` for mode `InPlace`, for an
    /// impossible cluster size, or one too small for the disk.
    pub fn create(path: &Path, size: u64, options: &Qcow2WriterOptions) -> Result<Self> {
        let invalid = |seen| Error::new(ErrorKind::Invalid, "creating", path).seen(seen);
        if options.mode == TargetMode::InPlace {
            return Err(invalid(
                "a qcow2 image cannot be written in place; replace it",
            ));
        }
        let cluster_bits = options.cluster_size.trailing_zeros();
        if !options.cluster_size.is_power_of_two() || !(9..=21).contains(&cluster_bits) {
            return Err(invalid(
                "the cluster size must be a power of two from 512 to 2 MiB",
            ));
        }
        let geometry = Geometry {
            cluster_bits,
            extended: false,
        };
        let fits = size <= i64::MAX.cast_unsigned() - 511
            && geometry.l1_entries(size.next_multiple_of(512)) <= L1_BYTES_MAX / 8;
        if !fits {
            return Err(invalid("the disk is too large for this cluster size"));
        }
        layout::check_backing(options.backing.as_ref(), geometry)
            .map_err(|fault| fault.of("creating", path))?;
        let work = WorkFile::open(path, options.mode, Leftover::Discard)?;
        let packers = Packers::new(options.compression, geometry.cluster_length());
        let tables = Tables::new(&work, geometry, size, packers.is_some());
        Ok(Self {
            size,
            geometry,
            backing: options.backing.clone(),
            partials: Mutex::new(Partials::new(geometry.cluster_length())),
            tables: Mutex::new(tables),
            packers,
            work,
        })
    }

    /// Gives up: the work file is removed.
    pub fn abort(&self) -> Result<()> {
        self.work.abort()
    }

    fn path(&self) -> &Path {
        self.work.path()
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>> {
        mutex.lock().map_err(|_| {
            Error::new(ErrorKind::Invalid, "writing", self.path())
                .seen("another thread of this writer has panicked; begin anew")
        })
    }

    fn put(&self, host: u64, content: &[u8]) -> Result<()> {
        self.work
            .file()
            .write_all_at(content, host)
            .map_err(|e| Error::io("writing", self.path(), e).at(host))
    }

    /// The range of a cluster, cut at the end of the disk.
    fn cluster_range(&self, cluster: u64) -> Extent {
        let start = cluster << self.geometry.cluster_bits;
        let end = (start + self.geometry.cluster_size()).min(self.size);
        let range = Extent::new(start, end);
        range.unwrap_or_else(|| panic!("cluster {cluster} begins behind the disk's end"))
    }

    /// The parts of a range, one per cluster.
    fn parts(&self, range: Extent) -> impl Iterator<Item = (u64, Extent)> + '_ {
        let bits = self.geometry.cluster_bits;
        let clusters = range.start() >> bits..=(range.end() - 1) >> bits;
        clusters.filter_map(move |cluster| {
            Some((cluster, self.cluster_range(cluster).intersect(range)?))
        })
    }

    fn write_plain(&self, range: Extent, mut content: &[u8]) -> Result<()> {
        let mut places: Vec<(u64, u64)> = Vec::new();
        let mut tables = self.lock(&self.tables)?;
        for (cluster, part) in self.parts(range) {
            let host = self.standard(&mut tables, cluster, part)?;
            let host = host + self.geometry.within_cluster(part.start());
            match places.last_mut() {
                Some((first, length)) if *first + *length == host => *length += part.len(),
                _ => places.push((host, part.len())),
            }
        }
        drop(tables);
        for (host, length) in places {
            let (now, later) = content.split_at(capped(length, content.len()));
            self.put(host, now)?;
            content = later;
        }
        Ok(())
    }

    /// The host offset of a standard cluster whose bytes outside `part` are right already.
    fn standard(&self, tables: &mut Tables, cluster: u64, part: Extent) -> Result<u64> {
        let place = tables.place(cluster)?;
        let host = match place {
            Place::Standard(host) => return Ok(host),
            Place::ZeroAt(host) => host,
            Place::Zero => tables.allocate()?,
            Place::Unallocated => {
                let below = self.around(cluster, part)?;
                let host = tables.allocate()?;
                for (offset, content) in below {
                    self.put(host + offset, &content)?;
                }
                host
            }
            Place::Packed(entry) => {
                let content = self.unpack(entry)?;
                let host = tables.allocate()?;
                self.put(host, &content)?;
                tables.release(entry);
                host
            }
        };
        tables.set(cluster, host | COPIED)?;
        Ok(host)
    }

    /// What the backing file has around `part` in its cluster, by offset in the cluster.
    fn around(&self, cluster: u64, part: Extent) -> Result<Vec<(u64, Vec<u8>)>> {
        let whole = self.cluster_range(cluster);
        if self.backing.is_none() || part == whole {
            return Ok(Vec::new());
        }
        let mut content = vec![0; self.geometry.cluster_length()];
        self.read_backing(whole, &mut content)?;
        let tail = content.split_off(capped(part.end() - whole.start(), content.len()));
        content.truncate(capped(part.start() - whole.start(), content.len()));
        Ok(vec![(0, content), (part.end() - whole.start(), tail)])
    }

    /// Fills the beginning of `cluster` with the backing file's bytes of `range`.
    fn read_backing(&self, range: Extent, cluster: &mut [u8]) -> Result<()> {
        let Some(backing) = &self.backing else {
            return Ok(());
        };
        let Some(content) = &backing.content else {
            return Err(Error::new(ErrorKind::Invalid, "writing", self.path())
                .at(range.start())
                .seen("a cluster was written in part, and the backing file is not at hand"));
        };
        let present = content
            .size()
            .saturating_sub(range.start())
            .min(range.len());
        let (inside, _) = cluster.split_at_mut(capped(present, cluster.len()));
        if inside.is_empty() {
            Ok(())
        } else {
            content.read_at(range.start(), inside)
        }
    }

    fn unpack(&self, entry: u64) -> Result<Vec<u8>> {
        let (offset, length) = tables::packed_range(self.geometry, entry);
        let mut unpacker = Unpacker::new(Compression::Zstd);
        unpacker.packed = vec![0; capped(length, usize::MAX)];
        let mut read = 0;
        // The last sector may not be written yet.
        while let Some(rest) = unpacker
            .packed
            .get_mut(read..)
            .filter(|rest| !rest.is_empty())
        {
            let count = self
                .work
                .file()
                .read_at(rest, offset + bytes(read))
                .map_err(|e| Error::io("reading back", self.path(), e).at(offset))?;
            if count == 0 {
                break;
            }
            read += count;
        }
        let mut content = vec![0; self.geometry.cluster_length()];
        let unpacked = unpacker.unpack(&mut content);
        unpacked.map_err(|fault| fault.of("reading back", self.path()))?;
        Ok(content)
    }

    /// Makes a whole cluster read as zeros.
    fn zero_cluster(&self, tables: &mut Tables, cluster: u64) -> Result<()> {
        let nothing = if self.backing.is_some() {
            READS_AS_ZEROS
        } else {
            0
        };
        match tables.place(cluster)? {
            Place::Zero | Place::ZeroAt(_) => Ok(()),
            Place::Unallocated if nothing == 0 => Ok(()),
            Place::Unallocated => tables.set(cluster, nothing),
            Place::Packed(entry) => {
                tables.release(entry);
                tables.set(cluster, nothing)
            }
            Place::Standard(host) => {
                // Stays allocated, so that no refcount changes; the space is given back.
                if let Some(range) = Extent::at(host, self.geometry.cluster_size())
                    && !punch(self.work.file(), self.path(), range)?
                {
                    write_zeros(self.work.file(), self.path(), range)?;
                }
                tables.set(cluster, host | COPIED | READS_AS_ZEROS)
            }
        }
    }

    fn zero_clusters(&self, clusters: std::ops::Range<u64>) -> Result<()> {
        if self.packers.is_some() {
            self.lock(&self.partials)?.remove_all(clusters.clone());
        }
        let mut cluster = clusters.start;
        while cluster < clusters.end {
            // The lock is given up after each table, so that other threads can go on.
            let mut tables = self.lock(&self.tables)?;
            let table_end = tables.table_end(cluster).min(clusters.end);
            if self.backing.is_some() || tables.has_table(cluster) {
                for cluster in cluster..table_end {
                    self.zero_cluster(&mut tables, cluster)?;
                }
            }
            cluster = table_end;
        }
        Ok(())
    }

    /// Zeros a part of a cluster.
    fn zero_part(&self, cluster: u64, part: Extent) -> Result<()> {
        let place = self.lock(&self.tables)?.place(cluster)?;
        let is_zero = match place {
            Place::Zero | Place::ZeroAt(_) => true,
            // A compressed cluster is stored once all of it is known.
            Place::Unallocated => self.backing.is_none() && self.packers.is_none(),
            Place::Standard(_) | Place::Packed(_) => false,
        };
        if is_zero {
            return Ok(());
        }
        self.write_part(cluster, part, &vec![0; capped(part.len(), usize::MAX)])
    }

    /// Writes a part of one cluster, compressing where that is asked for.
    fn write_part(&self, cluster: u64, part: Extent, content: &[u8]) -> Result<()> {
        let Some(packers) = &self.packers else {
            return self.write_plain(part, content);
        };
        let whole = self.cluster_range(cluster);
        let mut partials = self.lock(&self.partials)?;
        if part == whole {
            partials.remove(cluster);
            drop(partials);
            return self.store(packers, cluster, content);
        }
        let is_stored = self.lock(&self.tables)?.place(cluster)? != Place::Unallocated;
        if is_stored && !partials.has(cluster) {
            drop(partials);
            return self.write_plain(part, content);
        }
        if let Some(complete) = partials.add(cluster, whole, part, content) {
            drop(partials);
            return self.store(packers, cluster, &complete);
        }
        // Under the lock: a later part of that cluster must find it stored as a whole.
        while let Some((cluster, mut evicted)) = partials.overflow() {
            let whole = self.cluster_range(cluster);
            self.complete(whole, &mut evicted)?;
            self.write_plain(whole, evicted.content(whole))?;
        }
        Ok(())
    }

    /// Fills the ranges that were not written from the backing file.
    fn complete(&self, whole: Extent, partial: &mut partial::Partial) -> Result<()> {
        if self.backing.is_none() {
            return Ok(());
        }
        let mut below = vec![0; self.geometry.cluster_length()];
        self.read_backing(whole, &mut below)?;
        partial.fill_gaps(whole, &below);
        Ok(())
    }

    /// Stores a cluster that is known completely.
    fn store(&self, packers: &Packers, cluster: u64, content: &[u8]) -> Result<()> {
        if content.iter().all(|byte| *byte == 0) {
            return self.zero_cluster(&mut *self.lock(&self.tables)?, cluster);
        }
        let whole = self.cluster_range(cluster);
        let Some(packed) = packers.pack(content) else {
            return self.write_plain(whole, content);
        };
        let mut tables = self.lock(&self.tables)?;
        match tables.place(cluster)? {
            Place::Standard(_) | Place::ZeroAt(_) => {
                drop(tables);
                return self.write_plain(whole, content);
            }
            Place::Packed(entry) => tables.release(entry),
            Place::Unallocated | Place::Zero => {}
        }
        let (host, entry) = tables.place_packed(bytes(packed.len()))?;
        tables.set(cluster, entry)?;
        drop(tables);
        self.put(host, &packed)
    }

    fn store_partials(&self) -> Result<()> {
        let Some(packers) = &self.packers else {
            return Ok(());
        };
        let rest = self.lock(&self.partials)?.take_all();
        for (cluster, mut partial) in rest {
            let whole = self.cluster_range(cluster);
            self.complete(whole, &mut partial)?;
            self.store(packers, cluster, partial.content(whole))?;
        }
        Ok(())
    }
}

impl DiskWriter for Qcow2Writer {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_at(&self, offset: u64, content: &[u8]) -> Result<()> {
        self.work.refuse_closed()?;
        let asked = (offset, bytes(content.len()));
        let range = range_within(asked, self.size, "writing", self.path())?;
        let Some(range) = range else { return Ok(()) };
        if self.packers.is_none() {
            return self.write_plain(range, content);
        }
        let mut rest = content;
        for (cluster, part) in self.parts(range) {
            let (now, later) = rest.split_at(capped(part.len(), rest.len()));
            self.write_part(cluster, part, now)?;
            rest = later;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, length: u64) -> Result<()> {
        self.work.refuse_closed()?;
        let range = range_within((offset, length), self.size, "zeroing", self.path())?;
        let Some(range) = range else { return Ok(()) };
        let bits = self.geometry.cluster_bits;
        let first = range.start().div_ceil(self.geometry.cluster_size());
        // The disk's last cluster is whole if the range reaches the disk's end.
        let end = if range.end() == self.size {
            range.end().div_ceil(self.geometry.cluster_size())
        } else {
            range.end() >> bits
        };
        if first < end {
            self.zero_clusters(first..end)?;
        }
        let edges = [range.start() >> bits, (range.end() - 1) >> bits];
        for (index, cluster) in edges.into_iter().enumerate() {
            let is_whole = (first..end).contains(&cluster);
            let is_twice = index == 1 && edges.first() == Some(&cluster);
            if let Some(part) = self.cluster_range(cluster).intersect(range)
                && !is_whole
                && !is_twice
            {
                self.zero_part(cluster, part)?;
            }
        }
        Ok(())
    }

    fn give_up(&self) -> Result<()> {
        self.work.give_up()
    }

    fn finish(&self) -> Result<()> {
        self.work.close()?;
        self.store_partials()?;
        let mut tables = self.lock(&self.tables)?;
        tables.flush()?;
        layout::write(&self.work, self.size, &tables, self.backing.as_ref())?;
        self.work.publish()
    }

    fn is_blank(&self) -> bool {
        self.backing.is_none()
    }
}
