//! Storing repaired trees.

use std::collections::HashMap;

use lifeboat_format::{BlobId, BlobKind, Node, NodeKind};

use super::content::{Part, ZERO_PIECE};
use super::depth::require_depth;
use super::rules;
use super::sight::Sight;
use crate::error::Doing;
use crate::{Bench, BlobWriter, Repository, Result};

/// Stores trees anew, each once; those with nothing to repair stay as they are.
pub(super) struct Rewrite<'a> {
    repository: &'a Repository,
    sight: &'a Sight,
    writer: &'a BlobWriter<'a>,
    bench: Bench,
    done: HashMap<BlobId, BlobId>,
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        sight: &'a Sight,
        writer: &'a BlobWriter<'a>,
    ) -> Self {
        Self {
            repository,
            sight,
            writer,
            bench: writer.bench(),
            done: HashMap::new(),
        }
    }

    /// Gives the name of the repaired tree.
    pub(super) fn tree(&mut self, id: &BlobId, depth: u32) -> Result<BlobId> {
        require_depth(depth, &format!("tree {id}"))?;
        if let Some(new) = self.done.get(id) {
            return Ok(*new);
        }
        let read = self.sight.tree(self.repository, id)?;
        let mut is_changed = read.is_none();
        let mut tree = read.unwrap_or_default();
        is_changed |= !rules::mend(&mut tree).is_empty();
        for node in &mut tree.nodes {
            is_changed |= self.node(node, depth)?;
        }
        let mut new = *id;
        if is_changed {
            let json = tree
                .encode()
                .doing(|| format!("cannot rewrite tree {id}"))?;
            new = BlobId::of(&json);
            self.writer
                .put(BlobKind::Tree, &new, &json, &mut self.bench)?;
        }
        self.done.insert(*id, new);
        Ok(new)
    }

    /// Says whether the node has changed.
    fn node(&mut self, node: &mut Node, depth: u32) -> Result<bool> {
        if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree) {
            let new = self.tree(&subtree, depth + 1)?;
            node.subtree = Some(new);
            return Ok(new != subtree);
        }
        if let Some(content) = self.sight.content(self.repository, node)? {
            let mut ids = Vec::with_capacity(content.parts.len());
            for part in content.parts {
                match part {
                    Part::Kept(id) => ids.push(id),
                    Part::Zeros(length) => self.zeros(length, &mut ids)?,
                }
            }
            node.set_content(ids);
            node.size = content.size;
            return Ok(true);
        }
        let size = self.sight.true_size(self.repository, node)?;
        node.size = size.unwrap_or(node.size);
        Ok(size.is_some())
    }

    /// Stores zeros in pieces and adds their names; equal pieces are stored once.
    fn zeros(&mut self, length: u64, ids: &mut Vec<BlobId>) -> Result<()> {
        let whole = length / ZERO_PIECE;
        if whole > 0 {
            let id = self.zero_piece(ZERO_PIECE)?;
            ids.extend((0..whole).map(|_| id));
        }
        if !length.is_multiple_of(ZERO_PIECE) {
            ids.push(self.zero_piece(length % ZERO_PIECE)?);
        }
        Ok(())
    }

    /// `length` is at most [`ZERO_PIECE`].
    fn zero_piece(&mut self, length: u64) -> Result<BlobId> {
        let zeros = vec![0; length as usize];
        let id = BlobId::of(&zeros);
        self.writer
            .put(BlobKind::Data, &id, &zeros, &mut self.bench)?;
        Ok(id)
    }
}
