//! The files a program needs to run: its loader and its libraries, and theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;

use super::elf::{self, Wishes};
use crate::{Error, Result};

/// Where loaders look without being told.
const FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// Lists more folders, or files with such lists.
const CONFIGURATION: &str = "/etc/ld.so.conf";
/// How far lists may lead to further lists.
const NESTING_MAX: u32 = 4;

/// Loaders by their path, libraries by their name, for several programs.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    loaders: BTreeSet<String>,
    found: BTreeMap<String, PathBuf>,
}

impl Libraries {
    /// Adds what a program with these bytes needs.
    ///
    /// Errors: `NotFound` for a library that is nowhere, with its name.
    pub(super) fn add(&mut self, program: &Path, bytes: &[u8]) -> Result<()> {
        let Some(wishes) = elf::wishes(bytes) else {
            return Err(
                Error::new(ErrorKind::Invalid, "packing", program.display().to_string())
                    .seen("it is no program for this processor"),
            );
        };
        self.loaders.extend(wishes.interpreter.clone());
        let mut open = VecDeque::from([(program.to_owned(), wishes)]);
        while let Some((user, wishes)) = open.pop_front() {
            for name in &wishes.needed {
                if self.found.contains_key(name) {
                    continue;
                }
                let path = find(&user, &wishes, name)?;
                let bytes = fs::read(&path)
                    .map_err(|error| Error::io("reading", path.display().to_string(), error))?;
                let wishes = elf::wishes(&bytes).unwrap_or_default();
                open.push_back((path.clone(), wishes));
                self.found.insert(name.clone(), path);
            }
        }
        Ok(())
    }

    /// Paths of loaders, as programs name them.
    pub(super) fn loaders(&self) -> impl Iterator<Item = &str> {
        self.loaders.iter().map(String::as_str)
    }

    /// Names of libraries, and where they are.
    pub(super) fn libraries(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.found
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_path()))
    }
}

fn find(user: &Path, wishes: &Wishes, name: &str) -> Result<PathBuf> {
    let origin = user.parent().unwrap_or(Path::new("/")).display();
    let own = wishes.folders.iter().map(|folder| {
        folder
            .replace("${ORIGIN}", &origin.to_string())
            .replace("$ORIGIN", &origin.to_string())
    });
    let mut folders: Vec<_> = own.collect();
    folders.extend(FOLDERS.map(str::to_owned));
    configured(Path::new(CONFIGURATION), NESTING_MAX, &mut folders);
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(name));
    paths.find(|path| is_library(path)).ok_or_else(|| {
        let text = format!(
            "{} needs it; looked in {}",
            user.display(),
            folders.join(", ")
        );
        Error::new(ErrorKind::NotFound, "finding the library", name).seen(text)
    })
}

/// A folder may hold a library for another processor under the same name.
fn is_library(path: &Path) -> bool {
    path.is_file() && fs::read(path).is_ok_and(|bytes| elf::wishes(&bytes).is_some())
}

/// Adds the folders that the system's loader is told of; what cannot be read adds none.
fn configured(path: &Path, nesting: u32, folders: &mut Vec<String>) {
    let Some(nesting) = nesting.checked_sub(1) else {
        return;
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    for line in text.lines().map(str::trim) {
        match line.strip_prefix("include ") {
            Some(pattern) => {
                let Some(folder) = pattern.trim().strip_suffix("/*.conf") else {
                    continue;
                };
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
                files.sort();
                for file in files {
                    configured(&file, nesting, folders);
                }
            }
            None if line.starts_with('/') => folders.push(line.into()),
            None => {}
        }
    }
}
