//! The files of the source tree.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Names of what holds nothing we wrote.
const LEFT_OUT: [&str; 3] = [".git", "target", "node_modules"];

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
    /// Reads every file below a folder that is UTF-8 text.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.load_folder(root, "")?;
        tree.files.sort_by(|one, other| one.path.cmp(&other.path));
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
            .filter(|folder| !folder.contains("/fuzz"))
            .map(str::to_owned)
            .collect()
    }

    fn load_folder(&mut self, folder: &Path, path: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("listing {path:?}"))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.load_folder(&entry.path(), &format!("{path}{name}/"))?;
            } else if kind.is_file() {
                self.load_file(&entry.path(), format!("{path}{name}"))?;
            }
        }
        Ok(())
    }

    fn load_file(&mut self, file: &Path, path: String) -> Result<()> {
        let content = fs::read(file).with_context(|| format!("reading {path}"))?;
        if let Ok(text) = String::from_utf8(content) {
            self.files.push(SourceFile { path, text });
        }
        Ok(())
    }
}
