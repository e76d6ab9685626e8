//! What an L2 entry says about a piece of the disk.

use super::fault::{Checked, require};
use super::geometry::{COMPRESSED, COPIED, Geometry, OFFSET_MASK, READS_AS_ZEROS};

/// The state of one unit: a cluster, or a subcluster with extended entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Reads from the backing file.
    Unallocated,
    Zero,
    /// The unit's bytes are at this offset.
    Host(u64),
    /// The unit is part of a compressed cluster.
    Compressed(Descriptor),
}

/// Where the compressed bytes of a cluster are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) offset: u64,
    /// Includes the rest of the last sector; at most twice the cluster size.
    pub(crate) length: usize,
}

/// What the header says about the meaning of entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRules {
    pub(crate) geometry: Geometry,
    pub(crate) version: u32,
    pub(crate) has_external_data: bool,
}

/// An L2 entry with its subcluster bitmap (zero without extended entries).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) cluster: u64,
    pub(crate) subclusters: u64,
}

impl EntryRules {
    /// The state of the unit at `guest`, an offset that is a multiple of the unit.
    pub(crate) fn unit(&self, entry: Entry, guest: u64) -> Checked<Unit> {
        if entry.cluster & COMPRESSED != 0 {
            return self.compressed(entry.cluster).map(Unit::Compressed);
        }
        if self.geometry.extended {
            return self.subcluster(entry, guest);
        }
        if entry.cluster & READS_AS_ZEROS != 0 {
            require(self.version >= 3, "a version 2 image has a zero cluster")?;
            return Ok(Unit::Zero);
        }
        match self.host(entry.cluster, guest)? {
            Some(host) => Ok(Unit::Host(host)),
            None => Ok(Unit::Unallocated),
        }
    }

    fn subcluster(&self, entry: Entry, guest: u64) -> Checked<Unit> {
        let seen = "a subcluster bitmap contradicts itself";
        let allocated = entry.subclusters & u64::from(u32::MAX);
        let zero = entry.subclusters >> 32;
        let host = self.host(entry.cluster, guest)?;
        require(
            allocated & zero == 0 && (host.is_some() || allocated == 0),
            seen,
        )?;
        let bit = 1 << (self.geometry.within_cluster(guest) >> self.geometry.unit_bits());
        Ok(match host {
            _ if zero & bit != 0 => Unit::Zero,
            Some(host) if allocated & bit != 0 => Unit::Host(host),
            _ => Unit::Unallocated,
        })
    }

    /// The offset that a standard entry gives to the bytes at `guest`.
    fn host(&self, entry: u64, guest: u64) -> Checked<Option<u64>> {
        let cluster = entry & OFFSET_MASK;
        let within = self.geometry.within_cluster(guest);
        if cluster == 0 && !(self.has_external_data && entry & COPIED != 0) {
            return Ok(None);
        }
        require(
            self.geometry.is_aligned(cluster),
            "a cluster's offset is not aligned",
        )?;
        require(
            !self.has_external_data || cluster + within == guest,
            "a cluster in the external data file is not at its guest offset",
        )?;
        Ok(Some(cluster + within))
    }

    fn compressed(&self, entry: u64) -> Checked<Descriptor> {
        require(
            !self.has_external_data,
            "a compressed cluster in an external data file",
        )?;
        let bits = self.geometry.compressed_offset_bits();
        let offset = entry & ((1 << bits) - 1);
        require(
            offset < 1 << 56,
            "a compressed cluster's offset exceeds 2^56",
        )?;
        let sectors = ((entry & (COMPRESSED - 1)) >> bits) + 1;
        let length = sectors * 512 - offset % 512;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Descriptor { offset, length })
    }
}
