//! Saving what is sound out of damaged packs.

use std::collections::HashSet;

use lifeboat_backend::FileKind;
use lifeboat_format::{
    self as format, BlobId, IndexFile, IndexPack, MarkedPack, PackEntry, PackId,
};
use lifeboat_model::ErrorKind;

use super::LostPack;
use crate::check::chain;
use crate::{
    BlobOpener, BlobWriter, Error, Index, Lock, Repository, Result, WriteOptions, load, pack,
    writer,
};

/// What a repair of packs has saved and lost.
#[derive(Clone, Debug, Default)]
pub struct PackRepair {
    /// Blobs copied into new packs.
    pub saved: u64,
    /// Blobs of which no sound copy is left.
    pub lost: Vec<BlobId>,
    /// Packs that could not be read at all.
    pub unreadable: Vec<LostPack>,
}

/// Copies every sound blob of `packs` into new packs and takes those packs out of the index.
///
/// The damaged packs themselves are only marked: they stay until a prune after the grace period.
///
/// Order: new packs and their index, then the index without the damaged ones.
pub fn repair_packs(
    repository: &Repository,
    lock: &Lock<'_>,
    packs: &[PackId],
    options: WriteOptions,
) -> Result<PackRepair> {
    let index = repository.load_index()?;
    let wanted: HashSet<PackId> = packs.iter().copied().collect();
    let listed: Vec<(PackId, Vec<PackEntry>)> = index
        .packs()
        .iter()
        .zip(index.by_pack())
        .filter(|(pack, _)| wanted.contains(&pack.id))
        .map(|(pack, blobs)| (pack.id, blobs))
        .collect();
    if listed.len() != wanted.len() {
        let doing = "cannot repair a pack that no index lists: run 'lifeboat repair index' first";
        return Err(Error::new(ErrorKind::NotFound, doing));
    }
    let mut repair = PackRepair::default();
    let others = without(&index, &wanted);
    writer::write(repository, &others, lock, options, |writer| {
        for (id, blobs) in &listed {
            save_sound(repository, writer, *id, blobs, &mut repair)?;
        }
        repair.lost.retain(|id| {
            !writer.knows(format::BlobKind::Data, id) && !writer.knows(format::BlobKind::Tree, id)
        });
        Ok::<(), Error>(())
    })?;
    take_out(repository, lock, &index, &wanted)?;
    Ok(repair)
}

/// The index as if `packs` were not there.
pub(super) fn without(index: &Index, packs: &HashSet<PackId>) -> Index {
    let mut builder = crate::IndexBuilder::new();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        if !packs.contains(&pack.id) {
            builder.add_pack(pack.id, pack.time, &blobs);
        }
    }
    builder.build()
}

fn save_sound(
    repository: &Repository,
    writer: &BlobWriter<'_>,
    id: PackId,
    blobs: &[PackEntry],
    repair: &mut PackRepair,
) -> Result<()> {
    let bytes = match pack::load_carefully(repository, id) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
            repair.lost.extend(blobs.iter().map(|blob| blob.id));
            repair.unreadable.push(LostPack {
                pack: id,
                seen: chain(&error),
            });
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut opener = BlobOpener::new(repository);
    let (mut copy, mut plaintext) = (Vec::new(), Vec::new());
    for blob in blobs {
        let start = blob.offset as usize;
        let sealed = bytes
            .get(start..start.saturating_add(blob.length as usize))
            .unwrap_or(&[]);
        copy.clear();
        copy.extend_from_slice(sealed);
        let uncompressed_length = blob.uncompressed_length;
        let opened = format::Sealed {
            bytes: &mut copy,
            kind: blob.kind,
            uncompressed_length,
        };
        match opener.open(opened, &blob.id, &mut plaintext) {
            Ok(()) => {
                writer.put_sealed(blob, sealed, plaintext.len())?;
                repair.saved += 1;
            }
            Err(_) => repair.lost.push(blob.id),
        }
    }
    Ok(())
}

/// Rewrites the index files that list the packs; the packs become marked.
fn take_out(
    repository: &Repository,
    lock: &Lock<'_>,
    index: &Index,
    packs: &HashSet<PackId>,
) -> Result<()> {
    let time = repository.environment().now();
    let mut marks: Vec<MarkedPack> = Vec::new();
    for id in index.files() {
        let file = load::index_file(repository, (*id).into())?;
        if !file.packs.iter().any(|pack| packs.contains(&pack.id)) {
            continue;
        }
        let (leaving, staying): (Vec<IndexPack>, Vec<IndexPack>) = file
            .packs
            .into_iter()
            .partition(|pack| packs.contains(&pack.id));
        let leaving = leaving.into_iter();
        marks.extend(leaving.map(|p| MarkedPack {
            id: p.id,
            time,
            blobs: p.blobs,
            size: None,
        }));
        let mut packs_to_delete = file.packs_to_delete;
        packs_to_delete.extend(marks.clone());
        let file = IndexFile {
            packs: staying,
            packs_to_delete,
        };
        lock.check()?;
        repository.save_unpacked(FileKind::Index, &file.encode())?;
        repository.remove(FileKind::Index, (*id).into())?;
        marks.clear();
    }
    Ok(())
}
