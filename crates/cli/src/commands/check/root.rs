//! `lifeboat verify --root`: proving a copy against a Merkle root.

use std::path::Path;

use lifeboat_disk::{ImageFormat, OpenOptions, open_reader};
use lifeboat_engine::{compare, place};
use lifeboat_format::{BlobId, Node, NodeKind};
use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_repository::{BlobReader, Index, LockMode, Repository, snapshots};
use serde::Serialize;

use crate::args::VerifyArguments;
use crate::commands::front::Front;
use crate::context::Context;
use crate::error::{EXIT_VERIFY, Error, Result};

#[derive(Serialize)]
struct FileLine<'a> {
    path: &'a str,
    is_equal: bool,
    differing_ranges: usize,
    differing_bytes: u64,
}

/// Compares the target with everything below the root.
///
/// The trees are read from the repository and hash to the root, so it proves more than the
/// repository's word: whoever kept the root elsewhere need not trust this repository.
pub(super) fn run(
    context: &Context,
    repository: &Repository,
    root: &str,
    arguments: &VerifyArguments,
) -> Result<u8> {
    let format: ImageFormat = arguments.target_format.parse()?;
    let target = arguments
        .target
        .as_deref()
        .ok_or_else(|| Error::usage("--root needs --target"))?;
    let _locked = context.lock(repository, LockMode::Shared)?;
    let index = context.load_index(repository)?;
    let tree = find_root(repository, &index, root)?;
    let mut proof = Proof {
        context,
        repository,
        index: &index,
        format,
        files: 0,
        failed: 0,
    };
    match &arguments.disk {
        Some(disk) => {
            let node = proof.disk(&tree, disk)?;
            proof.file(disk, &node, target)?;
        }
        None => proof.folder(&tree, target, "")?,
    }
    proof.report(&tree)
}

/// A tree id, or a snapshot whose tree is meant.
fn find_root(repository: &Repository, index: &Index, root: &str) -> Result<BlobId> {
    if let Ok(id) = root.parse::<BlobId>()
        && index.contains(lifeboat_format::BlobKind::Tree, &id)
    {
        return Ok(id);
    }
    let all = snapshots::list_tolerant(repository)?.0;
    if let Some(snapshot) = all
        .iter()
        .find(|s| s.file.tree.to_string().starts_with(root))
    {
        return Ok(snapshot.file.tree);
    }
    Ok(crate::select::pick(&all, root)?.file.tree)
}

struct Proof<'a> {
    context: &'a Context,
    repository: &'a Repository,
    index: &'a Index,
    format: ImageFormat,
    files: usize,
    failed: usize,
}

impl Proof<'_> {
    fn disk(&self, root: &BlobId, disk: &str) -> Result<Node> {
        let mut reader = BlobReader::new(self.repository, self.index);
        let path = format!("disks/{disk}.raw");
        crate::select::node_at(&mut reader, root, &path)
            .or_else(|_| crate::select::node_at(&mut reader, root, disk))
    }

    fn folder(&mut self, tree: &BlobId, folder: &Path, shown: &str) -> Result<()> {
        crate::select::require_depth(shown)?;
        let tree = BlobReader::new(self.repository, self.index).tree(tree)?;
        for node in &tree.nodes {
            if !node.name_is_safe() {
                let message = format!("the root holds the unsafe name \"{}\"", node.shown_name());
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            let path = format!("{shown}{}", node.shown_name());
            let name = std::ffi::OsStr::new(&node.shown_name()).to_owned();
            match (node.kind, node.subtree) {
                (NodeKind::Dir, Some(subtree)) => {
                    self.folder(&subtree, &folder.join(name), &format!("{path}/"))?;
                }
                (NodeKind::File, _) => self.file(&path, node, &folder.join(name))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, shown: &str, node: &Node, path: &Path) -> Result<()> {
        self.files += 1;
        // Restored qcow2 disks have their own ending.
        let is_image = shown.starts_with("disks/") || !shown.contains(['/', '.']);
        let (path, format) = if is_image && self.format == ImageFormat::Qcow2 && !path.exists() {
            (path.with_extension("qcow2"), ImageFormat::Qcow2)
        } else {
            (
                path.to_owned(),
                if is_image {
                    self.format
                } else {
                    ImageFormat::Raw
                },
            )
        };
        let content = place(self.index, node)?;
        if content.size == 0 {
            return Ok(());
        }
        let reader = open_reader(&path, format, &OpenOptions::default())?;
        let reader = Front::of(reader, content.size, &path);
        let display = self.context.show_progress()?;
        let differing = compare(self.repository.environment(), &content, &reader)?;
        drop(display);
        self.failed += usize::from(!differing.is_empty());
        let line = FileLine {
            path: shown,
            is_equal: differing.is_empty(),
            differing_ranges: differing.count(),
            differing_bytes: differing.byte_count(),
        };
        if self.context.output.is_json() {
            return self.context.output.message("file", &line);
        }
        for extent in differing.iter().take(10) {
            let (start, length) = (extent.start(), ByteCount(extent.len()));
            self.context
                .output
                .result(format!("{shown}: differs at {start}, {length}"))?;
        }
        if line.is_equal {
            self.context.output.tell(format!("{shown}: equal"))
        } else {
            Ok(())
        }
    }

    fn report(&self, root: &BlobId) -> Result<u8> {
        let output = self.context.output;
        if self.failed == 0 {
            if !output.is_json() {
                output.result(format!(
                    "{} files are proved by the root {root}",
                    self.files
                ))?;
            }
            return Ok(0);
        }
        if !output.is_json() {
            output.result(format!(
                "{} of {} files differ from {root}",
                self.failed, self.files
            ))?;
        }
        Ok(EXIT_VERIFY)
    }
}
