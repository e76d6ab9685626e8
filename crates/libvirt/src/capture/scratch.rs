//! The folder of one run: what the guest overwrites meanwhile, the socket, signs of life.
//!
//! The folder is called `lifeboat-` and 16 digits of chance, and holds a file `lock` that the
//! run keeps locked: who can lock it knows that the run is dead.
//! That file says for which machine and origin the run was, and where its socket is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lifeboat_model::{Entropy, ErrorKind};
use lifeboat_platform::{CHECKPOINT_PREFIX, Error, Origin, Result, VmId};
use rustix::fs::FlockOperation;

use crate::access::Access;

/// Longest path of a unix socket, in bytes: the kernel's limit without the final NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
const LOCK: &str = "lock";
const FROZEN: &str = "frozen";
/// Limit: bytes of a lock file that are read.
const LOCK_BYTES_MAX: u64 = 4096;

/// The folder of a run that lives.
pub(crate) struct RunFolder {
    path: PathBuf,
    socket: PathBuf,
    /// Locked as long as this is open.
    _lock: File,
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
        let digits = digits(access.entropy.as_ref());
        let path = base.join(format!("{CHECKPOINT_PREFIX}{digits}"));
        make_base(base)?;
        let failed = |e| Error::io("making the folder", path.display().to_string(), e);
        DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .map_err(failed)?;
        let made = Made(&path);
        take_owner(base, &path).map_err(failed)?;
        let socket = socket_place(access, number)
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
        let lock = lock_file(&path, vm, origin, &socket).map_err(failed)?;
        std::mem::forget(made);
        Ok(Self {
            path,
            socket,
            _lock: lock,
        })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where the disk number `index` keeps what the guest overwrites.
    pub(crate) fn scratch(&self, index: usize) -> PathBuf {
        self.path.join(format!("disk-{index}"))
    }

    /// Notes that the guest may be frozen from now on, for whoever sweeps.
    pub(crate) fn note_frozen(&self) -> Result<()> {
        let path = self.path.join(FROZEN);
        File::create(&path)
            .map(|_| ())
            .map_err(|e| Error::io("writing", path.display().to_string(), e))
    }

    /// The guest is thawed for certain.
    pub(crate) fn note_thawed(&self) {
        // If it stays, the next sweep thaws once more, which does no harm.
        let _ = fs::remove_file(self.path.join(FROZEN));
    }

    /// Bytes that are free where the folder is.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        free_bytes(&self.path)
    }

    /// Removes the folder and the socket.
    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.path, &self.socket)
    }
}

/// Removes a folder whose making failed half way.
struct Made<'a>(&'a Path);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0);
    }
}

/// The usual place of scratch files.
pub(crate) fn usual_base(access: &Access) -> PathBuf {
    if let Some(base) = &access.options.scratch {
        return base.clone();
    }
    match access.is_session() {
        true => user_folder("XDG_DATA_HOME", ".local/share").join("libvirt/lifeboat"),
        false => PathBuf::from("/var/lib/libvirt/lifeboat"),
    }
}

fn user_folder(variable: &str, usual: &str) -> PathBuf {
    let set = std::env::var_os(variable).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(usual);
    set.filter(|path| path.is_absolute()).unwrap_or_else(home)
}

/// The folder for sockets: the stated one, else what libvirt keeps for the running machine.
fn socket_place(access: &Access, number: Option<u32>) -> Option<PathBuf> {
    if access.options.sockets.is_some() {
        return access.options.sockets.clone();
    }
    let all = match access.is_session() {
        true => user_folder("XDG_CONFIG_HOME", ".config").join("libvirt/qemu/lib"),
        false => PathBuf::from("/var/lib/libvirt/qemu"),
    };
    let beginning = format!("domain-{}-", number?);
    let entries = fs::read_dir(all).ok()?.flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&beginning))
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
}

pub(crate) fn make_base(base: &Path) -> Result<()> {
    let failed = |e| Error::io("making the folder", base.display().to_string(), e);
    if base.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(base)
        .map_err(failed)
}

/// Whoever owns the base must be able to write below it: the user of a session's daemon.
fn take_owner(base: &Path, path: &Path) -> std::io::Result<()> {
    let (above, made) = (fs::metadata(base)?, fs::metadata(path)?);
    if above.uid() == made.uid() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(above.uid()), Some(above.gid()))
}

fn lock_file(path: &Path, vm: &VmId, origin: &Origin, socket: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path.join(LOCK))?;
    // Waits for whoever looks at it just now.
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    let text = format!("{}\n{origin}\n{}\n", vm.as_str(), socket.display());
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn digits(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are free for everybody.
pub(crate) fn free_bytes(path: &Path) -> Result<u64> {
    let room = rustix::fs::statvfs(path)
        .map_err(|e| Error::io("asking the free space of", path.display().to_string(), e))?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Looks whether the run of a folder lives.
pub(crate) fn look(folder: &Path) -> Sign {
    let Ok(mut file) = File::open(folder.join(LOCK)) else {
        return Sign::Gone;
    };
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let mut text = String::new();
    let read = Read::by_ref(&mut file)
        .take(LOCK_BYTES_MAX)
        .read_to_string(&mut text);
    let mut lines = text.lines();
    let record = RunRecord {
        vm: lines.next().unwrap_or_default().to_owned(),
        origin: lines.next().unwrap_or_default().to_owned(),
        socket: lines.next().unwrap_or_default().into(),
    };
    match (read, locked) {
        (Ok(_), true) => Sign::Dead(record),
        (Ok(_), false) => Sign::Alive(record),
        (Err(_), _) => Sign::Gone,
    }
}

/// The folders of runs below a base.
pub(crate) fn folders(base: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let named = entries.filter(|it| is_ours(Path::new(&it.file_name())));
    named.map(|it| it.path()).filter(|it| it.is_dir()).collect()
}

/// Whether the last part of the path carries our prefix.
pub(crate) fn is_ours(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT_PREFIX))
}

/// Whether a dead run may have left its guest frozen.
pub(crate) fn was_frozen(folder: &Path) -> bool {
    folder.join(FROZEN).exists()
}

/// Removes a run's folder and socket.
pub(crate) fn remove(folder: &Path, socket: &Path) -> Result<()> {
    let is_socket = fs::symlink_metadata(socket).is_ok_and(|it| it.file_type().is_socket());
    if is_ours(socket) && is_socket {
        ignore_absent(fs::remove_file(socket))
            .map_err(|e| Error::io("removing", socket.display().to_string(), e))?;
    }
    ignore_absent(fs::remove_dir_all(folder))
        .map_err(|e| Error::io("removing", folder.display().to_string(), e))
}

fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
