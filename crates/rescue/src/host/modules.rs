//! Which modules of a kernel are packed, and in which order they are loaded.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::inside::modules::{ALWAYS, FILE_SYSTEMS};
use crate::{Error, Result};

/// The largest module that is unpacked; the largest of Debian (btrfs, xfs) have 4 MiB.
const MODULE_BYTES_MAX: u64 = 64 << 20;

/// A kernel's modules, as its own lists tell.
#[derive(Debug)]
pub(super) struct Modules {
    folder: PathBuf,
    /// By name: path below the folder, and paths of what must be loaded before.
    known: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

/// Modules ready to be packed.
#[derive(Debug, Default)]
pub(super) struct PackedModules {
    /// By name, not compressed.
    pub(super) images: BTreeMap<String, Vec<u8>>,
    /// One line each: a name, and what is loaded before it, in order.
    pub(super) order: String,
}

impl Modules {
    /// Reads `modules.dep` and `modules.builtin` of `/lib/modules/RELEASE`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("modules.dep");
        let text = fs::read_to_string(&path)
            .map_err(|error| Error::io("reading", path.display().to_string(), error))?;
        let known = text.lines().filter_map(|line| {
            let (path, before) = line.split_once(':')?;
            let before = before.split_whitespace().map(str::to_owned);
            Some((name_of(path), (path.to_owned(), before.collect())))
        });
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        Ok(Self {
            folder: folder.to_owned(),
            known: known.collect(),
            builtin: builtin.lines().map(name_of).collect(),
        })
    }

    /// Says whether the kernel has it, in whichever form.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains_key(name) || self.builtin.contains(name)
    }

    /// How many of the file systems this kernel can read.
    pub(super) fn file_system_count(&self) -> usize {
        let readable = FILE_SYSTEMS
            .iter()
            .filter(|(_, modules)| modules.last().is_some_and(|name| self.has(name)));
        readable.count()
    }

    /// Reads everything the rescue VM may load; what this kernel lacks is left out.
    pub(super) fn pack(&self) -> Result<PackedModules> {
        let mut packed = PackedModules::default();
        let optional = FILE_SYSTEMS.iter().flat_map(|(_, modules)| *modules);
        for name in ALWAYS.iter().chain(optional) {
            let Some((path, before)) = self.known.get(*name) else {
                continue;
            };
            // The list has what is needed last first.
            let order: Vec<_> = before.iter().rev().map(|path| name_of(path)).collect();
            let line = format!("{name} {}\n", order.join(" "));
            if !packed.order.contains(&line) {
                packed.order += &line;
            }
            for path in before.iter().chain([path]) {
                self.pack_one(path, &mut packed)?;
            }
        }
        Ok(packed)
    }

    fn pack_one(&self, path: &str, packed: &mut PackedModules) -> Result<()> {
        if let Entry::Vacant(place) = packed.images.entry(name_of(path)) {
            place.insert(unpacked(&self.folder.join(path))?);
        }
        Ok(())
    }
}

/// `kernel/fs/nls/nls_cp437.ko.xz` is `nls_cp437`; the kernel reads hyphens as underscores.
fn name_of(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let failed =
        |error: std::io::Error| Error::io("reading the module", path.display().to_string(), error);
    let packed = fs::read(path).map_err(failed)?;
    let mut image = Vec::new();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let read = match &*ending {
        "xz" => lzma_rs::xz_decompress(&mut &packed[..], &mut image)
            .map_err(|error| std::io::Error::other(error.to_string())),
        "zst" => zstd::Decoder::new(&packed[..])
            .and_then(|it| it.take(MODULE_BYTES_MAX).read_to_end(&mut image).map(drop)),
        "gz" => flate2::read::GzDecoder::new(&packed[..])
            .take(MODULE_BYTES_MAX)
            .read_to_end(&mut image)
            .map(drop),
        _ => return Ok(packed),
    };
    read.map_err(failed)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn modules_are_loaded_after_what_they_need() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(
            at("modules.dep"),
            "xfs.ko.xz: b-last.ko.zst a-first.ko\nb-last.ko.zst: a-first.ko\na-first.ko:\n",
        )
        .unwrap();
        fs::write(at("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        let mut compressed = Vec::new();
        lzma_rs::xz_compress(&mut &b"xfs"[..], &mut compressed).unwrap();
        fs::write(at("xfs.ko.xz"), compressed).unwrap();
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(b"last").unwrap();
        fs::write(at("b-last.ko.zst"), encoder.finish().unwrap()).unwrap();
        fs::write(at("a-first.ko"), b"first").unwrap();

        let modules = Modules::open(folder.path()).unwrap();
        assert!(modules.has("ext4") && modules.has("b_last") && !modules.has("ntfs3"));
        let packed = modules.pack().unwrap();
        assert_eq!(packed.order, "xfs a_first b_last\n");
        let images: Vec<_> = packed
            .images
            .iter()
            .map(|(name, it)| (&name[..], &it[..]))
            .collect();
        let wanted: [(&str, &[u8]); 3] =
            [("a_first", b"first"), ("b_last", b"last"), ("xfs", b"xfs")];
        assert_eq!(images, wanted);
    }
}
