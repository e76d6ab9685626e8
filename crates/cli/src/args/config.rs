//! The configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `config`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong, with file, line and column
    Validate(ConfigFileArguments),
    /// List every value that counts, and where it came from
    Show(ConfigFileArguments),
}

/// The file of a configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigFileArguments {
    /// The file
    #[arg(
        long,
        value_name = "FILE",
        env = "LIFEBOAT_CONFIG",
        default_value = "/etc/lifeboat/lifeboat.toml"
    )]
    pub(crate) config: PathBuf,
}
