//! Owner, mode, times and attributes of restored entries.
//!
//! Order: owner, plain attributes, mode, access lists, times. A new owner takes set-user-id bits
//! and capabilities away; an access list changes the mode; everything changes times.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use lifeboat_format::{ExtendedAttribute, GoTime, Node};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

/// Go's bits of a mode and the system's.
const SPECIAL_BITS: [(u32, u32); 3] =
    [(1 << 23, SET_USER), (1 << 22, SET_GROUP), (1 << 20, 0o1000)];

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

/// Attributes that hold access lists begin so.
const ACCESS_LIST: &str = "system.posix_acl_";

/// What is kept of a node besides its content; 88 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Option<Moment>,
    atime: Option<Moment>,
    attributes: Box<[ExtendedAttribute]>,
}

/// Seconds since 1970 and nanoseconds after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    seconds: i64,
    nanoseconds: u32,
}

/// Where an entry is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// An opened file or folder.
    Open(BorrowedFd<'a>),
    /// A name in a folder; never followed.
    Named {
        folder: BorrowedFd<'a>,
        name: &'a [u8],
        is_symlink: bool,
    },
}

impl Metadata {
    pub(super) fn of(node: &Node) -> Self {
        let special = SPECIAL_BITS.iter().filter(|(go, _)| node.mode & go != 0);
        Self {
            mode: special.fold(node.mode & 0o777, |mode, (_, bit)| mode | bit),
            uid: node.uid,
            gid: node.gid,
            mtime: moment(node.mtime),
            atime: moment(node.atime),
            attributes: node.extended_attributes.clone().into_boxed_slice(),
        }
    }

    /// Whether an existing entry has this mode and time already.
    pub(super) fn is_like(&self, found: &rustix::fs::Stat) -> bool {
        let mtime = Moment {
            seconds: found.st_mtime,
            nanoseconds: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
        };
        found.st_mode & 0o7777 == self.mode && self.mtime.is_none_or(|wanted| wanted == mtime)
    }

    /// Sets everything; gives what could not be set.
    pub(super) fn set(&self, place: Place<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut mode = self.mode;
        if let Err(error) = self.set_owner(place) {
            mode &= !(SET_USER | SET_GROUP);
            let lost = if mode == self.mode {
                ""
            } else {
                ", nor the bits that lend their rights"
            };
            let (uid, gid) = (self.uid, self.gid);
            faults.push(format!(
                "owner {uid}:{gid} is not set{lost}: {}",
                said(error)
            ));
        }
        self.set_attributes(place, false, &mut faults);
        if let Err(error) = set_mode(place, mode) {
            faults.push(format!("mode {mode:04o} is not set: {}", said(error)));
        }
        self.set_attributes(place, true, &mut faults);
        if let Err(error) = self.set_times(place) {
            faults.push(format!("times are not set: {}", said(error)));
        }
        faults
    }

