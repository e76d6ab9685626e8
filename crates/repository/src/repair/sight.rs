//! What of the blobs that snapshots need can still be read.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, PackId, Tree};
use lifeboat_model::ErrorKind;

use super::content::{self, Known, RepairedContent};
use crate::check::{chain, is_damage};
use crate::{BlobReader, Error, Index, Repository, Result, commit, load, pack};

/// The index, the packs that are there, and what marked packs still hold.
pub(super) struct Sight {
    pub(super) index: Index,
    /// Also blobs of marked packs: they may hold the last copy, and of damaged ones nothing else
    /// knows the length.
    pub(super) all: Index,
    /// Packs that the index lists and that are gone.
    pub(super) lost_packs: HashSet<PackId>,
    /// Blobs no listed pack holds: whether a marked one has a sound copy.
    marked: RefCell<BTreeMap<(BlobKind, BlobId), bool>>,
}

impl Sight {
    pub(super) fn new(repository: &Repository) -> Result<Self> {
        let index = repository.load_index()?;
        let present: HashSet<PackId> = repository
            .list(FileKind::Pack)?
            .iter()
            .map(|file| file.id.into())
            .collect();
        let packs = index.packs().iter().map(|pack| pack.id);
        Ok(Self {
            lost_packs: packs.filter(|id| !present.contains(id)).collect(),
            all: commit::with_marked(&index),
            index,
            marked: RefCell::default(),
        })
    }

    /// What lies in marked packs only, and was asked for.
    pub(super) fn rescued(&self) -> Vec<(BlobKind, BlobId)> {
        let marked = self.marked.borrow();
        let sound = marked.iter().filter(|(_, is_sound)| **is_sound);
        sound.map(|(name, _)| *name).collect()
    }

    /// Reads a tree wherever it lies; nothing when it is lost.
    pub(super) fn tree(&self, repository: &Repository, id: &BlobId) -> Result<Option<Tree>> {
        // What only a marked pack holds is noted, so that it is stored again.
        if self.is_lost(repository, BlobKind::Tree, id)? {
            return Ok(None);
        }
        match BlobReader::new(repository, &self.all).tree(id) {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if is_damage(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_lost(&self, repository: &Repository, kind: BlobKind, id: &BlobId) -> Result<bool> {
        let is_there = |location: crate::BlobLocation| !self.lost_packs.contains(&location.pack);
        if self.index.copies(kind, id).any(is_there) {
            return Ok(false);
        }
        if let Some(is_sound) = self.marked.borrow().get(&(kind, *id)) {
            return Ok(!is_sound);
        }
        let is_sound = match BlobReader::new(repository, &self.all).get(kind, id) {
            Ok(_) => true,
            Err(error) if is_damage(&error) => false,
            Err(error) => return Err(error),
        };
        self.marked.borrow_mut().insert((kind, *id), is_sound);
        Ok(!is_sound)
    }

    /// Nothing is lost that a repair of the index would bring back.
    ///
    /// Cost: reads the headers of packs that no index lists, if anything is lost.
    pub(super) fn check_unlisted(
        &self,
        repository: &Repository,
        lost: &HashSet<BlobId>,
    ) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let known: HashSet<PackId> = self.all.packs().iter().map(|pack| pack.id).collect();
        let mut unlisted = repository.list(FileKind::Pack)?;
        unlisted.retain(|file| !known.contains(&file.id.into()));
        load::each(repository, &unlisted, |file| {
            let id = PackId::from(file.id);
            match pack::read_header(repository, id, file.size) {
                Ok(blobs) if blobs.iter().any(|blob| lost.contains(&blob.id)) => {
                    Err(still_there(id))
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
                Err(error) if !is_damage(&error) => Err(error),
                _ => Ok(()),
            }
        })
    }

    /// The content of a file with zeros for what is lost; nothing when nothing is lost.
    pub(super) fn content(
        &self,
        repository: &Repository,
        node: &Node,
    ) -> Result<Option<RepairedContent>> {
        let mut lost = HashSet::new();
        for id in node.content_ids() {
            if self.is_lost(repository, BlobKind::Data, id)? {
                lost.insert(*id);
            }
        }
        let known = Known {
            lengths: &self.all,
            is_lost: &|id: &BlobId| lost.contains(id),
        };
        Ok(content::repair(node.content_ids(), node.size, &known))
    }

    /// The bytes of a file of which nothing is lost, where they are not those it claims.
    ///
    /// The index's word is not enough for a change: the blobs are read.
    pub(super) fn true_size(&self, repository: &Repository, node: &Node) -> Result<Option<u64>> {
        let lengths = node.content_ids().iter();
        let lengths = lengths.filter_map(|id| self.all.find(BlobKind::Data, id));
        let claimed: u64 = lengths.map(|at| u64::from(at.plaintext_length())).sum();
        if node.kind != NodeKind::File || claimed == node.size {
            return Ok(None);
        }
        let mut reader = BlobReader::new(repository, &self.all);
        let (mut size, mut plaintext) = (0, Vec::new());
        for id in node.content_ids() {
            let read = reader.get_into(BlobKind::Data, id, &mut plaintext);
            read.map_err(|error| unclear(node, &error))?;
            size += plaintext.len() as u64;
        }
        Ok((size != node.size).then_some(size))
    }
}

fn still_there(pack: PackId) -> Error {
    let doing = format!(
        "pack {pack} holds data that seems to be lost, and no index lists it: run \
         'lifeboat repair index' first, nothing was changed"
    );
    Error::new(ErrorKind::Corrupt, doing)
}

fn unclear(node: &Node, error: &Error) -> Error {
    if !is_damage(error) {
        return Error::new(error.kind(), chain(error));
    }
    let doing = format!(
        "cannot say how long file \"{}\" is, nothing was changed ({}): run \
         'lifeboat repair index --read-all-packs', then 'lifeboat repair packs', then this again",
        node.shown_name(),
        chain(error)
    );
    Error::new(ErrorKind::Corrupt, doing)
}
