//! Whether a folder can be mounted upon, told before anything is begun.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::{Error, Result};

const DEVICE: &str = "/dev/fuse";
/// What mounts for users who may not; Debian has it in fuse3.
const PROGRAM: &str = "fusermount3";

/// Looks at a folder; gives its path without links.
///
/// Errors: `NotFound`; `Invalid` for what is no folder; `Exists` if it is not empty, or something
/// is mounted there; `Unsupported` without FUSE; `Denied`.
pub fn check(folder: &Path) -> Result<PathBuf> {
    let refuse = |kind, seen: String| Err(Error::new(kind, folder, seen));
    let (flags, wanted) = (AtFlags::empty(), StatxFlags::TYPE);
    let found = match rustix::fs::statx(CWD, folder, flags, wanted) {
        Ok(found) => found,
        Err(Errno::NOENT) => {
            let seen = "there is no such folder: make it first (mkdir)";
            return refuse(ErrorKind::NotFound, seen.into());
        }
        Err(Errno::NOTCONN | Errno::IO) => {
            let seen = format!(
                "a mount whose program has died lies there: 'umount {}' removes it",
                folder.display()
            );
            return refuse(ErrorKind::Exists, seen);
        }
        Err(error) => return Err(Error::io(folder, &error.into())),
    };
    if !fs::metadata(folder).is_ok_and(|it| it.is_dir()) {
        return refuse(ErrorKind::Invalid, "it is no folder".into());
    }
    if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        let seen = format!(
            "something is mounted there already: 'umount {}', or take another folder",
            folder.display()
        );
        return refuse(ErrorKind::Exists, seen);
    }
    let mut inside = fs::read_dir(folder).map_err(|error| Error::io(folder, &error))?;
    if inside.next().is_some() {
        return refuse(
            ErrorKind::Exists,
            "the folder is not empty: take an empty one".into(),
        );
    }
    check_fuse(folder)?;
    fs::canonicalize(folder).map_err(|error| Error::io(folder, &error))
}

fn check_fuse(folder: &Path) -> Result<()> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE);
    if let Err(error) = device {
        let kind = ErrorKind::of_io(&error);
        return Err(match kind {
            ErrorKind::NotFound => Error::new(
                ErrorKind::Unsupported,
                folder,
                format!("there is no {DEVICE}: 'modprobe fuse' loads what makes it"),
            ),
            kind => Error::new(
                kind,
                folder,
                format!("{DEVICE} cannot be opened: {error}; run it as root"),
            ),
        });
    }
    let is_root = rustix::process::geteuid().is_root();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_program = std::env::split_paths(&path).any(|it| it.join(PROGRAM).exists());
    if !is_root && !has_program {
        let seen = format!("only root may mount without {PROGRAM} (Debian: fuse3): install it");
        return Err(Error::new(ErrorKind::Denied, folder, seen));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_do_not_fit_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "x").unwrap();
        fs::create_dir(path("full")).unwrap();
        fs::write(path("full/file"), "x").unwrap();
        let cases = [
            (path("missing"), ErrorKind::NotFound, "mkdir"),
            (path("file"), ErrorKind::Invalid, "no folder"),
            (path("full"), ErrorKind::Exists, "not empty"),
            ("/proc".into(), ErrorKind::Exists, "mounted there already"),
        ];
        for (path, kind, word) in cases {
            let error = check(&path).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
