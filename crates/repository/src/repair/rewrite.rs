//! Storing repaired trees.

use std::collections::HashMap;

use lifeboat_format::{BlobId, BlobKind, Node, NodeKind};

use super::content::Part;
use super::rules;
use super::sight::Sight;
use crate::error::Doing;
use crate::{Bench, BlobWriter, Error, Repository, Result};

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
    pub(super) fn tree(&mut self, id: &BlobId) -> Result<BlobId> {
        if let Some(new) = self.done.get(id) {
            return Ok(*new);
        }
        let read = self.sight.tree(self.repository, id)?;
        let mut is_changed = read.is_none();
        let mut tree = read.unwrap_or_default();
        is_changed |= !rules::mend(&mut tree).is_empty();
        for node in &mut tree.nodes {
            is_changed |= self.node(node)?;
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
    fn node(&mut self, node: &mut Node) -> Result<bool> {
        if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree) {
            let new = self.tree(&subtree)?;
            node.subtree = Some(new);
            return Ok(new != subtree);
        }
        if let Some(content) = self.sight.content(self.repository, node)? {
            let ids = content.parts.iter().map(|part| self.part(*part));
            node.set_content(ids.collect::<Result<Vec<_>>>()?);
            node.size = content.size;
            return Ok(true);
        }
        let size = self.sight.true_size(self.repository, node)?;
        node.size = size.unwrap_or(node.size);
        Ok(size.is_some())
    }

    fn part(&mut self, part: Part) -> Result<BlobId> {
        match part {
            Part::Kept(id) => Ok(id),
            Part::Zeros(length) => {
                let length = usize::try_from(length).map_err(|_| Error::cancelled())?;
                let zeros = vec![0; length];
                let id = BlobId::of(&zeros);
                self.writer
                    .put(BlobKind::Data, &id, &zeros, &mut self.bench)?;
                Ok(id)
            }
        }
    }
}
