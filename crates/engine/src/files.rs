//! Writing a snapshot of files back into a folder: plan, show, apply, verify.
//!
//! Takes a tree of a snapshot and a target folder; gives a [`FilesPlan`]; [`apply`] executes it.
//! Does not know disks or machines.
//!
//! Names from a repository are hostile. Nothing outside the target is written: every folder is
//! reached from the target's descriptor name by name, no symbolic link below it is followed, and
//! names that are not plain are refused. A file is written as `.<name>.lifeboat-part` and gets
//! its name when it is complete and durable. What goes wrong with one file is a [`FileFinding`];
//! the others are restored.
//!
//! Packs are read in the order in which files need them first; what lies side by side is one
//! request, however many files it belongs to. Every chunk is authenticated and hashed.
//!
//! Memory: about 200 bytes an entry, 20 bytes a chunk; threads x (largest request + chunk).
//!
//! Source: DESIGN, row 2; reference reliability 59, 31, 36.

mod apply;
mod compare;
mod filter;
mod finding;
mod folders;
mod inspect;
mod item;
mod metadata;
mod occupy;
mod plan;
mod special;
mod verify;
mod walk;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_model::ExtentSet;

pub use apply::apply;
pub use filter::{Judged, PathFilter, Positions};
pub use finding::{FileFinding, FindingKind, Findings};
pub use occupy::{Occupied, occupy};
pub use plan::plan;
pub use verify::verify;

use crate::restore::PackRead;
use item::{Folder, Item};

/// What becomes of files that are in the target already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExistingFiles {
    /// They are conflicts, unless they are equal: nothing is written then.
    #[default]
    Refuse,
    /// They stay until the new file is complete.
    Replace,
    /// What differs in them is rewritten.
    InPlace,
}

/// What of a snapshot is restored, and over what.
#[derive(Clone, Debug, Default)]
pub struct FilesOptions {
    /// What becomes of existing files.
    pub existing: ExistingFiles,
    /// What is restored.
    pub filter: PathFilter,
}

/// One piece of a file that must be there: 16 bytes, so that big files cost little.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: u64,
    /// Row of the index.
    row: u32,
    /// Number of the item.
    item: u32,
}

/// What a restore of files will do.
#[derive(Debug, Default)]
pub struct FilesPlan {
    /// The folder everything goes to.
    pub target: PathBuf,
    /// What becomes of existing files.
    pub existing: ExistingFiles,
    /// Folders in the snapshot that are wanted.
    pub folder_count: u64,
    /// Regular files, hard links included.
    pub file_count: u64,
    /// Symbolic links, pipes, devices.
    pub other_count: u64,
    /// Files whose content is there already.
    pub equal_count: u64,
    /// Bytes of all files; hard links count once.
    pub size: u64,
    /// Bytes that will be written.
    pub write_bytes: u64,
    /// Sealed bytes that will be read.
    pub read_bytes: u64,
    /// Existing entries that forbid the restore; empty unless existing files are refused.
    pub conflicts: Vec<String>,
    /// What cannot be restored as it was.
    pub findings: Findings,
    folders: Vec<Folder>,
    items: Vec<Item>,
    /// All pieces with data; those of one item lie together, in order.
    pieces: Vec<Piece>,
    /// Numbers of the pieces that are brought, in the order of packs.
    wanted: Vec<u32>,
    reads: Vec<PackRead>,
    /// Ranges that must become zeros, of items that hold something else there.
    zeros: std::collections::HashMap<u32, ExtentSet>,
}

impl FilesPlan {
    /// How many requests will be made.
    pub fn request_count(&self) -> usize {
        self.reads.len()
    }

    /// Path of an item for people.
    fn shown(&self, item: &Item) -> String {
        item::shown_path(&self.folders, item.folder, &item.name)
    }
}

/// What a restore of files has done.
#[derive(Debug, Default)]
pub struct FilesResult {
    /// Regular files that are complete.
    pub files: u64,
    /// Bytes written.
    pub written: u64,
    /// Sealed bytes read.
    pub read: u64,
    /// Time taken.
    pub duration: Duration,
    /// What went wrong, what the plan knew included.
    pub findings: Findings,
    /// Items that are not complete.
    failed: std::collections::HashSet<u32>,
}
