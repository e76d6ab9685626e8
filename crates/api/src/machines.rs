//! Machines, their recovery points, and proofs that they come back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{MachineClass, Objective, ObjectiveState, Task, TaskState};

/// When a point was read back as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether all was as it should be.
    pub is_ok: bool,
}

/// A recovery point of a machine: a snapshot in a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// The repository's name.
    pub repository: String,
    /// The snapshot's id, 64 digits.
    pub snapshot: String,
    /// The machine's name.
    pub machine: String,
    /// The platform's name, if it is known.
    pub platform: Option<String>,
    /// The job that made it, if it is known.
    pub job: Option<String>,
    /// The instant that it shows.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The sum of the disks, in bytes.
    pub bytes: u64,
    /// Bytes that were read for it, if it is known.
    pub bytes_read: Option<u64>,
    /// Bytes that it added to the repository, as stored.
    pub bytes_stored: u64,
    /// Seconds that it took, if it is known.
    pub seconds: Option<f64>,
    /// What the bytes are worth, if it is known: `crash`, `filesystem`, `application`.
    pub consistency: Option<String>,
    /// Whether everything was read for it, if it is known.
    pub is_full: Option<bool>,
    /// Tags.
    pub tags: Vec<String>,
    /// It is not removed before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pinned_until: Option<Timestamp>,
    /// When it was last read back as a whole.
    pub verified: Option<Verified>,
}

/// How something was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofKind {
    /// Every byte was read back and compared with its name.
    Verify,
    /// It was restored.
    Restore,
    /// It was started in isolation and probed.
    Drill,
}

/// One proof that a point comes back, or the failure of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Proof {
    /// The repository's name.
    pub repository: String,
    /// The snapshot's id.
    pub snapshot: String,
    /// The machine's name.
    pub machine: String,
    /// How.
    pub kind: ProofKind,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether it held.
    pub is_ok: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was seen.
    pub message: String,
}

/// A machine and how it is protected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its platform's name.
    pub platform: String,
    /// Its platform's id of it.
    pub id: String,
    /// How it was when last seen: `running`, `off`, `gone`.
    pub state: String,
    /// Jobs that mean it.
    pub jobs: Vec<String>,
    /// Whether a job means it, or none needs to.
    pub is_protected: bool,
    /// Whether it was left out on purpose.
    pub is_excused: bool,
    /// The sum of its disks, in bytes.
    pub bytes: u64,
    /// Its newest point.
    pub newest: Option<Point>,
    /// Its points, in all repositories.
    pub points: u64,
    /// Repositories that hold its newest instant.
    pub copies: u32,
    /// When a point was last proved to come back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proved: Option<Timestamp>,
    /// Promises.
    pub objectives: Vec<Objective>,
    /// How it is, in one word.
    pub class: MachineClass,
    /// The worst of its promises, whether it has a point or not.
    pub worst: ObjectiveState,
    /// What failed of it since its newest point, the newest of it, in words.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// How its newest task is.
    pub last_state: Option<TaskState>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_at: Option<Timestamp>,
    /// When its next run begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Timestamp>,
}

/// A machine with its points, proofs and tasks, each newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MachineDetails {
    /// The machine; none if no platform shows one of that name any more.
    pub machines: Vec<Machine>,
    /// Its points.
    pub points: Vec<Point>,
    /// Its proofs.
    pub proofs: Vec<Proof>,
    /// Its tasks.
    pub tasks: Vec<Task>,
}
