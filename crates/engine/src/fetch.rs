//! Reading blobs that lie side by side in one pack with one request.
//!
//! Takes places of blobs in the order of their packs; gives requests, and the blobs' bytes.
//! Does not know where the bytes go.

use std::sync::atomic::Ordering::Relaxed;

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{BlobId, BlobKind, PackId, Sealed};
use lifeboat_model::ErrorKind;
use lifeboat_repository::{BlobLocation, BlobOpener, BlobReader, Index, Repository};

use crate::restore::PackRead;
use crate::{Error, Result};

/// Largest request.
const READ_BYTES_MAX: u64 = 4 << 20;

/// A gap between wanted blobs up to this size is read along.
const READ_GAP_MAX: u64 = 64 << 10;

/// Groups `count` blobs, sorted by pack and offset, into requests.
pub(crate) fn reads(count: usize, location: impl Fn(usize) -> BlobLocation) -> Vec<PackRead> {
    let mut reads: Vec<PackRead> = Vec::new();
    let mut pack = PackId::default();
    for number in 0..count {
        let place = location(number);
        let start = u64::from(place.offset);
        let end = start + u64::from(place.length);
        if let Some(last) = reads.last_mut().filter(|_| pack == place.pack) {
            let gap = start.saturating_sub(last.start + last.length);
            let joined = end.max(last.start + last.length) - last.start;
            if gap <= READ_GAP_MAX && joined <= READ_BYTES_MAX {
                last.chunks.end = number + 1;
                last.length = joined;
                continue;
            }
        }
        pack = place.pack;
        reads.push(PackRead {
            chunks: number..number + 1,
            start,
            length: end - start,
        });
    }
    reads
}

/// Loads requests and opens the blobs in them; one per thread, it reuses its buffers.
pub(crate) struct Fetcher<'a> {
    repository: &'a Repository,
    opener: BlobOpener<'a>,
    reader: BlobReader<'a>,
    start: u64,
    is_loaded: bool,
    sealed: Vec<u8>,
    plaintext: Vec<u8>,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(repository: &'a Repository, index: &'a Index) -> Self {
        Self {
            repository,
            opener: BlobOpener::new(repository),
            reader: BlobReader::new(repository, index),
            start: 0,
            is_loaded: false,
            sealed: Vec::new(),
            plaintext: Vec::new(),
        }
    }

    /// Loads the request's range; when it cannot be had, blobs go one by one.
    pub(crate) fn load(&mut self, pack: PackId, read: &PackRead) -> Result<()> {
        let file = FileHandle {
            kind: FileKind::Pack,
            id: pack.into(),
        };
        self.is_loaded = false;
        self.start = read.start;
        self.sealed.resize(read.length as usize, 0);
        let progress = &self.repository.environment().progress;
        progress.read.fetch_add(read.length, Relaxed);
        let backend = self.repository.backend();
        match backend.read(file, read.start, &mut self.sealed) {
            Ok(()) => {
                self.is_loaded = true;
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                Ok(())
            }
            Err(error) => {
                Err(Error::new(error.kind(), format!("cannot read {file}")).with_source(error))
            }
        }
    }

    /// The bytes of a blob of the loaded request; each blob is opened once for each request.
    ///
    /// Where it is damaged it is read by itself, once more and from every pack that holds it.
    pub(crate) fn open(
        &mut self,
        id: &BlobId,
        location: &BlobLocation,
    ) -> lifeboat_repository::Result<&[u8]> {
        if !(self.is_loaded && self.open_loaded(id, location)) {
            self.reader
                .get_into(BlobKind::Data, id, &mut self.plaintext)?;
        }
        // Another copy may be sound where the index lies about this one.
        if self.plaintext.len() != location.plaintext_length() as usize {
            return Err(wrong_length(id));
        }
        Ok(&self.plaintext)
    }

    /// Opens what is loaded of a blob into a place that is as long as the index says of it, and
    /// leaves its name to the caller; says whether that went well.
    ///
    /// Once for each blob of a request: it is decrypted in place.
    pub(crate) fn open_unnamed(&mut self, location: &BlobLocation, target: &mut [u8]) -> bool {
        self.is_loaded && {
            let sealed = loaded(&mut self.sealed, self.start, location);
            self.opener.open_unnamed(sealed, target).is_ok()
        }
    }

    /// Reads a blob by itself, from every pack that holds it, and compares it with its name.
    pub(crate) fn read_again(
        &mut self,
        id: &BlobId,
        target: &mut [u8],
    ) -> lifeboat_repository::Result<()> {
        self.reader
            .get_into(BlobKind::Data, id, &mut self.plaintext)?;
        if self.plaintext.len() != target.len() {
            return Err(wrong_length(id));
        }
        target.copy_from_slice(&self.plaintext);
        Ok(())
    }

    fn open_loaded(&mut self, id: &BlobId, location: &BlobLocation) -> bool {
        let sealed = loaded(&mut self.sealed, self.start, location);
        self.opener.open(sealed, id, &mut self.plaintext).is_ok()
    }
}

/// The sealed blob within a request that begins at `start` of its pack.
fn loaded<'a>(request: &'a mut [u8], start: u64, location: &BlobLocation) -> Sealed<'a> {
    let start = (u64::from(location.offset) - start) as usize;
    Sealed {
        bytes: &mut request[start..start + location.length as usize],
        kind: BlobKind::Data,
        uncompressed_length: location.uncompressed_length,
    }
}

fn wrong_length(id: &BlobId) -> lifeboat_repository::Error {
    let doing = format!("the index is wrong about the length of data blob {id}");
    lifeboat_repository::Error::new(ErrorKind::Corrupt, doing)
}
