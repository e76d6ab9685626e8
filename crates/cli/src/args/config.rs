//! The configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::PlatformArguments;

/// `config`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong, with file, line and column
    Validate,
    /// List every value that counts, and where it came from
    Show,
    /// Print the JSON schema of the file
    Schema,
    /// Make a configuration, a repository (--repo) and its password file, and try them
    Generate(ConfigGenerateArguments),
    /// Make a configuration from the settings of another program
    Import(ConfigImportArguments),
}

/// `config generate`
#[derive(Debug, Args)]
pub(crate) struct ConfigGenerateArguments {
    /// Ask for what is not given; usual at a terminal where nothing is given
    #[arg(long)]
    pub(crate) wizard: bool,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
    /// The machines of the job, as in 'web*'; all unless given
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// When the job runs, as 'lifeboat schedule preview' takes it; daily 02:00 unless given
    #[arg(long, value_name = "SCHEDULE")]
    pub(crate) schedule: Option<String>,
    /// Where the file goes; the place of --config unless given
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Only print what would be written
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `config import`
#[derive(Debug, Args)]
pub(crate) struct ConfigImportArguments {
    /// The file with the settings
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What it is: variables (JSON for oVirt), restic-env or opennebula; found by itself unless
    /// given
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Write it there; print it unless given
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}
