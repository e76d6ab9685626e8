//! Reading whole packs.

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{self as format, PackEntry, PackId};
use lifeboat_model::{ErrorKind, Id};

use crate::check::{Finding, chain};
use crate::error::Doing;
use crate::{BlobOpener, Error, Repository, Result};

/// Most bytes read for a header at first: the header of a 32 MiB pack of mean chunks.
const EAGER_BYTES: u64 = 32 << 10;

/// Largest pack that is read whole: restic's writers stop at 128 MiB, ours far below.
const PACK_BYTES_MAX: u64 = 1 << 30;

/// Reads the header of a pack of `size` bytes; usually one request.
pub fn read_header(repository: &Repository, id: PackId, size: u64) -> Result<Vec<PackEntry>> {
    let file = FileHandle {
        kind: FileKind::Pack,
        id: id.into(),
    };
    let read = |bytes: u64| {
        let bytes = bytes.min(size);
        let mut tail = vec![0; bytes as usize];
        let backend = repository.backend();
        backend
            .read(file, size - bytes, &mut tail)
            .doing(|| format!("cannot read {file}"))?;
        Ok(tail)
    };
    let mut tail = read(EAGER_BYTES)?;
    let needed = format::pack_tail_bytes(&tail, size).doing(|| format!("{file} is damaged"))?;
    if needed > tail.len() as u64 {
        tail = read(needed)?;
    }
    format::decode_pack_header(&tail, size, repository.master())
        .doing(|| format!("the header of {file} is damaged"))
}

/// Reads a whole pack.
///
/// Errors: `NotFound`; `Corrupt` if it is larger than any pack may be.
pub(crate) fn load(repository: &Repository, id: PackId) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    load_into(repository, id, &mut bytes)?;
    Ok(bytes)
}

/// As [`load`], into a buffer that is used again.
fn load_into(repository: &Repository, id: PackId, bytes: &mut Vec<u8>) -> Result<()> {
    let file = FileHandle {
        kind: FileKind::Pack,
        id: id.into(),
    };
    let doing = || format!("cannot read {file}");
    let backend = repository.backend();
    let size = backend.size(file).doing(doing)?;
    if size > PACK_BYTES_MAX {
        let doing = format!("{file} has {size} bytes: more than any pack may have");
        return Err(Error::new(ErrorKind::Corrupt, doing));
    }
    bytes.resize(size as usize, 0);
    backend.read(file, 0, bytes).doing(doing)
}

/// Like [`load`]; what does not hash to its name is read once more: a bad transfer is not a bad
/// pack, and nobody may act on one.
pub(crate) fn load_carefully(repository: &Repository, id: PackId) -> Result<Vec<u8>> {
    match load(repository, id) {
        Ok(bytes) if Id::from(format::BlobId::of(&bytes)) == id.into() => Ok(bytes),
        Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
        _ => load(repository, id),
    }
}

/// Reads a pack and compares everything in it with its name; see [`PackVerifier`].
pub fn verify(repository: &Repository, id: PackId, listed: &[PackEntry]) -> Result<Vec<Finding>> {
    PackVerifier::new(repository).verify(id, listed, true)
}

/// Proves packs; one per thread, it reuses its buffers.
///
/// Every blob is authenticated and hashed, the header is authenticated and says what the index
/// says, and both account for every byte. A pack of which that is true is not hashed as a whole
/// on top of it, unless it is asked for: nothing in it can have changed, and only what was sealed
/// of the same blobs another time can stand in its place.
pub struct PackVerifier<'a> {
    repository: &'a Repository,
    opener: BlobOpener<'a>,
    bytes: Vec<u8>,
    plaintext: Vec<u8>,
    room: Vec<u8>,
}

