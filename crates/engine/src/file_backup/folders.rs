//! The folders of a walk: those that are open, and what the parent has in them.

use lifeboat_chunker::{ChunkSizes, Chunker};
use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, Tree, ZeroIds};
use lifeboat_model::ErrorKind;
use lifeboat_repository::{Bench, BlobReader, BlobWriter, Index, Repository};

use super::FileCounts;
use super::cutting::FileWriter;
use crate::error::Doing;
use crate::{Error, Result};

/// An open folder.
struct Open {
    /// None for the snapshot's root.
    node: Option<Node>,
    nodes: Vec<Node>,
    /// What the parent has there, sorted by name, and its name.
    earlier: Option<(BlobId, Tree)>,
}

/// Takes the nodes of a walk.
///
/// Memory: the entries of open folders, here and in the parent.
pub struct Folders<'a, 'w> {
    repository: &'a Repository,
    index: &'a Index,
    writer: &'a BlobWriter<'w>,
    bench: Bench,
    zeros: ZeroIds,
    sizes: ChunkSizes,
    reader: BlobReader<'a>,
    open: Vec<Open>,
    counts: FileCounts,
}

impl<'a, 'w> Folders<'a, 'w> {
    pub(super) fn new(
        repository: &'a Repository,
        index: &'a Index,
        writer: &'a BlobWriter<'w>,
        sizes: ChunkSizes,
        parent: Option<&BlobId>,
    ) -> Self {
        let mut folders = Self {
            repository,
            index,
            writer,
            bench: writer.bench(),
            zeros: ZeroIds::new(),
            sizes,
            reader: BlobReader::new(repository, index),
            open: Vec::new(),
            counts: FileCounts::default(),
        };
        let earlier = parent.and_then(|id| folders.earlier_tree(id));
        folders.open.push(Open {
            node: None,
            nodes: Vec::new(),
            earlier,
        });
        folders
    }

    /// A parent that cannot be read is none: its files are read again.
    fn earlier_tree(&mut self, id: &BlobId) -> Option<(BlobId, Tree)> {
        Some((*id, self.reader.tree(id).ok()?))
    }

    fn earlier(&self, name: &[u8]) -> Option<&Node> {
        let (_, tree) = self.open.last()?.earlier.as_ref()?;
        let found = tree.nodes.binary_search_by(|node| node.name[..].cmp(name));
        found.ok().map(|at| &tree.nodes[at])
    }

    /// Begins a folder; what follows is in it until [`Self::leave`].
    pub fn enter(&mut self, node: Node) {
        let earlier = self
            .earlier(&node.name)
            .filter(|it| it.kind == NodeKind::Dir);
        let earlier = earlier.and_then(|it| it.subtree);
        let earlier = earlier.and_then(|id| self.earlier_tree(&id));
        self.open.push(Open {
            node: Some(node),
            nodes: Vec::new(),
            earlier,
        });
    }

    /// Ends the folder that was entered last.
    ///
    /// Errors: `Invalid` for two entries of one name, or without a folder; those of the repository.
    pub fn leave(&mut self) -> Result<()> {
        let closed = self.open.pop();
        let Some((mut node, open)) = closed.and_then(|mut it| Some((it.node.take()?, it))) else {
            let doing = "a folder is left that was not entered";
            return Err(Error::new(ErrorKind::Invalid, doing));
        };
        let earlier = open.earlier.as_ref().map(|(id, _)| *id);
        let subtree = self.store(open.nodes)?;
        let count = match earlier {
            None => &mut self.counts.folders_new,
            Some(id) if id == subtree => &mut self.counts.folders_unmodified,
            Some(_) => &mut self.counts.folders_changed,
        };
        *count += 1;
        node.subtree = Some(subtree);
        self.push(node);
        Ok(())
    }

    fn store(&mut self, mut nodes: Vec<Node>) -> Result<BlobId> {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let json = Tree { nodes }
            .encode()
            .doing(|| "cannot encode a tree".to_owned())?;
        let id = BlobId::of(&json);
        self.writer
            .put(BlobKind::Tree, &id, &json, &mut self.bench)?;
        Ok(id)
    }

    fn push(&mut self, node: Node) {
        if let Some(open) = self.open.last_mut() {
            open.nodes.push(node);
        }
    }

    /// Adds a link, pipe, socket or device.
    pub fn other(&mut self, node: Node) {
        self.counts.others += 1;
        self.push(node);
    }

    /// Takes a file's content over from the parent if it is as it was; says whether it did.
    pub fn take_over(&mut self, node: &Node) -> bool {
        let same = self.earlier(&node.name).filter(|it| is_same(it, node));
        let Some(content) = same.map(|it| it.content_ids().to_vec()) else {
            return false;
        };
        if self.bytes_of(&content) != Some(node.size) {
            return false;
        }
        self.counts.unmodified += 1;
        self.counts.bytes += node.size;
        let mut node = node.clone();
        node.set_content(content);
        self.push(node);
        true
    }

    /// All bytes of chunks; none if one is missing.
    fn bytes_of(&self, content: &[BlobId]) -> Option<u64> {
        let lengths = content.iter().map(|id| {
            let found = self.index.find(BlobKind::Data, id)?;
            Some(u64::from(found.plaintext_length()))
        });
        lengths.sum()
    }

    /// Adds a file whose content `fill` hands over; gives its chunks.
    ///
    /// Errors: those of `fill`: then the file is not added, and the folder goes on.
    pub fn file<E: From<Error>>(
        &mut self,
        mut node: Node,
        fill: impl FnOnce(&mut FileWriter<'_, '_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Vec<BlobId>, E> {
        let sizes = self.sizes.for_disk(node.size);
        let seed = self.repository.config().chunker_polynomial;
        let mut file = FileWriter {
            writer: self.writer,
            bench: &mut self.bench,
            zeros: &mut self.zeros,
            chunker: Chunker::new(sizes, seed),
            size: node.size,
            partial: Vec::new(),
            buffer: Vec::new(),
            begin: 0,
            cuts: Vec::new(),
            content: Vec::new(),
            read_bytes: 0,
        };
        fill(&mut file)?;
        let (content, read) = file.finish()?;
        self.counts.read_bytes += read;
        self.repository.environment().progress.advance(read);
        node.set_content(content.clone());
        self.file_with(node);
        Ok(content)
    }

    /// Adds a file that has its content: a further name of one before.
    pub fn file_with(&mut self, node: Node) {
        let count = match self.earlier(&node.name) {
            Some(earlier) if earlier.kind == NodeKind::File => &mut self.counts.changed,
            _ => &mut self.counts.new,
        };
        *count += 1;
        self.counts.bytes += node.size;
        self.push(node);
    }

    pub(super) fn finish(mut self) -> Result<(BlobId, FileCounts)> {
        match (self.open.pop(), self.open.is_empty()) {
            (Some(root), true) => Ok((self.store(root.nodes)?, self.counts)),
            _ => {
                let doing = "a folder was not left before the end";
                Err(Error::new(ErrorKind::Invalid, doing))
            }
        }
    }
}

/// As restic judges it.
fn is_same(earlier: &Node, node: &Node) -> bool {
    let facts = |it: &Node| (it.kind, it.size, it.inode);
    let times = |it: &Node| (it.mtime.timestamp(), it.ctime.timestamp());
    earlier.kind == NodeKind::File && facts(earlier) == facts(node) && times(earlier) == times(node)
}
