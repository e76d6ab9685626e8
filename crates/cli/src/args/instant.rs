//! Arguments of commands about machines that run straight from the repository.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::PlatformArguments;

/// Where the state of such machines is.
#[derive(Clone, Debug, Args)]
pub(crate) struct InstantStateArguments {
    /// Where the state and the writes of such machines are kept
    #[arg(
        long = "state",
        value_name = "FOLDER",
        env = "LIFEBOAT_INSTANT_STATE",
        default_value = "/var/lib/lifeboat/instant"
    )]
    pub(crate) folder: PathBuf,
}

/// `instant`
#[derive(Debug, Subcommand)]
pub(crate) enum InstantCommand {
    /// Start a machine from its snapshot within seconds, without restoring it
    Start(InstantStartArguments),
    /// List machines that run from a repository
    List(InstantStateArguments),
    /// Serve a machine's disks again after this program or its host went down
    Resume(InstantNameArguments),
    /// Move a machine into its final storage while it runs
    Promote(InstantPromoteArguments),
    /// Remove a machine and everything it wrote
    Discard(InstantNameArguments),
    /// Serve the disks; the other commands start it
    #[command(hide = true)]
    Serve(InstantNameArguments),
}

/// `instant start`
#[derive(Debug, Args)]
pub(crate) struct InstantStartArguments {
    /// The machine, with a time or a snapshot after @ if not the latest is meant
    #[arg(value_name = "MACHINE[@POINT]")]
    pub(crate) machine: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
    #[command(flatten)]
    pub(crate) state: InstantStateArguments,
    /// The running machine's name; its old one and -instant unless given
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A network by another name, as in lan=br0; OLD= disconnects
    #[arg(long, value_name = "OLD=NEW")]
    pub(crate) network: Vec<String>,
}

/// A machine that runs from a repository.
#[derive(Debug, Args)]
pub(crate) struct InstantNameArguments {
    /// The running machine's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) state: InstantStateArguments,
}

/// `instant promote`
#[derive(Debug, Args)]
pub(crate) struct InstantPromoteArguments {
    /// The running machine's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) state: InstantStateArguments,
    /// Where disks go: pool:NAME, /folder/, or /path/of/file
    #[arg(long, value_name = "PLACE", default_value = "pool:default")]
    pub(crate) to: String,
}
