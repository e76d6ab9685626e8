//! Who uses a block device, by what the kernel tells.
//!
//! Source: proc(5) for mountinfo and swaps; the kernel's sysfs for holders and partitions.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;

use crate::{Error, Result};

/// Where the kernel tells it; other places in tests.
pub(super) struct Claims {
    pub(super) sys: PathBuf,
    pub(super) proc: PathBuf,
}

impl Claims {
    pub(super) fn of_this_machine() -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
        }
    }

    /// Errors: `Busy` and `Denied` as [`super::BlockDeviceWriter::open`] says.
    pub(super) fn refuse_claimed(&self, path: &Path, device: u64) -> Result<()> {
        let number = format!(
            "{}:{}",
            rustix::fs::major(device),
            rustix::fs::minor(device)
        );
        let home = self.sys.join("dev/block").join(&number);
        if text_of(&home.join("ro")).trim() == "1" {
            return Err(
                Error::new(ErrorKind::Denied, "opening", path).seen("the device is read-only")
            );
        }
        let busy = |seen| Err(Error::new(ErrorKind::Busy, "opening", path).seen(seen));
        let mut parts = vec![(number, home.clone())];
        parts.extend(partitions(&home));
        let mounts = text_of(&self.proc.join("self/mountinfo"));
        let swaps = text_of(&self.proc.join("swaps"));
        for (number, home) in &parts {
            if let Some(holder) = names_in(&home.join("holders")).next() {
                return busy(format!("{number} is held by {}", holder.display()));
            }
            if let Some(place) = mounts.lines().find_map(|line| mounted_at(line, number)) {
                return busy(format!("{number} is mounted at {place}; unmount it first"));
            }
            if swaps
                .lines()
                .skip(1)
                .any(|line| swap_device(line).as_ref() == Some(number))
            {
                return busy(format!("{number} is in use as swap"));
            }
        }
        Ok(())
    }
}

/// The text of a small kernel file; empty if there is none.
fn text_of(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn names_in(directory: &Path) -> impl Iterator<Item = OsString> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name())
}

/// Number and sysfs folder of each partition.
fn partitions(home: &Path) -> Vec<(String, PathBuf)> {
    let folders = names_in(home).map(|name| home.join(name));
    folders
        .filter(|folder| folder.join("partition").exists())
        .map(|folder| (text_of(&folder.join("dev")).trim().to_owned(), folder))
        .collect()
}

/// Reads a line as in `36 35 98:0 / /mnt rw - ext4 /dev/sda rw`.
fn mounted_at<'a>(line: &'a str, number: &str) -> Option<&'a str> {
    let mut fields = line.split(' ').skip(2);
    (fields.next()? == number).then(|| fields.nth(1)).flatten()
}

/// The number of the device in a line as in `/dev/sda2 partition 1000 0 -2`.
fn swap_device(line: &str) -> Option<String> {
    let name = unescaped(line.split_ascii_whitespace().next()?);
    let device = std::fs::metadata(name).ok()?.rdev();
    Some(format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    ))
}

/// Undoes the kernel's `\040` for a blank.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, later)) = rest.split_first() {
        let octal = later
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = later.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = later;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Claims) {
        let held = tempfile::tempdir().unwrap();
        let root = held.path();
        for folder in [
            "sys/dev/block/8:0/holders",
            "sys/dev/block/8:0/sda1/holders",
            "proc/self",
        ] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
        write("sys/dev/block/8:0/ro", "0\n");
        write("sys/dev/block/8:0/sda1/partition", "1\n");
        write("sys/dev/block/8:0/sda1/dev", "8:1\n");
        write(
            "proc/self/mountinfo",
            "1 0 9:1 / /other rw - ext4 /dev/x rw\n",
        );
        write(
            "proc/swaps",
            "Filename Type Size Used Priority\n/dev/null\\040 partition 1 0 -2\n",
        );
        let claims = Claims {
            sys: root.join("sys"),
            proc: root.join("proc"),
        };
        (held, claims)
    }

    fn verdict(claims: &Claims) -> std::result::Result<(), (ErrorKind, String)> {
        let device = rustix::fs::makedev(8, 0);
        claims
            .refuse_claimed(Path::new("/dev/sda"), device)
            .map_err(|e| (e.kind(), e.to_string()))
    }

    #[test]
    fn a_free_device_passes_and_every_claim_is_named() {
        let (held, claims) = machine();
        assert_eq!(verdict(&claims), Ok(()));
        let mounts = held.path().join("proc/self/mountinfo");
        std::fs::write(&mounts, "36 35 8:1 / /srv/a rw - ext4 /dev/sda1 rw\n").unwrap();
        let (kind, text) = verdict(&claims).unwrap_err();
        assert_eq!(kind, ErrorKind::Busy);
        assert!(text.contains("8:1 is mounted at /srv/a"), "{text}");
        std::fs::write(&mounts, "").unwrap();
        std::fs::create_dir(held.path().join("sys/dev/block/8:0/sda1/holders/dm-3")).unwrap();
        let (kind, text) = verdict(&claims).unwrap_err();
        assert_eq!(
            (kind, text.contains("held by dm-3")),
            (ErrorKind::Busy, true),
            "{text}"
        );
        std::fs::write(held.path().join("sys/dev/block/8:0/ro"), "1\n").unwrap();
        assert_eq!(verdict(&claims).unwrap_err().0, ErrorKind::Denied);
    }

    #[test]
    fn kernel_escapes_are_undone() {
        assert_eq!(unescaped("/a\\040b\\x"), PathBuf::from("/a b\\x"));
    }
}
