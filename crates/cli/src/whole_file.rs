//! Small files that are complete or absent: lists and catalogs that a command writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lifeboat_model::ErrorKind;

use crate::error::{Error, Result};

/// Writes a file under a work name, makes it durable, and gives it its own; replaces one there.
pub(crate) fn write(target: &Path, content: &[u8]) -> Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let work = target.with_file_name(format!(".{name}.lifeboat-part"));
    let written = fill(&work, content)
        .and_then(|()| fs::rename(&work, target))
        .and_then(|()| sync_folder(target));
    written.map_err(|e| {
        let _ = fs::remove_file(&work);
        let message = format!("cannot write {}: {e}", target.display());
        Error::new(ErrorKind::of_io(&e), message)
    })
}

fn fill(work: &Path, content: &[u8]) -> io::Result<()> {
    // A link that somebody left there must not be followed.
    let _ = fs::remove_file(work);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(work)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Some network file systems cannot sync a folder: they order names themselves.
    let _ = File::open(folder)?.sync_all();
    Ok(())
}
