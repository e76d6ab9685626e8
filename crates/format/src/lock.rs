//! Lock files.
//!
//! Source: restic's design document, "Locks"; restic-format 5.7.

use serde::{Deserialize, Serialize};

use crate::key::to_json;
use crate::{Error, GoTime, Result};

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was last refreshed.
    pub time: GoTime,
    /// Whether nobody else may work in the repository.
    pub exclusive: bool,
    /// Host of its holder.
    #[serde(default)]
    pub hostname: String,
    /// User of its holder.
    #[serde(default)]
    pub username: String,
    /// Process of its holder.
    #[serde(default)]
    pub pid: u32,
    /// Numeric user.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Numeric group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
}

impl LockFile {
    /// Reads the JSON.
    pub fn decode(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|e| Error::json("a lock", e))
    }

    /// Writes the JSON.
    pub fn encode(&self) -> Vec<u8> {
        to_json("a lock", self).unwrap_or_default()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
