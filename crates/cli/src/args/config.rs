//! The configuration.

use clap::Subcommand;

/// `config`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong, with file, line and column
    Validate,
    /// List every value that counts, and where it came from
    Show,
    /// Print the JSON schema of the file
    Schema,
}
