//! The parts of an image that are known only at its end: refcounts, L1 table, header.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use crate::port::bytes;
use crate::qcow2::fault::{Checked, Fault};
use crate::qcow2::geometry::Geometry;
use crate::work_file::WorkFile;
use crate::{Error, Result};

use super::BackingFile;
use super::tables::Tables;

const HEADER_LENGTH: u32 = 112;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const NAME_LENGTH_MAX: usize = 1023;
const FEATURE_COMPRESSION_TYPE: u64 = 1 << 3;
const COMPRESSION_ZSTD: u8 = 1;
/// Refcounts have 16 bits.
const REFCOUNT_ORDER: u32 = 4;

/// Refuses a backing file whose name cannot be recorded or would be misread.
pub(super) fn check_backing(backing: Option<&BackingFile>, geometry: Geometry) -> Checked<()> {
    let Some(backing) = backing else {
        return Ok(());
    };
    let name = backing.path.as_os_str().as_bytes();
    let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
    if first.contains(&b':') || name.is_empty() {
        return Err(Fault::invalid(
            "QEMU would take the backing file's name as a protocol; write ./ before it",
        ));
    }
    let head = 2 * 8 + 8 + usize::try_from(HEADER_LENGTH).unwrap_or(usize::MAX);
    if name.len() > NAME_LENGTH_MAX || head + name.len() > geometry.cluster_length() {
        return Err(Fault::invalid(
            "the backing file's name is too long for the header",
        ));
    }
    Ok(())
}

/// Completes the file; all clusters and L2 tables are written already.
pub(super) fn write(
    work: &WorkFile,
    size: u64,
    tables: &Tables,
    backing: Option<&BackingFile>,
) -> Result<()> {
    let put = |offset, content: &[u8]| {
        work.file()
            .write_all_at(content, offset)
            .map_err(|e| Error::io("writing", work.path(), e).at(offset))
    };
    let l1: Vec<u8> = tables.l1_entries().flat_map(u64::to_be_bytes).collect();
    put(tables.l1_offset(), &l1)?;
    let refcounts = Refcounts::of(tables);
    let geometry = tables.geometry();
    let length = refcounts.end() << geometry.cluster_bits;
    work.file()
        .set_len(length)
        .map_err(|e| Error::io("sizing", work.path(), e))?;
    for block in 0..refcounts.blocks {
        let offset = (refcounts.first_block + block) << geometry.cluster_bits;
        put(offset, &refcounts.block(tables, block))?;
    }
    put(refcounts.table_offset(geometry), &refcounts.table(geometry))?;
    put(0, &header(size, tables, &refcounts, backing))
}

/// Where refcounts lie: blocks behind everything else, the table behind the blocks.
struct Refcounts {
    first_block: u64,
    blocks: u64,
    table_clusters: u64,
}

impl Refcounts {
    /// The blocks count themselves and the table as well.
    fn of(tables: &Tables) -> Self {
        let cluster_size = tables.geometry().cluster_size();
        let first_block = tables.clusters();
        let mut found = Self {
            first_block,
            blocks: 1,
            table_clusters: 1,
        };
        loop {
            let blocks = found.end().div_ceil(cluster_size / 2);
            let table_clusters = (blocks * 8).div_ceil(cluster_size);
            if (blocks, table_clusters) == (found.blocks, found.table_clusters) {
                return found;
            }
            found = Self {
                first_block,
                blocks,
                table_clusters,
            };
        }
    }

    /// One past the file's last cluster.
    fn end(&self) -> u64 {
        self.first_block + self.blocks + self.table_clusters
    }

    fn table_offset(&self, geometry: Geometry) -> u64 {
        (self.first_block + self.blocks) << geometry.cluster_bits
    }

    fn block(&self, tables: &Tables, block: u64) -> Vec<u8> {
        let entries = tables.geometry().cluster_size() / 2;
        let clusters = block * entries..(block + 1) * entries;
        let count = |cluster| {
            if cluster < self.end() {
                tables.refcount(cluster)
            } else {
                0
            }
        };
        clusters
            .flat_map(|cluster| count(cluster).to_be_bytes())
            .collect()
    }

    fn table(&self, geometry: Geometry) -> Vec<u8> {
        let blocks = self.first_block..self.first_block + self.blocks;
        blocks
            .flat_map(|cluster| (cluster << geometry.cluster_bits).to_be_bytes())
            .collect()
    }
}

fn header(
    size: u64,
    tables: &Tables,
    refcounts: &Refcounts,
    backing: Option<&BackingFile>,
) -> Vec<u8> {
    let geometry = tables.geometry();
    let extensions = extensions(backing);
    let name = backing
        .map(|backing| backing.path.as_os_str().as_bytes())
        .unwrap_or_default();
    let name_offset = u64::from(HEADER_LENGTH) + bytes(extensions.len());
    let (features, compression) = if tables.is_packing() {
        (FEATURE_COMPRESSION_TYPE, COMPRESSION_ZSTD)
    } else {
        (0, 0)
    };
    let mut header = Vec::new();
    let mut words = |words: &[u32]| words.iter().for_each(|w| header.extend(w.to_be_bytes()));
    let halves = |number: u64| {
        let bytes = number.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = bytes;
        [
            u32::from_be_bytes([a, b, c, d]),
            u32::from_be_bytes([e, f, g, h]),
        ]
    };
    words(&[u32::from_be_bytes(*b"QFI\xfb"), 3]);
    words(&halves(if name.is_empty() { 0 } else { name_offset }));
    words(&[limited(bytes(name.len())), geometry.cluster_bits]);
    words(&halves(size.next_multiple_of(512)));
    words(&[0, limited(bytes(tables.l1_entries().len()))]);
    words(&halves(tables.l1_offset()));
    words(&halves(refcounts.table_offset(geometry)));
    words(&[limited(refcounts.table_clusters), 0, 0, 0]);
    words(&halves(features));
    words(&[0, 0, 0, 0, REFCOUNT_ORDER, HEADER_LENGTH]);
    words(&[u32::from_be_bytes([compression, 0, 0, 0]), 0]);
    header.extend(extensions);
    header.extend(name);
    header
}

fn extensions(backing: Option<&BackingFile>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(backing) = backing {
        let format = backing.format.to_string();
        extensions.extend(EXTENSION_BACKING_FORMAT.to_be_bytes());
        extensions.extend(limited(bytes(format.len())).to_be_bytes());
        extensions.extend(format.as_bytes());
        extensions.resize(extensions.len().next_multiple_of(8), 0);
    }
    extensions.extend([0; 8]);
    extensions
}

/// A count that the caps on disk size and names keep far below 2^32.
fn limited(count: u64) -> u32 {
    u32::try_from(count).unwrap_or_else(|_| panic!("{count} exceeds 32 bits"))
}