impl<'a> PackVerifier<'a> {
    /// Reads packs of `repository`.
    pub fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            opener: BlobOpener::new(repository),
            bytes: Vec::new(),
            plaintext: Vec::new(),
            room: Vec::new(),
        }
    }

    /// Reads a pack; gives what is wrong.
    ///
    /// `listed` is what the index says of it, in order of offset. `is_hashed` compares the whole
    /// with its name too. Damage is read once more before it is reported: a bad transfer is not a
    /// bad pack.
    pub fn verify(
        &mut self,
        id: PackId,
        listed: &[PackEntry],
        is_hashed: bool,
    ) -> Result<Vec<Finding>> {
        let mut findings = self.read(id, listed, is_hashed)?;
        if !findings.is_empty() {
            findings = self.read(id, listed, true)?;
        }
        Ok(findings)
    }

    fn read(&mut self, id: PackId, listed: &[PackEntry], is_hashed: bool) -> Result<Vec<Finding>> {
        match load_into(self.repository, id, &mut self.bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(vec![Finding::PackMissing(id)]);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Ok(vec![Finding::PackDamaged(id, chain(&error))]);
            }
            Err(error) => return Err(error),
        }
        let progress = &self.repository.environment().progress;
        progress.read.fetch_add(
            self.bytes.len() as u64,
            std::sync::atomic::Ordering::Relaxed,
        );
        let mut findings = Vec::new();
        let damaged = |seen: String| Finding::PackDamaged(id, seen);
        if is_hashed && Id::from(format::BlobId::of(&self.bytes)) != id.into() {
            findings.push(damaged("its content does not hash to its name".into()));
        }
        let size = self.bytes.len() as u64;
        match format::decode_pack_header(&self.bytes, size, self.repository.master()) {
            Err(error) => findings.push(damaged(format!("its header: {error}"))),
            Ok(mut entries) => {
                entries.sort_unstable_by_key(|entry| entry.offset);
                if entries != listed {
                    findings.push(damaged("its header and the index differ".to_owned()));
                }
            }
        }
        findings.extend(self.open_all(listed).into_iter().map(damaged));
        Ok(findings)
    }

    /// Opens all blobs; says what is wrong with which.
    fn open_all(&mut self, listed: &[PackEntry]) -> Vec<String> {
        let (mut wrong, mut rest) = (Vec::new(), listed);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest).max(1));
            match now {
                [blob] => wrong.extend(self.open(blob).err()),
                blobs => self.open_together(blobs, &mut wrong),
            }
            rest = later;
        }
        wrong
    }

    /// Opens blobs side by side and names them together, which takes half the time.
    fn open_together(&mut self, blobs: &[PackEntry], wrong: &mut Vec<String>) {
        self.room.resize(format::NAMED_BYTES, 0);
        let mut free = self.room.as_mut_slice();
        let (mut opened, mut plaintexts) = (Vec::new(), Vec::<&[u8]>::new());
        for blob in blobs {
            let (place, rest) = free.split_at_mut(blob.plaintext_length() as usize);
            free = rest;
            let result = sealed_in(&mut self.bytes, blob).and_then(|sealed| {
                let opened = self.opener.open_unnamed(sealed, place);
                opened.map_err(|error| damaged(blob, &error.to_string()))
            });
            match result {
                Ok(()) => {
                    opened.push(blob);
                    plaintexts.push(place);
                }
                Err(seen) => wrong.push(seen),
            }
        }
        let names = format::BlobId::of_all(&plaintexts);
        let misnamed = opened
            .iter()
            .zip(names)
            .filter(|(blob, name)| blob.id != *name);
        let seen = "the content does not hash to its name";
        wrong.extend(misnamed.map(|(blob, _)| damaged(blob, seen)));
    }

    /// Opens a blob; says what is wrong with it.
    fn open(&mut self, blob: &PackEntry) -> std::result::Result<(), String> {
        let sealed = sealed_in(&mut self.bytes, blob)?;
        let opened = self.opener.open(sealed, &blob.id, &mut self.plaintext);
        opened.map_err(|error| chain(&error))
    }
}

/// The sealed blob within its pack; says so where the pack ends before.
fn sealed_in<'a>(
    pack: &'a mut [u8],
    blob: &PackEntry,
) -> std::result::Result<format::Sealed<'a>, String> {
    let start = blob.offset as usize;
    let end = start.checked_add(blob.length as usize);
    let bytes = end.and_then(|end| pack.get_mut(start..end));
    let bytes =
        bytes.ok_or_else(|| format!("{} blob {} lies beyond its end", blob.kind, blob.id))?;
    Ok(format::Sealed {
        bytes,
        kind: blob.kind,
        uncompressed_length: blob.uncompressed_length,
    })
}

fn damaged(blob: &PackEntry, seen: &str) -> String {
    format!("{} blob {} is damaged: {seen}", blob.kind, blob.id)
}

/// How many of the first blobs are named together.
fn fitting(blobs: &[PackEntry]) -> usize {
    let mut free = format::NAMED_BYTES as u64;
    let fits = |blob: &&PackEntry| {
        let left = free.checked_sub(u64::from(blob.plaintext_length()));
        free = left.unwrap_or(free);
        left.is_some()
    };
    blobs.iter().take_while(fits).count()
}
