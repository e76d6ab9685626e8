//! Lists files with their sizes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lifeboat_model::Id;

use super::layout;
use crate::{FileHandle, FileKind, Listed};

/// Threads that list the 256 directories of packs; they mostly wait for a network.
const LIST_THREADS: usize = 8;

/// All sound files of a kind.
pub(super) fn list(root: &Path, kind: FileKind) -> io::Result<Vec<Listed>> {
    let directory = root.join(layout::directory(kind));
    let listed = match kind {
        FileKind::Config => return list_config(root),
        FileKind::Pack => list_packs(&directory),
        _ => list_directory(&directory, None),
    };
    match listed {
        // Copies made by tools without empty directories lack some; nothing is missing then.
        Err(e) if e.kind() == io::ErrorKind::NotFound && layout::has_config(root) => Ok(Vec::new()),
        listed => listed,
    }
}

fn list_config(root: &Path) -> io::Result<Vec<Listed>> {
    match std::fs::metadata(root.join("config")) {
        Ok(found) => Ok(vec![Listed {
            id: FileHandle::CONFIG.id,
            size: found.len(),
        }]),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            std::fs::metadata(root.join("data")).map(|_| Vec::new())
        }
        Err(e) => Err(e),
    }
}

fn list_packs(data: &Path) -> io::Result<Vec<Listed>> {
    std::fs::metadata(data)?;
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        while let Ok(first) = u8::try_from(next.fetch_add(1, Relaxed)) {
            match list_directory(&data.join(format!("{first:02x}")), Some(first)) {
                Ok(files) => listed.extend(files),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(listed)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LIST_THREADS).map(|_| scope.spawn(work)).collect();
        let parts = threads.into_iter().map(|thread| {
            let part = thread.join();
            part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let parts: io::Result<Vec<_>> = parts.collect();
        Ok(parts?.concat())
    })
}

/// Regular files named by 64 digits; packs only where their first byte belongs.
fn list_directory(directory: &Path, first: Option<u8>) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Some(id) = Id::from_hex(entry.file_name().as_encoded_bytes()) else {
            continue;
        };
        if first.is_some_and(|first| id.0[0] != first) {
            continue;
        }
        match entry.metadata() {
            Ok(found) if found.is_file() => listed.push(Listed {
                id,
                size: found.len(),
            }),
            Ok(_) => {}
            // Removed by somebody since its name was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(listed)
}
