//! The configuration that counts, as children read it: a copy of the files that were last sound.
//!
//! A file that is broken by its next edit so never stops what runs already.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use lifeboat_config::SourceFile;
use lifeboat_model::ErrorKind;

use crate::error::{Error, Result};

/// Where the copies lie, and which one counts.
#[derive(Clone)]
pub(crate) struct Running {
    folder: PathBuf,
    /// The file that children read.
    file: Arc<RwLock<PathBuf>>,
}

impl Running {
    /// No copy yet: children read `path` itself.
    pub(crate) fn new(state: &Path, path: &Path) -> Self {
        Self {
            folder: state.join("running"),
            file: Arc::new(RwLock::new(path.to_owned())),
        }
    }

    /// The file that children read.
    pub(crate) fn file(&self) -> PathBuf {
        let file = self.file.read().unwrap_or_else(|p| p.into_inner());
        file.clone()
    }

    /// Copies the files of a sound configuration, the first of which is `path`; the copy before
    /// stays for children that are about to read it, older ones go.
    pub(crate) fn keep(&self, path: &Path, files: &[SourceFile]) -> Result<()> {
        let failed = |error: std::io::Error| {
            let text = format!(
                "cannot copy the configuration to {}: {error}",
                self.folder.display()
            );
            Error::new(ErrorKind::of_io(&error), text)
        };
        let before = self.copies().map_err(failed)?;
        let number = before.last().map_or(1, |(number, _)| number + 1);
        let copy = self.folder.join(number.to_string());
        self.write(path, files, &copy).map_err(failed)?;
        let main = copy.join(path.file_name().unwrap_or_default());
        *self.file.write().unwrap_or_else(|p| p.into_inner()) = main;
        for (_, old) in before.iter().rev().skip(1) {
            // A copy too many harms nobody.
            let _ = fs::remove_dir_all(old);
        }
        Ok(())
    }

    /// Copies that are there, oldest first.
    fn copies(&self) -> std::io::Result<Vec<(u64, PathBuf)>> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder)?;
        let entries = fs::read_dir(&self.folder)?
            .flatten()
            .map(|entry| entry.path());
        let numbered = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
        let mut copies: Vec<(u64, PathBuf)> = entries.filter_map(numbered).collect();
        copies.sort();
        Ok(copies)
    }

    /// Included files keep their places below the first one; those elsewhere are read there.
    fn write(&self, path: &Path, files: &[SourceFile], copy: &Path) -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        for (number, file) in files.iter().enumerate() {
            let below = match number {
                0 => path.file_name().map(Path::new),
                _ => Path::new(&file.name).strip_prefix(folder).ok(),
            };
            let Some(below) = below else {
                continue;
            };
            let target = copy.join(below);
            let parent = target.parent().unwrap_or(copy);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
            let mut options = OpenOptions::new();
            let opened = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(target);
            opened?.write_all(file.text.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_read_what_was_last_sound() {
        let folder = std::env::temp_dir().join(format!("running-{}", std::process::id()));
        let path = folder.join("etc/lifeboat.toml");
        let file = |name: &str, text: &str| SourceFile {
            name: folder.join("etc").join(name).display().to_string(),
            text: text.to_owned(),
        };
        let running = Running::new(&folder, &path);
        assert_eq!(running.file(), path);
        for text in ["a = 1", "a = 2", "a = 3"] {
            let files = [file("lifeboat.toml", text), file("conf.d/b.toml", "b = 1")];
            running.keep(&path, &files).unwrap();
            assert_eq!(fs::read_to_string(running.file()).unwrap(), text);
            let beside = running.file().with_file_name("conf.d").join("b.toml");
            assert_eq!(fs::read_to_string(beside).unwrap(), "b = 1");
        }
        assert_eq!(running.copies().unwrap().len(), 2);
        fs::remove_dir_all(folder).unwrap();
    }
}
