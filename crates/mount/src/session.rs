//! Beginning and ending a mount.

use std::io;
use std::path::{Path, PathBuf};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use lifeboat_model::ErrorKind;
use rustix::mount::UnmountFlags;

use crate::kernel::Answering;
use crate::source::{Shown, Source};
use crate::tree::Tree;
use crate::{Error, Result};

/// Who may look into the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever mounted it, everything.
    Owner,
    /// Everybody, what owners and modes inside let them.
    Everybody,
}

/// A mount; it is ended when this is dropped.
#[derive(Debug)]
pub struct Mounted {
    session: Option<BackgroundSession>,
    folder: PathBuf,
}

/// Mounts upon a folder that [`crate::check`] has passed: read-only, and without effect of device
/// nodes, set-user-id bits and programs. `name` is shown in the list of mounts.
///
/// Errors: `NotFound`, `Invalid` if what is to be shown is none or no folder; `Denied`; others as
/// source and system report them.
pub fn mount<S: Source>(
    source: S,
    shown: Shown,
    folder: &Path,
    name: &str,
    audience: Audience,
) -> Result<Mounted> {
    let tree = Tree::new(source, shown).map_err(|kind| {
        let seen = match kind {
            ErrorKind::NotFound => "the path is not there inside the machine",
            ErrorKind::Invalid => "the path inside the machine is no folder",
            _ => "the path inside the machine cannot be read",
        };
        Error::new(kind, folder, seen)
    })?;
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(name.to_owned()),
        MountOption::Subtype("lifeboat".to_owned()),
        MountOption::RO,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoExec,
    ];
    if audience == Audience::Everybody {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    let session = Session::new(Answering::new(tree), folder, &config);
    let session = session.and_then(Session::spawn);
    Ok(Mounted {
        session: Some(session.map_err(|error| refused(folder, &error))?),
        folder: folder.to_owned(),
    })
}

fn refused(folder: &Path, error: &io::Error) -> Error {
    let text = error.to_string();
    if text.contains("user_allow_other") {
        let seen = "others may look in only if /etc/fuse.conf says user_allow_other, or as root";
        return Error::new(ErrorKind::Denied, folder, seen);
    }
    Error::io(folder, error)
}

impl Mounted {
    /// Whether somebody else has unmounted it.
    pub fn is_over(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.guard.is_finished())
    }

    /// Unmounts. A folder that somebody is still in is taken away from under the path all the
    /// same, and goes when the last one leaves; says whether nobody was.
    ///
    /// Errors: those of the system.
    pub fn end(mut self) -> Result<bool> {
        self.unmount()
            .map_err(|error| Error::io(&self.folder, &error))
    }

    fn unmount(&mut self) -> io::Result<bool> {
        let Some(session) = self.session.take() else {
            return Ok(true);
        };
        if session.guard.is_finished() {
            // It is unmounted already: another try would hit what lies there now.
            std::mem::forget(session);
            return Ok(true);
        }
        match session.umount_and_join() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                rustix::mount::unmount(&self.folder, UnmountFlags::DETACH)?;
                Ok(false)
            }
            ended => ended.map(|()| true),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.unmount();
    }
}
