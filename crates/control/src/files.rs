//! Files out of disks, through a rescue VM: those of a snapshot, or of a capture.

use std::sync::Arc;

use lifeboat_disk::DiskReader;
use lifeboat_model::{CancelToken, DiskName, ErrorKind};
use lifeboat_nbd::{Exports, Listener, Server, ServerOptions};
use lifeboat_repository::{Index, Repository, Snapshot};
use lifeboat_rescue::{Access, Disk, DiskPlace, Rescue, Settings, SocketFolder};

use crate::export::{ReadOnlyExport, SnapshotDisks, of_nbd};
use crate::{Error, Result};

/// How long clients may go on when the server stops.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// A rescue VM that looks at disks.
pub struct Inside {
    // Order: the VM goes before the server that gives it its disks.
    rescue: Rescue,
    server: Server,
}

impl Inside {
    /// Serves the disks to a rescue VM and boots it; `settings` say how it is started.
    ///
    /// Errors: those of [`SnapshotDisks::open`] and [`Rescue::start`].
    pub fn start(
        repository: &Arc<Repository>,
        index: &Arc<Index>,
        snapshot: &Snapshot,
        settings: &Settings,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let disks = SnapshotDisks::open(repository, index, snapshot)?;
        let exports = Exports::new();
        disks.publish(&exports, None)?;
        let names = disks.disks().map(|(disk, _)| disk.name.clone());
        Self::boot(exports, names.collect(), settings, cancel)
    }

    /// The same on disks that are at hand.
    pub fn on(
        disks: &[(DiskName, Arc<dyn DiskReader>)],
        settings: &Settings,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let exports = Exports::new();
        for (name, reader) in disks {
            let export = ReadOnlyExport::new(Arc::clone(reader), format!("disk {name}"));
            let published = exports.publish(name.as_str(), Arc::new(export));
            published.map_err(|error| of_nbd("cannot serve the disk", error))?;
        }
        let names = disks.iter().map(|(name, _)| name.to_string());
        Self::boot(exports, names.collect(), settings, cancel)
    }

    fn boot(
        exports: Exports,
        names: Vec<String>,
        settings: &Settings,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let folder = SocketFolder::create().map_err(|e| {
            let doing = "cannot make a folder for a socket among the temporary files";
            Error::new(ErrorKind::of_io(&e), doing).with_source(e)
        })?;
        let socket = folder.path().join("nbd");
        let listener = Listener::unix(&socket).map_err(|e| of_nbd("cannot serve the disks", e))?;
        let server = Server::start(listener, exports, ServerOptions::default());
        let server = server.map_err(|e| of_nbd("cannot serve the disks", e))?;
        let disks = names.into_iter().map(|name| Disk {
            name: name.clone(),
            place: DiskPlace::Nbd {
                socket: socket.clone(),
                export: name,
            },
        });
        let disks: Vec<Disk> = disks.collect();
        let rescue = Rescue::start(&disks, Access::Read, settings, cancel);
        let rescue = rescue.map_err(|e| of_rescue("cannot look into the disks", e))?;
        // The rescue VM has its disks open: nothing is left when we are killed later.
        drop(folder);
        Ok(Self { rescue, server })
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
