//! Arguments of commands that keep a repository in order.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::data::FilterArguments;

/// `init`
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Chunk sizes: smallest, mean gap to the next cut, largest
    #[arg(long, value_name = "MIN,GAP,MAX")]
    pub(crate) chunk_sizes: Option<String>,
    /// Cut as the repository given by --from-repo does, so that copies share data
    #[arg(long)]
    pub(crate) copy_chunker_params: bool,
    #[command(flatten)]
    pub(crate) from: FromArguments,
}

/// A second repository to read from.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Source repository")]
pub(crate) struct FromArguments {
    /// Repository to read from: its place, or @NAME of the configuration
    #[arg(
        long = "from-repo",
        value_name = "PLACE",
        env = "RESTIC_FROM_REPOSITORY"
    )]
    pub(crate) from_repository: Option<String>,
    /// Read its password from a file
    #[arg(long, value_name = "FILE", env = "RESTIC_FROM_PASSWORD_FILE")]
    pub(crate) from_password_file: Option<PathBuf>,
    /// Read its password from the output of a command
    #[arg(long, value_name = "COMMAND", env = "RESTIC_FROM_PASSWORD_COMMAND")]
    pub(crate) from_password_command: Option<String>,
}

/// `prune`
#[derive(Clone, Debug, Args)]
pub(crate) struct PruneArguments {
    /// How long data that nobody needs stays before it is removed, as in 24h
    #[arg(
        long,
        value_name = "SPAN",
        default_value = "24h",
        help_heading = "Pruning"
    )]
    pub(crate) grace: String,
    /// Remove at once; needs the repository for itself
    #[arg(long, help_heading = "Pruning")]
    pub(crate) instant: bool,
    /// Allow so much unneeded data in packs that are needed: 5%, 2G, unlimited
    #[arg(
        long,
        value_name = "LIMIT",
        default_value = "5%",
        help_heading = "Pruning"
    )]
    pub(crate) max_unused: String,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `check`
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Read all data too, as 'verify' does
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Read a share of the data: n/t, x%, or a size
    #[arg(long, value_name = "SUBSET", conflicts_with = "read_data")]
    pub(crate) read_data_subset: Option<String>,
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Read only a share of the data: n/t, x%, or a size
    #[arg(long, value_name = "SUBSET")]
    pub(crate) read_data_subset: Option<String>,
    /// Read everything of this snapshot, and nothing else: an id, or latest
    #[arg(
        short = 's',
        long,
        value_name = "SNAPSHOT",
        conflicts_with_all = ["read_data_subset", "root"]
    )]
    pub(crate) snapshot: Option<String>,
    /// Prove a restored or copied file or folder against this root (tree id) or snapshot
    #[arg(long, value_name = "ROOT", requires = "target")]
    pub(crate) root: Option<String>,
    /// The restored machine folder, or a disk's file with --disk
    #[arg(short = 't', long, value_name = "PATH", requires = "root")]
    pub(crate) target: Option<PathBuf>,
    /// Only this disk
    #[arg(short = 'd', long, value_name = "DISK", requires = "root")]
    pub(crate) disk: Option<String>,
    /// Format of the target's disks: raw or qcow2
    #[arg(long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) target_format: String,
}

