//! Arguments of the service and of what belongs to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `serve`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Listen here instead of where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Keep metrics in this file too, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
}

/// `report`
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The month, as in 2026-11; the last whole one unless given
    #[arg(long, value_name = "YEAR-MONTH")]
    pub(crate) month: Option<String>,
    /// Only this machine, as PLATFORM/NAME where several platforms have one of that name; may be
    /// given several times
    #[arg(short = 'm', long = "machine", value_name = "NAME")]
    pub(crate) machines: Vec<String>,
    /// How it is written; text unless given, HTML for a file whose name ends so
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,
    /// Write it into this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A page for browsers and paper.
    Html,
    /// For terminals and mail.
    Text,
    /// For programs.
    Json,
}

/// `audit`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, newest last
    List(AuditListArguments),
    /// Look whether every entry is as it was written, and none is missing
    Verify,
}

/// `audit list`
#[derive(Debug, Args)]
pub(crate) struct AuditListArguments {
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) count: u32,
}

/// `user`
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Let somebody in, or give a new role and password
    Add(UserAddArguments),
    /// List users
    List,
    /// Shut somebody out; sessions end
    Remove {
        /// The user
        name: String,
    },
}

/// `user add`
#[derive(Debug, Args)]
pub(crate) struct UserAddArguments {
    /// The user
    pub(crate) name: String,
    /// viewer, operator, restore, admin or auditor
    #[arg(long, default_value = "viewer")]
    pub(crate) role: String,
    /// Read the password from the first line of this file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_from: Option<PathBuf>,
}

/// `token`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a program; it is shown once
    Add(TokenAddArguments),
    /// List tokens
    List,
    /// Take a token back
    Remove {
        /// Its id, as listed
        id: String,
    },
}

/// `token add`
#[derive(Debug, Args)]
pub(crate) struct TokenAddArguments {
    /// What it is for
    pub(crate) title: String,
    /// viewer, operator, restore, admin or auditor
    #[arg(long, default_value = "viewer")]
    pub(crate) role: String,
    /// Only routes that begin so, as in /api/v1/runs
    #[arg(long, value_name = "ROUTE")]
    pub(crate) scope: Vec<String>,
    /// It ends after so many days
    #[arg(long, value_name = "N")]
    pub(crate) days: Option<u32>,
}

/// `alert`
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List alerts that are open, worst first; with -v why, and what to do
    List(AlertListArguments),
    /// Say that you take care of alerts: nobody else is told of them, and nothing is repeated
    Acknowledge(AlertAcknowledgeArguments),
}

/// `alert list`
#[derive(Debug, Args)]
pub(crate) struct AlertListArguments {
    /// Those that are over too, of the last 90 days, newest first
    #[arg(long)]
    pub(crate) past: bool,
}

/// `alert acknowledge`
#[derive(Debug, Args)]
pub(crate) struct AlertAcknowledgeArguments {
    /// Their numbers, as listed
    #[arg(value_name = "NUMBER")]
    pub(crate) numbers: Vec<i64>,
    /// Every one that is open
    #[arg(long, conflicts_with = "numbers")]
    pub(crate) all: bool,
}

/// `notify`
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Send a test notice
    Test {
        /// The target, a name of [notifications.targets]
        target: String,
    },
    /// List targets
    List,
}
