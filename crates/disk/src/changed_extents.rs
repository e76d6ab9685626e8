//! Extent lists as QEMU's and libnbd's tools print them.
//!
//! Takes the JSON of `qemu-img map --output=json` or `nbdinfo --map --json`, gives the ranges
//! that changed, or that hold data.
//! Does not run those tools.
//!
//! A list must cover the disk without a gap: a list that lost its end would silently keep old
//! content.

use std::path::Path;

use lifeboat_model::{ErrorKind, Extent, ExtentSet};
use serde::Deserialize;
use serde::de::{self, Deserializer as _, SeqAccess, Visitor};

use crate::{Error, Result};

/// Limit: bytes of a list.
const LIST_BYTES_MAX: usize = 1 << 30;
/// Limit: entries of a list.
const ENTRIES_MAX: u64 = 16 << 20;
/// Tools round the size of a raw disk up to this.
const SECTOR: u64 = 512;

/// Ranges whose content may differ from what it was at the checkpoint.
#[derive(Debug)]
pub struct ChangedExtents;

/// Ranges that do not certainly read as zeros.
#[derive(Debug)]
pub struct DataExtents;

impl ChangedExtents {
    /// Reads a list that says what changed on a disk of `disk_size` bytes.
    ///
    /// | list | changed is |
    /// |---|---|
    /// | `nbdinfo --map=qemu:dirty-bitmap:...` | "dirty" |
    /// | `nbdinfo --map=qemu:allocation-depth` | "local" |
    /// | `qemu-img map` of an overlay | depth 0 and present, also if zero: its own clusters |
    ///
    /// Errors: `Invalid` for anything else, for lists with gaps, overlaps or more than the
    /// disk, and for `base:allocation`, which says what is zero and not what changed.
    pub fn from_json(list: &[u8], disk_size: u64) -> Result<ExtentSet> {
        read(list, disk_size, |entry| entry.is_changed())
    }
}

impl DataExtents {
    /// Reads `nbdinfo --map` (base:allocation) or `qemu-img map`: what is not known as zero.
    ///
    /// Errors: as for [`ChangedExtents::from_json`]; `Invalid` for the lists that say what
    /// changed.
    pub fn from_json(list: &[u8], disk_size: u64) -> Result<ExtentSet> {
        read(list, disk_size, |entry| entry.is_data())
    }
}

type Rule = fn(&Entry) -> std::result::Result<bool, &'static str>;

/// One entry of either tool.
#[derive(Deserialize)]
struct Entry {
    /// Of qemu-img: the place on the disk. There `offset` is the place in the file.
    start: Option<u64>,
    /// Of nbdinfo: the place on the disk.
    offset: Option<u64>,
    length: u64,
    depth: Option<u64>,
    /// Missing before QEMU 6.1.
    present: Option<bool>,
    zero: Option<bool>,
    data: Option<bool>,
    #[serde(rename = "type")]
    kind: Option<u64>,
    description: Option<String>,
}

const UNKNOWN: &str = "it is no map of a kind that is known here";

impl Entry {
    fn is_changed(&self) -> std::result::Result<bool, &'static str> {
        if self.start.is_some() {
            let depth = self.depth.ok_or("an entry has no depth")?;
            return Ok(depth == 0 && self.present.unwrap_or(true));
        }
        let kind = self.kind.ok_or(UNKNOWN)?;
        match (self.description.as_deref().ok_or(UNKNOWN)?, kind) {
            ("dirty", 1) | ("local", 1) => Ok(true),
            ("clean", 0) | ("unallocated", 0) => Ok(false),
            (text, 2..) if text.starts_with("backing depth") => Ok(false),
            ("data" | "allocated" | "hole" | "zero" | "hole,zero", _) => {
                Err("it is a map of base:allocation, which does not say what changed")
            }
            _ => Err(UNKNOWN),
        }
    }

    fn is_data(&self) -> std::result::Result<bool, &'static str> {
        if self.start.is_some() {
            let zero = self
                .zero
                .ok_or("an entry does not say whether it is zero")?;
            let data = self
                .data
                .ok_or("an entry does not say whether it is data")?;
            return Ok(data && !zero);
        }
        let kind = self.kind.ok_or(UNKNOWN)?;
        match (self.description.as_deref().ok_or(UNKNOWN)?, kind) {
            ("data" | "allocated", 0) | ("hole", 1) => Ok(true),
            ("zero", 2) | ("hole,zero", 3) => Ok(false),
            ("dirty" | "clean" | "local" | "unallocated", _) => {
                Err("it is a map of changes, which does not say what is zero")
            }
            _ => Err(UNKNOWN),
        }
    }
}

fn read(list: &[u8], disk_size: u64, rule: Rule) -> Result<ExtentSet> {
    let failed = || Error::new(ErrorKind::Invalid, "reading", Path::new("the extent list"));
    if list.len() > LIST_BYTES_MAX {
        return Err(failed().seen(format!("it has more than {LIST_BYTES_MAX} bytes")));
    }
    let mut list = serde_json::Deserializer::from_slice(list);
    let collected = list
        .deserialize_seq(Collector { disk_size, rule })
        .and_then(|set| list.end().map(|()| set));
    collected.map_err(|e| failed().because(e))
}

/// Checks entries as they are read, so that a list costs no memory beyond its set.
struct Collector {
    disk_size: u64,
    rule: Rule,
}

impl<'de> Visitor<'de> for Collector {
    type Value = ExtentSet;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of extents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<ExtentSet, A::Error> {
        let wrong = |what: String| Err(de::Error::custom(what));
        let (mut set, mut end, mut count) = (ExtentSet::new(), 0, 0);
        while let Some(entry) = list.next_element::<Entry>()? {
            count += 1;
            if count > ENTRIES_MAX {
                return wrong(format!("it has more than {ENTRIES_MAX} entries"));
            }
            let Some(start) = entry.start.or(entry.offset) else {
                return wrong(UNKNOWN.to_owned());
            };
            if start != end {
                let seen = if start < end {
                    "overlaps the one before"
                } else {
                    "leaves a gap"
                };
                return wrong(format!(
                    "the entry at byte {start} {seen}, which ends at {end}"
                ));
            }
            let Some(extent) = Extent::at(start, entry.length) else {
                return wrong(format!(
                    "the entry at byte {start} has an impossible length"
                ));
            };
            end = extent.end();
            if end
                > self
                    .disk_size
                    .checked_next_multiple_of(SECTOR)
                    .unwrap_or(u64::MAX)
            {
                return wrong(format!(
                    "it ends at byte {end}, the disk at {}",
                    self.disk_size
                ));
            }
            if (self.rule)(&entry).map_err(de::Error::custom)? {
                let inside = Extent::new(start, end.min(self.disk_size));
                inside.into_iter().for_each(|extent| set.insert(extent));
            }
        }
        if end < self.disk_size {
            return wrong(format!(
                "it ends at byte {end}, the disk at {}",
                self.disk_size
            ));
        }
        Ok(set)
    }
}
