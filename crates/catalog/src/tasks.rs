//! Tasks: the part of a run for one subject, carried out by one child process.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use lifeboat_model::{ErrorKind, ParseError};
use serde::{Deserialize, Serialize};

use crate::catalog::next_numbers;
use crate::database::{Conditions, Row, Transaction, Value, body, insert_rows, moment, name};
use crate::events::{tell, tell_all};
use crate::lease::Lane;
use crate::runs::{RunId, settle};
use crate::{Catalog, Error, Result};

/// The number of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub i64);

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// A task that is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// What it does.
    pub action: Action,
    /// The machine's or repository's name.
    pub subject: String,
    /// The arguments of `lifeboat` that do it: its command-line twin.
    pub words: Vec<String>,
    /// It begins when all tasks of the run with smaller stages have ended.
    pub stage: u32,
    /// Where it needs a turn.
    pub lanes: Vec<Lane>,
    /// How often it is tried at most, from 1 on.
    pub attempts_max: u32,
    /// The pause before the second attempt, in seconds; it doubles.
    pub retry_seconds: u64,
}

/// How far a task is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEnd {
    /// Well; with what the child said last.
    Succeeded(serde_json::Value),
    /// Nothing was to be done, and why.
    PassedOver(String),
    /// Not well. What sort of failure, and what was said.
    Failed(ErrorKind, String),
    /// Not well, and another attempt would end in the same way.
    Hopeless(ErrorKind, String),
    /// It was stopped on request.
    Cancelled,
    /// The node stops: it is queued again and does not count as an attempt.
    GivenBack,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// Its run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// What it does.
    pub action: Action,
    /// The machine's or repository's name.
    pub subject: String,
    /// Its command-line twin, without the program.
    pub words: Vec<String>,
    /// When its turn is.
    pub stage: u32,
    /// Where it needs a turn.
    pub lanes: Vec<Lane>,
    /// How it is.
    pub state: TaskState,
    /// Attempts that were begun.
    pub attempt: u32,
    /// At most so many.
    pub attempts_max: u32,
    /// The pause before the second attempt, in seconds.
    pub retry_seconds: u64,
    /// It does not begin before.
    pub not_before: Timestamp,
    /// Why it waits until then, if it is for more than the pause after a failure.
    pub held_up: Option<String>,
    /// Who carries it out, or did.
    pub node: Option<String>,
    /// When the last attempt began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What sort of failure the last attempt ended with.
    pub error_kind: Option<String>,
    /// What it said, or why it was passed over.
    pub message: Option<String>,
    /// Who wants it stopped.
    pub cancelled_by: Option<String>,
    /// What the child said last.
    pub outcome: Option<serde_json::Value>,
    /// How far it is.
    pub progress: Option<Progress>,
}

/// How the newest task of a subject ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LastEnd {
    /// The job.
    pub job: String,
    /// What was done.
    pub action: Action,
    /// The machine's or repository's name.
    pub subject: String,
    /// How it ended.
    pub state: TaskState,
    /// When.
    pub ended: Timestamp,
    /// What it said, if it failed, or why it was passed over.
    pub message: Option<String>,
}

/// Which tasks are wanted, newest first.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Those of one run.
    pub run: Option<RunId>,
    /// Those of one machine or repository.
    pub subject: Option<String>,
    /// Those in one state.
    pub state: Option<TaskState>,
    /// Those that ended since.
    pub ended_since: Option<Timestamp>,
    /// Those with smaller numbers.
    pub before: Option<TaskId>,
    /// At most so many; 1000 if it is 0.
    pub count: u32,
}

/// What has no column of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) job: String,
    pub(crate) action: Action,
    pub(crate) words: Vec<String>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) attempt: u32,
    pub(crate) attempts_max: u32,
    pub(crate) retry_seconds: u64,
    pub(crate) started: Option<Timestamp>,
    pub(crate) error_kind: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) outcome: Option<serde_json::Value>,
    #[serde(default)]
    pub(crate) held_up: Option<String>,
}

pub(crate) const COLUMNS: &str =
    "id, run, stage, subject, state, not_before, node, cancel, ended, body, progress";

