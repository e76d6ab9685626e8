//! Which file is meant.

use std::fmt;

use lifeboat_model::Id;

/// The six sorts of file a repository consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// The one file that makes a place a repository.
    Config,
    /// The master key, sealed with one password.
    Key,
    /// A mark of somebody who is at work.
    Lock,
    /// The record of one backup.
    Snapshot,
    /// Which pack holds which blob.
    Index,
    /// Sealed blobs.
    Pack,
}

impl FileKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Config,
        Self::Key,
        Self::Lock,
        Self::Snapshot,
        Self::Index,
        Self::Pack,
    ];

    /// More bytes than any sound file of this kind has; `load` refuses larger ones.
    ///
    /// Limit: packs and blobs of the format end below 4 GiB; restic's indexes stay below 8 MiB,
    /// and 64 MiB is one index of a pack with the longest header there can be.
    pub fn bytes_max(self) -> u64 {
        match self {
            Self::Config | Self::Key | Self::Lock => 1 << 20,
            Self::Snapshot => 16 << 20,
            Self::Index => 64 << 20,
            Self::Pack => 4 << 30,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Lock => "lock",
            Self::Snapshot => "snapshot",
            Self::Index => "index",
            Self::Pack => "pack",
        })
    }
}

/// Names one file; shown short, as in `pack 1a2b3c4d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHandle {
    /// The sort of file.
    pub kind: FileKind,
    /// SHA-256 of the content; all zero for the config, which has no name of its own.
    pub id: Id,
}

impl FileHandle {
    /// The repository's one config file.
    pub const CONFIG: Self = Self {
        kind: FileKind::Config,
        id: Id([0; 32]),
    };

    /// The file of this kind with this name.
    pub fn new(kind: FileKind, id: Id) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FileKind::Config => f.pad("config"),
            kind => f.pad(&format!("{kind} {}", self.id.short())),
        }
    }
}

/// A file as a list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listed {
    /// The file's name.
    pub id: Id,
    /// Its size in bytes.
    pub size: u64,
}