    fn set_owner(&self, place: Place<'_>) -> Result<(), Errno> {
        // -1 means "leave as it is" to the system.
        if self.uid == u32::MAX || self.gid == u32::MAX {
            return Err(Errno::INVAL);
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        match place {
            Place::Open(file) => rustix::fs::fchown(file, Some(uid), Some(gid)),
            Place::Named { folder, name, .. } => {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(folder, name, Some(uid), Some(gid), flags)
            }
        }
    }

    fn set_times(&self, place: Place<'_>) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: timespec(self.atime),
            last_modification: timespec(self.mtime),
        };
        match place {
            Place::Open(file) => rustix::fs::futimens(file, &times),
            Place::Named { folder, name, .. } => {
                rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    /// Sets access lists or all other attributes, and removes those that came from elsewhere.
    fn set_attributes(&self, place: Place<'_>, is_access: bool, faults: &mut Vec<String>) {
        let wanted = self
            .attributes
            .iter()
            .filter(|attribute| attribute.name.starts_with(ACCESS_LIST) == is_access);
        for attribute in wanted.clone() {
            let value = attribute.value.as_deref().unwrap_or_default();
            if let Err(error) = set_attribute(place, &attribute.name, value) {
                let name = attribute.name.escape_debug();
                faults.push(format!("attribute {name} is not set: {}", said(error)));
            }
        }
        for name in list(place) {
            let Ok(text) = name.to_str() else { continue };
            let is_removable = if is_access {
                text.starts_with(ACCESS_LIST)
            } else {
                text.starts_with("user.")
            };
            if is_removable && !wanted.clone().any(|attribute| attribute.name == text) {
                // One that stays is found again by nobody but a comparison: it does no harm.
                let _ = remove_attribute(place, text);
            }
        }
    }
}

fn moment(time: GoTime) -> Option<Moment> {
    if time.timestamp() == GoTime::default().timestamp() {
        return None;
    }
    let total = time.timestamp().as_nanosecond();
    Some(Moment {
        seconds: i64::try_from(total.div_euclid(1_000_000_000)).ok()?,
        nanoseconds: u32::try_from(total.rem_euclid(1_000_000_000)).ok()?,
    })
}

fn timespec(moment: Option<Moment>) -> Timespec {
    match moment {
        Some(moment) => Timespec {
            tv_sec: moment.seconds,
            tv_nsec: moment.nanoseconds.into(),
        },
        None => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
    }
}

/// Symbolic links have no mode; for names the mode is set by way of a pinned descriptor, because
/// setting it by name would follow a link put there meanwhile.
fn set_mode(place: Place<'_>, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match place {
        Place::Open(file) => rustix::fs::fchmod(file, mode),
        Place::Named {
            is_symlink: true, ..
        } => Ok(()),
        Place::Named { folder, name, .. } => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let pinned = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            rustix::fs::chmod(proc_path(pinned.as_fd(), None), mode)
        }
    }
}

fn set_attribute(place: Place<'_>, name: &str, value: &[u8]) -> Result<(), Errno> {
    let flags = XattrFlags::empty();
    match place {
        Place::Open(file) => rustix::fs::fsetxattr(file, name, value, flags),
        Place::Named {
            folder, name: at, ..
        } => rustix::fs::lsetxattr(proc_path(folder, Some(at)), name, value, flags),
    }
}

fn remove_attribute(place: Place<'_>, name: &str) -> Result<(), Errno> {
    match place {
        Place::Open(file) => rustix::fs::fremovexattr(file, name),
        Place::Named {
            folder, name: at, ..
        } => rustix::fs::lremovexattr(proc_path(folder, Some(at)), name),
    }
}

/// Names of all attributes; none where they cannot be listed.
fn list(place: Place<'_>) -> Vec<std::ffi::CString> {
    let mut names = vec![0; 4096];
    let length = loop {
        let listed = match place {
            Place::Open(file) => rustix::fs::flistxattr(file, &mut names[..]),
            Place::Named { folder, name, .. } => {
                rustix::fs::llistxattr(proc_path(folder, Some(name)), &mut names[..])
            }
        };
        match listed {
            Ok(length) => break length,
            // Linux allows 64 KiB.
            Err(Errno::RANGE) if names.len() < 64 << 10 => names.resize(64 << 10, 0),
            Err(_) => return Vec::new(),
        }
    };
    let all = names[..length].split_inclusive(|byte| *byte == 0);
    all.filter_map(|name| CStr::from_bytes_with_nul(name).ok().map(CStr::to_owned))
        .collect()
}

/// The kernel has no calls for attributes of names in an opened folder; this is the way round.
fn proc_path(descriptor: BorrowedFd<'_>, name: Option<&[u8]>) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into_bytes();
    if let Some(name) = name {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

/// The system's words, with what to do where that is not obvious.
pub(super) fn said(error: Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    match error {
        Errno::PERM => format!("{text}: only root may do that"),
        Errno::OPNOTSUPP => format!("{text}: the target's file system cannot hold it"),
        _ => text,
    }
}