impl TaskState {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::PassedOver => "passed_over",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::PassedOver,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::corrupt(format!("there is no state \"{text}\" of tasks")))
    }
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 9] = [
        Self::Resolve,
        Self::Backup,
        Self::Copy,
        Self::Forget,
        Self::Verify,
        Self::Check,
        Self::Prune,
        Self::Restore,
        Self::Look,
    ];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Backup => "backup",
            Self::Copy => "copy",
            Self::Forget => "forget",
            Self::Verify => "verify",
            Self::Check => "check",
            Self::Prune => "prune",
            Self::Restore => "restore",
            Self::Look => "look",
        }
    }
}

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        let rule = "write backup, copy, forget, verify, check, prune or restore";
        found.ok_or_else(|| ParseError::new("action", text, rule))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Catalog {
    /// One task.
    ///
    /// Errors: `NotFound`.
    pub fn task(&self, id: TaskId) -> Result<Task> {
        self.read(|transaction| get(transaction, id))
    }

    /// Tasks, newest first.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Task>> {
        let count = if filter.count == 0 {
            1000
        } else {
            filter.count
        };
        let conditions = Conditions::new()
            .and("run =", filter.run.map(|id| id.0))
            .and("subject =", filter.subject.as_deref())
            .and("state =", filter.state.map(TaskState::as_str))
            .and("ended >=", filter.ended_since)
            .and("id <", filter.before.map(|id| id.0))
            .limited("id DESC", count);
        let statement = format!("SELECT {COLUMNS} FROM tasks {}", conditions.text);
        self.read(|transaction| {
            let rows = transaction.query(&statement, &conditions.values)?;
            rows.iter().map(task).collect()
        })
    }

    /// How the newest task of each subject of each job ended; of those that somebody stopped the
    /// one before counts.
    pub fn last_ends(&self) -> Result<Vec<LastEnd>> {
        self.read(|transaction| {
            let statement = "SELECT job, action, subject, state, ended, message FROM task_ends";
            let rows = transaction.query(statement, &[])?;
            let one = |row: &Row| {
                let action = row.text(1)?.parse();
                Ok(LastEnd {
                    job: row.text(0)?.to_owned(),
                    action: action
                        .map_err(|error| Error::corrupt("the end of a task").with_source(error))?,
                    subject: row.text(2)?.to_owned(),
                    state: TaskState::parse(row.text(3)?)?,
                    ended: row.moment(4)?,
                    message: row.text(5).ok().map(str::to_owned),
                })
            };
            rows.iter().map(one).collect()
        })
    }

    /// How many tasks are in each state that is not over.
    pub fn queue(&self) -> Result<Vec<(TaskState, i64)>> {
        self.read(|transaction| {
            let statement = "SELECT state, COUNT(*) FROM tasks \
                             WHERE state IN ('queued', 'running') GROUP BY state";
            let rows = transaction.query(statement, &[])?;
            let pair = |row: &Row| Ok((TaskState::parse(row.text(0)?)?, row.integer(1)?));
            rows.iter().map(pair).collect()
        })
    }

    /// Attempts that failed, of all time, by what they did and the kind of failure.
    pub fn failed_attempts(&self) -> Result<Vec<(String, i64)>> {
        self.counted("attempts ")
    }

    /// Tasks that failed and are not tried again, of all time, by what they did and the kind of
    /// failure.
    pub fn failures(&self) -> Result<Vec<(String, i64)>> {
        self.counted("failures ")
    }

    /// Counters by the rest of their names.
    fn counted(&self, start: &str) -> Result<Vec<(String, i64)>> {
        self.read(|transaction| {
            let statement = "SELECT SUBSTR(name, $2), value FROM counters WHERE name LIKE $1";
            let begin = Value::Integer(start.len() as i64 + 1);
            let rows =
                transaction.query(statement, &[format!("{start}%").as_str().into(), begin])?;
            let pair = |row: &Row| Ok((row.text(0)?.to_owned(), row.integer(1)?));
            rows.iter().map(pair).collect()
        })
    }

    /// Asks for a task's end: one that waits is cancelled, one that runs is asked to stop.
    pub fn cancel_task(&self, id: TaskId, who: &str) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let found = get(transaction, id)?;
            cancel(transaction, &found, who, now)?;
            settle(transaction, found.run, now)
        })
    }
}

impl NewTask {
    /// What no two tasks of a run have in common.
    pub(crate) fn identity(&self) -> Identity {
        let subject = name(&self.subject);
        (self.stage, self.action, subject, self.words.clone())
    }

    fn details(&self, job: &str) -> Body {
        Body {
            job: job.to_owned(),
            action: self.action,
            words: self.words.clone(),
            lanes: self.lanes.clone(),
            attempt: 0,
            attempts_max: self.attempts_max.max(1),
            retry_seconds: self.retry_seconds,
            started: None,
            error_kind: None,
            message: None,
            outcome: None,
            held_up: None,
        }
    }
}

/// Stage, action, subject and words.
pub(crate) type Identity = (u32, Action, String, Vec<String>);

