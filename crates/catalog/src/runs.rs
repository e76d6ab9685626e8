//! Runs: one execution of a job, made of tasks.

use std::fmt;

use jiff::Timestamp;
use lifeboat_model::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::catalog::next_number;
use crate::database::{Conditions, Row, Transaction, Value, body};
use crate::events::tell;
use crate::tasks::{self, Action, NewTask, TaskState};
use crate::{Catalog, Error, Result};

/// The number of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

/// Why a run is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A run that is to be.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its job's name.
    pub job: String,
    /// The moment of the schedule that it is for; no other run is for the same.
    pub planned: Option<Timestamp>,
    /// Why it is there.
    pub cause: Cause,
    /// Who asked for it.
    pub requested_by: String,
    /// Its first tasks.
    pub tasks: Vec<NewTask>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Its job's name.
    pub job: String,
    /// The moment of the schedule that it is for.
    pub planned: Option<Timestamp>,
    /// Why it is there.
    pub cause: Cause,
    /// Who asked for it.
    pub requested_by: String,
    /// How it is.
    pub state: RunState,
    /// When it was written down.
    pub created: Timestamp,
    /// When its last task ended.
    pub ended: Option<Timestamp>,
}

/// Which runs are wanted, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Those of one job.
    pub job: Option<String>,
    /// Those in one state.
    pub state: Option<RunState>,
    /// Those with smaller numbers.
    pub before: Option<RunId>,
    /// Those that were written down since.
    pub since: Option<Timestamp>,
    /// At most so many; 100 if it is 0.
    pub count: u32,
}

const COLUMNS: &str = "id, job, planned, state, created, ended, body";

#[derive(Serialize, Deserialize)]
struct Body {
    cause: Cause,
    requested_by: String,
}

impl RunState {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let all = [
            Self::Open,
            Self::Succeeded,
            Self::Partial,
            Self::Failed,
            Self::Cancelled,
        ];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Error::corrupt(format!("there is no state \"{text}\" of runs")))
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Catalog {
    /// Writes a run with its first tasks down, before anything happens. Nothing if there is one
    /// for the same moment already: another node was quicker.
    pub fn begin_run(&self, new: &NewRun) -> Result<Option<RunId>> {
        self.write(|transaction| {
            transaction.exclude_others()?;
            let (now, _) = self.judged(transaction)?;
            let id = next_number(transaction, "runs")?;
            let details = Body {
                cause: new.cause,
                requested_by: new.requested_by.clone(),
            };
            let statement = "INSERT INTO runs (id, job, planned, state, created, body) \
                             VALUES ($1, $2, $3, 'open', $4, $5) \
                             ON CONFLICT (job, planned) DO NOTHING";
            let planned = Value::from(new.planned);
            let values = [
                id.into(),
                (&new.job).into(),
                planned,
                now.into(),
                body(&details)?,
            ];
            if transaction.execute(statement, &values)? == 0 {
                return Ok(None);
            }
            let statement = "INSERT INTO series (job, newest, planned) VALUES ($1, $2, $3) \
                             ON CONFLICT (job) DO UPDATE SET newest = excluded.newest, \
                             planned = CASE WHEN excluded.planned IS NULL \
                             OR series.planned > excluded.planned THEN series.planned \
                             ELSE excluded.planned END";
            let values = [(&new.job).into(), id.into(), Value::from(new.planned)];
            transaction.execute(statement, &values)?;
            tasks::insert(transaction, RunId(id), &new.tasks, now)?;
            tell(transaction, now, "run", id, RunState::Open)?;
            settle(transaction, RunId(id), now)?;
            Ok(Some(RunId(id)))
        })
    }

    /// One run.
    ///
    /// Errors: `NotFound`.
    pub fn run(&self, id: RunId) -> Result<Run> {
        self.read(|transaction| get(transaction, id))
    }

    /// Runs, newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let count = if filter.count == 0 { 100 } else { filter.count };
        let conditions = Conditions::new()
            .and("job =", filter.job.as_deref())
            .and("state =", filter.state.map(RunState::as_str))
            .and("id <", filter.before.map(|id| id.0))
            .and("created >=", filter.since)
            .limited("id DESC", count);
        let statement = format!("SELECT {COLUMNS} FROM runs {}", conditions.text);
        self.read(|transaction| {
            let rows = transaction.query(&statement, &conditions.values)?;
            rows.iter().map(run).collect()
        })
    }

    /// The newest moment of its schedule for which a job has a run.
    pub fn last_planned(&self, job: &str) -> Result<Option<Timestamp>> {
        self.read(|transaction| {
            let statement = "SELECT MAX(planned) FROM runs WHERE job = $1";
            let rows = transaction.query(statement, &[job.into()])?;
            let newest = rows.first().map(|row| row.maybe_integer(0)).transpose()?;
            newest.flatten().map(crate::database::moment).transpose()
        })
    }

    /// The newest moments of their schedules of all jobs, in one look.
    pub fn all_last_planned(&self) -> Result<Vec<(String, Timestamp)>> {
        self.read(|transaction| {
            let statement = "SELECT job, planned FROM series WHERE planned IS NOT NULL";
            let rows = transaction.query(statement, &[])?;
            let pair = |row: &Row| Ok((row.text(0)?.to_owned(), row.moment(1)?));
            rows.iter().map(pair).collect()
        })
    }

    /// The newest run of each job, in one look.
    pub fn newest_runs(&self) -> Result<Vec<Run>> {
        self.read(|transaction| {
            let statement =
                format!("SELECT {COLUMNS} FROM runs WHERE id IN (SELECT newest FROM series)");
            let rows = transaction.query(&statement, &[])?;
            rows.iter().map(run).collect()
        })
    }

    /// Job, state and number of runs that ended so, of all time: no number ever falls.
    pub fn run_totals(&self) -> Result<Vec<(String, RunState, i64)>> {
        self.read(|transaction| {
            let statement = "SELECT job, state, runs FROM run_totals ORDER BY job, state";
            let rows = transaction.query(statement, &[])?;
            let one = |row: &Row| {
                let state = RunState::parse(row.text(1)?)?;
                Ok((row.text(0)?.to_owned(), state, row.integer(2)?))
            };
            rows.iter().map(one).collect()
        })
    }

    /// Asks for the end of a run: tasks that wait are cancelled, those that run are asked to stop.
    pub fn cancel_run(&self, id: RunId, who: &str) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            get(transaction, id)?;
            tasks::cancel_of_run(transaction, id, who, now)?;
            settle(transaction, id, now)
        })
    }

    /// Adds tasks to a run that is open. Those that it has already, with the same action,
    /// subject, stage and words, are not added again: whoever did not hear the answer asks once
    /// more.
    ///
    /// Errors: `Invalid` if it has ended.
    pub fn add_tasks(&self, id: RunId, new: &[NewTask]) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let run = get(transaction, id)?;
            if run.state != RunState::Open {
                let text = format!("run {id} has ended: nothing can be added to it");
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            let mut there = tasks::identities(transaction, id)?;
            let is_new = |task: &&NewTask| there.insert(task.identity());
            let new: Vec<NewTask> = new.iter().filter(is_new).cloned().collect();
            tasks::insert(transaction, id, &new, now)
        })
    }

    /// Removes runs that ended before a moment, with all that belongs to them; says how many.
    pub fn forget_runs(&self, before: Timestamp) -> Result<u64> {
        self.write(|transaction| {
            transaction.exclude_others()?;
            let old = "SELECT id FROM runs WHERE ended IS NOT NULL AND ended < $1";
            for table in ["steps", "log"] {
                let statement = format!(
                    "DELETE FROM {table} WHERE task IN (SELECT id FROM tasks WHERE run IN ({old}))"
                );
                transaction.execute(&statement, &[before.into()])?;
            }
            let statement = "DELETE FROM task_ends WHERE ended < $1";
            transaction.execute(statement, &[before.into()])?;
            let statement = format!("DELETE FROM tasks WHERE run IN ({old})");
            transaction.execute(&statement, &[before.into()])?;
            let statement = "DELETE FROM runs WHERE ended IS NOT NULL AND ended < $1";
            transaction.execute(statement, &[before.into()])
        })
    }
}

