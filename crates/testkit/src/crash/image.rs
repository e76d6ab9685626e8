//! What a directory holds, as a value.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Directories and files by their path relative to a base directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Image {
    pub(super) entries: BTreeMap<Arc<Path>, Entry>,
}

/// What has a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Directory,
    File(Arc<[u8]>),
}

impl Image {
    /// Reads everything below `base`.
    ///
    /// # Panics
    /// When something cannot be read, or is neither a directory nor a file.
    pub fn of(base: &Path) -> Self {
        let mut image = Self::default();
        image
            .read(base, Path::new(""))
            .unwrap_or_else(|error| panic!("read {}: {error}", base.display()));
        image
    }

    /// Makes `base` hold exactly this; touches only what differs.
    ///
    /// # Panics
    /// When something cannot be changed.
    pub fn put(&self, base: &Path) {
        self.try_put(base)
            .unwrap_or_else(|error| panic!("write {}: {error}", base.display()));
    }

    /// All files with their content, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.entries.iter().filter_map(|(path, entry)| match entry {
            Entry::File(content) => Some((&**path, &**content)),
            Entry::Directory => None,
        })
    }

    /// Equal for equal images.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn read(&mut self, base: &Path, below: &Path) -> io::Result<()> {
        for found in fs::read_dir(base.join(below))? {
            let found = found?;
            let path = below.join(found.file_name());
            if found.file_type()?.is_dir() {
                self.read(base, &path)?;
                self.entries.insert(path.into(), Entry::Directory);
            } else {
                let content = fs::read(found.path())?;
                self.entries
                    .insert(path.into(), Entry::File(content.into()));
            }
        }
        Ok(())
    }

    fn try_put(&self, base: &Path) -> io::Result<()> {
        let there = Self::of(base);
        // Order: names below a directory come after it, so they go first and are made last.
        for (path, entry) in there.entries.iter().rev() {
            if self.entries.get(path) == Some(entry) {
                continue;
            }
            match entry {
                Entry::Directory => fs::remove_dir(base.join(path))?,
                Entry::File(_) => fs::remove_file(base.join(path))?,
            }
        }
        for (path, entry) in &self.entries {
            if there.entries.get(path) == Some(entry) {
                continue;
            }
            match entry {
                Entry::Directory => fs::create_dir(base.join(path))?,
                Entry::File(content) => fs::write(base.join(path), content)?,
            }
        }
        Ok(())
    }
}
