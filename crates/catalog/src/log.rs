//! What tasks say while they run.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::{Row, Transaction, Value, kept};
use crate::runs::RunId;
use crate::tasks::TaskId;
use crate::{Catalog, Result};

/// A task that says more says no more.
const LINES_MAX: i64 = 10_000;
/// Longer lines are cut, in bytes.
const LINE_MAX: usize = 4_000;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number, from 1 on.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// What was said.
    pub line: String,
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Catalog {
    /// Lines of a task's log after a number, at most so many.
    pub fn log_after(&self, task: TaskId, number: i64, count: u32) -> Result<Vec<LogLine>> {
        self.read(|transaction| {
            let statement = "SELECT number, at, level, line FROM log \
                             WHERE task = $1 AND number > $2 ORDER BY number LIMIT $3";
            let values = [task.0.into(), number.into(), i64::from(count).into()];
            let rows = transaction.query(statement, &values)?;
            rows.iter().map(line).collect()
        })
    }

    /// The last lines of a task's log, in their order, at most so many.
    pub fn log_end(&self, task: TaskId, count: u32) -> Result<Vec<LogLine>> {
        self.read(|transaction| {
            let statement = "SELECT number, at, level, line FROM log \
                             WHERE task = $1 ORDER BY number DESC LIMIT $2";
            let rows = transaction.query(statement, &[task.0.into(), i64::from(count).into()])?;
            rows.iter().rev().map(line).collect()
        })
    }

    /// What the tasks of a run warned of, the first of it, at most so many lines.
    pub fn warnings(&self, run: RunId, count: u32) -> Result<Vec<LogLine>> {
        self.read(|transaction| {
            let statement = "SELECT number, at, level, line FROM log \
                             WHERE task IN (SELECT id FROM tasks WHERE run = $1) \
                             AND level = 'warning' ORDER BY task, number LIMIT $2";
            let rows = transaction.query(statement, &[run.0.into(), i64::from(count).into()])?;
            rows.iter().map(line).collect()
        })
    }
}

pub(crate) fn append(
    transaction: &mut dyn Transaction,
    task: TaskId,
    now: Timestamp,
    level: LogLevel,
    line: &str,
) -> Result<()> {
    let text = Value::Text(kept(line, LINE_MAX, " "));
    let statement = "INSERT INTO log (task, number, at, level, line) \
                     SELECT CAST($1 AS BIGINT), COALESCE(MAX(number), 0) + 1, \
                     CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT) \
                     FROM log WHERE task = $1 \
                     HAVING COALESCE(MAX(number), 0) < $5";
    let values = [
        task.0.into(),
        now.into(),
        level.as_str().into(),
        text,
        LINES_MAX.into(),
    ];
    transaction.execute(statement, &values).map(drop)
}

fn line(row: &Row) -> Result<LogLine> {
    Ok(LogLine {
        number: row.integer(0)?,
        at: row.moment(1)?,
        level: match row.text(2)? {
            "warning" => LogLevel::Warning,
            "error" => LogLevel::Error,
            _ => LogLevel::Note,
        },
        line: row.text(3)?.to_owned(),
    })
}
