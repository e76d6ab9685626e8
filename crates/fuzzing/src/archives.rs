//! Archives: a tar with a repository in it.

use std::sync::Arc;

use lifeboat_backend::{ArchiveReader, Backend, FileHandle, FileKind};
use lifeboat_repository::Repository;

use crate::memory_file::with_file;
use crate::site::{environment, password};

const BLOCK: usize = 512;

/// The members, then the repository in them; the checksums of headers are made right.
pub(crate) fn archive(input: &[u8]) {
    let mut tar = input.to_vec();
    tar.chunks_exact_mut(BLOCK).for_each(mend);
    with_file(&tar, 0, |path| {
        let Ok(reader) = ArchiveReader::open(path) else {
            return;
        };
        for kind in FileKind::ALL {
            for listed in reader.list(kind).unwrap_or_default() {
                assert!(listed.size <= kind.bytes_max(), "sizes have bounds");
                let file = FileHandle::new(kind, listed.id);
                drop(reader.load(file));
                let mut start = [0; 16];
                drop(reader.read(file, listed.size.saturating_sub(8), &mut start));
            }
        }
        let reader: Arc<dyn Backend> = Arc::new(reader);
        if let Ok(repository) = Repository::open(reader, &password(), environment()) {
            drop(lifeboat_repository::check(&repository));
        }
    });
}

/// Puts the right checksum into a block that looks like a header.
fn mend(block: &mut [u8]) {
    if block[257..262] != *b"ustar" {
        return;
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
