//! Arguments of commands that look into snapshots of machines without restoring them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `nbd`
#[derive(Debug, Args)]
pub(crate) struct NbdArguments {
    /// The machine, with a time or a snapshot after @ if not the latest is meant
    #[arg(value_name = "MACHINE[@POINT]")]
    pub(crate) machine: String,
    /// Listen at this Unix socket
    #[arg(
        long,
        value_name = "PATH",
        required_unless_present = "listen",
        conflicts_with = "listen"
    )]
    pub(crate) socket: Option<PathBuf>,
    /// Listen at this address and port, as in 127.0.0.1:10809
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Serve under TLS by the certificates in this folder: server-cert.pem, server-key.pem, and
    /// ca-cert.pem if clients must have certificates too
    #[arg(long, value_name = "FOLDER")]
    pub(crate) tls: Option<PathBuf>,
    /// Let clients write; what they write is kept in this folder, the snapshot stays as it is
    #[arg(long, value_name = "FOLDER")]
    pub(crate) overlay: Option<PathBuf>,
}

/// `files`
#[derive(Debug, Subcommand)]
pub(crate) enum FilesCommand {
    /// List volumes, or the files at a path inside a machine's disks
    Ls(FilesLsArguments),
    /// Copy a file or folder out of a machine's disks
    Get(FilesGetArguments),
    /// Write a file inside a machine's disks to standard output
    Dump(FilesDumpArguments),
    /// Show the files inside a machine's disks as a read-only folder of this host
    Mount(FilesMountArguments),
}

/// How files are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct RescueArguments {
    /// The kernel for the rescue VM; the newest of this host unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// Memory of the rescue VM in MiB
    #[arg(long, value_name = "MIB", default_value = "512")]
    pub(crate) memory: u32,
}

/// `files ls`
#[derive(Debug, Args)]
pub(crate) struct FilesLsArguments {
    /// Machine and path, as in web01:/etc or web01@2026-11-20:vda1:/boot; without a path volumes
    #[arg(value_name = "MACHINE[@POINT][:PATH]")]
    pub(crate) place: OsString,
    /// Also list folders below, so many levels deep, up to 20000 entries
    #[arg(long, value_name = "LEVELS", default_value = "0")]
    pub(crate) depth: u32,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
}

/// `files get`
#[derive(Debug, Args)]
pub(crate) struct FilesGetArguments {
    /// Machine and path, as in web01:/etc/hosts
    #[arg(value_name = "MACHINE[@POINT]:PATH")]
    pub(crate) place: OsString,
    /// The folder to copy into; must exist
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
}

/// `files dump`
#[derive(Debug, Args)]
pub(crate) struct FilesDumpArguments {
    /// Machine and path, as in web01:/etc/hosts
    #[arg(value_name = "MACHINE[@POINT]:PATH")]
    pub(crate) place: OsString,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
}

/// `files mount`
#[derive(Debug, Args)]
pub(crate) struct FilesMountArguments {
    /// Machine and what of it: web01:/ is its own tree, web01:vda1 a volume, web01:/srv a folder;
    /// all volumes, one folder each, if only the machine is named
    #[arg(value_name = "MACHINE[@POINT][:VOLUME][:/PATH]")]
    pub(crate) place: OsString,
    /// An empty folder to mount upon
    #[arg(value_name = "MOUNTPOINT")]
    pub(crate) mountpoint: PathBuf,
    /// Let all users of this host look in, each as far as owners and modes inside let him
    #[arg(long)]
    pub(crate) allow_other: bool,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
}
