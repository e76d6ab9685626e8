//! What can be typed: raw text, sorted by command. Commands parse it into types.

mod browse;
mod config;
mod data;
mod global;
mod instant;
mod keep;
mod machine;
mod output;
mod run;
mod schedule;
mod service;
mod upkeep;

use clap::{Parser, Subcommand};

pub(crate) use browse::{
    FilesCommand, FilesDumpArguments, FilesGetArguments, FilesLsArguments, FilesMountArguments,
    NbdArguments, RescueArguments,
};
pub(crate) use config::{ConfigCommand, ConfigGenerateArguments, ConfigImportArguments};
pub(crate) use data::{
    BackupArguments, DiffArguments, DumpArguments, FilterArguments, FindArguments, LsArguments,
    PointArguments, RestoreArguments, SnapshotsArguments, StatsArguments, TagArguments,
};
pub(crate) use global::GlobalArguments;
pub(crate) use instant::{
    InstantCommand, InstantNameArguments, InstantPromoteArguments, InstantStartArguments,
    InstantStateArguments,
};
pub(crate) use keep::{ForgetArguments, KeepArguments};
pub(crate) use machine::{
    MachineBackupArguments, MachineCommand, MachineLsArguments, MachineRecoverArguments,
    PlatformArguments, SelectionArguments,
};
pub(crate) use run::{
    RunArguments, RunsArguments, RunsCancelArguments, RunsCommand, RunsListArguments,
    RunsRetryArguments,
};
pub(crate) use schedule::{
    ScheduleCommand, SchedulePreviewArguments, ScheduleSimulateArguments, TimingArguments,
};
pub(crate) use service::{
    AlertAcknowledgeArguments, AlertCommand, AlertListArguments, AuditCommand, AuditListArguments,
    NotifyCommand, ReportArguments, ReportFormat, ServeArguments, TokenAddArguments, TokenCommand,
    UserAddArguments, UserCommand,
};
pub(crate) use upkeep::{
    ArchiveExportArguments, ArchiveImportArguments, CatArguments, CatalogCommand, ChainCommand,
    CheckArguments, CompletionsArguments, CopyArguments, FromArguments, InitArguments, KeyCommand,
    ListArguments, ManArguments, PruneArguments, RepairCommand, UnlockArguments, VerifyArguments,
};

/// Backs up virtual machines into restic repositories, and brings them back.
///
/// Everything is stored in an ordinary restic repository: stock restic and rustic can list, check
/// and restore every snapshot.
#[derive(Debug, Parser)]
#[command(
    name = "lifeboat",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part, \
    10 no repository, 11 locked, 12 wrong password, 20 verify found a difference, \
    22 refused by a safety rule, 23 unreachable, \
    24 no space, 25 damaged, 26 not supported or too new, 130 interrupted. Others mean failure."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new repository
    Init(InitArguments),
    /// Store the disks of a machine as one snapshot
    Backup(BackupArguments),
    /// Back up machines on their platform while they run
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Carry out a job of the configuration now: backups, copies, what is kept
    Run(RunArguments),
    /// List runs, show their logs, cancel them, do them once more
    Runs(RunsArguments),
    /// Stay, and carry out jobs by their schedules; with dashboard, API and metrics
    Serve(ServeArguments),
    /// Say whether machines can be recovered now, and what is not as promised
    ///
    /// Exit code 0: all is well. 1: nothing is known yet of what jobs mean, a machine has no
    /// recovery point, a promise is missed, a job is overdue, or a critical alert is open.
    Status,
    /// Watch machines, running tasks and alerts in the terminal
    Top,
    /// Look for what is wrong or will be, and say what to do
    ///
    /// Exit code 1: something is wrong. Warnings alone give 0.
    Doctor,
    /// Write the report of a month
    Report(ReportArguments),
    /// Let people into the dashboard, and shut them out
    #[command(subcommand)]
    User(UserCommand),
    /// Let programs use the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show who did what, and that the log is whole
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List what is wrong, and say that you take care of it
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Try the ways to people
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Run machines straight from the repository
    #[command(subcommand)]
    Instant(InstantCommand),
    /// Serve the disks of a machine's snapshot over NBD
    Nbd(NbdArguments),
    /// List, copy and mount files inside the disks of a machine
    #[command(subcommand)]
    Files(FilesCommand),
    /// List snapshots
    Snapshots(SnapshotsArguments),
    /// List the files of a snapshot
    Ls(LsArguments),
    /// Write one file of a snapshot, or a range of it, to standard output
    Dump(DumpArguments),
    /// Bring back a machine, a disk or files
    Restore(RestoreArguments),
    /// Show what differs between two snapshots
    Diff(DiffArguments),
    /// Find files by name in all snapshots
    Find(FindArguments),
    /// Show how much space what takes
    Stats(StatsArguments),
    /// Change the tags of snapshots
    Tag(TagArguments),
    /// Remove snapshots by rules; their data stays until a prune
    Forget(Box<ForgetArguments>),
    /// Remove data that no snapshot needs, beside running backups
    Prune(PruneArguments),
    /// Check that the repository is whole
    Check(CheckArguments),
    /// Read stored data back and compare it with its names
    Verify(VerifyArguments),
    /// Put a damaged repository in order
    #[command(subcommand)]
    Repair(RepairCommand),
    /// Copy snapshots from another repository into this one
    Copy(CopyArguments),
    /// Write snapshots into a self-contained archive file
    Export(ArchiveExportArguments),
    /// Read snapshots from an archive file
    Import(ArchiveImportArguments),
    /// Export, import or compare the list of snapshots, machines and disks
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Work with chains of full and incremental qcow2 files
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Manage the passwords of the repository
    #[command(subcommand)]
    Key(KeyCommand),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show when runs would begin
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Remove locks that dead processes left behind
    Unlock(UnlockArguments),
    /// List the files of the repository by kind
    List(ListArguments),
    /// Print an internal object as JSON
    Cat(CatArguments),
    /// Print completions for a shell
    Completions(CompletionsArguments),
    /// Write manual pages
    Man(ManArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
