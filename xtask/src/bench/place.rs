//! The folders that one tool works in during one suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The benchmark's repositories hold nothing worth a secret.
const PASSWORD: &str = "a password for the benchmark";
/// The name of every disk that is backed up: the same disk, day after day.
const DISK: &str = "disk.raw";

/// A folder with everything that a tool has: repository, caches, home, source, target.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
}

impl Place {
    /// Begins empty: what an interrupted run left there is removed.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        remove(folder)?;
        let place = Self {
            folder: folder.to_owned(),
        };
        for folder in ["state/cache", "state/home", "source", "target"] {
            fs::create_dir_all(place.folder.join(folder))
                .with_context(|| format!("creating {}", place.folder.display()))?;
        }
        fs::write(place.password_file(), PASSWORD).context("writing the password")?;
        Ok(place)
    }

    /// A second place with the same repository and caches, and a source of its own.
    pub(crate) fn copy_to(&self, folder: &Path) -> Result<Self> {
        let copy = Self::create(folder)?;
        remove(&copy.state())?;
        let mut command = Command::new("cp");
        command.arg("-a").arg(self.state()).arg(copy.state());
        process::quiet(&mut command)?;
        Ok(copy)
    }

    /// Removes everything.
    pub(crate) fn remove(self) -> Result<()> {
        remove(&self.folder)
    }

    /// Where commands are run.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.state().join("repository")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.state().join("cache")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.state().join("home")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.state().join("key")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.state().join("password")
    }

    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The disk's path in commands, relative to the folder.
    pub(crate) fn disk(&self) -> PathBuf {
        Path::new("source").join(DISK)
    }

    /// The disk's whole path.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.join(self.disk())
    }

    /// Where a restore goes.
    pub(crate) fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// A folder for a second place.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.with_extension(name)
    }

    /// Takes the disk away; the image it was linked to stays.
    pub(crate) fn unlink(&self) -> Result<()> {
        remove(&self.source())
    }

    /// Presents an image under the disk's name.
    pub(crate) fn link(&self, image: &Path) -> Result<()> {
        let source = self.source();
        self.unlink()?;
        fs::hard_link(image, &source).with_context(|| {
            format!(
                "linking {} to {}; give a work folder (--work) on the data set's file system",
                image.display(),
                source.display()
            )
        })
    }

    /// Removes what was restored.
    pub(crate) fn empty_target(&self) -> Result<()> {
        remove(&self.target())?;
        fs::create_dir_all(self.target()).context("creating the target")
    }
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.with_context(|| format!("removing {}", path.display()))
}
