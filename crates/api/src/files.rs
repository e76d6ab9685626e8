//! Files inside recovery points.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is inside a recovery point, at its top or at a path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointFiles {
    /// Files of the snapshot itself: disks, and what describes the machine; only at the top.
    pub stored: Vec<StoredFile>,
    /// Volumes on the disks; only at the top.
    pub volumes: Vec<PointVolume>,
    /// Else the one entry, without a name, is what is at the path.
    pub is_folder: bool,
    /// What is in the folder: folders first, then by name.
    pub entries: Vec<PointFile>,
    /// How many entries there are in all.
    pub count: u64,
    /// What could not be read.
    pub faults: Vec<String>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredFile {
    /// From the snapshot's root: `/disks/vda.raw`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// A volume on the disks of a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PointVolume {
    /// Its name: `vda1`, `vg/root`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The file system, or what else it holds.
    pub content: String,
    /// Its label.
    pub label: String,
    /// Whether files in it can be read.
    pub is_readable: bool,
    /// Where the system mounts it.
    pub mounted_at: Option<String>,
    /// What is to be known of it.
    pub note: String,
}

/// What sort of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointFileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a socket, a pipe.
    Other,
}

/// An entry of a folder inside the disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PointFile {
    /// Its name; what is no text in it is replaced.
    pub name: String,
    /// Its whole path, byte by byte escaped for a query.
    pub path: String,
    /// What it is.
    pub kind: PointFileKind,
    /// The length of a regular file.
    pub bytes: u64,
    /// Permissions, and the bits for set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// When its content last changed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub modified: Option<Timestamp>,
    /// Where a link leads.
    pub link_target: Option<String>,
}
