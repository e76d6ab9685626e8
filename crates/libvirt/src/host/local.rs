//! This host.

mod image;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::{
    BlockDeviceWriter, DiskReader, DiskWriter, ImageFormat, Qcow2Writer, Qcow2WriterOptions,
    RawWriter, RawWriterOptions, TargetMode, open_reader,
};
use lifeboat_model::Clock;
use lifeboat_platform::{Error, Result};
use rustix::fs::FlockOperation;

use super::{FileKind, HeldLock, Host, Image, Reached, SeenLock, Watched};

const PAUSE: Duration = Duration::from_millis(500);
/// Limit: bytes of a lock file that are read.
const LOCK_BYTES_MAX: u64 = 4096;

/// This host.
pub(crate) struct LocalHost;

/// Locked as long as it is open.
struct LockFile {
    _file: File,
}

impl HeldLock for LockFile {
    fn is_held(&self) -> bool {
        true
    }
}

impl Host for LocalHost {
    fn user_folder(&self, variable: &'static str, usual: &'static str) -> Result<PathBuf> {
        let set = std::env::var_os(variable).map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(usual);
        Ok(set.filter(|path| path.is_absolute()).unwrap_or_else(home))
    }

    fn kind(&self, path: &Path) -> Result<FileKind> {
        let Ok(found) = fs::metadata(path) else {
            return Ok(FileKind::Absent);
        };
        let kind = found.file_type();
        Ok(match () {
            () if kind.is_dir() => FileKind::Folder,
            () if kind.is_block_device() => FileKind::Device,
            () => FileKind::Other,
        })
    }

    fn folders(&self, above: &Path, beginning: &str) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(above).into_iter().flatten().flatten();
        let named = entries.filter(|it| it.file_name().to_string_lossy().starts_with(beginning));
        Ok(named.map(|it| it.path()).filter(|it| it.is_dir()).collect())
    }

    fn make_folder(&self, above: &Path, path: &Path) -> Result<()> {
        let failed = |path: &Path| {
            let shown = path.display().to_string();
            move |e| Error::io("making the folder", shown.clone(), e)
        };
        let mut builder = DirBuilder::new();
        builder.mode(0o711);
        if !above.is_dir() {
            builder
                .recursive(true)
                .create(above)
                .map_err(failed(above))?;
            builder.recursive(false);
        }
        builder.create(path).map_err(failed(path))?;
        let owned = take_owner(above, path).map_err(failed(path));
        if owned.is_err() {
            let _ = fs::remove_dir(path);
        }
        owned
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> Result<()> {
        let failed = |e| Error::io("writing", path.display().to_string(), e);
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let mut made = made.map_err(failed)?;
        let written = made
            .write_all(content)
            .and_then(|()| made.sync_all())
            .map_err(failed)
            .and_then(|()| self.hand_over(path));
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        written
    }

    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
        let failed = |e| Error::io("reading", path.display().to_string(), e);
        let mut content = Vec::new();
        let file = File::open(path).map_err(failed)?;
        let read = file.take(bytes_max + 1).read_to_end(&mut content);
        read.map_err(failed)?;
        super::refuse_large(path, content, bytes_max)
    }

    fn hand_over(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        take_owner(folder, path)
            .map_err(|e| Error::io("handing over", path.display().to_string(), e))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        ignore_absent(fs::remove_file(path))
            .map_err(|e| Error::io("removing", path.display().to_string(), e))
    }

    fn remove_run(&self, folder: &Path, socket: Option<&Path>) -> Result<()> {
        let is_socket =
            |path: &&Path| fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
        if let Some(socket) = socket.filter(is_socket) {
            self.remove_file(socket)?;
        }
        ignore_absent(fs::remove_dir_all(folder))
            .map_err(|e| Error::io("removing", folder.display().to_string(), e))
    }

    fn free_bytes(&self, path: &Path) -> Result<u64> {
        let room = rustix::fs::statvfs(path)
            .map_err(|e| Error::io("asking the free space of", path.display().to_string(), e))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn hold(&self, path: &Path, text: &str) -> Result<Box<dyn HeldLock>> {
        let failed = |e| Error::io("making", path.display().to_string(), e);
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = file.map_err(failed)?;
        // Waits for whoever looks at it just now.
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(Box::new(LockFile { _file: file }))
    }

    fn look(&self, path: &Path) -> Result<Option<SeenLock>> {
        let Ok(mut file) = File::open(path) else {
            return Ok(None);
        };
        let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut text = String::new();
        let read = Read::by_ref(&mut file)
            .take(LOCK_BYTES_MAX)
            .read_to_string(&mut text);
        Ok(read.is_ok().then_some(SeenLock {
            text,
            is_held: !free,
        }))
    }

    fn reach(&self, socket: &Path) -> Result<Reached> {
        Ok(Reached {
            socket: socket.to_owned(),
            advice: "the backup job has ended; see whether its machine still runs",
            _way: None,
        })
    }

    fn pause(&self) -> Duration {
        PAUSE
    }

    fn watch(&self, clock: &dyn Clock, path: &Path) -> Result<Box<dyn Watched>> {
        Ok(Box::new(image::StillImage::watch(clock, path)?))
    }

    fn image(&self, path: &Path, format: ImageFormat, backing: &Path) -> Result<Box<dyn Image>> {
        Ok(Box::new(image::LocalImage::of(path, format, backing)?))
    }

    fn make_disk(
        &self,
        path: &Path,
        size: u64,
        format: ImageFormat,
    ) -> Result<Arc<dyn DiskWriter>> {
        Ok(match format {
            ImageFormat::Raw => {
                let options = RawWriterOptions::new(TargetMode::New);
                Arc::new(RawWriter::create(path, size, options)?)
            }
            ImageFormat::Qcow2 => {
                let options = Qcow2WriterOptions::new(TargetMode::New);
                Arc::new(Qcow2Writer::create(path, size, &options)?)
            }
        })
    }

    fn overwrite_device(&self, path: &Path, size: u64) -> Result<Arc<dyn DiskWriter>> {
        Ok(Arc::new(BlockDeviceWriter::open(path, size)?))
    }

    fn read_disk(&self, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>> {
        Ok(open_reader(
            path,
            format,
            &lifeboat_disk::OpenOptions::default(),
        )?)
    }
}

/// Whoever owns the folder must be able to use what is in it.
fn take_owner(folder: &Path, path: &Path) -> std::io::Result<()> {
    let (above, made) = (fs::metadata(folder)?, fs::metadata(path)?);
    if above.uid() == made.uid() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(above.uid()), Some(above.gid()))
}

fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
