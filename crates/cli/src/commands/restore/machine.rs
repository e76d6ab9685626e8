//! Restoring everything in a snapshot of a machine into a folder.

use std::fs;
use std::io::Write;
use std::path::Path;

use lifeboat_format::{BlobKind, Node, NodeKind};
use lifeboat_model::ErrorKind;
use lifeboat_repository::BlobReader;

use super::Source;
use super::target::{Restored, restore_disk};
use crate::error::{Error, Result};

/// Restores all disks and description files below the target folder.
pub(super) fn restore(source: &Source<'_>) -> Result<Restored> {
    if source.arguments.target.as_os_str() == "-" {
        let message = "a machine goes to a folder: name it with --target, or one disk with --disk";
        return Err(Error::usage(message));
    }
    let mut reader = BlobReader::new(source.repository, source.index);
    let Some(manifest) = source.manifest(&mut reader)? else {
        return Err(Error::usage("the snapshot is not one of a machine"));
    };
    let folder = &source.arguments.target;
    let mut restored = Restored::default();
    for disk in &manifest.disks {
        let node = source.disk_node(&disk.name)?;
        let disks = folder.join("disks");
        make_folder(source, &disks)?;
        let name: lifeboat_model::DiskName = disk.name.parse()?;
        let target = disks.join(format!("{name}.{}", source.format.ending()));
        source
            .context
            .output
            .tell(format!("restoring disk {name} to {}", target.display()))?;
        restored.add(restore_disk(source, &node, &target)?);
    }
    let root = reader.tree(&source.snapshot.file.tree)?;
    for node in root.nodes.iter().filter(|node| node.kind == NodeKind::File) {
        restore_file(source, &mut reader, node, folder)?;
    }
    Ok(restored)
}

fn make_folder(source: &Source<'_>, folder: &Path) -> Result<()> {
    if source.arguments.dry_run {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|e| {
        let message = format!("cannot make the folder {}: {e}", folder.display());
        Error::new(ErrorKind::of_io(&e), message)
    })
}

/// Writes a small file under a work name, then gives it its own.
fn restore_file(
    source: &Source<'_>,
    reader: &mut BlobReader<'_>,
    node: &Node,
    folder: &Path,
) -> Result<()> {
    if !node.name_is_safe() {
        let message = format!(
            "the snapshot holds a file named \"{}\": refused",
            node.shown_name()
        );
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    let name = std::ffi::OsString::from(node.shown_name());
    let target = folder.join(&name);
    let exists = target.symlink_metadata().is_ok();
    if exists && !source.arguments.overwrite && !source.arguments.in_place {
        let message = format!("{} exists: add --overwrite to replace it", target.display());
        return Err(Error::new(ErrorKind::Exists, message));
    }
    if source.arguments.dry_run {
        return Ok(());
    }
    let mut content = Vec::new();
    for id in node.content_ids() {
        content.extend(reader.get(BlobKind::Data, id)?);
    }
    let work = folder.join(format!(".{}.lifeboat-part", node.shown_name()));
    write_file(&work, &content)
        .and_then(|()| fs::rename(&work, &target))
        .map_err(|e| {
            let message = format!("cannot write {}: {e}", target.display());
            Error::new(ErrorKind::of_io(&e), message)
        })
}

fn write_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
