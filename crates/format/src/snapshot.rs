//! Snapshot files.
//!
//! Source: restic's own JSON of 0.14 to 0.19; restic-format 5.5.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::require_modest_shape;
use crate::key::to_json;
use crate::{BlobId, Error, GoTime, Result, SnapshotId};

/// The record of one backup.
///
/// Fields in restic's order. What we do not know is kept and written again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// When what it holds was taken.
    pub time: GoTime,
    /// The snapshot it was made upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// Its tree: the Merkle root.
    pub tree: BlobId,
    /// What was backed up, as paths.
    #[serde(default, deserialize_with = "null_is_default")]
    pub paths: Vec<String>,
    /// Host; the machine's name for snapshots of ours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// User who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Numeric user.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Numeric group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Patterns that were left out.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub excludes: Vec<String>,
    /// Tags.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub tags: Vec<String>,
    /// The first snapshot this one was rewritten or copied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    /// Program that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What the backup did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Keys of other programs.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a backup did; restic 0.17 and later show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "restic's own names")]
pub struct Summary {
    #[serde(default)]
    pub backup_start: GoTime,
    #[serde(default)]
    pub backup_end: GoTime,
    #[serde(default)]
    pub files_new: u64,
    #[serde(default)]
    pub files_changed: u64,
    #[serde(default)]
    pub files_unmodified: u64,
    #[serde(default)]
    pub dirs_new: u64,
    #[serde(default)]
    pub dirs_changed: u64,
    #[serde(default)]
    pub dirs_unmodified: u64,
    #[serde(default)]
    pub data_blobs: u64,
    #[serde(default)]
    pub tree_blobs: u64,
    #[serde(default)]
    pub data_added: u64,
    #[serde(default)]
    pub data_added_packed: u64,
    #[serde(default)]
    pub total_files_processed: u64,
    #[serde(default)]
    pub total_bytes_processed: u64,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl SnapshotFile {
    /// An empty record of that time; the tree is to be set.
    pub fn new(time: GoTime) -> Self {
        Self {
            time,
            parent: None,
            tree: BlobId::default(),
            paths: Vec::new(),
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            excludes: Vec::new(),
            tags: Vec::new(),
            original: None,
            program_version: String::new(),
            summary: None,
            other: Map::new(),
        }
    }

    /// Reads the JSON; a record without a tree is `Corrupt`.
    pub fn decode(json: &[u8]) -> Result<Self> {
        require_modest_shape("a snapshot", json)?;
        serde_json::from_slice(json).map_err(|e| Error::json("a snapshot", e))
    }

    /// Writes the JSON.
    pub fn encode(&self) -> Vec<u8> {
        to_json("a snapshot", self).unwrap_or_default()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}
