//! Where clusters are in the image being written.
//!
//! L2 tables are kept in the file and the ones used last in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_model::ErrorKind;

use crate::port::capped;
use crate::qcow2::field::u64s;
use crate::qcow2::geometry::{COMPRESSED, COPIED, Geometry, OFFSET_MASK, READS_AS_ZEROS};
use crate::work_file::WorkFile;
use crate::{Error, Result};

/// Limit: memory for L2 tables; at 64 KiB clusters they describe 512 GiB.
const TABLES_BYTES_MAX: usize = 64 << 20;
/// The header has the first cluster.
const HEADER_CLUSTERS: u64 = 1;

/// Where a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Unallocated,
    /// Reads as zeros, without space.
    Zero,
    /// Reads as zeros; the space at this offset is its own and holds zeros.
    ZeroAt(u64),
    Standard(u64),
    /// The L2 entry.
    Packed(u64),
}

#[derive(Debug)]
pub(super) struct Tables {
    file: Arc<File>,
    path: PathBuf,
    geometry: Geometry,
    /// Offsets of L2 tables; 0 where there is none.
    l1: Vec<u64>,
    cached: HashMap<u64, CachedTable>,
    /// Table indexes by the moment of their last use.
    order: BTreeMap<u64, u64>,
    now: u64,
    /// Clusters of the file so far.
    clusters: u64,
    /// Where the last packed cluster ends.
    packed_end: u64,
    /// Refcounts by cluster, if any can differ from one.
    counts: Option<Vec<u16>>,
}

#[derive(Debug)]
struct CachedTable {
    used: u64,
    is_changed: bool,
    entries: Vec<u64>,
}

