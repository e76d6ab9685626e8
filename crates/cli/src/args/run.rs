//! `run`

use clap::Args;

/// `run`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The job's name in the configuration
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Only this machine of the job; may be given several times
    #[arg(short = 'm', long = "machine", value_name = "NAME")]
    pub(crate) machines: Vec<String>,
    /// Read every disk as a whole
    #[arg(long)]
    pub(crate) force: bool,
    /// Write the run down and leave it to the service
    #[arg(long)]
    pub(crate) detach: bool,
}
