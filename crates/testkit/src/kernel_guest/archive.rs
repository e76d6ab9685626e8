//! An archive of files as kernels unpack them into memory.
//!
//! Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst (newc).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const FOLDER: u32 = 0o40_755;
const FILE: u32 = 0o100_755;

/// Files and folders, each with the folders above it.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
    count: u32,
}

impl Archive {
    pub(super) fn folder(&mut self, name: &str) {
        if name.is_empty() || !self.names.insert(name.to_owned()) {
            return;
        }
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above);
        }
        self.entry(name, FOLDER, &[]);
    }

    pub(super) fn file(&mut self, name: &str, content: &[u8]) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above);
        }
        if self.names.insert(name.to_owned()) {
            self.entry(name, FILE, content);
        }
    }

    /// A program of this computer with the libraries that it is linked to.
    pub(super) fn program(&mut self, name: &str, path: &Path) {
        self.file(name, &fs::read(path).unwrap());
        let linked = Command::new("ldd").arg(path).output().unwrap();
        let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
        let is_library = |word: &&str| word.starts_with('/') && word.contains(".so");
        for library in linked.split_whitespace().filter(is_library) {
            self.file(library.trim_start_matches('/'), &fs::read(library).unwrap());
        }
    }

    pub(super) fn finished(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let size = u32::try_from(content.len()).unwrap();
        let name_size = u32::try_from(name.len() + 1).unwrap();
        let fields = [self.count, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}
