//! Internal snapshots: other L1 tables in the same file.

use lifeboat_model::ErrorKind;

use crate::error::shown;
use crate::port::bytes;
use crate::{Error, Result};

use super::fault::{Checked, Fault, require};
use super::field::{u16_at, u32_at, u64_at};
use super::header::check_l1;
use super::image::Qcow2Image;

/// Limit: of QEMU.
const SNAPSHOTS_MAX: u32 = 65_536;
/// Limit: of QEMU, bytes of the table.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// Limit: of QEMU.
const EXTRA_LENGTH_MAX: usize = 1024;
const HEAD_LENGTH: usize = 40;

/// A state of the disk that is kept inside the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalSnapshot {
    /// Unique in the image; a number with QEMU.
    pub id: String,
    /// As its maker named it; need not be unique.
    pub name: String,
    /// Bytes of the guest's view then.
    pub size: u64,
    /// When it was taken, in seconds since 1970.
    pub taken_seconds: u32,
    l1_offset: u64,
    l1_entries: u32,
}

impl InternalSnapshot {
    /// Offset of its L1 table, and its disk size.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.l1_offset, self.size)
    }
}

impl Qcow2Image {
    /// The internal snapshots, in the order of the image's table.
    pub fn snapshots(&self) -> Result<Vec<InternalSnapshot>> {
        let doing = "reading the snapshots of";
        let count = self.header.snapshot_count;
        let offset = self.header.snapshots_offset;
        self.checked(
            doing,
            require(count <= SNAPSHOTS_MAX, "more than 65536 snapshots"),
        )?;
        let aligned = count == 0 || self.header.geometry.is_aligned(offset);
        self.checked(doing, require(aligned, "the snapshot table is not aligned"))?;
        let mut snapshots = Vec::new();
        let mut at = offset;
        for _ in 0..count {
            let mut head = vec![0; HEAD_LENGTH];
            self.read_into(at, &mut head, 0)?;
            let length = self.checked(doing, entry_length(&head))?;
            head.resize(length, 0);
            self.read_into(at, &mut head, HEAD_LENGTH)?;
            snapshots.push(self.checked(doing, decode(&head, self.header.size))?);
            at = at.saturating_add(bytes(length.next_multiple_of(8)));
            let fits = at.saturating_sub(offset) <= TABLE_BYTES_MAX;
            self.checked(doing, require(fits, "the snapshot table exceeds 64 MiB"))?;
        }
        Ok(snapshots)
    }

    /// Reads the bytes of `entry` from index `from` on; `entry` lies at `at` in the file.
    fn read_into(&self, at: u64, entry: &mut [u8], from: usize) -> Result<()> {
        self.require_inside(at, entry.len())?;
        let (_, rest) = entry.split_at_mut(from);
        self.file.read(at + bytes(from), rest)
    }

    /// The snapshot with this id, or else the first with this name.
    pub(crate) fn find_snapshot(&self, wanted: &str) -> Result<InternalSnapshot> {
        let snapshots = self.snapshots()?;
        let by_id = snapshots.iter().find(|snapshot| snapshot.id == wanted);
        let found = by_id.or_else(|| snapshots.iter().find(|snapshot| snapshot.name == wanted));
        let doing = "opening";
        let Some(found) = found.cloned() else {
            return Err(
                Error::new(ErrorKind::NotFound, doing, self.path()).seen(format!(
                    "no internal snapshot \"{}\"",
                    shown(wanted.as_bytes())
                )),
            );
        };
        let fault = "an image with an external data file has internal snapshots";
        self.checked(doing, require(!self.header.has_external_data, fault))?;
        let geometry = self.header.geometry;
        self.checked(
            doing,
            check_l1(geometry, found.size, found.l1_offset, found.l1_entries),
        )?;
        Ok(found)
    }
}

/// Lengths of the parts behind the head: extra content, id, name.
fn part_lengths(head: &[u8]) -> Checked<[usize; 3]> {
    let short = || Fault::corrupt("a snapshot entry is cut short");
    let extra = u32_at(head, 36).ok_or_else(short)?;
    let extra = usize::try_from(extra).unwrap_or(usize::MAX);
    require(
        extra <= EXTRA_LENGTH_MAX,
        "a snapshot entry states too much extra content",
    )?;
    let id = u16_at(head, 12).ok_or_else(short)?;
    let name = u16_at(head, 14).ok_or_else(short)?;
    Ok([extra, usize::from(id), usize::from(name)])
}

fn entry_length(head: &[u8]) -> Checked<usize> {
    Ok(HEAD_LENGTH + part_lengths(head)?.iter().sum::<usize>())
}

fn decode(entry: &[u8], size_now: u64) -> Checked<InternalSnapshot> {
    let short = || Fault::corrupt("a snapshot entry is cut short");
    let [extra, id, name] = part_lengths(entry)?;
    let id_at = HEAD_LENGTH + extra;
    let text = |at: usize, length: usize| {
        let text = entry.get(at..at + length).ok_or_else(short)?;
        Ok::<_, Fault>(String::from_utf8_lossy(text).into_owned())
    };
    let size = if extra >= 16 {
        u64_at(entry, 48).ok_or_else(short)?
    } else {
        size_now
    };
    require(
        size <= i64::MAX.cast_unsigned(),
        "a snapshot's disk size exceeds 2^63",
    )?;
    Ok(InternalSnapshot {
        id: text(id_at, id)?,
        name: text(id_at + id, name)?,
        size,
        taken_seconds: u32_at(entry, 16).ok_or_else(short)?,
        l1_offset: u64_at(entry, 0).ok_or_else(short)?,
        l1_entries: u32_at(entry, 8).ok_or_else(short)?,
    })
}
