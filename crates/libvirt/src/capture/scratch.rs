//! The folder of one run: what the guest overwrites meanwhile, the socket, signs of life.
//!
//! The folder is on the host of the machine, is called `lifeboat-` and 16 digits of chance, and
//! holds a file `lock` that the run keeps locked: who can lock it knows that the run is dead.
//! That file says for which machine and origin the run was, and where its socket is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::{Entropy, ErrorKind};
use lifeboat_platform::{CHECKPOINT_PREFIX, Error, Origin, Result, VmId};

use crate::access::Access;
use crate::host::{FileKind, HeldLock, Host};

/// Longest path of a unix socket, in bytes: the kernel's limit without the final NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
const LOCK: &str = "lock";
const FROZEN: &str = "frozen";

/// The folder of a run that lives.
pub(crate) struct RunFolder {
    host: Arc<dyn Host>,
    path: PathBuf,
    socket: PathBuf,
    lock: Box<dyn HeldLock>,
}

/// What the lock file of a run says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunRecord {
    pub(crate) vm: String,
    pub(crate) origin: String,
    pub(crate) socket: PathBuf,
}

/// A run of ours, seen from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Somebody holds its lock.
    Alive(RunRecord),
    /// Nobody does.
    Dead(RunRecord),
    /// There is no such folder, or no lock in it.
    Gone,
}

impl RunFolder {
    /// Makes the folder below `base` for a machine whose running number is `number`.
    pub(crate) fn create(
        access: &Access,
        base: &Path,
        (vm, origin): (&VmId, &Origin),
        number: Option<u32>,
    ) -> Result<Self> {
        let host = access.host()?;
        let digits = digits(access.entropy.as_ref());
        let path = base.join(format!("{CHECKPOINT_PREFIX}{digits}"));
        let socket = socket_place(access, host.as_ref(), number)?
            .unwrap_or_else(|| path.clone())
            .join(format!(
                "{CHECKPOINT_PREFIX}{}.sock",
                digits.get(..8).unwrap_or(&digits)
            ));
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                "naming the socket",
                socket.display().to_string(),
            )
            .seen("the path has more than 107 bytes; name a shorter folder for sockets"));
        }
        host.make_folder(base, &path)?;
        let text = format!("{}\n{origin}\n{}\n", vm.as_str(), socket.display());
        match host.hold(&path.join(LOCK), &text) {
            Ok(lock) => Ok(Self {
                host,
                path,
                socket,
                lock,
            }),
            Err(error) => {
                let _ = host.remove_run(&path, None);
                Err(error)
            }
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the run is certainly still known to live.
    pub(crate) fn is_held(&self) -> bool {
        self.lock.is_held()
    }

    /// Where the disk number `index` keeps what the guest overwrites.
    pub(crate) fn scratch(&self, index: usize) -> PathBuf {
        self.path.join(format!("disk-{index}"))
    }

    /// Notes that the guest may be frozen from now on, for whoever sweeps.
    pub(crate) fn note_frozen(&self) -> Result<()> {
        self.host.write_new(&self.path.join(FROZEN), &[])
    }

    /// The guest is thawed for certain.
    pub(crate) fn note_thawed(&self) {
        // If it stays, the next sweep thaws once more, which does no harm.
        let _ = self.host.remove_file(&self.path.join(FROZEN));
    }

    /// Bytes that are free where the folder is.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        self.host.free_bytes(&self.path)
    }

    /// Removes the folder and the socket.
    pub(crate) fn remove(&self) -> Result<()> {
        remove(self.host.as_ref(), &self.path, &self.socket)
    }
}

/// The usual place of scratch files.
pub(crate) fn usual_base(access: &Access) -> Result<PathBuf> {
    if let Some(base) = &access.options.scratch {
        return Ok(base.clone());
    }
    Ok(match access.is_session() {
        true => {
            let data = access.host()?.user_folder("XDG_DATA_HOME", ".local/share");
            data?.join("libvirt/lifeboat")
        }
        false => PathBuf::from("/var/lib/libvirt/lifeboat"),
    })
}

/// The folder for sockets: the stated one, else what libvirt keeps for the running machine.
fn socket_place(access: &Access, host: &dyn Host, number: Option<u32>) -> Result<Option<PathBuf>> {
    if access.options.sockets.is_some() {
        return Ok(access.options.sockets.clone());
    }
    let Some(number) = number else {
        return Ok(None);
    };
    let all = match access.is_session() {
        true => {
            let settings = host.user_folder("XDG_CONFIG_HOME", ".config")?;
            settings.join("libvirt/qemu/lib")
        }
        false => PathBuf::from("/var/lib/libvirt/qemu"),
    };
    let found = host.folders(&all, &format!("domain-{number}-"))?;
    Ok(found.into_iter().next())
}

fn digits(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Looks whether the run of a folder lives.
pub(crate) fn look(host: &dyn Host, folder: &Path) -> Result<Sign> {
    let Some(seen) = host.look(&folder.join(LOCK))? else {
        return Ok(Sign::Gone);
    };
    let mut lines = seen.text.lines();
    let record = RunRecord {
        vm: lines.next().unwrap_or_default().to_owned(),
        origin: lines.next().unwrap_or_default().to_owned(),
        socket: lines.next().unwrap_or_default().into(),
    };
    Ok(match seen.is_held {
        true => Sign::Alive(record),
        false => Sign::Dead(record),
    })
}

/// The folders of runs below a base.
pub(crate) fn folders(host: &dyn Host, base: &Path) -> Result<Vec<PathBuf>> {
    host.folders(base, CHECKPOINT_PREFIX)
}

/// Whether the last part of the path carries our prefix.
pub(crate) fn is_ours(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT_PREFIX))
}

/// Whether a dead run may have left its guest frozen.
pub(crate) fn was_frozen(host: &dyn Host, folder: &Path) -> Result<bool> {
    Ok(host.kind(&folder.join(FROZEN))? != FileKind::Absent)
}

/// Removes a run's folder and socket.
pub(crate) fn remove(host: &dyn Host, folder: &Path, socket: &Path) -> Result<()> {
    host.remove_run(folder, Some(socket).filter(|it| is_ours(it)))
}
