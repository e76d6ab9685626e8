//! From guest offsets to places, through the L1 and L2 tables.

use std::sync::Arc;

use lifeboat_model::Extent;

use crate::Result;
use crate::port::capped;

use super::cache::Cache;
use super::entry::{Entry, EntryRules, Unit};
use super::geometry::{Geometry, OFFSET_MASK};
use super::image::Qcow2Image;

/// Limit: memory for L2 tables; at 64 KiB clusters they describe 256 GiB.
const TABLES_BYTES_MAX: usize = 32 << 20;

/// Limit: entries that one run merges, so that an answer about a fragmented disk does not look
/// at the rest of its table each time.
const ENTRIES_MAX: usize = 1024;

/// One L1 table and the L2 tables below it that were used last.
#[derive(Debug)]
pub(crate) struct Mapping {
    rules: EntryRules,
    l1: Vec<u64>,
    tables: Cache<Arc<[u64]>>,
    /// Where data clusters must begin before: the length of the file that holds them.
    host_length: u64,
}

/// A part of one L2 table's reach in one state; a host offset is that of its first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) extent: Extent,
    pub(crate) unit: Unit,
}

impl Mapping {
    /// Reads the part of the L1 table that a disk of `size` bytes needs.
    pub(crate) fn open(
        image: &Qcow2Image,
        l1_offset: u64,
        size: u64,
        host_length: u64,
    ) -> Result<Self> {
        let header = &image.header;
        let rules = EntryRules {
            geometry: header.geometry,
            version: header.version,
            has_external_data: header.has_external_data,
        };
        let l1 = image.read_table(l1_offset, header.geometry.l1_entries(size))?;
        let tables = Cache::new(TABLES_BYTES_MAX / header.geometry.cluster_length());
        Ok(Self {
            rules,
            l1,
            tables,
            host_length,
        })
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// The state from `range.start()` on, at most to `range.end()`.
    ///
    /// Neighbouring clusters of one state and of following host offsets are one run. A run of
    /// a compressed cluster ends with that cluster.
    pub(crate) fn run(&self, image: &Qcow2Image, range: Extent) -> Result<Run> {
        let reach = self.geometry().table_reach();
        let index = range.start() / reach;
        let Some(table) = self.table(image, index)? else {
            let end = self.next_allocated(index).saturating_mul(reach);
            return Ok(Run {
                extent: cut(range, end),
                unit: Unit::Unallocated,
            });
        };
        let part = cut(range, (index + 1).saturating_mul(reach));
        let run = self.run_within(image, &table, part)?;
        if let Unit::Host(host) = run.unit {
            self.require_present(image, host, run.extent.len())?;
        }
        Ok(run)
    }

    /// The index of the next L2 table behind `index` that may exist.
    fn next_allocated(&self, index: u64) -> u64 {
        let rest = self
            .l1
            .iter()
            .skip(capped(index, usize::MAX))
            .take(ENTRIES_MAX);
        let empty = rest.take_while(|entry| *entry & OFFSET_MASK == 0).count();
        index.saturating_add(crate::port::bytes(empty).max(1))
    }

    fn table(&self, image: &Qcow2Image, index: u64) -> Result<Option<Arc<[u64]>>> {
        let entry = self.l1.get(capped(index, usize::MAX)).copied().unwrap_or(0);
        let offset = entry & OFFSET_MASK;
        if offset == 0 {
            return Ok(None);
        }
        if let Some(table) = self.tables.find(offset) {
            return Ok(Some(table));
        }
        if !self.geometry().is_aligned(offset) {
            return Err(image.corrupt("reading", offset, "an L2 table is not aligned"));
        }
        let table: Arc<[u64]> = image
            .read_table(offset, self.geometry().cluster_size() / 8)?
            .into();
        self.tables.put(offset, Arc::clone(&table));
        Ok(Some(table))
    }

    fn run_within(&self, image: &Qcow2Image, table: &[u64], range: Extent) -> Result<Run> {
        let unit_size = 1 << self.geometry().unit_bits();
        let start = range.start();
        let unit_at = |guest| image.checked("reading", self.unit(table, guest));
        let head = start - start % unit_size;
        let unit = match unit_at(head)? {
            Unit::Host(host) => Unit::Host(host + (start - head)),
            Unit::Compressed(descriptor) => {
                let cluster_end =
                    start - self.geometry().within_cluster(start) + self.geometry().cluster_size();
                let unit = Unit::Compressed(descriptor);
                return Ok(Run {
                    extent: cut(range, cluster_end),
                    unit,
                });
            }
            other => other,
        };
        let mut end = head + unit_size;
        for _ in 1..ENTRIES_MAX {
            if end >= range.end() || unit_at(end)? != following(unit, end - start) {
                break;
            }
            end += unit_size;
        }
        Ok(Run {
            extent: cut(range, end),
            unit,
        })
    }

    fn unit(&self, table: &[u64], guest: u64) -> super::fault::Checked<Unit> {
        let geometry = self.geometry();
        let mask = (1 << geometry.table_bits()) - 1;
        let index = capped((guest >> geometry.cluster_bits) & mask, usize::MAX);
        let number = |index| table.get(index).copied().unwrap_or(0);
        let entry = if geometry.extended {
            Entry {
                cluster: number(2 * index),
                subclusters: number(2 * index + 1),
            }
        } else {
            Entry {
                cluster: number(index),
                subclusters: 0,
            }
        };
        self.rules.unit(entry, guest)
    }

    /// The last cluster of a file may be cut short, its rest reads as zeros; one that is
    /// missing as a whole was lost.
    ///
    /// Source: what qemu-img check accepts.
    fn require_present(&self, image: &Qcow2Image, host: u64, length: u64) -> Result<()> {
        let limit = self
            .host_length
            .next_multiple_of(self.geometry().cluster_size());
        if host + length <= limit {
            return Ok(());
        }
        Err(image.corrupt(
            "reading",
            host,
            "a data cluster lies behind the end of the file",
        ))
    }
}

/// The part of a range before `end`; all of it if `end` leaves nothing.
fn cut(range: Extent, end: u64) -> Extent {
    Extent::new(range.start(), end.min(range.end())).unwrap_or(range)
}

/// What the unit `distance` bytes behind the start of a run must be to belong to it.
fn following(unit: Unit, distance: u64) -> Unit {
    match unit {
        Unit::Host(host) => Unit::Host(host + distance),
        other => other,
    }
}
