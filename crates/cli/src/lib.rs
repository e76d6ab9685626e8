//! The command line of lifeboat: arguments, progress, tables, exit codes.
//!
//! Takes the process's arguments and environment and gives an exit code.
//! Does not move data itself: every command parses, calls `engine` or `repository`, and renders.
//!
//! Verbs, flags and exit codes are restic's where the meaning is the same.
//!
//! Source: reference ecosystem, section 3.

mod args;
mod commands;
mod configuration;
mod context;
mod error;
mod output;
mod progress;
mod select;
mod service;
mod situation;
mod tables;
mod whole_file;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use clap::Parser;
use jiff::Timestamp;
use lifeboat_catalog::{AuditKey, Role, Token, User};
use lifeboat_config::{Finding, LoginLimits};
use lifeboat_model::{ByteCount, CancelToken, Clock, Entropy, ErrorKind};
use lifeboat_platform::{Platform, SnapshotRules};
use lifeboat_scheduler::Node;

use args::Arguments;
use context::Context;
pub use service::AnswerCommands;

/// Opens a platform.
///
/// Errors: `Invalid` for rules about snapshots where the platform takes none.
pub type OpenPlatform =
    fn(&str, Option<SnapshotRules>) -> lifeboat_platform::Result<Arc<dyn Platform>>;

/// A setting as it counts: its path, its value, and where that came from.
pub type ShownSetting = (String, String, String);

/// What is told of the configuration, each time that it was read.
#[derive(Clone, Debug)]
pub enum ConfigTold {
    /// These effective settings count from now on.
    Sound(Vec<ShownSetting>, LoginLimits),
    /// As it lies there it cannot be used, for this reason and these findings: the one before
    /// goes on.
    Broken(String, Vec<Finding>),
}

/// How the service encrypts.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// By an authority of its own, which is kept in this folder.
    Own(PathBuf),
    /// By files of PEM: the certificate and its key.
    Files(PathBuf, PathBuf),
    /// Not at all; only for this computer.
    None,
}

/// What the service is made of.
pub struct ServeParts {
    /// Who begins and carries out.
    pub node: Arc<Node>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// Seals the audit log.
    pub audit_key: AuditKey,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How it encrypts.
    pub encryption: Encryption,
    /// Names that its own certificate is for.
    pub public_names: Vec<String>,
    /// Whether metrics are read without a token.
    pub is_metrics_open: bool,
    /// How often somebody may fail to sign in, and how long a session lasts.
    pub login: LoginLimits,
    /// Runs commands that answers are made of.
    pub commands: AnswerCommands,
    /// The configuration, each time that it was read.
    pub shown: Receiver<ConfigTold>,
    /// Is called when it listens.
    pub ready: Box<dyn FnOnce() + Send>,
    /// Is told what an operator should know.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A token that is wanted.
#[derive(Clone, Debug)]
pub struct WantedToken {
    /// What it is for.
    pub title: String,
    /// What it may do.
    pub role: Role,
    /// Only routes that begin so; all of its role if there are none.
    pub scopes: Vec<String>,
    /// It ends after so many days.
    pub days: Option<u32>,
    /// Who makes it.
    pub created_by: String,
}

/// Checks the URI of a platform.
pub type CheckPlatform = fn(&str) -> lifeboat_platform::Result<()>;
/// Answers requests until it is asked to stop.
pub type Serve = fn(ServeParts, &CancelToken) -> Result<(), (ErrorKind, String)>;
/// Writes all metrics as text.
pub type Metrics = fn(&Node) -> Result<String, String>;
/// Makes a user of a name and a password.
pub type NewUser = fn(&str, &str, Role, Timestamp, &dyn Entropy) -> Result<User, String>;
/// Makes a token and its secret.
pub type NewToken = fn(&WantedToken, &dyn Clock, &dyn Entropy) -> Result<(Token, String), String>;

/// How accounts are made.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    /// A user.
    pub new_user: NewUser,
    /// A token.
    pub new_token: NewToken,
}

/// What the wiring row gives to the commands: how to reach what they must not know.
#[derive(Clone, Copy, Debug)]
pub struct Wiring {
    /// Opens a platform by its URI, with what was decided about snapshots of volumes.
    pub open_platform: OpenPlatform,
    /// Says what is wrong with a platform's URI, without looking at the platform.
    pub check_platform: CheckPlatform,
    /// Answers requests.
    pub serve: Serve,
    /// Writes metrics.
    pub metrics: Metrics,
    /// Makes accounts.
    pub accounts: Accounts,
}

/// Runs the command that the process's arguments ask for.
pub fn run(wiring: Wiring) -> ExitCode {
    let arguments = Arguments::parse();
    let output = arguments.output();
    let done = Context::new(&arguments.global, output, wiring)
        .and_then(|context| commands::run(&context, &arguments.command));
    if let Some(bytes) = peak_memory() {
        output.detail_aside(format!("memory: {} at its peak", ByteCount(bytes)));
    }
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output.fail(&error);
            ExitCode::from(error.code())
        }
    }
}

/// The most memory that this process has had, in bytes; nothing where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
