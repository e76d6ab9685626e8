//! Runs, their tasks, and requests for new ones.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a run is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its moment came.
    Schedule,
    /// Its moment was missed.
    CatchUp,
    /// Somebody asked for it.
    Request,
}

/// How a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Some of its tasks have not ended.
    Open,
    /// All have ended well.
    Succeeded,
    /// Some have ended well.
    Partial,
    /// None has ended well.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// One execution of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// Its job's name.
    pub job: String,
    /// The moment of the schedule that it is for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub planned: Option<Timestamp>,
    /// Why it is there.
    pub cause: Cause,
    /// Who asked for it.
    pub requested_by: String,
    /// How it is.
    pub state: RunState,
    /// When it was written down.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When its last task ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
}

/// A run with its tasks, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDetails {
    /// The run.
    pub run: Run,
    /// Its tasks.
    pub tasks: Vec<Task>,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Finds out which machines a job means, and adds their tasks.
    Resolve,
    /// Backs a machine up.
    Backup,
    /// Copies a machine's new points to another repository.
    Copy,
    /// Removes points by the job's rules.
    Forget,
    /// Reads a machine's newest point back.
    Verify,
    /// Looks whether a repository is whole.
    Check,
    /// Removes what no snapshot needs.
    Prune,
    /// Brings a machine back.
    Restore,
    /// Looks what a repository holds.
    Look,
}

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits.
    Queued,
    /// A node carries it out.
    Running,
    /// It ended well.
    Succeeded,
    /// Nothing was to be done.
    PassedOver,
    /// It failed, and is not tried again.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What it does, in a word.
    pub phase: String,
    /// Bytes or things done.
    pub done: u64,
    /// Of so many; 0 if nobody knows.
    pub total: u64,
    /// A second, over the last seconds.
    pub rate: u64,
    /// Seconds left at that rate.
    pub seconds_left: Option<u64>,
}

/// The part of a run for one machine or repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its number.
    pub id: i64,
    /// Its run.
    pub run: i64,
    /// Its job.
    pub job: String,
    /// What it does.
    pub action: Action,
    /// The machine's or repository's name.
    pub subject: String,
    /// Its command-line twin, without the program.
    pub words: Vec<String>,
    /// How it is.
    pub state: TaskState,
    /// Attempts that were begun.
    pub attempt: u32,
    /// At most so many.
    pub attempts_max: u32,
    /// It does not begin before.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Timestamp,
    /// What it waits for until then, if it is more than the pause after a failure.
    #[serde(default)]
    pub held_up: Option<String>,
    /// Who carries it out, or did.
    pub node: Option<String>,
    /// When the last attempt began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// What sort of failure the last attempt ended with.
    pub error_kind: Option<String>,
    /// What it said, or why it was passed over.
    pub message: Option<String>,
    /// Who wants it stopped.
    pub cancelled_by: Option<String>,
    /// How far it is.
    pub progress: Option<Progress>,
}

/// A step that began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its name: `validate`, `capture`, `transfer`.
    pub name: String,
    /// In which attempt.
    pub attempt: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// How it is.
    pub state: StepState,
    /// Why the attempt failed in it.
    pub message: Option<String>,
}

/// How a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It is on its way.
    Running,
    /// The next one began, or all is done.
    Done,
    /// The attempt failed in it.
    Failed,
    /// The attempt was stopped in it.
    Stopped,
}

/// A task with its steps, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetails {
    /// The task.
    pub task: Task,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// To know.
    Note,
    /// To look at.
    Warning,
    /// Why it failed.
    Error,
}

/// A line of a task's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number, from 1 on.
    pub number: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// What was said.
    pub line: String,
}

/// A run that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "action", deny_unknown_fields)]
pub enum RunRequest {
    /// A run of a job.
    Backup {
        /// The job's name.
        job: String,
        /// Only these of its machines; all if there are none.
        #[serde(default)]
        machines: Vec<String>,
        /// Read everything.
        #[serde(default)]
        is_forced: bool,
    },
    /// Reads a machine's newest point back.
    Verify {
        /// The machine's name.
        machine: String,
        /// Its platform's name, where several have a machine of that name.
        #[serde(default)]
        platform: Option<String>,
    },
    /// Looks whether a repository is whole.
    Check {
        /// The repository's name.
        repository: String,
    },
    /// Removes what no snapshot needs.
    Prune {
        /// The repository's name.
        repository: String,
    },
    /// Lists what a repository holds, and how large it is.
    Look {
        /// The repository's name.
        repository: String,
    },
}

/// A machine that is to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// The repository's name.
    pub repository: String,
    /// The snapshot's id, or a beginning of it.
    #[schema(pattern = "^[0-9a-f]{4,64}$")]
    pub snapshot: String,
    /// The platform's name.
    pub platform: String,
    /// The machine's new name; its own if there is none.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9._][A-Za-z0-9._-]{0,62}$")]
    pub name: Option<String>,
    /// Where its disks go: `pool:NAME` or `/folder/`; where the platform usually puts them if
    /// there is none.
    #[serde(default)]
    #[schema(pattern = "^(pool:[A-Za-z0-9._/-]{1,120}|/([A-Za-z0-9._-]{1,60}/){1,9})$")]
    pub to: Option<String>,
    /// Starts it.
    #[serde(default)]
    pub is_started: bool,
    /// Puts it into the place of the machine of that name.
    #[serde(default)]
    pub is_replacing: bool,
}

/// What a task would do once more; nothing has been begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryPlan {
    /// What it does.
    pub action: Action,
    /// The machine's or repository's name.
    pub subject: String,
    /// Its job.
    pub job: String,
    /// What it did, as a command line. A restore does exactly this once more, everything else
    /// what is configured now.
    pub command: String,
    /// Whether it puts a machine into the place of what is there: then it is begun only with
    /// `is_confirmed`.
    pub is_replacing: bool,
}

/// The run that a request began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Begun {
    /// Its number.
    pub run: i64,
}
