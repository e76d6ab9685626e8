//! A disk that is made at another host, through a QEMU server there that writes it.
//!
//! Order: the server has written everything and has ended, then the file gets its name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use lifeboat_disk::{DiskWriter, Error as DiskError, ImageFormat};
use lifeboat_model::ErrorKind;
use lifeboat_nbd::{Address, Client, ClientOptions, Durability, RetryRule, Zeroing};
use lifeboat_platform::{Error, Result};

use super::Ssh;
use super::images::{EXPORT, Served, Sharing, described};
use crate::host::Host;

/// Threads that write at the same time without waiting for each other.
const CONNECTIONS: usize = 4;
/// Zeros that are sent where the server cannot make them.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Makes an empty image in a new file.
const CREATE: &str = "
[ ! -e \"$4\" ] && [ ! -L \"$4\" ] || { echo \"$4: File exists\" >&2; exit 1; }
rm -f -- \"$1\"; set -C; : > \"$1\" || exit 1; set +C
qemu-img create -q -f \"$2\" -- \"$1\" \"$3\" >&2 || { rm -f -- \"$1\"; exit 1; }
";
/// Gives a finished file its name, where nothing has that name meanwhile.
const NAME: &str = "
sync -- \"$1\" && mv -nT -- \"$1\" \"$2\" || exit 1
[ ! -e \"$1\" ] || { echo \"$2: File exists\" >&2; exit 1; }
sync -- \"${2%/*}/\"
";
/// Refuses a device that something uses, and says how many bytes it has.
const CLAIM: &str = "
used=$(lsblk -nro MOUNTPOINT -- \"$1\") && kinds=$(lsblk -nro TYPE -- \"$1\") || exit 1
[ -z \"$(printf '%s' \"$used\" | tr -d '\\n')\" ] || { echo \"$1 is in use: mounted\" >&2; exit 1; }
set -- \"$1\" $kinds; first=1
for kind in \"$@\"; do
  case $first,$kind in 1,* | 2,* | *,part) ;; *) echo \"$1 is in use: $kind\" >&2; exit 1 ;; esac
  first=$((first + 1))
done
exec blockdev --getsize64 \"$1\"
";

/// A disk being written at another host.
pub(super) struct ExportWriter {
    ssh: Ssh,
    /// Its final place.
    path: PathBuf,
    /// Where it is until then; nothing for a device.
    part: Option<PathBuf>,
    size: u64,
    /// Nothing when it is finished or given up.
    open: RwLock<Option<Opened>>,
}

struct Opened {
    // Dropped first: the server ends after its last connection.
    client: Client,
    served: Served,
}

impl ExportWriter {
    pub(super) fn create(ssh: &Ssh, path: &Path, size: u64, format: ImageFormat) -> Result<Self> {
        let part = part_of(path)?;
        let (kind, bytes) = (format.to_string(), size.to_string());
        let words = [
            part.as_os_str(),
            OsStr::new(&kind),
            OsStr::new(&bytes),
            path.as_os_str(),
        ];
        ssh.run(("making the disk", path), CREATE, &words)?;
        let opened = Opened::of(ssh, &part, format);
        let writer = Self {
            ssh: ssh.clone(),
            path: path.to_owned(),
            part: Some(part),
            size,
            open: RwLock::new(None),
        };
        match opened {
            Ok(opened) => {
                *writer.open.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
                Ok(writer)
            }
            Err(error) => {
                let _ = writer.give_up();
                Err(error)
            }
        }
    }

    pub(super) fn overwrite(ssh: &Ssh, path: &Path, size: u64) -> Result<Self> {
        let said = ssh.run(("opening the device", path), CLAIM, &[path.as_os_str()])?;
        let there: Option<u64> = String::from_utf8_lossy(&said).trim().parse().ok();
        if there.is_none_or(|there| there < size) {
            let bytes = there.unwrap_or(0);
            let error = Error::new(
                ErrorKind::Invalid,
                "opening the device",
                path.display().to_string(),
            );
            return Err(error.seen(format!(
                "the device has {bytes} bytes, the disk needs {size}"
            )));
        }
        let opened = Opened::of(ssh, path, ImageFormat::Raw)?;
        Ok(Self {
            ssh: ssh.clone(),
            path: path.to_owned(),
            part: None,
            size,
            open: RwLock::new(Some(opened)),
        })
    }

    /// Does something with the open disk.
    fn with(
        &self,
        doing: &'static str,
        (offset, length): (u64, u64),
        work: impl FnOnce(&Client) -> lifeboat_nbd::Result<()>,
    ) -> lifeboat_disk::Result<()> {
        let failed = |kind| DiskError::new(kind, doing, &self.path).at(offset);
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(failed(ErrorKind::Invalid).seen("it ends beyond the disk"));
        }
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_ref().ok_or_else(|| {
            failed(ErrorKind::Invalid).seen("the disk is finished or has been given up")
        })?;
        work(&open.client).map_err(|cause| failed(cause.kind()).because(cause))
    }

    fn take(&self) -> Option<Opened> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.take()
    }

    fn close_and_name(&self, opened: Opened) -> Result<()> {
        let Opened { client, served } = opened;
        drop(client);
        served.end(&self.path)?;
        let Some(part) = &self.part else {
            return Ok(());
        };
        let words = [part.as_os_str(), self.path.as_os_str()];
        self.ssh
            .run(("naming the disk", &self.path), NAME, &words)
            .map(|_| ())
    }
}

