//! What LVM reports of groups and volumes, as values.
//!
//! Takes the JSON of `lvs` and `vgs` (sizes in bytes); gives typed rows.
//! A row that does not have what was asked for is an error: it would be guessed about data.
//!
//! Source: lvmreport(7), lvs(8) for the attribute letters.

use std::path::PathBuf;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Percent, Result};
use serde::Deserialize;

use crate::{FullName, GroupName, VolumeName};

/// The columns that [`volumes`] reads.
pub(crate) const VOLUME_COLUMNS: &str = "lv_uuid,lv_name,vg_name,lv_path,lv_dm_path,lv_attr,\
    lv_size,origin,pool_lv,thin_id,data_percent,metadata_percent,lv_snapshot_invalid,\
    lv_health_status,lv_tags,lv_kernel_major,lv_kernel_minor";
/// The columns that [`groups`] reads.
pub(crate) const GROUP_COLUMNS: &str = "vg_name,vg_free,vg_extent_size";

/// What a volume is, as far as it matters for snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// Takes classic snapshots: linear, striped, RAID, cached.
    Classic,
    /// A classic snapshot, with a store for what its origin overwrites.
    ClassicSnapshot,
    /// Lives in a thin pool.
    Thin,
    /// Holds thin volumes.
    ThinPool,
    /// LVM's own parts, and volumes in the middle of a conversion.
    Internal,
}

/// A logical volume as reported.
#[derive(Clone, Debug)]
pub struct Volume {
    /// LVM's id, which stays when it is renamed and never comes again.
    pub uuid: String,
    /// Its name and its group's.
    pub name: FullName,
    /// Its device; empty for volumes that have none.
    pub path: PathBuf,
    /// The same device as the device mapper calls it.
    pub mapper_path: PathBuf,
    /// What it is.
    pub kind: VolumeKind,
    /// Bytes; of a classic snapshot, those of its store.
    pub size: u64,
    /// The volume of the same group of which it is a snapshot.
    pub origin: Option<String>,
    /// The pool of the same group in which it lives.
    pub pool: Option<String>,
    /// Its number in the pool.
    pub thin_id: Option<u32>,
    /// How full it is: store of a snapshot, pool, or mapped part of a thin volume.
    pub used: Option<Percent>,
    /// How full a pool's metadata is.
    pub metadata_used: Option<Percent>,
    /// Its store overflowed and it holds nothing any more; of a pool, its metadata needs a check.
    pub is_lost: bool,
    /// Somebody has its device open.
    pub is_open: bool,
    /// What LVM finds wrong with it; empty if nothing.
    pub health: String,
    /// Whether fresh blocks of its pool are zeroed before use.
    pub is_zeroed: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// Major and minor number while it is active.
    pub device: Option<(u32, u32)>,
}

/// A volume group as reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Bytes that no volume has.
    pub free: u64,
    /// Volumes are multiples of this many bytes.
    pub extent_size: u64,
}

impl Volume {
    /// Says whether it carries a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|it| it == tag)
    }

    /// The value of the first tag that begins so.
    pub(crate) fn tagged(&self, start: &str) -> Option<&str> {
        self.tags.iter().find_map(|it| it.strip_prefix(start))
    }

    /// The volume of the same group with that name.
    pub(crate) fn beside(&self, name: &str) -> Option<FullName> {
        Some(FullName {
            group: self.name.group.clone(),
            volume: name.parse().ok()?,
        })
    }
}

#[derive(Deserialize)]
struct Answered<T> {
    report: Vec<T>,
}

#[derive(Deserialize)]
struct VolumeRows {
    lv: Vec<VolumeRow>,
}

#[derive(Deserialize)]
struct GroupRows {
    vg: Vec<GroupRow>,
}

#[derive(Deserialize)]
struct VolumeRow {
    lv_uuid: String,
    lv_name: String,
    vg_name: String,
    lv_path: String,
    lv_dm_path: String,
    lv_attr: String,
    lv_size: String,
    origin: String,
    pool_lv: String,
    thin_id: String,
    data_percent: String,
    metadata_percent: String,
    lv_snapshot_invalid: String,
    lv_health_status: String,
    lv_tags: String,
    lv_kernel_major: String,
    lv_kernel_minor: String,
}