pub(crate) fn get(transaction: &mut dyn Transaction, id: RunId) -> Result<Run> {
    let statement = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
    let rows = transaction.query(&statement, &[id.0.into()])?;
    let missing = || Error::new(ErrorKind::NotFound, format!("there is no run {id}"));
    run(rows.first().ok_or_else(missing)?)
}

/// Ends a run when the last of its tasks has ended.
pub(crate) fn settle(transaction: &mut dyn Transaction, id: RunId, now: Timestamp) -> Result<()> {
    // Asked at the end of every task: what has ended is not looked at before the last of them.
    let statement =
        "SELECT id FROM tasks WHERE run = $1 AND state IN ('queued', 'running') LIMIT 1";
    if !transaction.query(statement, &[id.0.into()])?.is_empty() {
        return Ok(());
    }
    let statement = "SELECT state, body FROM tasks WHERE run = $1";
    let rows = transaction.query(statement, &[id.0.into()])?;
    let end = |row: &Row| {
        let details: tasks::Body = row.body(1)?;
        Ok((details.action, TaskState::parse(row.text(0)?)?))
    };
    let ends: Vec<_> = rows.iter().map(end).collect::<Result<_>>()?;
    let state = state_of(&ends);
    let statement = "UPDATE runs SET state = $2, ended = $3 WHERE id = $1 AND state = 'open'";
    let values = [id.0.into(), state.as_str().into(), now.into()];
    if transaction.execute(statement, &values)? == 0 {
        return Ok(());
    }
    let statement = "INSERT INTO run_totals (job, state, runs) \
                     SELECT job, state, 1 FROM runs WHERE id = $1 \
                     ON CONFLICT (job, state) DO UPDATE SET runs = run_totals.runs + 1";
    transaction.execute(statement, &[id.0.into()])?;
    tell(transaction, now, "run", id, state)
}

/// How a run ended whose tasks ended so. Whether anything went well is for its backups to say; in
/// a run without, for all that did more than to look.
fn state_of(ends: &[(Action, TaskState)]) -> RunState {
    let is_any = |state| ends.iter().any(|it| it.1 == state);
    let has_backups = ends.iter().any(|it| it.0 == Action::Backup);
    let looks = [Action::Resolve, Action::Look];
    let is_meant = |action| match has_backups {
        true => action == Action::Backup,
        false => !looks.contains(&action),
    };
    let well = [TaskState::Succeeded, TaskState::PassedOver];
    match is_any(TaskState::Failed) {
        false if is_any(TaskState::Cancelled) => RunState::Cancelled,
        false => RunState::Succeeded,
        true if ends.iter().any(|it| is_meant(it.0) && well.contains(&it.1)) => RunState::Partial,
        true => RunState::Failed,
    }
}

fn run(row: &Row) -> Result<Run> {
    let details: Body = row.body(6)?;
    Ok(Run {
        id: RunId(row.integer(0)?),
        job: row.text(1)?.to_owned(),
        planned: row
            .maybe_integer(2)?
            .map(crate::database::moment)
            .transpose()?,
        cause: details.cause,
        requested_by: details.requested_by,
        state: RunState::parse(row.text(3)?)?,
        created: row.moment(4)?,
        ended: row
            .maybe_integer(5)?
            .map(crate::database::moment)
            .transpose()?,
    })
}
