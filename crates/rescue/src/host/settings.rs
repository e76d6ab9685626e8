//! What the caller chooses.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_model::ErrorKind;

use crate::{Error, Result};

/// A disk for the rescue VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The machine's own name for it, as in `vda`: names of volumes begin with it.
    pub name: String,
    /// Where its bytes are.
    pub place: DiskPlace,
}

/// Where the bytes of a disk are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskPlace {
    /// An export of an NBD server on a Unix socket.
    Nbd {
        /// The server's socket.
        socket: PathBuf,
        /// The export's name; may be empty.
        export: String,
    },
    /// A file or block device of this host that nobody else uses meanwhile.
    Local {
        /// The file or device.
        path: PathBuf,
        /// How the disk is kept there: what the file says of itself is not believed.
        format: DiskFormat,
        /// Bytes of the guest's view.
        bytes: u64,
    },
}

/// How a disk is kept in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's format, without a backing file.
    Qcow2,
}

impl Disk {
    /// A disk by its URI, as in `nbd+unix:///EXPORT?socket=PATH`.
    ///
    /// Errors: `Invalid` for any other form.
    pub fn from_uri(name: &str, uri: &str) -> Result<Self> {
        let parts = uri
            .strip_prefix("nbd+unix:///")
            .and_then(|rest| rest.split_once("?socket="));
        let decoded = parts
            .and_then(|(export, socket)| Some((percent_decoded(export)?, percent_decoded(socket)?)))
            .filter(|(_, socket)| !socket.is_empty() && !socket.contains('&'));
        let (export, socket) = decoded.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "reading the URI", uri)
                .seen("it is not nbd+unix:///EXPORT?socket=PATH")
        })?;
        Ok(Self {
            name: name.into(),
            place: DiskPlace::Nbd {
                socket: socket.into(),
                export,
            },
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What becomes of what is written to the disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The disks are opened read-only; writes go to a throwaway layer. Volumes are mounted
    /// read-only.
    Read,
    /// The disks are written, and volumes mounted writable: for commands inside restored systems.
    Write,
}

/// What runs the rescue VM's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor where it can, else an emulator; what failed is remembered until the host
    /// boots anew.
    #[default]
    Automatic,
    /// The processor.
    Kvm,
    /// An emulator; needs no rights.
    Emulator,
}

/// How long is waited. Only time in which this process runs counts: a laptop that slept, or a
/// group of processes that stood still, is no reason to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the rescue VM to boot.
    pub boot: Duration,
    /// For the next sign of life in an answer.
    pub silence: Duration,
    /// For the next news in an answer, while there are signs of life: reading a large file
    /// of zeros takes its time.
    pub progress: Duration,
    /// For an answer as a whole; none for any time.
    pub answer: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            // On a host that is busy with other things an emulator boots ten times slower.
            boot: Duration::from_secs(180),
            silence: Duration::from_secs(120),
            progress: Duration::from_secs(4 * 3600),
            answer: None,
        }
    }
}

/// How a rescue VM is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A private folder in which packed initramfs images are kept for the next start.
    pub cache: PathBuf,
    /// Root of the system whose kernel and modules are taken: `/`, except in tests.
    pub system: PathBuf,
    /// A kernel, instead of the best that is found.
    pub kernel: Option<PathBuf>,
    /// The program that runs inside, instead of this one. It must call [`crate::enter`].
    pub program: Option<PathBuf>,
    /// QEMU, instead of the one in `PATH`.
    pub qemu: Option<PathBuf>,
    /// What runs its instructions.
    pub accelerator: Accelerator,
    /// Its memory.
    pub memory_mib: u32,
    /// How much the throwaway layer of one disk may hold.
    pub layer_bytes_max: u64,
    /// How long is waited.
    pub patience: Patience,
}

impl Settings {
    /// Everything as usual, with that cache.
    pub fn new(cache: &Path) -> Self {
        Self {
            cache: cache.to_owned(),
            system: PathBuf::from("/"),
            kernel: None,
            program: None,
            qemu: None,
            accelerator: Accelerator::Automatic,
            memory_mib: 512,
            // A journal of XFS has at most 2 GiB.
            layer_bytes_max: 4 << 30,
            patience: Patience::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_socket_and_export() {
        let disk = Disk::from_uri("vda", "nbd+unix:///a%2Fb?socket=/run/x%20y/s").unwrap();
        let place = DiskPlace::Nbd {
            socket: "/run/x y/s".into(),
            export: "a/b".into(),
        };
        assert_eq!(disk.place, place);
        for uri in [
            "nbd://host/x",
            "nbd+unix:///x",
            "nbd+unix:///x?socket=",
            "nbd+unix:///%g?socket=a",
        ] {
            assert_eq!(
                Disk::from_uri("vda", uri).unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
    }
}
