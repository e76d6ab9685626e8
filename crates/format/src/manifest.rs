//! `lifeboat.json`: what we know of a machine beyond its bytes, at the root of its snapshot.
//!
//! Kept inside the tree because programs that rewrite a snapshot drop what they do not know.
//!
//! Source: docs/format.md.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::require_modest_shape;
use crate::key::to_json;
use crate::{BlobId, Error, GoTime, Result, SnapshotId};

/// Name of the file.
pub const MANIFEST_NAME: &str = "lifeboat.json";

/// Largest manifest that is accepted.
const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// The manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineManifest {
    /// Version of this shape: 1.
    pub version: u32,
    /// Program that wrote it.
    pub program: String,
    /// Whose disks these are.
    pub machine: MachineIdentity,
    /// When the disks were captured.
    pub captured_at: GoTime,
    /// What the disks hold: `application`, `filesystem` or `crash` consistent, or `unknown`.
    pub consistency: String,
    /// The disks, in the order they were given.
    pub disks: Vec<DiskManifest>,
    /// Names of the files that describe the machine.
    #[serde(default)]
    pub files: Vec<String>,
    /// What newer versions add.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Who a machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineIdentity {
    /// `image` for disks that were given as files.
    pub platform: String,
    /// The platform's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name people use.
    pub name: String,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskManifest {
    /// Its name inside the machine.
    pub name: String,
    /// Its file in the snapshot.
    pub path: String,
    /// Bytes of the guest's view.
    pub size: u64,
    /// Format of the source.
    pub source_format: String,
    /// How it was cut.
    pub chunking: Chunking,
    /// `full` or `incremental`.
    pub mode: String,
    /// What made it so.
    pub reason: String,
    /// The snapshot an incremental was made upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// Bytes that were said to have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_bytes: Option<u64>,
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// The platform's checkpoint from which the next changes can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// SHA-256 over the ids of its chunks, in order.
    pub root: BlobId,
}

/// How a disk was cut: equal values give equal cuts of equal content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunking {
    /// Smallest chunk in bytes.
    pub min: u32,
    /// Mean gap in bytes.
    pub gap: u32,
    /// Largest chunk in bytes.
    pub max: u32,
    /// First eight digits of the hash of the secret seed.
    pub seed: String,
}

impl Chunking {
    /// Describes these sizes under this seed, without giving the seed away.
    pub fn new(min: u32, gap: u32, max: u32, seed: u64) -> Self {
        let mut text = b"lifeboat chunking seed ".to_vec();
        text.extend_from_slice(&seed.to_le_bytes());
        Self {
            min,
            gap,
            max,
            seed: BlobId::of(&text).short(),
        }
    }
}

impl MachineManifest {
    /// Reads the file.
    ///
    /// Errors: `Corrupt`.
    pub fn decode(json: &[u8]) -> Result<Self> {
        if json.len() > MANIFEST_BYTES_MAX {
            return Err(Error::corrupt("the manifest is larger than 16 MiB"));
        }
        require_modest_shape("the manifest", json)?;
        serde_json::from_slice(json).map_err(|e| Error::json("the manifest", e))
    }

    /// Writes the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        debug_assert!(
            to_json("the manifest", self).is_ok(),
            "a manifest is plain JSON"
        );
        json
    }
}