impl Tables {
    pub(super) fn new(work: &WorkFile, geometry: Geometry, size: u64, packing: bool) -> Self {
        let l1_entries = geometry.l1_entries(size).max(1);
        let clusters = HEADER_CLUSTERS + (l1_entries * 8).div_ceil(geometry.cluster_size());
        Self {
            file: Arc::clone(work.file()),
            path: work.path().to_owned(),
            geometry,
            l1: vec![0; capped(l1_entries, usize::MAX)],
            cached: HashMap::new(),
            order: BTreeMap::new(),
            now: 0,
            clusters,
            packed_end: 0,
            counts: packing.then(|| vec![1; capped(clusters, usize::MAX)]),
        }
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Offset of the L1 table, which lies behind the header.
    pub(super) fn l1_offset(&self) -> u64 {
        HEADER_CLUSTERS << self.geometry.cluster_bits
    }

    /// Entries of the L1 table as they are stored.
    pub(super) fn l1_entries(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.l1
            .iter()
            .map(|offset| if *offset == 0 { 0 } else { offset | COPIED })
    }

    /// Says whether the image may have compressed clusters.
    pub(super) fn is_packing(&self) -> bool {
        self.counts.is_some()
    }

    pub(super) fn clusters(&self) -> u64 {
        self.clusters
    }

    pub(super) fn refcount(&self, cluster: u64) -> u16 {
        let counts = self.counts.as_deref().unwrap_or_default();
        counts
            .get(capped(cluster, usize::MAX))
            .copied()
            .unwrap_or(1)
    }

    /// One past the last cluster that the L2 table of `cluster` describes.
    pub(super) fn table_end(&self, cluster: u64) -> u64 {
        ((cluster >> self.geometry.table_bits()) + 1) << self.geometry.table_bits()
    }

    pub(super) fn has_table(&self, cluster: u64) -> bool {
        let index = capped(cluster >> self.geometry.table_bits(), usize::MAX);
        self.l1.get(index).is_some_and(|offset| *offset != 0)
    }

    pub(super) fn place(&mut self, cluster: u64) -> Result<Place> {
        if !self.has_table(cluster) {
            return Ok(Place::Unallocated);
        }
        let entry = *self.entry(cluster)?;
        let host = entry & OFFSET_MASK;
        Ok(match entry {
            0 => Place::Unallocated,
            _ if entry & COMPRESSED != 0 => Place::Packed(entry),
            _ if entry & READS_AS_ZEROS == 0 => Place::Standard(host),
            _ if host == 0 => Place::Zero,
            _ => Place::ZeroAt(host),
        })
    }

    pub(super) fn set(&mut self, cluster: u64, entry: u64) -> Result<()> {
        *self.entry(cluster)? = entry;
        let index = cluster >> self.geometry.table_bits();
        if let Some(table) = self.cached.get_mut(&index) {
            table.is_changed = true;
        }
        Ok(())
    }

    /// A fresh cluster, which reads as zeros.
    pub(super) fn allocate(&mut self) -> Result<u64> {
        self.extend(1)
    }

    /// Adds a cluster with this refcount at the end of the file.
    fn extend(&mut self, count: u16) -> Result<u64> {
        let offset = self.clusters << self.geometry.cluster_bits;
        if offset >= 1 << 55 {
            return Err(Error::new(ErrorKind::Full, "writing", &self.path)
                .seen("the image would exceed 2^55 bytes"));
        }
        if let Some(counts) = &mut self.counts {
            counts.push(count);
        }
        self.clusters += 1;
        Ok(offset)
    }

    /// Space for a packed cluster of fewer bytes than a cluster: its offset and its L2 entry.
    pub(super) fn place_packed(&mut self, length: u64) -> Result<(u64, u64)> {
        let bits = self.geometry.cluster_bits;
        let current = self.packed_end >> bits;
        let is_open =
            self.geometry.within_cluster(self.packed_end) != 0 && self.refcount(current) < u16::MAX;
        let fits = (self.packed_end + length - 1) >> bits == current;
        let is_last = current + 1 == self.clusters;
        let start = if is_open && (fits || is_last) {
            self.packed_end
        } else {
            self.clusters << bits
        };
        let end = start + length;
        let last = (end - 1) >> bits;
        while self.clusters <= last {
            self.extend(0)?;
        }
        if start >> self.geometry.compressed_offset_bits() != 0 {
            return Err(Error::new(ErrorKind::Full, "writing", &self.path)
                .seen("the image is too large for compressed clusters"));
        }
        self.count(start >> bits, last, 1);
        self.packed_end = end;
        let sectors = (end - 1) / 512 - start / 512;
        Ok((
            start,
            COMPRESSED | sectors << self.geometry.compressed_offset_bits() | start,
        ))
    }

    /// Gives up the space of a packed cluster.
    pub(super) fn release(&mut self, entry: u64) {
        let (offset, length) = packed_range(self.geometry, entry);
        let bits = self.geometry.cluster_bits;
        self.count(offset >> bits, (offset + length - 1) >> bits, -1);
    }

    fn count(&mut self, first: u64, last: u64, change: i16) {
        let counts = self.counts.as_deref_mut().unwrap_or_default();
        let counts = counts.iter_mut().skip(capped(first, usize::MAX));
        for count in counts.take(capped(last - first + 1, usize::MAX)) {
            *count = count.saturating_add_signed(change);
        }
    }

    /// The entry of a cluster; its table is made if need be.
    fn entry(&mut self, cluster: u64) -> Result<&mut u64> {
        let table_bits = self.geometry.table_bits();
        let (index, within) = (cluster >> table_bits, cluster & ((1 << table_bits) - 1));
        self.load(index)?;
        let (now, order) = (&mut self.now, &mut self.order);
        let entry = self.cached.get_mut(&index).and_then(|table| {
            if table.used != *now {
                *now += 1;
                order.remove(&table.used);
                order.insert(*now, index);
                table.used = *now;
            }
            table.entries.get_mut(capped(within, usize::MAX))
        });
        Ok(entry.unwrap_or_else(|| panic!("cluster {cluster} has no entry in its table")))
    }

    /// Brings an L2 table into memory.
    fn load(&mut self, index: u64) -> Result<()> {
        if self.cached.contains_key(&index) {
            return Ok(());
        }
        self.make_room()?;
        let at = capped(index, usize::MAX);
        let known = self.l1.get(at).copied().unwrap_or(0);
        let entries = if known == 0 {
            let offset = self.allocate()?;
            if let Some(place) = self.l1.get_mut(at) {
                *place = offset;
            }
            vec![0; self.geometry.cluster_length() / 8]
        } else {
            let mut table = vec![0; self.geometry.cluster_length()];
            self.file
                .read_exact_at(&mut table, known)
                .map_err(|e| Error::io("reading back", &self.path, e).at(known))?;
            u64s(&table).collect()
        };
        self.now += 1;
        let table = CachedTable {
            used: self.now,
            is_changed: known == 0,
            entries,
        };
        self.order.insert(self.now, index);
        self.cached.insert(index, table);
        Ok(())
    }

    fn make_room(&mut self) -> Result<()> {
        let count_max = (TABLES_BYTES_MAX / self.geometry.cluster_length()).max(2);
        while self.cached.len() >= count_max {
            let Some((used, index)) = self.order.first_key_value().map(|(u, i)| (*u, *i)) else {
                break;
            };
            self.save(index)?;
            self.order.remove(&used);
            self.cached.remove(&index);
        }
        Ok(())
    }

    fn save(&mut self, index: u64) -> Result<()> {
        let offset = self.l1.get(capped(index, usize::MAX)).copied().unwrap_or(0);
        let Some(table) = self.cached.get_mut(&index).filter(|table| table.is_changed) else {
            return Ok(());
        };
        assert!(
            offset != 0,
            "an L2 table in memory has its place in the file"
        );
        let stored: Vec<u8> = table
            .entries
            .iter()
            .flat_map(|entry| entry.to_be_bytes())
            .collect();
        self.file
            .write_all_at(&stored, offset)
            .map_err(|e| Error::io("writing", &self.path, e).at(offset))?;
        table.is_changed = false;
        Ok(())
    }

    /// Writes all tables that are only in memory.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut indexes: Vec<u64> = self.cached.keys().copied().collect();
        indexes.sort_unstable();
        indexes.into_iter().try_for_each(|index| self.save(index))
    }
}

/// Offset and length, to the end of its last sector, of the cluster that an L2 entry packs.
pub(super) fn packed_range(geometry: Geometry, entry: u64) -> (u64, u64) {
    let bits = geometry.compressed_offset_bits();
    let offset = entry & ((1 << bits) - 1);
    let sectors = ((entry & (COMPRESSED - 1)) >> bits) + 1;
    (offset, sectors * 512 - offset % 512)
}
