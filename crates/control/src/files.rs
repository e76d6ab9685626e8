//! Files out of the disks of a snapshot, through a rescue VM.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_nbd::{Exports, Listener, Server, ServerOptions};
use lifeboat_repository::{Index, Repository, Snapshot};
use lifeboat_rescue::{Access, Disk, DiskPlace, Rescue, Settings};

use crate::export::{SnapshotDisks, of_nbd};
use crate::{Error, Result};

/// How long clients may go on when the server stops.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// A rescue VM that looks at the disks of a snapshot.
pub struct Inside {
    // Order: the VM goes before the server that gives it its disks, the folder goes last.
    rescue: Rescue,
    server: Server,
    _folder: WorkFolder,
}

/// A private folder that goes with its owner.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn create(above: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        let number = std::process::id();
        for attempt in 0..1000 {
            let path = above.join(format!("lifeboat-{number}-{attempt}"));
            match builder.create(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(path)),
            }
        }
        Err(std::io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Inside {
    /// Serves the disks to a rescue VM and boots it; `work` is a folder for sockets, `settings`
    /// say how the VM is started.
    ///
    /// Errors: those of [`SnapshotDisks::open`] and [`Rescue::start`].
    pub fn start(
        repository: &Arc<Repository>,
        index: &Arc<Index>,
        snapshot: &Snapshot,
        work: &Path,
        settings: &Settings,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let folder = WorkFolder::create(work).map_err(|e| {
            let doing = format!("cannot make a folder in {}", work.display());
            Error::new(ErrorKind::of_io(&e), doing).with_source(e)
        })?;
        let socket = folder.0.join("nbd");
        let listener = Listener::unix(&socket).map_err(|e| of_nbd("cannot serve the disks", e))?;
        let disks = SnapshotDisks::open(repository, index, snapshot)?;
        let exports = Exports::new();
        disks.publish(&exports, None)?;
        let server = Server::start(listener, exports, ServerOptions::default());
        let server = server.map_err(|e| of_nbd("cannot serve the disks", e))?;
        let disks = disks.disks().map(|(disk, _)| Disk {
            name: disk.name.clone(),
            place: DiskPlace::Nbd {
                socket: socket.clone(),
                export: disk.name.clone(),
            },
        });
        let disks: Vec<Disk> = disks.collect();
        let rescue = Rescue::start(&disks, Access::Read, settings, cancel);
        Ok(Self {
            rescue: rescue.map_err(|e| of_rescue("cannot look into the disks", e))?,
            server,
            _folder: folder,
        })
    }

    /// The rescue VM.
    pub fn rescue(&mut self) -> &mut Rescue {
        &mut self.rescue
    }

    /// Ends the rescue VM and the server.
    pub fn finish(self) -> Result<()> {
        let ended = self.rescue.finish();
        self.server.stop(STOP_GRACE);
        ended.map_err(|e| of_rescue("cannot end the rescue VM", e))
    }
}

/// A failure of the rescue VM with what was being done.
pub fn of_rescue(doing: impl Into<String>, error: lifeboat_rescue::Error) -> Error {
    Error::new(error.kind(), doing).with_source(error)
}
