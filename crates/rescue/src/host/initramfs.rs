//! Packs the rescue VM's only file system: this program, modules, and the host's own lvm.
//!
//! Kept in the cache under the hash of its content, so only the first start compresses.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::cpio::Archive;
use super::elf;
use super::kernel::Kernel;
use super::libraries::Libraries;
use super::settings::Settings;
use crate::inside::places;
use crate::{Error, Result};

/// Images kept in the cache: one for each of the last builds of program and kernel.
const KEPT_MAX: usize = 4;
const NAME_BEGIN: &str = "rescue-";
const NAME_END: &str = ".cpio";
/// Fast ones: an image is made once, but a first start should not be slow.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 3;

/// Programs that are packed where the host has them, and where hosts have them.
const PROGRAMS: [(&str, &[&str]); 2] = [
    (places::LVM, &["usr/sbin/lvm", "sbin/lvm"]),
    (
        places::NTFS,
        &["usr/bin/ntfs-3g", "bin/ntfs-3g", "usr/sbin/ntfs-3g"],
    ),
];

/// Gives the path of an image for this kernel, packing it if the cache has none.
pub(super) fn image(settings: &Settings, kernel: &Kernel) -> Result<PathBuf> {
    let archive = archive(settings, kernel)?;
    let mut hasher = Sha256::new();
    hasher.update([u8::from(kernel.knows_zstd)]);
    hasher.update(&archive);
    let key: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let path = settings.cache.join(format!("{NAME_BEGIN}{key}{NAME_END}"));
    if path.exists() {
        return Ok(path);
    }
    let shown = || path.display().to_string();
    let packed = compressed(&archive, kernel.knows_zstd)
        .map_err(|error| Error::io("compressing", shown(), error))?;
    keep(&settings.cache, &path, &packed)
        .map_err(|error| Error::io("keeping the rescue VM's image as", shown(), error))?;
    remove_old(&settings.cache);
    Ok(path)
}

fn archive(settings: &Settings, kernel: &Kernel) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in places::FOLDERS {
        archive.folder(inner(folder));
    }
    archive.char_device("dev/console", 5, 1);
    archive.char_device("dev/null", 1, 3);
    let mut libraries = Libraries::default();
    let own = settings.program.clone().unwrap_or("/proc/self/exe".into());
    add_program(&mut archive, &mut libraries, &own, places::INIT)?;
    for (place, candidates) in PROGRAMS {
        let mut paths = candidates.iter().map(|path| settings.system.join(path));
        if let Some(path) = paths.find(|path| path.is_file()) {
            add_program(&mut archive, &mut libraries, &path, place)?;
        }
    }
    for loader in libraries.loaders() {
        archive.file(inner(loader), &read(Path::new(loader))?);
    }
    for (name, path) in libraries.libraries() {
        let bytes = elf::without_sections(read(path)?);
        archive.file(&format!("{}/{name}", inner(places::LIBRARIES)), &bytes);
    }
    let modules = kernel.modules.pack()?;
    for (name, image) in &modules.images {
        archive.file(&format!("{}/{name}", inner(places::MODULES)), image);
    }
    archive.file(inner(places::MODULE_ORDER), modules.order.as_bytes());
    Ok(archive.finish())
}

fn add_program(
    archive: &mut Archive,
    libraries: &mut Libraries,
    path: &Path,
    place: &str,
) -> Result<()> {
    let bytes = read(path)?;
    // `$ORIGIN` is where the program really is.
    let path = fs::canonicalize(path).unwrap_or(path.to_owned());
    libraries.add(&path, &bytes)?;
    archive.file(inner(place), &elf::without_sections(bytes));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::io("reading", path.display().to_string(), error))
}

/// Archives name everything from their root.
fn inner(place: &str) -> &str {
    place.trim_start_matches('/')
}

fn compressed(archive: &[u8], knows_zstd: bool) -> std::io::Result<Vec<u8>> {
    if knows_zstd {
        let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
        encoder.write_all(archive)?;
        return encoder.finish();
    }
    let level = flate2::Compression::new(GZIP_LEVEL);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(archive)?;
    encoder.finish()
}

/// An image has its name only when it is complete.
fn keep(cache: &Path, path: &Path, packed: &[u8]) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(cache)?;
    let mut file = tempfile::NamedTempFile::new_in(cache)?;
    file.write_all(packed)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Forgets all but the newest images; what cannot be removed stays.
fn remove_old(cache: &Path) {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let mut images: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(NAME_BEGIN) && name.ends_with(NAME_END)
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    images.sort();
    images.reverse();
    for (_, path) in images.iter().skip(KEPT_MAX) {
        let _ = fs::remove_file(path);
    }
}
