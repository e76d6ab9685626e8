//! Reading blobs back.

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{self as format, BlobId, BlobKind, Decompressor, PackEntry, PackId, Tree};
use lifeboat_model::ErrorKind;

use crate::check::is_damage;
use crate::error::Doing;
use crate::{BlobLocation, Error, Index, Repository, Result};

/// A blob of more sealed bytes is looked for in its pack before memory is taken for it: the index
/// may claim what is not there.
const EAGER_BYTES_MAX: u32 = 16 << 20;

/// Reads single blobs; one per thread, it reuses its buffers.
///
/// Every blob is authenticated and hashed before it is given out. Where one copy is damaged
/// another copy is tried.
pub struct BlobReader<'a> {
    repository: &'a Repository,
    index: &'a Index,
    decompressor: Decompressor,
    sealed: Vec<u8>,
}

impl<'a> BlobReader<'a> {
    /// Reads from `repository` by `index`.
    pub fn new(repository: &'a Repository, index: &'a Index) -> Self {
        Self {
            repository,
            index,
            decompressor: Decompressor::new(),
            sealed: Vec::new(),
        }
    }

    /// Reads one blob into `plaintext`, replacing what is there.
    ///
    /// Every copy is tried twice before it counts as damaged: repairs act on that word, and a bad
    /// transfer is not a bad blob.
    ///
    /// Errors: `NotFound` if no pack holds it, `Corrupt` if no copy is sound.
    pub fn get_into(&mut self, kind: BlobKind, id: &BlobId, plaintext: &mut Vec<u8>) -> Result<()> {
        let mut last = None;
        let copies = || self.index.copies(kind, id);
        for location in copies().chain(copies()).collect::<Vec<_>>() {
            match self.read(kind, id, &location, plaintext) {
                Ok(()) => return Ok(()),
                // A copy that is only out of reach counts more than one that is gone.
                Err(error) if last.as_ref().is_none_or(is_damage) => last = Some(error),
                Err(_) => {}
            }
        }
        Err(last.unwrap_or_else(|| {
            let doing = format!("{kind} blob {id} is missing: no index lists it");
            Error::new(ErrorKind::NotFound, doing)
        }))
    }

    /// Reads one blob.
    pub fn get(&mut self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        let mut plaintext = Vec::new();
        self.get_into(kind, id, &mut plaintext)?;
        Ok(plaintext)
    }

    /// Reads one tree.
    pub fn tree(&mut self, id: &BlobId) -> Result<Tree> {
        let json = self.get(BlobKind::Tree, id)?;
        if self.sealed.len() > EAGER_BYTES_MAX as usize {
            // The list of a large disk: whoever holds on to the reader shall not hold on to this.
            self.sealed = Vec::new();
        }
        Tree::decode(&json).doing(|| format!("cannot read tree {id}"))
    }

    fn read(
        &mut self,
        kind: BlobKind,
        id: &BlobId,
        location: &BlobLocation,
        plaintext: &mut Vec<u8>,
    ) -> Result<()> {
        let pack = FileHandle {
            kind: FileKind::Pack,
            id: location.pack.into(),
        };
        let doing = || {
            format!(
                "cannot read {kind} blob {id} at {} in {pack}",
                location.offset
            )
        };
        let backend = self.repository.backend();
        if location.length > EAGER_BYTES_MAX {
            let size = backend.size(pack).doing(doing)?;
            if u64::from(location.offset) + u64::from(location.length) > size {
                let doing = format!("{}: the pack has {size} bytes", doing());
                return Err(Error::new(ErrorKind::Corrupt, doing));
            }
        }
        self.sealed.resize(location.length as usize, 0);
        backend
            .read(pack, u64::from(location.offset), &mut self.sealed)
            .doing(doing)?;
        self.unseal(kind, id, location, plaintext).doing(doing)
    }

    fn unseal(
        &mut self,
        kind: BlobKind,
        id: &BlobId,
        location: &BlobLocation,
        plaintext: &mut Vec<u8>,
    ) -> format::Result<()> {
        let sealed = format::Sealed {
            bytes: &mut self.sealed,
            kind,
            uncompressed_length: location.uncompressed_length,
        };
        format::unseal_blob(
            sealed,
            id,
            self.repository.master(),
            &mut self.decompressor,
            plaintext,
        )
    }
}

/// Unseals blobs where it is known which pack they lie in; one per thread.
pub struct BlobOpener<'a> {
    repository: &'a Repository,
    decompressor: Decompressor,
}

impl<'a> BlobOpener<'a> {
    /// Opens blobs of `repository`.
    pub fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            decompressor: Decompressor::new(),
        }
    }

    /// Reads one blob out of its pack and opens it.
    pub(crate) fn read(
        &mut self,
        pack: PackId,
        blob: &PackEntry,
        plaintext: &mut Vec<u8>,
    ) -> Result<()> {
        let file = FileHandle::new(FileKind::Pack, pack.into());
        let mut sealed = vec![0; blob.length as usize];
        self.repository
            .backend()
            .read(file, u64::from(blob.offset), &mut sealed)
            .doing(|| format!("cannot read {} blob {} in {file}", blob.kind, blob.id))?;
        let sealed = format::Sealed {
            bytes: &mut sealed,
            kind: blob.kind,
            uncompressed_length: blob.uncompressed_length,
        };
        self.open(sealed, &blob.id, plaintext)
    }

    /// Authenticates, decrypts in place, decompresses and hashes one sealed blob.
    pub fn open(
        &mut self,
        sealed: format::Sealed<'_>,
        id: &BlobId,
        plaintext: &mut Vec<u8>,
    ) -> Result<()> {
        let kind = sealed.kind;
        let master = self.repository.master();
        format::unseal_blob(sealed, id, master, &mut self.decompressor, plaintext)
            .doing(|| format!("{kind} blob {id} is damaged"))
    }

    /// Authenticates, decrypts in place and decompresses one sealed blob into a place that is as
    /// long as its plaintext. Its name is still to be compared: of many at once that costs half.
    ///
    /// Errors: `Corrupt`; the content of `target` is undefined then.
    pub fn open_unnamed(
        &mut self,
        sealed: format::Sealed<'_>,
        target: &mut [u8],
    ) -> format::Result<()> {
        let master = self.repository.master();
        format::unseal_unnamed(sealed, master, &mut self.decompressor, target)
    }
}