impl Opened {
    fn of(ssh: &Ssh, path: &Path, format: ImageFormat) -> Result<Self> {
        let mut image = described(ssh, path, format, Sharing::Alone)?;
        if let Some(image) = image.as_object_mut() {
            image.insert("discard".into(), "unmap".into());
        }
        let served = Served::start(ssh, path, &["--discard=unmap"], &image)?;
        let options = ClientOptions {
            connections_max: CONNECTIONS,
            // What was written before would be in doubt.
            retry: RetryRule {
                attempts_max: 0,
                ..RetryRule::default()
            },
            ..ClientOptions::default()
        };
        let client = Client::connect(&Address::unix(served.socket(), EXPORT), options);
        match client {
            Ok(client) => Ok(Self { client, served }),
            Err(cause) => {
                let complaints = served.complaints();
                // What it says is complete when it has ended.
                drop(served);
                let shown = path.display().to_string();
                let error = Error::new(cause.kind(), "opening the disk", shown).because(cause);
                Err(Served::failed(&complaints, path, error))
            }
        }
    }
}

/// The name under which a file is written until it is complete.
fn part_of(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        let error = Error::new(
            ErrorKind::Invalid,
            "making the disk",
            path.display().to_string(),
        );
        error.seen("it has no name")
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".lifeboat-part");
    Ok(path.with_file_name(hidden))
}

impl DiskWriter for ExportWriter {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> lifeboat_disk::Result<()> {
        self.with("writing", (offset, bytes.len() as u64), |client| {
            client.write_at(offset, bytes, Durability::Cached)
        })
    }

    fn zero_at(&self, offset: u64, length: u64) -> lifeboat_disk::Result<()> {
        self.with("zeroing", (offset, length), |client| {
            if client.facts().can_write_zeroes {
                return client.zero(offset, length, Zeroing::MayFreeRoom, Durability::Cached);
            }
            let end = offset + length;
            let mut at = offset;
            while at < end {
                let step = (end - at).min(ZEROS.len() as u64);
                let zeros = usize::try_from(step).ok().and_then(|it| ZEROS.get(..it));
                client.write_at(at, zeros.unwrap_or(&ZEROS), Durability::Cached)?;
                at += step;
            }
            Ok(())
        })
    }

    fn finish(&self) -> lifeboat_disk::Result<()> {
        self.with("making durable", (0, 0), Client::flush)?;
        let failed = |error: Error| {
            DiskError::new(error.kind(), "making durable", &self.path).seen(error.to_string())
        };
        match self.take() {
            Some(opened) => self.close_and_name(opened).map_err(failed),
            None => Ok(()),
        }
    }

    fn give_up(&self) -> lifeboat_disk::Result<()> {
        drop(self.take());
        let Some(part) = &self.part else {
            return Ok(());
        };
        self.ssh.remove_file(part).map_err(|error| {
            DiskError::new(error.kind(), "removing", &self.path).seen(error.to_string())
        })
    }

    fn is_blank(&self) -> bool {
        self.part.is_some()
    }

    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        let range = (offset, buffer.len() as u64);
        self.with("reading back", range, |client| {
            client.read_into(offset, buffer)
        })
    }
}