/// Those of all tasks of a run.
pub(crate) fn identities(
    transaction: &mut dyn Transaction,
    run: RunId,
) -> Result<BTreeSet<Identity>> {
    let statement = format!("SELECT {COLUMNS} FROM tasks WHERE run = $1");
    let rows = transaction.query(&statement, &[run.0.into()])?;
    let identity = |row| {
        let task = task(row)?;
        Ok((task.stage, task.action, task.subject, task.words))
    };
    rows.iter().map(identity).collect()
}

/// Adds tasks to a run, which wait for their turns.
pub(crate) fn insert(
    transaction: &mut dyn Transaction,
    run: RunId,
    new: &[NewTask],
    now: Timestamp,
) -> Result<()> {
    let first = next_numbers(transaction, "tasks", new.len())?;
    let found = transaction.query("SELECT job FROM runs WHERE id = $1", &[run.0.into()])?;
    let job = found.first().map_or(Ok(""), |row| row.text(0))?;
    let row = |(id, new): (i64, &NewTask)| {
        Ok(vec![
            id.into(),
            run.0.into(),
            i64::from(new.stage).into(),
            (&new.subject).into(),
            TaskState::Queued.as_str().into(),
            now.into(),
            Value::Integer(0),
            body(&new.details(job))?,
        ])
    };
    let rows: Vec<_> = (first..).zip(new).map(row).collect::<Result<_>>()?;
    let into = "tasks (id, run, stage, subject, state, not_before, fence, body)";
    insert_rows(transaction, into, &rows, "")?;
    let ids: Vec<i64> = (first..).take(new.len()).collect();
    tell_all(transaction, now, ("task", TaskState::Queued), &ids)
}

pub(crate) fn get(transaction: &mut dyn Transaction, id: TaskId) -> Result<Task> {
    let statement = format!("SELECT {COLUMNS} FROM tasks WHERE id = $1");
    let rows = transaction.query(&statement, &[id.0.into()])?;
    let missing = || Error::new(ErrorKind::NotFound, format!("there is no task {id}"));
    task(rows.first().ok_or_else(missing)?)
}

pub(crate) fn cancel_of_run(
    transaction: &mut dyn Transaction,
    run: RunId,
    who: &str,
    now: Timestamp,
) -> Result<()> {
    let statement =
        format!("SELECT {COLUMNS} FROM tasks WHERE run = $1 AND state IN ('queued', 'running')");
    let rows = transaction.query(&statement, &[run.0.into()])?;
    for row in &rows {
        cancel(transaction, &task(row)?, who, now)?;
    }
    Ok(())
}

fn cancel(
    transaction: &mut dyn Transaction,
    found: &Task,
    who: &str,
    now: Timestamp,
) -> Result<()> {
    let statement = "UPDATE tasks SET cancel = $2 WHERE id = $1";
    match found.state {
        TaskState::Queued => {
            transaction.execute(statement, &[found.id.0.into(), who.into()])?;
            set_state(transaction, found.id, TaskState::Cancelled, now)
        }
        TaskState::Running => {
            transaction.execute(statement, &[found.id.0.into(), who.into()])?;
            tell(transaction, now, "task", found.id, "stopping")
        }
        _ => Ok(()),
    }
}

/// Ends a task.
pub(crate) fn set_state(
    transaction: &mut dyn Transaction,
    id: TaskId,
    state: TaskState,
    now: Timestamp,
) -> Result<()> {
    let statement = "UPDATE tasks SET state = $2, ended = $3, lease_until = NULL WHERE id = $1";
    transaction.execute(statement, &[id.0.into(), state.as_str().into(), now.into()])?;
    tell(transaction, now, "task", id, state)
}

pub(crate) fn task(row: &Row) -> Result<Task> {
    let details: Body = row.body(9)?;
    let text = |column| row.text(column).map(str::to_owned).ok();
    Ok(Task {
        id: TaskId(row.integer(0)?),
        run: RunId(row.integer(1)?),
        job: details.job,
        action: details.action,
        subject: row.text(3)?.to_owned(),
        words: details.words,
        stage: u32::try_from(row.integer(2)?).unwrap_or_default(),
        lanes: details.lanes,
        state: TaskState::parse(row.text(4)?)?,
        attempt: details.attempt,
        attempts_max: details.attempts_max,
        retry_seconds: details.retry_seconds,
        not_before: row.moment(5)?,
        held_up: details.held_up,
        node: text(6),
        started: details.started,
        ended: row.maybe_integer(8)?.map(moment).transpose()?,
        error_kind: details.error_kind,
        message: details.message,
        cancelled_by: text(7),
        outcome: details.outcome,
        progress: text(10).and_then(|text| serde_json::from_str(&text).ok()),
    })
}
