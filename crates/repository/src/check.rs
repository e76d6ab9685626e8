//! Whether the repository is whole: structure, not content.
//!
//! Takes a repository and gives findings. Reads every index, snapshot and tree; looks at the size
//! of every pack. Does not read data blobs: that is `verify`.
//!
//! Source: what restic's `check` demands, and restic-format 5.3 to 5.5 where it demands more.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{
    self as format, BlobId, BlobKind, IndexId, KeyFile, KeyId, Node, NodeKind, PackId, SnapshotId,
    Tree,
};
use lifeboat_model::{ErrorKind, Phase};

use crate::error::Doing;
use crate::{Error, Index, IndexBuilder, Repository, Result, load, snapshots, walk};

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A key file is damaged: its password may no longer open the repository.
    Key(KeyId, String),
    /// An index file cannot be read.
    Index(IndexId, String),
    /// An index lists a pack that is not there.
    PackMissing(PackId),
    /// A pack is longer or shorter than its blobs and header.
    PackSize {
        /// Which pack.
        pack: PackId,
        /// Bytes there are.
        seen: u64,
        /// Bytes the index accounts for.
        expected: u64,
    },
    /// The blobs of a pack overlap or leave gaps.
    PackLayout(PackId),
    /// A pack's content is damaged.
    PackDamaged(PackId, String),
    /// A snapshot cannot be read.
    Snapshot(SnapshotId, String),
    /// A tree that a snapshot needs cannot be read.
    Tree(BlobId, String),
    /// A tree refers to a data blob that no index lists.
    DataMissing {
        /// The tree.
        tree: BlobId,
        /// The name of the file in it.
        name: String,
        /// The blob.
        blob: BlobId,
    },
    /// A file's size is not the sum of its blobs.
    FileSize {
        /// The tree.
        tree: BlobId,
        /// The name of the file in it.
        name: String,
        /// Bytes of its blobs.
        seen: u64,
        /// Bytes it claims.
        expected: u64,
    },
    /// A tree breaks a rule that stock restic relies on.
    TreeRule(BlobId, String),
    /// A pack that no index lists: left by an interrupted run, `prune` removes it. A note.
    PackUnlisted(PackId),
    /// A pack that holds both trees and data. A note.
    PackMixed(PackId),
}

impl Finding {
    /// Says whether it endangers no data: the repository is still whole.
    pub fn is_note(&self) -> bool {
        matches!(self, Self::PackUnlisted(_) | Self::PackMixed(_))
    }

    /// The command that deals with it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Key(..) => "lifeboat key add, then lifeboat key remove",
            Self::Index(..) | Self::PackMissing(_) => "lifeboat repair index",
            Self::PackSize { .. } | Self::PackLayout(_) => {
                "lifeboat repair index, then lifeboat repair packs"
            }
            Self::PackDamaged(..) => "lifeboat repair packs",
            Self::Snapshot(..) => "lifeboat catalog import, then lifeboat forget",
            Self::Tree(..)
            | Self::DataMissing { .. }
            | Self::FileSize { .. }
            | Self::TreeRule(..) => "lifeboat repair snapshots",
            Self::PackUnlisted(_) | Self::PackMixed(_) => "lifeboat prune",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id, seen) => write!(f, "key {id}: {seen}"),
            Self::Index(id, seen) => write!(f, "index {id}: {seen}"),
            Self::PackMissing(id) => write!(f, "pack {id} is missing"),
            Self::PackSize {
                pack,
                seen,
                expected,
            } => {
                write!(
                    f,
                    "pack {pack} has {seen} bytes, the index accounts for {expected}"
                )
            }
            Self::PackLayout(id) => write!(f, "pack {id}: its blobs overlap or leave gaps"),
            Self::PackDamaged(id, seen) => write!(f, "pack {id}: {seen}"),
            Self::Snapshot(id, seen) => write!(f, "snapshot {id}: {seen}"),
            Self::Tree(id, seen) => write!(f, "tree {id}: {seen}"),
            Self::DataMissing { tree, name, blob } => {
                write!(
                    f,
                    "file \"{name}\" in tree {tree}: data blob {blob} is missing"
                )
            }
            Self::FileSize {
                tree,
                name,
                seen,
                expected,
            } => write!(
                f,
                "file \"{name}\" in tree {tree}: its blobs have {seen} bytes, it claims {expected}"
            ),
            Self::TreeRule(id, seen) => write!(f, "tree {id}: {seen}"),
            Self::PackUnlisted(id) => write!(f, "pack {id} is in no index"),
            Self::PackMixed(id) => write!(f, "pack {id} holds trees and data"),
        }
    }
}

