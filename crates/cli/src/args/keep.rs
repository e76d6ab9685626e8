//! Arguments of `forget`.

use clap::Args;

use super::data::FilterArguments;
use super::upkeep::PruneArguments;

/// `forget`
#[derive(Debug, Args)]
pub(crate) struct ForgetArguments {
    /// Forget exactly these snapshots, whatever the rules say
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) ids: Vec<String>,
    /// The rules of a job's policy: @NAME of the configuration; only points of that job
    #[arg(short = 'j', long, value_name = "@NAME")]
    pub(crate) job: Option<String>,
    /// Keep this snapshot, whatever the rules say
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) keep_id: Vec<String>,
    /// Allow more than the policy's forget_at_most
    #[arg(long)]
    pub(crate) allow_many: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArguments,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Apply the rules to each group of equal host, paths, tags
    #[arg(short = 'g', long, value_name = "GROUP", default_value = "host,paths")]
    pub(crate) group_by: String,
    /// Allow rules that leave a machine without any snapshot; needs --machine, --tag or --path
    #[arg(long)]
    pub(crate) unsafe_allow_remove_all: bool,
    /// Prune afterwards
    #[arg(long)]
    pub(crate) prune: bool,
    #[command(flatten)]
    pub(crate) prune_arguments: PruneArguments,
}

/// Rules: a snapshot is kept if any rule keeps it. N may be 'unlimited'.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Rules")]
pub(crate) struct KeepArguments {
    /// Keep the last N snapshots
    #[arg(short = 'l', long, value_name = "N")]
    pub(crate) keep_last: Option<String>,
    /// Keep the last snapshot of each of the last N hours
    #[arg(long, value_name = "N")]
    pub(crate) keep_hourly: Option<String>,
    /// Keep the last snapshot of each of the last N days
    #[arg(short = 'D', long, value_name = "N")]
    pub(crate) keep_daily: Option<String>,
    /// Keep the last snapshot of each of the last N weeks
    #[arg(short = 'w', long, value_name = "N")]
    pub(crate) keep_weekly: Option<String>,
    /// Keep the last snapshot of each of the last N months
    #[arg(short = 'M', long, value_name = "N")]
    pub(crate) keep_monthly: Option<String>,
    /// Keep the last snapshot of each of the last N years
    #[arg(short = 'y', long, value_name = "N")]
    pub(crate) keep_yearly: Option<String>,
    /// Keep all snapshots within this span of the newest, as in 1y5m7d2h
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within: Option<String>,
    /// Keep hourly snapshots within this span
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_hourly: Option<String>,
    /// Keep daily snapshots within this span
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_daily: Option<String>,
    /// Keep weekly snapshots within this span
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_weekly: Option<String>,
    /// Keep monthly snapshots within this span
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_monthly: Option<String>,
    /// Keep yearly snapshots within this span
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within_yearly: Option<String>,
    /// Keep snapshots with all of these tags, separated by commas
    #[arg(long, value_name = "TAGS")]
    pub(crate) keep_tag: Vec<String>,
}
