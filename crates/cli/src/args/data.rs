//! Arguments of commands that store, show and bring back data.

use std::path::PathBuf;

use clap::Args;

/// Which snapshots: by id, by machine, by tag, by path.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct FilterArguments {
    /// Only snapshots of this machine or host
    #[arg(
        short = 'H',
        long = "machine",
        visible_alias = "host",
        value_name = "NAME"
    )]
    pub(crate) machine: Vec<String>,
    /// Only snapshots with all of these tags, separated by commas
    #[arg(long, value_name = "TAGS")]
    pub(crate) tag: Vec<String>,
    /// Only snapshots of this path
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<String>,
}

/// One snapshot: `latest`, an id, or the last one at a time.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PointArguments {
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// The last snapshot at or before this time, as in 2026-11-20T03:00
    #[arg(long, value_name = "TIME", help_heading = "Selection")]
    pub(crate) at: Option<String>,
}

/// `backup`
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The machine's name
    #[arg(short = 'm', long, value_name = "NAME")]
    pub(crate) machine: String,
    /// The machine's id on its platform, if it has one
    #[arg(long, value_name = "ID")]
    pub(crate) machine_id: Option<String>,
    /// A disk and the file or device that holds it; once for every disk
    #[arg(short = 'd', long = "disk", value_name = "DISK=PATH", required = true)]
    pub(crate) disk: Vec<String>,
    /// The format of a disk's file, never guessed: raw (usual) or qcow2
    #[arg(long = "format", value_name = "DISK=FORMAT")]
    pub(crate) format: Vec<String>,
    /// A file that describes the machine, stored beside its disks
    #[arg(long = "describe", value_name = "NAME=PATH")]
    pub(crate) describe: Vec<String>,
    /// Read only what this persistent bitmap of the disk's qcow2 file marks
    #[arg(long = "bitmap", value_name = "DISK=BITMAP")]
    pub(crate) bitmap: Vec<String>,
    /// Read only what this list marks: JSON of 'qemu-img map' or 'nbdinfo --map'
    #[arg(long = "changed", value_name = "DISK=FILE")]
    pub(crate) changed: Vec<String>,
    /// Read this internal snapshot of the disk's qcow2 file
    #[arg(long = "internal-snapshot", value_name = "DISK=NAME")]
    pub(crate) internal_snapshot: Vec<String>,
    /// Allow qcow2 backing files and external data files below this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_backing: Option<PathBuf>,
    /// The snapshot that bitmaps and lists count from; the machine's latest unless given
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) parent: Option<String>,
    /// Read everything, whatever is known to be unchanged
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// A tag for the snapshot
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// The time of the snapshot; now unless given
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Consistency of what the disks hold: crash, filesystem, application
    #[arg(long, value_name = "WORD", default_value = "crash")]
    pub(crate) consistency: String,
    /// Read and compute, but store nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `snapshots`
#[derive(Debug, Args)]
pub(crate) struct SnapshotsArguments {
    /// Only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Only the last N of each machine
    #[arg(long, value_name = "N")]
    pub(crate) latest: Option<usize>,
}

/// `ls`
#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// Snapshot: an id, or latest
    #[arg(default_value = "latest", value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Only below this path
    #[arg(value_name = "PATH")]
    pub(crate) below: Option<String>,
    #[command(flatten)]
    pub(crate) point: PointArguments,
    /// Show mode, owner, size and time
    #[arg(short = 'l', long)]
    pub(crate) long: bool,
}

/// `dump`
#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    /// Snapshot: an id, or latest
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// File in the snapshot, as in disks/vda.raw
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    #[command(flatten)]
    pub(crate) point: PointArguments,
    /// First byte, as in 0 or 512M
    #[arg(long, value_name = "SIZE")]
    pub(crate) offset: Option<String>,
    /// How many bytes
    #[arg(long, value_name = "SIZE")]
    pub(crate) length: Option<String>,
    /// Write to a file instead of standard output
    #[arg(short = 't', long, value_name = "FILE")]
    pub(crate) target: Option<PathBuf>,
}

/// `restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// Snapshot: an id, or latest
    #[arg(default_value = "latest", value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    #[command(flatten)]
    pub(crate) point: PointArguments,
    /// Only this disk; TARGET is then its file or device
    #[arg(short = 'd', long, value_name = "DISK")]
    pub(crate) disk: Option<String>,
    /// Folder for a whole machine or for files; file, device or - for one disk
    #[arg(short = 't', long, value_name = "TARGET")]
    pub(crate) target: PathBuf,
    /// Format of restored disks: raw, qcow2, or qcow2-compressed
    #[arg(long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) to_format: String,
    /// Replace a target that exists; it stays until the new one is complete
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Rewrite only what differs in a target that exists
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) in_place: bool,
    /// Read the target back at the end and compare it
    #[arg(long)]
    pub(crate) verify: bool,
    /// Only this path of the snapshot, or what a pattern with *, ? and ** fits; may be repeated
    #[arg(short = 'i', long, value_name = "PATH", conflicts_with = "disk")]
    pub(crate) include: Vec<String>,
    /// Leave this path or pattern out; may be repeated
    #[arg(short = 'e', long, value_name = "PATH", conflicts_with = "disk")]
    pub(crate) exclude: Vec<String>,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// Earlier snapshot
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) from: String,
    /// Later snapshot
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// List the changed byte ranges of files
    #[arg(long)]
    pub(crate) ranges: bool,
}

/// `find`
#[derive(Debug, Args)]
pub(crate) struct FindArguments {
    /// Name or pattern with * and ?
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Ignore case
    #[arg(short = 'i', long)]
    pub(crate) ignore_case: bool,
}

/// `stats`
#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// Only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
}

/// `tag`
#[derive(Debug, Args)]
pub(crate) struct TagArguments {
    /// Only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Replace all tags by these
    #[arg(long, value_name = "TAG", value_delimiter = ',', conflicts_with_all = ["add", "remove"])]
    pub(crate) set: Vec<String>,
    /// Add tags; pinned-until=2027-01-31 keeps snapshots until the end of that day
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(crate) add: Vec<String>,
    /// Remove tags
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(crate) remove: Vec<String>,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}