/// What a check has seen.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Everything out of order, notes included.
    pub findings: Vec<Finding>,
    /// Snapshots read.
    pub snapshots: usize,
    /// Trees read.
    pub trees: usize,
    /// Packs whose size was compared.
    pub packs: usize,
    /// Bytes of all packs.
    pub pack_bytes: u64,
    /// Packs that a prune has marked for removal.
    pub marked: usize,
}

impl Checked {
    /// Says whether nothing endangers data.
    pub fn is_whole(&self) -> bool {
        self.findings.iter().all(Finding::is_note)
    }
}

/// Checks the whole repository; gives the index as far as it can be read, for a verify.
pub fn check(repository: &Repository) -> Result<(Checked, Index)> {
    let mut checked = Checked::default();
    check_keys(repository, &mut checked.findings)?;
    // Order: snapshots before the index, so that what they refer to is indexed.
    let (listed, broken) = snapshots::list_tolerant(repository)?;
    checked.snapshots = listed.len();
    checked.findings.extend(
        broken
            .into_iter()
            .map(|(id, error)| Finding::Snapshot(id, chain(&error))),
    );
    let index = read_index(repository, &mut checked.findings)?;
    check_packs(repository, &index, &mut checked)?;
    check_trees(
        repository,
        &index,
        listed.iter().map(|s| s.file.tree),
        &mut checked,
    )?;
    checked.marked = index.marked().len();
    Ok((checked, index))
}

