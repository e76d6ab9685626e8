//! Steps of tasks: what an attempt does one after the other, and where it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::{Row, Transaction, Value, body};
use crate::tasks::{TaskEnd, TaskId};
use crate::{Catalog, Result};

/// How a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It is on its way.
    #[default]
    Running,
    /// The next one began, or all is done.
    Done,
    /// The attempt failed in it.
    Failed,
    /// The attempt was stopped in it.
    Stopped,
}

/// A step that began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its name: `validate`, `capture`, `transfer`.
    pub name: String,
    /// In which attempt.
    pub attempt: u32,
    /// When.
    pub began: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// How it is.
    #[serde(default)]
    pub state: StepState,
    /// Why the attempt failed in it.
    #[serde(default)]
    pub message: Option<String>,
}

impl StepState {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl Catalog {
    /// Steps of a task, in the order in which they began.
    pub fn steps(&self, id: TaskId) -> Result<Vec<StepRecord>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM steps WHERE task = $1 ORDER BY number";
            let rows = transaction.query(statement, &[id.0.into()])?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }
}

/// Begins a step, and so ends the one before.
pub(crate) fn begin(
    transaction: &mut dyn Transaction,
    (id, attempt): (TaskId, u32),
    name: &str,
    now: Timestamp,
) -> Result<()> {
    end_last(transaction, id, (StepState::Done, None), now)?;
    let step = StepRecord {
        name: name.to_owned(),
        attempt,
        began: now,
        ended: None,
        state: StepState::Running,
        message: None,
    };
    let statement = "INSERT INTO steps (task, number, body) \
                     SELECT CAST($1 AS BIGINT), COALESCE(MAX(number), 0) + 1, \
                     CAST($2 AS TEXT) FROM steps WHERE task = $1";
    transaction
        .execute(statement, &[id.0.into(), body(&step)?])
        .map(drop)
}

/// Ends the step in which an attempt ended.
pub(crate) fn end(
    transaction: &mut dyn Transaction,
    id: TaskId,
    end: &TaskEnd,
    now: Timestamp,
) -> Result<()> {
    let how = match end {
        TaskEnd::Succeeded(_) | TaskEnd::PassedOver(_) => (StepState::Done, None),
        TaskEnd::Failed(_, message) | TaskEnd::Hopeless(_, message) => {
            (StepState::Failed, Some(message.clone()))
        }
        TaskEnd::Cancelled | TaskEnd::GivenBack => (StepState::Stopped, None),
    };
    end_last(transaction, id, how, now)
}

fn end_last(
    transaction: &mut dyn Transaction,
    id: TaskId,
    (state, message): (StepState, Option<String>),
    now: Timestamp,
) -> Result<()> {
    let statement = "SELECT number, body FROM steps WHERE task = $1 ORDER BY number DESC LIMIT 1";
    let rows = transaction.query(statement, &[id.0.into()])?;
    let last = |row: &Row| Ok::<_, crate::Error>((row.integer(0)?, row.body(1)?));
    let Some((number, step)) = rows.first().map(last).transpose()? else {
        return Ok(());
    };
    let step: StepRecord = step;
    if step.ended.is_some() {
        return Ok(());
    }
    let ended = StepRecord {
        ended: Some(now),
        state,
        message,
        ..step
    };
    let statement = "UPDATE steps SET body = $3 WHERE task = $1 AND number = $2";
    let values = [id.0.into(), Value::Integer(number), body(&ended)?];
    transaction.execute(statement, &values).map(drop)
}
