//! Arguments of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Where the repository is, how to open it, how to speak.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Repository: a folder, local:FOLDER, or @NAME of the configuration
    #[arg(
        short = 'r',
        long = "repo",
        visible_alias = "repository",
        value_name = "PLACE",
        global = true
    )]
    pub(crate) repository: Option<String>,
    /// Read the repository's place from a file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) repository_file: Option<PathBuf>,
    /// Read the password from a file
    #[arg(short = 'p', long, value_name = "FILE", global = true)]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from the output of a command (program and arguments, no shell)
    #[arg(long, value_name = "COMMAND", global = true)]
    pub(crate) password_command: Option<String>,
    /// The configuration, where names with @ are looked up
    #[arg(
        long,
        value_name = "FILE",
        env = "LIFEBOAT_CONFIG",
        default_value = "/etc/lifeboat/lifeboat.toml",
        hide_env_values = true,
        global = true
    )]
    pub(crate) config: PathBuf,
    /// Speak JSON, one value a line; beside one document or file on standard output, all else
    /// goes to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say only results and failures
    #[arg(short = 'q', long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell details; twice for more
    #[arg(short = 'v', long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Do not lock the repository; only for reading
    #[arg(long, global = true)]
    pub(crate) no_lock: bool,
    /// Wait so long for a lock, as in 10m
    #[arg(long, value_name = "SPAN", global = true)]
    pub(crate) retry_lock: Option<String>,
    /// Threads that compute; all processors unless given
    #[arg(long, value_name = "N", env = "LIFEBOAT_THREADS", global = true)]
    pub(crate) threads: Option<usize>,
    /// A pack is closed at this size
    #[arg(long, value_name = "SIZE", global = true)]
    pub(crate) pack_size: Option<String>,
    /// Compression: off, auto, fastest, better, max, or a zstd level from 1 to 19
    #[arg(long, value_name = "LEVEL", global = true)]
    pub(crate) compression: Option<String>,
    /// Open and compare every sealed chunk before it is stored
    #[arg(long, global = true)]
    pub(crate) recheck: bool,
}