fn check_keys(repository: &Repository, findings: &mut Vec<Finding>) -> Result<()> {
    for listed in repository.list(FileKind::Key)? {
        let file = FileHandle::new(FileKind::Key, listed.id);
        let decoded = repository.load_raw(file).and_then(|json| {
            let decoded = KeyFile::decode(&json);
            decoded.doing(|| format!("{file} is damaged"))
        });
        match decoded {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_damage(&error) => {
                findings.push(Finding::Key(listed.id.into(), chain(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The index files that can be read, made into an index; the others become findings.
pub(crate) fn read_index(repository: &Repository, findings: &mut Vec<Finding>) -> Result<Index> {
    let files = repository.list(FileKind::Index)?;
    let collected = Mutex::new((IndexBuilder::new(), Vec::new()));
    repository
        .environment()
        .progress
        .begin(Phase::LoadIndex, files.len() as u64);
    load::each(repository, &files, |listed| {
        let result = load::index_file(repository, listed.id);
        let mut collected = collected
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        match result {
            Ok(file) => collected.0.add_file(listed.id.into(), file),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_damage(&error) => collected
                .1
                .push(Finding::Index(listed.id.into(), chain(&error))),
            Err(error) => return Err(error),
        }
        repository.environment().progress.advance(1);
        Ok(())
    })?;
    let (builder, broken) = collected
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    findings.extend(broken);
    Ok(builder.build_with(repository.environment().threads))
}

fn check_packs(repository: &Repository, index: &Index, checked: &mut Checked) -> Result<()> {
    let listed = repository.list(FileKind::Pack)?;
    checked.packs = listed.len();
    checked.pack_bytes = listed.iter().map(|file| file.size).sum();
    let sizes: HashMap<PackId, u64> = listed.iter().map(|f| (f.id.into(), f.size)).collect();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        let expected = format::pack_size(&blobs);
        match sizes.get(&pack.id) {
            None => checked.findings.push(Finding::PackMissing(pack.id)),
            Some(_) if !format::is_contiguous(&blobs) => {
                checked.findings.push(Finding::PackLayout(pack.id));
            }
            Some(seen) if *seen != expected => {
                checked.findings.push(Finding::PackSize {
                    pack: pack.id,
                    seen: *seen,
                    expected,
                });
            }
            Some(_) => {}
        }
        let is_tree = |blob: &format::PackEntry| blob.kind == BlobKind::Tree;
        if blobs.iter().any(is_tree) && !blobs.iter().all(is_tree) {
            checked.findings.push(Finding::PackMixed(pack.id));
        }
    }
    let is_listed = |id: &PackId| {
        index
            .packs()
            .binary_search_by_key(id, |pack| pack.id)
            .is_ok()
    };
    let is_marked = |id: &PackId| {
        index
            .marked()
            .binary_search_by_key(id, |mark| mark.id)
            .is_ok()
    };
    let unlisted = sizes.keys().filter(|id| !is_listed(id) && !is_marked(id));
    checked
        .findings
        .extend(unlisted.copied().map(Finding::PackUnlisted));
    Ok(())
}

fn check_trees(
    repository: &Repository,
    index: &Index,
    roots: impl Iterator<Item = BlobId>,
    checked: &mut Checked,
) -> Result<()> {
    repository.environment().progress.begin(Phase::Walk, 0);
    let found = Mutex::new((0, Vec::new()));
    walk::trees(repository, index, roots, |at| {
        let mut findings = Vec::new();
        match at.tree {
            Ok(tree) => check_tree(index, at.id, tree, &mut findings),
            Err(error) if !is_damage(error) => return Err(Error::new(error.kind(), chain(error))),
            Err(error) => findings.push(Finding::Tree(at.id, chain(error))),
        }
        let mut found = found.lock().unwrap_or_else(|poison| poison.into_inner());
        found.0 += 1;
        found.1.append(&mut findings);
        Ok(())
    })?;
    let (trees, findings) = found
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    checked.trees = trees;
    checked.findings.extend(findings);
    Ok(())
}

fn check_tree(index: &Index, id: BlobId, tree: &Tree, findings: &mut Vec<Finding>) {
    for pair in tree.nodes.windows(2) {
        if pair[0].name >= pair[1].name {
            let seen = format!("\"{}\" is out of order", pair[1].shown_name());
            findings.push(Finding::TreeRule(id, seen));
        }
    }
    for node in &tree.nodes {
        if !node.name_is_safe() {
            let seen = format!("\"{}\" cannot be a file name", node.shown_name());
            findings.push(Finding::TreeRule(id, seen));
        }
        if node.kind == NodeKind::Dir && node.subtree.is_none() {
            let seen = format!("folder \"{}\" has no tree", node.shown_name());
            findings.push(Finding::TreeRule(id, seen));
        }
        if node.kind == NodeKind::File && node.content.is_none() {
            let seen = format!("file \"{}\" has no list of blobs", node.shown_name());
            findings.push(Finding::TreeRule(id, seen));
        }
        check_content(index, id, node, findings);
    }
}

fn check_content(index: &Index, id: BlobId, node: &Node, findings: &mut Vec<Finding>) {
    if node.kind != NodeKind::File {
        return;
    }
    let (mut seen, mut is_complete) = (0u64, true);
    for blob in node.content_ids() {
        match index.find(BlobKind::Data, blob) {
            Some(location) => seen += u64::from(location.plaintext_length()),
            None => {
                is_complete = false;
                let name = node.shown_name();
                findings.push(Finding::DataMissing {
                    tree: id,
                    name,
                    blob: *blob,
                });
            }
        }
    }
    if is_complete && seen != node.size {
        let name = node.shown_name();
        findings.push(Finding::FileSize {
            tree: id,
            name,
            seen,
            expected: node.size,
        });
    }
}

/// Says whether stored data is damaged or gone, and not just out of reach at the moment.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound)
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
