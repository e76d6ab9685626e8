//! Mounting volumes, and letting go of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal};

use super::serve::{look_up, path_of};
use super::{lvm, modules, patience, places};

/// What is mounted, and how.
#[derive(Clone, Debug)]
pub(super) struct Mount<'a> {
    pub(super) device: &'a Path,
    /// As in [`super::probe::Probed`].
    pub(super) content: &'a str,
    pub(super) is_writable: bool,
    /// A subvolume of btrfs.
    pub(super) subvolume: Option<&'a str>,
}

impl Mount<'_> {
    /// Mounts at a path; gives what is worth knowing, or why it failed.
    pub(super) fn at(&self, place: &str) -> Result<String, String> {
        let Some(kind) = self.kind() else {
            return Err(match self.content {
                "" => "its content is unknown".into(),
                content => format!("{content} holds no files, or needs a key"),
            });
        };
        modules::load_for(kind);
        if kind == "ntfs3" && !has_kernel_ntfs() {
            return self.by_program(place);
        }
        let mut first_error = None;
        for options in self.options(kind) {
            match self.mount(kind, place, &options) {
                Ok(()) => {
                    let note = first_error.map(|error: String| {
                        format!("mounted only with the options \"{options}\": {error}")
                    });
                    return Ok(note.unwrap_or_default());
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_default())
    }

    fn kind(&self) -> Option<&'static str> {
        Some(match self.content {
            "ext2" | "ext3" | "ext4" => "ext4",
            "xfs" => "xfs",
            "btrfs" => "btrfs",
            "ntfs" => "ntfs3",
            "vfat" => "vfat",
            "exfat" => "exfat",
            "iso9660" => "iso9660",
            _ => return None,
        })
    }

    /// Sets of options, the first that works is taken: with the journal replayed, then without.
    ///
    /// A superblock may ask for a panic at the first error: that is overruled.
    fn options(&self, kind: &str) -> Vec<String> {
        let sets: &[&str] = match (kind, self.is_writable) {
            ("ext4", true) => &["errors=remount-ro"],
            ("ext4", false) => &["errors=remount-ro", "errors=remount-ro,noload"],
            ("xfs", true) => &["nouuid"],
            ("xfs", false) => &["nouuid", "nouuid,norecovery"],
            ("btrfs", true) => &[""],
            ("btrfs", false) => &["", "rescue=nologreplay", "rescue=all"],
            ("vfat", _) => &["utf8=1,codepage=437,errors=remount-ro", "utf8=1", ""],
            _ => &[""],
        };
        let all = sets.iter().map(|set| match self.subvolume {
            Some(option) if set.is_empty() => option.to_owned(),
            Some(option) => format!("{set},{option}"),
            None => (*set).to_owned(),
        });
        all.collect()
    }

    fn mount(&self, kind: &'static str, place: &str, options: &str) -> Result<(), String> {
        let flags = self.flags(kind);
        let (device, place) = (self.device.to_owned(), place.to_owned());
        let data = std::ffi::CString::new(options).map_err(|error| error.to_string())?;
        let mounted = patience::attempt(move || {
            rustix::mount::mount(&device, &place, kind, flags, Some(&*data))
        });
        match mounted {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("mounting it does not end".into()),
        }
    }

    fn flags(&self, kind: &str) -> MountFlags {
        let lasting = MountFlags::NOSUID | MountFlags::NODEV;
        // What Windows has written is only read.
        match self.is_writable && !matches!(kind, "ntfs3" | "iso9660") {
            true => lasting,
            false => lasting | MountFlags::NOEXEC | MountFlags::RDONLY,
        }
    }

    fn by_program(&self, place: &str) -> Result<String, String> {
        if !Path::new(places::NTFS).exists() {
            return Err(
                "this kernel cannot read NTFS, and the program ntfs-3g is not on this host \
                 (Debian: ntfs-3g); install it"
                    .into(),
            );
        }
        modules::load(&["fuse"]);
        let mut command = Command::new(places::NTFS);
        command
            .arg(self.device)
            .arg(place)
            .args(["-o", "ro,nosuid,nodev,noexec"]);
        patience::run(&mut command).map(|()| String::new())
    }
}

fn has_kernel_ntfs() -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.lines().any(|line| line.trim() == "ntfs3")
}

/// Shows a mounted folder at a second place: a path inside the system's tree, whose links are
/// followed inside that tree only.
pub(super) fn show(folder: &str, path: &str) -> Result<(), String> {
    with_place(path, |place| {
        rustix::mount::mount_bind(folder, place).map_err(|error| error.to_string())
    })
}

/// Does something with a path outside of the tree that leads to a folder in it.
pub(super) fn with_place<T>(
    path: &str,
    work: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let system = rustix::fs::open(places::SYSTEM, flags, Mode::empty());
    let found = system.and_then(|system| look_up(&system, path.as_bytes(), true));
    let found = found.map_err(|error| format!("{path}: {error}"))?;
    work(&path_of(&found))
}

/// Ends every other process, writes everything, unmounts, and deactivates logical volumes.
pub(super) fn release_all(has_logical: bool) -> Result<(), String> {
    // To the kernel a group of 1 is all processes but the sender, if that is the first.
    let _ = rustix::process::kill_process_group(Pid::INIT, Signal::KILL);
    rustix::fs::sync();
    let mounted = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
    let places = mounted
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1));
    let inside = |place: &&str| {
        [places::SYSTEM, places::VOLUMES]
            .iter()
            .any(|folder| place.starts_with(folder))
    };
    let mut failed = Vec::new();
    for place in places.filter(inside) {
        let place = place.replace("\\040", " ");
        let unmounted = patience::wait_for(patience::PATIENCE, || {
            rustix::mount::unmount(&*place, UnmountFlags::empty()).ok()
        });
        if unmounted.is_none() {
            failed.push(place);
        }
    }
    if has_logical {
        lvm::deactivate()?;
    }
    rustix::fs::sync();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("still in use: {}", failed.join(", "))),
    }
}
