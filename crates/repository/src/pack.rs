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
    let file = FileHandle {
        kind: FileKind::Pack,
        id: id.into(),
    };
    let backend = repository.backend();
    let size = backend.size(file).doing(|| format!("cannot read {file}"))?;
    if size > PACK_BYTES_MAX {
        let doing = format!("{file} has {size} bytes: more than any pack may have");
        return Err(Error::new(ErrorKind::Corrupt, doing));
    }
    backend.load(file).doing(|| format!("cannot read {file}"))
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

/// Reads a pack and compares everything in it with its name; gives what is wrong.
///
/// `listed` is what the index says of it, in order of offset. Damage is read once more before it
/// is reported: a bad transfer is not a bad pack.
pub fn verify(repository: &Repository, id: PackId, listed: &[PackEntry]) -> Result<Vec<Finding>> {
    let findings = verify_once(repository, id, listed)?;
    if findings.is_empty() {
        Ok(findings)
    } else {
        verify_once(repository, id, listed)
    }
}

fn verify_once(repository: &Repository, id: PackId, listed: &[PackEntry]) -> Result<Vec<Finding>> {
    let mut bytes = match load(repository, id) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(vec![Finding::PackMissing(id)]);
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            return Ok(vec![Finding::PackDamaged(id, chain(&error))]);
        }
        Err(error) => return Err(error),
    };
    repository
        .environment()
        .progress
        .read
        .fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
    let mut findings = Vec::new();
    if Id::from(format::BlobId::of(&bytes)) != id.into() {
        findings.push(Finding::PackDamaged(
            id,
            "its content does not hash to its name".into(),
        ));
    }
    match format::decode_pack_header(&bytes, bytes.len() as u64, repository.master()) {
        Err(error) => findings.push(Finding::PackDamaged(id, format!("its header: {error}"))),
        Ok(mut entries) => {
            entries.sort_unstable_by_key(|entry| entry.offset);
            if entries != listed {
                let seen = "its header and the index differ".to_owned();
                findings.push(Finding::PackDamaged(id, seen));
            }
        }
    }
    verify_blobs(repository, id, &mut bytes, listed, &mut findings);
    Ok(findings)
}

fn verify_blobs(
    repository: &Repository,
    id: PackId,
    bytes: &mut [u8],
    listed: &[PackEntry],
    findings: &mut Vec<Finding>,
) {
    let mut opener = BlobOpener::new(repository);
    let mut plaintext = Vec::new();
    for blob in listed {
        let start = blob.offset as usize;
        let sealed = start
            .checked_add(blob.length as usize)
            .and_then(|end| bytes.get_mut(start..end));
        let Some(sealed) = sealed else {
            let seen = format!("{} blob {} lies beyond its end", blob.kind, blob.id);
            findings.push(Finding::PackDamaged(id, seen));
            continue;
        };
        let uncompressed_length = blob.uncompressed_length;
        let sealed = format::Sealed {
            bytes: sealed,
            kind: blob.kind,
            uncompressed_length,
        };
        if let Err(error) = opener.open(sealed, &blob.id, &mut plaintext) {
            findings.push(Finding::PackDamaged(id, chain(&error)));
        }
    }
}