/// `repair`
#[derive(Debug, Subcommand)]
pub(crate) enum RepairCommand {
    /// Build the index anew from the packs
    Index {
        /// Read the header of every pack, trust no index
        #[arg(long)]
        read_all_packs: bool,
        /// Show what would be done, and do nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Replace lost data in snapshots by zeros, and say exactly what is lost
    Snapshots {
        /// Keep the damaged snapshots too
        #[arg(long)]
        keep: bool,
        /// Show what would be done, and do nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Save what is sound out of damaged packs
    Packs {
        /// Packs to repair; all damaged ones are looked for unless given
        #[arg(value_name = "PACK")]
        packs: Vec<String>,
        /// Show what would be done, and do nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

/// `copy`
#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// Only snapshots of this job: @NAME of the configuration
    #[arg(short = 'j', long, value_name = "@NAME")]
    pub(crate) job: Option<String>,
    /// Only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    #[command(flatten)]
    pub(crate) from: FromArguments,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `export`
#[derive(Debug, Args)]
pub(crate) struct ArchiveExportArguments {
    /// Snapshots: ids, or latest; all unless given
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// The archive file to make
    #[arg(short = 't', long, value_name = "FILE")]
    pub(crate) target: PathBuf,
    /// Read the archive's own password from a file; the repository's password unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) archive_password_file: Option<PathBuf>,
    /// Leave out the machine's description, tags and names: disks only
    #[arg(long)]
    pub(crate) without_metadata: bool,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `import`
#[derive(Debug, Args)]
pub(crate) struct ArchiveImportArguments {
    /// The archive file to read
    #[arg(value_name = "FILE")]
    pub(crate) archive: PathBuf,
    /// Only these snapshots of the archive
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Read the archive's own password from a file; the repository's password unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) archive_password_file: Option<PathBuf>,
    /// Give machines without a name in the archive this one
    #[arg(long, value_name = "NAME")]
    pub(crate) as_machine: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `catalog`
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Write the list of snapshots, machines, disks, sizes and roots as JSON
    Export {
        #[command(flatten)]
        filter: FilterArguments,
        /// File to write; standard output unless given
        #[arg(short = 't', long, value_name = "FILE")]
        target: Option<PathBuf>,
    },
    /// Bring back snapshot records that the repository has lost and whose data is still there
    Import {
        /// File that 'catalog export' wrote
        #[arg(value_name = "FILE")]
        catalog: PathBuf,
        /// Show what would be done, and do nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Compare a catalog with this repository
    Compare {
        /// File that 'catalog export' wrote
        #[arg(value_name = "FILE")]
        catalog: PathBuf,
    },
    /// Take the rows of the service's former catalog (runs, audit log, accounts) over into the
    /// configured one, which is empty; the service stands still meanwhile
    Move {
        /// The former catalog: sqlite:/path or postgresql://user@host/database
        #[arg(value_name = "CATALOG")]
        from: String,
        /// Read the former one's password from the first line of this file
        #[arg(long, value_name = "FILE")]
        password_from: Option<PathBuf>,
    },
}

/// `chain`
#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// Store a folder of full and incremental qcow2 files, one snapshot for each point in time
    Import {
        /// Folder with the files, and perhaps a checkpoints.json
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// The machine's name; from checkpoints.json unless given
        #[arg(short = 'm', long, value_name = "NAME")]
        machine: Option<String>,
        /// The disk's name
        #[arg(short = 'd', long, value_name = "DISK", default_value = "vda")]
        disk: String,
        /// Show what would be done, and do nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Write one snapshot as a full qcow2, or several as a chain that qemu-img accepts
    Export {
        /// Snapshots, oldest first; latest unless given
        #[arg(value_name = "SNAPSHOT")]
        ids: Vec<String>,
        #[command(flatten)]
        filter: FilterArguments,
        /// The disk
        #[arg(short = 'd', long, value_name = "DISK", default_value = "vda")]
        disk: String,
        /// Folder to write to
        #[arg(short = 't', long, value_name = "FOLDER")]
        target: PathBuf,
        /// Compress with zstd
        #[arg(long)]
        compress: bool,
    },
    /// Turn a chain into one compressed disk
    Merge {
        /// The last file of the chain
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// File to write
        #[arg(short = 't', long, value_name = "FILE")]
        target: PathBuf,
        /// Backing files lie below this folder; the folder of FILE unless given
        #[arg(long, value_name = "FOLDER")]
        allow_backing: Option<PathBuf>,
        /// Do not compress
        #[arg(long)]
        no_compress: bool,
    },
}

/// `key`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List keys
    List,
    /// Add a password
    Add {
        /// Read the new password from a file; asks for it unless given
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Remove a key
    Remove {
        /// Its id, or the beginning of it
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Replace the password in use
    Passwd {
        /// Read the new password from a file; asks for it unless given
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
}

/// `unlock`
#[derive(Debug, Args)]
pub(crate) struct UnlockArguments {
    /// Remove all locks, also those of living processes
    #[arg(long)]
    pub(crate) remove_all: bool,
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// snapshots, packs, index, keys, locks or blobs
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
}

/// `cat`
#[derive(Debug, Args)]
pub(crate) struct CatArguments {
    /// config, masterkey, snapshot, index, key, lock, pack, blob or tree
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
    /// Its id, or the beginning of it; for a tree also SNAPSHOT:PATH
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
}

/// `completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// `man`
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Folder for the pages; the page of lifeboat goes to standard output unless given
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}
