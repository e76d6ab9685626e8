//! Arguments of commands about machines on a platform.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::RescueArguments;

/// Where machines run.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlatformArguments {
    /// The platform: a libvirt URI as in qemu:///system or qemu+ssh://host/system, or the same
    /// after lvm+ for machines on volumes; for this computer lvm:GROUP/VOLUME,..., plain:/path,...
    /// or self:; or @NAME of the configuration. Else what LIFEBOAT_PLATFORM says, else
    /// qemu:///system
    #[arg(short = 'P', long = "platform", value_name = "URI")]
    pub(crate) platform: Option<String>,
}

/// Which machines: names, patterns as in web*, tag:KEY=VALUE, id:ID.
#[derive(Clone, Debug, Args)]
pub(crate) struct SelectionArguments {
    /// Machines: names, patterns as in 'web*', tag:KEY=VALUE or id:ID; all unless given
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Leave these machines out, written the same way
    #[arg(long = "all-but", value_name = "MACHINE")]
    pub(crate) all_but: Vec<String>,
}

/// `machine`
#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// List the machines of a platform with their disks
    Ls(MachineLsArguments),
    /// Back up machines while they run
    Backup(MachineBackupArguments),
    /// Bring a machine back, here or elsewhere
    Recover(MachineRecoverArguments),
}

/// `machine ls`
#[derive(Debug, Args)]
pub(crate) struct MachineLsArguments {
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
}

/// `machine backup`
#[derive(Clone, Debug, Args)]
pub(crate) struct MachineBackupArguments {
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// The job: @NAME of the configuration, which also says from where and where to; or a file
    /// with selection, hooks, limits (TOML); arguments add to it
    #[arg(short = 'j', long, value_name = "@NAME|FILE")]
    pub(crate) job: Option<PathBuf>,
    /// Only this disk of every machine
    #[arg(long = "only-disk", value_name = "DISK")]
    pub(crate) only_disk: Vec<String>,
    /// Leave this disk of every machine out
    #[arg(long = "all-disks-but", value_name = "DISK")]
    pub(crate) all_disks_but: Vec<String>,
    /// Freeze the guests' file systems: never, if_possible (usual), required
    #[arg(long, value_name = "WORD")]
    pub(crate) quiesce: Option<String>,
    /// Where the platform keeps what guests overwrite meanwhile
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    /// Machines at the same time
    #[arg(long, value_name = "N")]
    pub(crate) parallel: Option<u32>,
    /// Bytes per second to read from disks, as in 100M
    #[arg(long, value_name = "RATE")]
    pub(crate) bandwidth: Option<String>,
    /// A tag for the snapshots
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// Store the files inside the disks as an ordinary snapshot of files, instead of the disks
    #[arg(long)]
    pub(crate) files: bool,
    /// Of the files only these, by path from the machine's root; implies --files
    #[arg(long, value_name = "PATH")]
    pub(crate) source: Vec<String>,
    /// Of the files none that fit, as in '*.cache' or /var/tmp; implies --files
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
    /// Read everything, whatever is known to be unchanged
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Only show which machines and disks are meant
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `machine recover`
#[derive(Debug, Args)]
pub(crate) struct MachineRecoverArguments {
    /// The machine, with a time or a snapshot after @ if not the latest is meant
    #[arg(value_name = "MACHINE[@POINT]")]
    pub(crate) machine: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
    /// The new machine's name; its old one unless given
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where disks go: pool:NAME, /folder/, or /path/of/file
    #[arg(long, value_name = "PLACE", default_value = "pool:default")]
    pub(crate) to: String,
    /// Where one disk goes, as in vda=/dev/vg/web01
    #[arg(long, value_name = "DISK=PLACE")]
    pub(crate) place: Vec<String>,
    /// Only this disk
    #[arg(long = "only-disk", value_name = "DISK")]
    pub(crate) only_disk: Vec<String>,
    /// A network by another name, as in lan=br0; OLD= disconnects
    #[arg(long, value_name = "OLD=NEW")]
    pub(crate) network: Vec<String>,
    /// UUID and MAC addresses: keep-if-free, new, keep
    #[arg(long, value_name = "WORD", default_value = "keep-if-free")]
    pub(crate) identity: String,
    /// Set a machine of the same name aside; it is removed when the new one is proven
    #[arg(long)]
    pub(crate) replace: bool,
    /// Start the machine
    #[arg(long)]
    pub(crate) start: bool,
    /// Read every disk back and compare it
    #[arg(long)]
    pub(crate) verify: bool,
    /// Hooks, from @NAME of the configuration or a file: pre_recovery, end_recovery (inside the
    /// restored disks, in a rescue VM), post_recovery (TOML)
    #[arg(short = 'j', long, value_name = "@NAME|FILE")]
    pub(crate) job: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rescue: RescueArguments,
    /// Only show the plan
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}
