//! The files of the source tree.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A text file, with its path from the root in `/` form.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    #[cfg(test)]
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Whether the name ends so.
    pub(crate) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// All text files, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
}

impl Tree {
    /// Reads every file of the work tree that is UTF-8 text and that git does not ignore.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let mut list = Command::new("git");
        list.current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others"]);
        let list = process::output(list.arg("--exclude-standard"))?;
        let mut tree = Self::default();
        for path in list.split_terminator('\0') {
            tree.load_file(root, path)?;
        }
        tree.files.sort_by(|one, other| one.path.cmp(&other.path));
        tree.files.dedup_by(|one, other| one.path == other.path);
        Ok(tree)
    }

    /// The files below a folder of the tree, given without a slash at the end.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = &SourceFile> + use<'_> {
        let start = format!("{folder}/");
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(&start))
    }

    pub(crate) fn find(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The folders that hold a package: those below `crates`, and this tooling.
    pub(crate) fn package_folders(&self) -> Vec<String> {
        let manifests = self.files.iter().filter(|file| file.name() == "Cargo.toml");
        let folders = manifests.filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
        folders
            .filter(|path| path.split('/').all(|name| name != "fuzz"))
            .map(str::to_owned)
            .collect()
    }

    /// A file that was removed but not yet from git's index is simply not there.
    fn load_file(&mut self, root: &Path, path: &str) -> Result<()> {
        let file = root.join(path);
        if !file.is_file() {
            return Ok(());
        }
        let content = fs::read(file).with_context(|| format!("reading {path}"))?;
        if let Ok(text) = String::from_utf8(content) {
            self.files.push(SourceFile {
                path: path.into(),
                text,
            });
        }
        Ok(())
    }
}
