//! The arithmetic of clusters and tables.

/// Bits 9 to 55 of a table entry: an offset in the image file.
pub(crate) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// L2 entry: the cluster's content is compressed.
pub(crate) const COMPRESSED: u64 = 1 << 62;
/// L1 and L2 entry: the refcount of what the entry leads to is one.
pub(crate) const COPIED: u64 = 1 << 63;
/// L2 entry, version 3 without extended entries: the cluster reads as zeros.
pub(crate) const READS_AS_ZEROS: u64 = 1;
/// Subclusters of a cluster with extended entries.
pub(crate) const SUBCLUSTERS_BITS: u32 = 5;
/// Limit: of QEMU; larger L1 tables cannot be opened there.
pub(crate) const L1_BYTES_MAX: u64 = 32 << 20;

/// Sizes that follow from the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// 9 to 21.
    pub(crate) cluster_bits: u32,
    /// L2 entries have 128 bits and describe subclusters.
    pub(crate) extended: bool,
}

impl Geometry {
    pub(crate) fn cluster_size(self) -> u64 {
        1 << self.cluster_bits
    }

    /// `cluster_size` as a count of bytes in memory; at most 2 MiB.
    pub(crate) fn cluster_length(self) -> usize {
        1 << self.cluster_bits
    }

    /// Bits of the smallest piece that has a state of its own.
    pub(crate) fn unit_bits(self) -> u32 {
        self.cluster_bits - if self.extended { SUBCLUSTERS_BITS } else { 0 }
    }

    /// Bytes of the guest's view that one L2 table describes; at most 2^39.
    pub(crate) fn table_reach(self) -> u64 {
        1 << (self.cluster_bits + self.table_bits())
    }

    /// Bits of the count of entries in an L2 table.
    pub(crate) fn table_bits(self) -> u32 {
        self.cluster_bits - if self.extended { 4 } else { 3 }
    }

    /// L1 entries that a disk of `size` bytes needs.
    pub(crate) fn l1_entries(self, size: u64) -> u64 {
        size.div_ceil(self.table_reach())
    }

    pub(crate) fn is_aligned(self, offset: u64) -> bool {
        offset.is_multiple_of(self.cluster_size())
    }

    /// `offset` from the start of its cluster.
    pub(crate) fn within_cluster(self, offset: u64) -> u64 {
        offset & (self.cluster_size() - 1)
    }

    /// Bits of the offset in a compressed cluster's entry; the size field lies above.
    pub(crate) fn compressed_offset_bits(self) -> u32 {
        62 - (self.cluster_bits - 8)
    }
}
