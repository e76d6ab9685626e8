//! How things are: jobs, repositories, promises, alerts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Run;

/// Whether the server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always true: a server that cannot answer does not.
    pub is_up: bool,
    /// The program's version.
    pub version: String,
}

/// What is promised of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// The age of the newest point.
    Rpo,
    /// How long a recovery takes.
    Rto,
    /// Repositories that hold it.
    Copies,
    /// The age of the last proof.
    Proof,
}

/// How a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveState {
    /// It is.
    Met,
    /// It is, and will soon not be.
    AtRisk,
    /// It is not.
    Missed,
    /// Nothing was measured yet.
    Unknown,
}

/// One promise of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Objective {
    /// What.
    pub kind: ObjectiveKind,
    /// How it is kept.
    pub state: ObjectiveState,
    /// What was promised: seconds, or a number of copies.
    pub promised: u64,
    /// What was measured: seconds, or a number of copies; null where there is nothing yet.
    pub measured: Option<u64>,
    /// Where there is nothing yet: it is not missed before.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// How a machine is, in one word: the first of `gone`, `excused`, `unprotected` and `no_point`
/// that is so, else its worst promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineClass {
    /// Its platform does not show it any more.
    Gone,
    /// It was left out on purpose.
    Excused,
    /// No job means it.
    Unprotected,
    /// A job means it, and it cannot come back from anything.
    NoPoint,
    /// A promise is not kept.
    Missed,
    /// A promise will soon not be kept.
    AtRisk,
    /// A promise was not measured yet.
    Unknown,
    /// All promises are kept.
    Met,
}

/// How many machines are how; those that are gone or excused are in none of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectiveCounts {
    /// All promises are kept.
    pub met: u64,
    /// The worst promise will soon not be kept.
    pub at_risk: u64,
    /// A promise is not kept.
    pub missed: u64,
    /// A promise was not measured yet.
    pub unknown: u64,
    /// A job means them, and they cannot come back from anything.
    #[serde(default)]
    pub no_point: u64,
    /// No job means them, and nobody excused them.
    pub unprotected: u64,
}

/// Tasks that are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueCounts {
    /// They wait.
    pub queued: u64,
    /// They are carried out.
    pub running: u64,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The platform's name.
    pub platform: String,
    /// The repository's name.
    pub repository: String,
    /// The policy's name.
    pub policy: Option<String>,
    /// Its schedule in words.
    pub schedule: Option<String>,
    /// Whether it is run by its schedule.
    pub is_enabled: bool,
    /// Its newest run.
    pub last: Option<Run>,
    /// When its next run begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Timestamp>,
    /// The run of it that has not ended, for which the next one waits that is due.
    #[serde(default)]
    pub waits_for: Option<i64>,
    /// The job that has to end well before the run that is due, and has not.
    #[serde(default)]
    pub comes_after: Option<String>,
    /// Since when a run is overdue.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub overdue: Option<Timestamp>,
    /// Machines that it means.
    pub machines: u64,
}

/// How large a repository was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RepositorySize {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes of what the snapshots hold, each blob once, before compression.
    pub bytes_unpacked: u64,
    /// Bytes that a restore of all snapshots would write.
    pub bytes_restored: u64,
    /// Blobs.
    pub blobs: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// Its place, without secrets.
    pub place: String,
    /// Its id, 64 digits, if it was seen.
    pub id: Option<String>,
    /// How large it was when last seen.
    pub size: Option<RepositorySize>,
    /// When it was last checked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub checked: Option<Timestamp>,
    /// Whether that check found nothing.
    pub is_ok: Option<bool>,
    /// What it found.
    pub findings: Vec<String>,
    /// When it was last pruned.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pruned: Option<Timestamp>,
    /// What the newest attempt at it said, if nothing answered there.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// Points in it.
    pub points: u64,
    /// When its next check begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_check: Option<Timestamp>,
    /// When its next prune begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_prune: Option<Timestamp>,
    /// It should not be larger, in bytes.
    pub size_max: Option<u64>,
}

/// Whether everything can be recovered now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// The site's name.
    pub site: Option<String>,
    /// The node that answers.
    pub node: String,
    /// Machines by how their promises are kept.
    pub machines: ObjectiveCounts,
    /// Jobs by name.
    pub jobs: Vec<Job>,
    /// Repositories by name.
    pub repositories: Vec<Repository>,
    /// Tasks that are not over.
    pub queue: QueueCounts,
    /// Alerts that hold.
    pub alerts: u64,
    /// When a machine was last proved to come back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proved: Option<Timestamp>,
    /// When this was seen.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// How bad a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To know.
    Info,
    /// To look at soon.
    Warning,
    /// A recovery is at stake.
    Critical,
}

/// A condition that holds, or held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its number.
    pub id: i64,
    /// What holds for whom.
    pub subject: String,
    /// What sort of condition.
    pub condition: String,
    /// How bad.
    pub severity: Severity,
    /// What is to be known, in a sentence.
    pub text: String,
    /// The attempt that failed, with what it said, where that is known and `text` does not say it;
    /// of the 200 worst that hold.
    #[serde(default)]
    pub why: Option<String>,
    /// What to do, the likeliest first; of those that hold.
    #[serde(default)]
    pub remedies: Vec<Remedy>,
    /// The site.
    pub site: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The machine.
    pub machine: Option<String>,
    /// The machine's platform.
    #[serde(default)]
    pub platform: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// Since when it holds.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Since when it does not hold any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cleared: Option<Timestamp>,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acknowledged_at: Option<Timestamp>,
}

/// Something to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Remedy {
    /// What for, in a few words: `back it up now`.
    pub text: String,
    /// The command that does it, as it is typed into a shell.
    pub command: String,
}

/// Something changed; whoever wants to know how it is now asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number; greater ones are later.
    pub number: i64,
    /// What sort of thing: `run`, `task`, `alert`, `machine`, `repository`, `point`; `gap` when
    /// events before this one are gone.
    pub kind: String,
    /// Which one.
    pub subject: String,
    /// How it is now, in a word.
    pub state: String,
}
