//! `run`, `runs`

use clap::{Args, Subcommand, ValueEnum};
use lifeboat_catalog::RunState;

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

/// `runs`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RunsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
    #[command(flatten)]
    pub(crate) list: RunsListArguments,
}

/// The verbs of `runs`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, the newest first
    List(RunsListArguments),
    /// Show a run with its tasks and everything that they said
    Show(RunsNumberArguments),
    /// Stop a run, or tasks of it: what waits is left out, what works is asked to end
    Cancel(RunsCancelArguments),
    /// Do once more what of a run failed or was cancelled, or tasks that are named
    Retry(RunsRetryArguments),
}

/// `runs list`
#[derive(Debug, Args)]
pub(crate) struct RunsListArguments {
    /// Only runs of this job; those of upkeep are called as in 'check main'
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Only runs that are so
    #[arg(long, value_enum)]
    pub(crate) state: Option<RunStateName>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) count: u32,
}

/// A run.
#[derive(Debug, Args)]
pub(crate) struct RunsNumberArguments {
    /// Its number, as listed
    #[arg(value_name = "NUMBER")]
    pub(crate) number: i64,
}

/// `runs cancel`
#[derive(Debug, Args)]
pub(crate) struct RunsCancelArguments {
    /// Its number, as listed
    #[arg(value_name = "NUMBER")]
    pub(crate) number: i64,
    /// Only this task of it, by its number in 'runs show'; may be given several times
    #[arg(long = "task", value_name = "NUMBER")]
    pub(crate) tasks: Vec<i64>,
}

/// `runs retry`
#[derive(Debug, Args)]
pub(crate) struct RunsRetryArguments {
    /// Its number, as listed
    #[arg(value_name = "NUMBER")]
    pub(crate) number: i64,
    /// Only this task of it, by its number in 'runs show'; may be given several times
    #[arg(long = "task", value_name = "NUMBER")]
    pub(crate) tasks: Vec<i64>,
    /// Put a machine into the place of the one of its name once more, if that was done
    #[arg(long)]
    pub(crate) replace: bool,
    /// Write it down and leave it to the service
    #[arg(long)]
    pub(crate) detach: bool,
}

/// How a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunStateName {
    /// It has not ended.
    Open,
    /// All of it ended well.
    Succeeded,
    /// Some of it ended well.
    Partial,
    /// Nothing of it ended well.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl From<RunStateName> for RunState {
    fn from(name: RunStateName) -> Self {
        match name {
            RunStateName::Open => Self::Open,
            RunStateName::Succeeded => Self::Succeeded,
            RunStateName::Partial => Self::Partial,
            RunStateName::Failed => Self::Failed,
            RunStateName::Cancelled => Self::Cancelled,
        }
    }
}