#[derive(Deserialize)]
struct GroupRow {
    vg_name: String,
    vg_free: String,
    vg_extent_size: String,
}

/// Reads the answer of `lvs` with [`VOLUME_COLUMNS`]: one row for each volume.
pub(crate) fn volumes(answer: &[u8]) -> Result<Vec<Volume>> {
    let answered: Answered<VolumeRows> = read("lvs", answer)?;
    let rows = answered.report.into_iter().flat_map(|it| it.lv);
    rows.map(|row| {
        let name = format!("{}/{}", row.vg_name, row.lv_name);
        volume(row).ok_or_else(|| not_understood("lvs").seen(format!("the row of {name}")))
    })
    .collect()
}

/// Reads the answer of `vgs` with [`GROUP_COLUMNS`].
pub(crate) fn groups(answer: &[u8]) -> Result<Vec<Group>> {
    let answered: Answered<GroupRows> = read("vgs", answer)?;
    let rows = answered.report.into_iter().flat_map(|it| it.vg);
    rows.map(|row| {
        let name = row.vg_name.clone();
        group(&row).ok_or_else(|| not_understood("vgs").seen(format!("the row of {name}")))
    })
    .collect()
}

fn read<'a, T: Deserialize<'a>>(program: &'static str, answer: &'a [u8]) -> Result<T> {
    serde_json::from_slice(answer).map_err(|e| not_understood(program).because(e))
}

fn not_understood(program: &'static str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "understanding the answer of",
        program,
    )
}

fn group(row: &GroupRow) -> Option<Group> {
    Some(Group {
        name: row.vg_name.parse().ok()?,
        free: row.vg_free.parse().ok()?,
        extent_size: row.vg_extent_size.parse().ok().filter(|size| *size > 0)?,
    })
}

fn volume(row: VolumeRow) -> Option<Volume> {
    let volume: VolumeName = row.lv_name.trim_matches(['[', ']']).parse().ok()?;
    let letters: Vec<char> = row.lv_attr.chars().collect();
    let letter = |at: usize| letters.get(at).copied();
    let percent = |text: &str| match text {
        "" => Some(None),
        text => Percent::from_number(text).map(Some),
    };
    Some(Volume {
        name: FullName {
            group: row.vg_name.parse().ok()?,
            volume,
        },
        kind: kind(letter(0)?),
        size: row.lv_size.parse().ok()?,
        origin: filled(&row.origin),
        pool: filled(&row.pool_lv),
        thin_id: match row.thin_id.as_str() {
            "" => None,
            number => Some(number.parse().ok()?),
        },
        used: percent(&row.data_percent)?,
        metadata_used: percent(&row.metadata_percent)?,
        is_lost: is_lost(letter(4)?, &row.lv_snapshot_invalid),
        is_open: letter(5)? == 'o',
        health: row.lv_health_status,
        is_zeroed: letter(7)? == 'z',
        tags: row
            .lv_tags
            .split(',')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        device: row
            .lv_kernel_major
            .parse()
            .ok()
            .zip(row.lv_kernel_minor.parse().ok()),
        uuid: row.lv_uuid,
        path: row.lv_path.into(),
        mapper_path: row.lv_dm_path.into(),
    })
}

fn filled(text: &str) -> Option<String> {
    // Names of hidden volumes stand in brackets.
    let text = text.trim_matches(['[', ']']);
    (!text.is_empty()).then(|| text.to_owned())
}

fn kind(letter: char) -> VolumeKind {
    match letter {
        '-' | 'o' | 'r' | 'R' | 'C' | 'm' | 'M' => VolumeKind::Classic,
        's' => VolumeKind::ClassicSnapshot,
        'V' => VolumeKind::Thin,
        't' => VolumeKind::ThinPool,
        _ => VolumeKind::Internal,
    }
}

/// An invalid snapshot, a failed merge, a pool that needs a check; capitals are suspended ones.
fn is_lost(state: char, invalid: &str) -> bool {
    matches!(state, 'I' | 'S' | 'm' | 'M' | 'c' | 'C') || !matches!(invalid, "" | "unknown")
}
