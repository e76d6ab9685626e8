//! Writes the archive that a kernel unpacks as its first file system ("newc").
//!
//! Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.

use std::collections::BTreeSet;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHAR_DEVICE: u32 = 0o020_600;
const TRAILER: &str = "TRAILER!!!";

/// An archive being written, in memory; folders above a file come by themselves.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// Adds a folder. Paths are relative, without a slash at either end.
    pub(super) fn folder(&mut self, path: &str) {
        if path.is_empty() || !self.folders.insert(path.into()) {
            return;
        }
        self.folder_above(path);
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    /// Adds a file that may be run.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.folder_above(path);
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// Adds a character device.
    pub(super) fn char_device(&mut self, path: &str, major: u32, minor: u32) {
        self.folder_above(path);
        self.entry(path, CHAR_DEVICE, (major, minor), &[]);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn folder_above(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let size = content.len() as u32;
        let name_size = path.len() as u32 + 1;
        let (owner, group, links, time, zero) = (0, 0, 1, 0, 0);
        let fields = [
            self.inode, mode, owner, group, links, time, size, zero, zero, device.0, device.1,
            name_size, zero,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_their_files_and_all_is_aligned() {
        let mut archive = Archive::default();
        archive.file("a/b/c", b"12345");
        archive.char_device("a/d", 5, 1);
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let places: Vec<_> = ["a\0", "a/b\0", "a/b/c\0", "12345", "a/d\0", TRAILER]
            .iter()
            .map(|name| text.find(name).unwrap())
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(text.matches("070701").count(), 5);
    }
}
