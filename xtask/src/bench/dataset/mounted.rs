//! A disk that is mounted, until it goes out of sight.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A mounted disk, and what is mounted inside of it.
#[derive(Debug)]
pub(crate) struct Mounted {
    folder: PathBuf,
    inner: Vec<PathBuf>,
    is_mounted: bool,
}

impl Mounted {
    /// Mounts a disk's file over a loop device.
    pub(crate) fn mount(disk: &Path, folder: &Path, options: &str) -> Result<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("loop,{options}")]);
        process::quiet(mount.arg(disk).arg(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            inner: Vec::new(),
            is_mounted: true,
        })
    }

    /// A path inside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.folder.join(inside)
    }

    /// Gives what runs inside its /proc, its /dev and a way to resolve names.
    pub(crate) fn bind(&mut self) -> Result<()> {
        let folders = [
            (self.path("proc"), ["-t", "proc", "proc"]),
            (self.path("dev"), ["--bind", "/dev", ""]),
        ];
        for (folder, words) in folders {
            let words = words.iter().filter(|word| !word.is_empty());
            process::quiet(Command::new("mount").args(words).arg(&folder))?;
            self.inner.push(folder);
        }
        fs::copy("/etc/resolv.conf", self.path("etc/resolv.conf"))
            .context("copying resolv.conf")?;
        Ok(())
    }

    /// Runs a program of the disk inside of it.
    pub(crate) fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("chroot");
        command.arg(&self.folder).args([
            "/usr/bin/env",
            "DEBIAN_FRONTEND=noninteractive",
            "LC_ALL=C",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        ]);
        process::quiet(command.args(words))
    }

    /// Gives blocks that no file uses back to the disk's file, as a guest's weekly timer does.
    pub(crate) fn trim(&self) -> Result<()> {
        process::quiet(Command::new("sync").arg("-f").arg(&self.folder))?;
        process::quiet(Command::new("fstrim").arg(&self.folder))
    }

    /// Unmounts, and says if that fails.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.unmount()
    }

    fn unmount(&mut self) -> Result<()> {
        while let Some(inner) = self.inner.pop() {
            process::quiet(Command::new("umount").arg(inner))?;
        }
        if self.is_mounted {
            process::quiet(Command::new("umount").arg(&self.folder))?;
            self.is_mounted = false;
        }
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("still mounted: {}: {error:#}", self.folder.display());
        }
    }
}
