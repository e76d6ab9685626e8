//! Which node carries out which task, and for how long nobody else may.
//!
//! A lease has a number, the fence, that is greater than that of every earlier lease. What a node
//! writes about a task counts only while the task has that fence: a node that slept through its
//! lease cannot disturb the one that took over.
//!
//! Leases begin and end by the clock of the database. A node whose own clock is too far from it
//! gets none: it would date its backups wrongly.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::abandoned::pass_over_rest;
use crate::catalog::next_number;
use crate::database::{Row, Transaction, Value, body};
use crate::events::tell;
use crate::log::{self, LogLevel};
use crate::runs::{RunId, settle};
use crate::tasks::{
    self, Body, COLUMNS, NewTask, Progress, Task, TaskEnd, TaskId, TaskState, set_state,
};
use crate::{Catalog, Error, Result, steps};

/// Tasks that are looked at in one go.
const PAGE: i64 = 1_000;

/// The counter that numbers leases.
pub(crate) const FENCES: &str = "fences";

/// The longest pause before another attempt.
const PAUSE_MAX: u64 = 6 * 3600;

/// Something of which only so many tasks at once may have a turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lane {
    /// Which: `job web`, `repository main`, `platform local`, `machine local/web01`.
    pub name: String,
    /// How many at the same time, of all nodes together.
    pub most: u32,
}

/// A task that this node carries out.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// The task as it was when the lease began.
    pub task: Task,
    /// The number of the lease.
    pub fence: i64,
    /// Until then nobody else takes it.
    pub until: Timestamp,
}

/// Why a task waits though its time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// Until when.
    pub until: Timestamp,
    /// What is in the way, in a few words.
    pub why: String,
}

/// Says of a task that is about to begin, at a moment, whether it must wait.
pub type HoldsUp<'a> = &'a dyn Fn(&Task, Timestamp) -> Option<HeldUp>;

/// By so much the clock of a node may be wrong that holds leases for so long.
pub fn clock_tolerance(hold: Duration) -> Duration {
    hold / 4
}

/// What a node offers to carry out.
#[derive(Clone, Debug)]
pub struct LeaseOffer<'a> {
    /// The node's name.
    pub node: &'a str,
    /// How long a lease holds without being renewed.
    pub hold: Duration,
    /// At most so many leases are given now.
    pub count: u32,
    /// Only tasks of this run; of all if there is none.
    pub run: Option<RunId>,
}

impl Catalog {
    /// Gives tasks to a node: those whose time and stage have come and that have a turn in all
    /// of their lanes, oldest first.
    ///
    /// Errors: `Denied` if the node's clock is too far from that of the database.
    pub fn lease(&self, offer: &LeaseOffer<'_>) -> Result<Vec<Lease>> {
        self.lease_unless(offer, &|_, _| None)
    }

    /// As [`Self::lease`]; a task of a planned run that `holds_up` names waits on, and tells why.
    /// What somebody asked for is not held up.
    pub fn lease_unless(
        &self,
        offer: &LeaseOffer<'_>,
        holds_up: HoldsUp<'_>,
    ) -> Result<Vec<Lease>> {
        self.write(|transaction| {
            transaction.exclude_others()?;
            let (now, ahead) = self.judged(transaction)?;
            if ahead.unsigned_abs() > clock_tolerance(offer.hold) {
                return Err(Error::wrong_clock(ahead));
            }
            let mut taken = busy_lanes(transaction)?;
            let most = usize::try_from(offer.count).unwrap_or(usize::MAX);
            let mut leases = Vec::new();
            let mut place = Some((i64::MIN, 0));
            // Those that wait for a turn do not stand before others.
            while let Some(after) = place.filter(|_| leases.len() < most) {
                let rows = ready(transaction, offer.run, now, after)?;
                place = place_of(rows.last().filter(|_| rows.len() as i64 == PAGE))?;
                for row in &rows {
                    let found = tasks::task(row)?;
                    if leases.len() == most {
                        break;
                    }
                    let is_planned = row.maybe_integer(PLANNED)?.is_some();
                    let held = is_planned.then(|| holds_up(&found, now)).flatten();
                    if let Some(held) = held {
                        hold_up(transaction, found, held, now)?;
                        continue;
                    }
                    if take_turns(&found, &mut taken) {
                        leases.push(begin(transaction, found, offer, now)?);
                    }
                }
            }
            Ok(leases)
        })
    }

    /// Prolongs a lease; says who wants the task stopped, if somebody does.
    ///
    /// Errors: `Denied` if the lease is over.
    pub fn renew(&self, lease: &mut Lease, hold: Duration) -> Result<Option<String>> {
        let (id, fence) = (lease.task.id.0, lease.fence);
        let (until, cancelled) = self.write(|transaction| {
            let until = after(self.judged(transaction)?.0, hold);
            let statement = "UPDATE tasks SET lease_until = $3 \
                             WHERE id = $1 AND fence = $2 AND state = 'running'";
            let values = [id.into(), fence.into(), until.into()];
            if transaction.execute(statement, &values)? == 0 {
                return Err(Error::lost_lease(id));
            }
            let statement = "SELECT cancel FROM tasks WHERE id = $1";
            let rows = transaction.query(statement, &[id.into()])?;
            let who = rows.first().and_then(|row| row.text(0).ok());
            Ok((until, who.map(str::to_owned)))
        })?;
        lease.until = until;
        Ok(cancelled)
    }

    /// Tells how far a task is. Errors: `Denied` if the lease is over.
    pub fn report(&self, lease: &Lease, progress: &Progress) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            held(transaction, lease)?;
            let statement = "UPDATE tasks SET progress = $2 WHERE id = $1";
            let id = lease.task.id;
            transaction.execute(statement, &[id.0.into(), body(progress)?])?;
            tell(transaction, now, "progress", id, &progress.phase)
        })
    }

    /// Writes down that a step begins. Errors: `Denied` if the lease is over.
    pub fn begin_step(&self, lease: &Lease, name: &str) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            held(transaction, lease)?;
            let id = lease.task.id;
            steps::begin(transaction, (id, lease.task.attempt), name, now)?;
            tell(transaction, now, "step", id, name)
        })
    }

    /// Adds a line to a task's log. Errors: `Denied` if the lease is over.
    pub fn write_log(&self, lease: &Lease, level: LogLevel, line: &str) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            held(transaction, lease)?;
            log::append(transaction, lease.task.id, now, level, line)
        })
    }

    /// Ends an attempt. A failure is tried again later, up to the task's number of attempts, with
    /// a pause that doubles. One that somebody wanted stopped is not tried again.
    ///
    /// Errors: `Denied` if the lease is over; then nothing was written.
    pub fn end_task(&self, lease: &Lease, end: &TaskEnd) -> Result<TaskState> {
        self.write(|transaction| {
            transaction.exclude_others()?;
            held(transaction, lease)?;
            let (now, _) = self.judged(transaction)?;
            finish(transaction, lease.task.id, end, now)
        })
    }

    /// As [`Self::end_task`], and adds tasks to the run, both or neither: what a lost lease or a
    /// crash keeps back is not there twice when somebody else has done it. A task that somebody
    /// wanted stopped adds nothing and counts as stopped.
    pub fn end_task_adding(
        &self,
        lease: &Lease,
        end: &TaskEnd,
        more: &[NewTask],
    ) -> Result<TaskState> {
        let id = lease.task.id;
        self.write(|transaction| {
            transaction.exclude_others()?;
            held(transaction, lease)?;
            let (now, _) = self.judged(transaction)?;
            if tasks::get(transaction, id)?.cancelled_by.is_some() {
                return finish(transaction, id, &TaskEnd::Cancelled, now);
            }
            tasks::insert(transaction, lease.task.run, more, now)?;
            finish(transaction, id, end, now)
        })
    }

    /// Takes back the tasks of nodes that did not renew their leases: each counts as an attempt
    /// that failed. Gives them as they were.
    pub fn take_over(&self) -> Result<Vec<Task>> {
        let statement = format!(
            "SELECT {COLUMNS} FROM tasks WHERE state = 'running' AND lease_until < $1 ORDER BY id"
        );
        self.take_back(&statement, None)
    }

    /// Takes back what a node of this name ran before it started: it has just started and runs
    /// nothing.
    pub fn take_over_own(&self, node: &str) -> Result<Vec<Task>> {
        let statement = format!(
            "SELECT {COLUMNS} FROM tasks WHERE state = 'running' AND node = $1 ORDER BY id"
        );
        self.take_back(&statement, Some(node))
    }

    /// Tasks that `statement` finds by a node, or by the moment.
    fn take_back(&self, statement: &str, node: Option<&str>) -> Result<Vec<Task>> {
        self.write(|transaction| {
            transaction.exclude_others()?;
            let (now, _) = self.judged(transaction)?;
            let value = node.map_or_else(|| now.into(), Value::from);
            let rows = transaction.query(statement, &[value])?;
            let lost: Vec<Task> = rows.iter().map(tasks::task).collect::<Result<_>>()?;
            for task in &lost {
                let node = task.node.as_deref().unwrap_or("somebody");
                let line = format!("{node} ended in the middle of it");
                let id = task.id;
                log::append(transaction, id, now, LogLevel::Warning, &line)?;
                let end = match &task.cancelled_by {
                    Some(_) => TaskEnd::Cancelled,
                    None => TaskEnd::Failed(ErrorKind::Unreachable, line),
                };
                finish(transaction, id, &end, now)?;
                // The pause is for what may pass; a node that is gone has passed.
                let statement = "UPDATE tasks SET not_before = $2 \
                                 WHERE id = $1 AND state = 'queued'";
                transaction.execute(statement, &[id.0.into(), now.into()])?;
            }
            Ok(lost)
        })
    }
}

/// Turns that running tasks have taken, by lane.
fn busy_lanes(transaction: &mut dyn Transaction) -> Result<BTreeMap<String, u32>> {
    let mut taken = BTreeMap::new();
    for row in transaction.query("SELECT body FROM tasks WHERE state = 'running'", &[])? {
        let details: Body = row.body(0)?;
        for lane in details.lanes {
            *taken.entry(lane.name).or_default() += 1;
        }
    }
    Ok(taken)
}

/// Takes a turn in each of a task's lanes; takes none and says no if one of them is full.
fn take_turns(task: &Task, taken: &mut BTreeMap<String, u32>) -> bool {
    let is_free = |lane: &Lane| taken.get(&lane.name).copied().unwrap_or(0) < lane.most.max(1);
    if !task.lanes.iter().all(is_free) {
        return false;
    }
    for lane in &task.lanes {
        *taken.entry(lane.name.clone()).or_default() += 1;
    }
    true
}

/// Lets a task wait on, and writes down why.
fn hold_up(
    transaction: &mut dyn Transaction,
    mut task: Task,
    held: HeldUp,
    now: Timestamp,
) -> Result<()> {
    let id = task.id;
    let line = format!("waits until {}: {}", held.until, held.why);
    log::append(transaction, id, now, LogLevel::Note, &line)?;
    task.held_up = Some(held.why);
    let statement = "UPDATE tasks SET not_before = $2, body = $3 WHERE id = $1";
    let values = [id.0.into(), held.until.into(), body(&details(&task))?];
    transaction.execute(statement, &values)?;
    tell(transaction, now, "task", id, TaskState::Queued)
}

/// The column behind those of a task in [`ready`].
const PLANNED: usize = 11;

/// Where a row of [`ready`] stands.
fn place_of(row: Option<&Row>) -> Result<Option<(i64, i64)>> {
    row.map(|row| Ok((row.integer(5)?, row.integer(0)?)))
        .transpose()
}

/// Tasks whose time has come and before which nothing of their run is left, from behind a place.
fn ready(
    transaction: &mut dyn Transaction,
    run: Option<RunId>,
    now: Timestamp,
    after: (i64, i64),
) -> Result<Vec<Row>> {
    let statement = format!(
        "SELECT {COLUMNS}, (SELECT planned FROM runs WHERE runs.id = tasks.run) \
         FROM tasks WHERE state = 'queued' AND not_before <= $1 \
         AND (CAST($2 AS BIGINT) = 0 OR run = $2) \
         AND NOT EXISTS (SELECT 1 FROM tasks AS earlier WHERE earlier.run = tasks.run \
         AND earlier.stage < tasks.stage AND earlier.state IN ('queued', 'running')) \
         AND (not_before, id) > ($3, $4) ORDER BY not_before, id LIMIT $5"
    );
    let values = [
        now.into(),
        run.map_or(0, |run| run.0).into(),
        after.0.into(),
        after.1.into(),
        PAGE.into(),
    ];
    transaction.query(&statement, &values)
}

fn begin(
    transaction: &mut dyn Transaction,
    mut task: Task,
    offer: &LeaseOffer<'_>,
    now: Timestamp,
) -> Result<Lease> {
    let fence = next_number(transaction, FENCES)?;
    let until = after(now, offer.hold);
    task.attempt += 1;
    task.started = Some(now);
    task.held_up = None;
    task.state = TaskState::Running;
    task.node = Some(offer.node.to_owned());
    let statement = "UPDATE tasks SET state = 'running', node = $2, fence = $3, lease_until = $4, \
                     progress = NULL, body = $5 WHERE id = $1";
    let values = [
        task.id.0.into(),
        offer.node.into(),
        fence.into(),
        until.into(),
        body(&details(&task))?,
    ];
    transaction.execute(statement, &values)?;
    tell(transaction, now, "task", task.id, TaskState::Running)?;
    Ok(Lease { task, fence, until })
}

fn held(transaction: &mut dyn Transaction, lease: &Lease) -> Result<()> {
    let id = lease.task.id.0;
    // A change, not a question: nobody takes the task over before this transaction ends.
    let statement = "UPDATE tasks SET fence = fence \
                     WHERE id = $1 AND fence = $2 AND state = 'running'";
    match transaction.execute(statement, &[id.into(), lease.fence.into()])? {
        0 => Err(Error::lost_lease(id)),
        _ => Ok(()),
    }
}

fn finish(
    transaction: &mut dyn Transaction,
    id: TaskId,
    end: &TaskEnd,
    now: Timestamp,
) -> Result<TaskState> {
    let mut task = tasks::get(transaction, id)?;
    let mut again = None;
    steps::end(transaction, id, end, now)?;
    (task.error_kind, task.message) = (None, None);
    let state = match end {
        TaskEnd::Succeeded(outcome) => {
            task.outcome = Some(outcome.clone());
            TaskState::Succeeded
        }
        TaskEnd::PassedOver(why) => {
            task.message = Some(why.clone());
            TaskState::PassedOver
        }
        TaskEnd::Cancelled => TaskState::Cancelled,
        // Somebody wanted it stopped, and it stopped.
        TaskEnd::GivenBack if task.cancelled_by.is_some() => TaskState::Cancelled,
        TaskEnd::Failed(kind, message) | TaskEnd::Hopeless(kind, message)
            if task.cancelled_by.is_some() =>
        {
            task.error_kind = Some(kind.to_string());
            task.message = Some(message.clone());
            TaskState::Cancelled
        }
        TaskEnd::GivenBack => {
            task.attempt = task.attempt.saturating_sub(1);
            again = Some(now);
            TaskState::Queued
        }
        TaskEnd::Failed(kind, message) | TaskEnd::Hopeless(kind, message) => {
            task.error_kind = Some(kind.to_string());
            task.message = Some(message.clone());
            next_number(transaction, &format!("attempts {} {kind}", task.action))?;
            match task.attempt < attempts_of(&task, end) {
                true => {
                    again = Some(after(now, pause(&task)));
                    TaskState::Queued
                }
                false => {
                    next_number(transaction, &format!("failures {} {kind}", task.action))?;
                    TaskState::Failed
                }
            }
        }
    };
    let statement = "UPDATE tasks SET body = $2, not_before = $3, progress = NULL WHERE id = $1";
    let begin = again.unwrap_or(task.not_before);
    transaction.execute(
        statement,
        &[id.0.into(), body(&details(&task))?, begin.into()],
    )?;
    match again {
        Some(_) => {
            let statement = "UPDATE tasks SET state = 'queued', lease_until = NULL WHERE id = $1";
            transaction.execute(statement, &[id.0.into()])?;
            tell(transaction, now, "task", id, TaskState::Queued)?;
        }
        None => close(transaction, &task, state, now)?,
    }
    settle(transaction, task.run, now)?;
    Ok(state)
}

/// Ends a task for good.
fn close(
    transaction: &mut dyn Transaction,
    task: &Task,
    state: TaskState,
    now: Timestamp,
) -> Result<()> {
    set_state(transaction, task.id, state, now)?;
    remember_end(transaction, task, state, now)?;
    match state {
        TaskState::Failed => pass_over_rest(transaction, task, now),
        _ => Ok(()),
    }
}

/// Of each subject of each job the last end that nobody asked for.
pub(crate) fn remember_end(
    transaction: &mut dyn Transaction,
    task: &Task,
    state: TaskState,
    now: Timestamp,
) -> Result<()> {
    if state == TaskState::Cancelled {
        return Ok(());
    }
    let statement = "INSERT INTO task_ends (job, action, subject, state, ended, message) \
                     VALUES ($1, $2, $3, $4, $5, $6) \
                     ON CONFLICT (job, action, subject) DO UPDATE SET state = excluded.state, \
                     ended = excluded.ended, message = excluded.message";
    let values = [
        (&task.job).into(),
        task.action.as_str().into(),
        (&task.subject).into(),
        state.as_str().into(),
        now.into(),
        task.message.as_deref().map_or(Value::Null, Value::from),
    ];
    transaction.execute(statement, &values).map(drop)
}

/// How many attempts a task is worth that ended so.
fn attempts_of(task: &Task, end: &TaskEnd) -> u32 {
    match end {
        TaskEnd::Failed(ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Cancelled, _) => 0,
        // Mostly a mistake; but what is mounted late may be there at the second look.
        TaskEnd::Failed(ErrorKind::NotFound | ErrorKind::Denied, _) => task.attempts_max.min(2),
        TaskEnd::Failed(..) => task.attempts_max,
        _ => 0,
    }
}

fn pause(task: &Task) -> Duration {
    let doubled = task.attempt.saturating_sub(1).min(20);
    let seconds = task.retry_seconds.saturating_mul(1 << doubled);
    Duration::from_secs(seconds.min(PAUSE_MAX))
}

pub(crate) fn details(task: &Task) -> Body {
    Body {
        job: task.job.clone(),
        action: task.action,
        words: task.words.clone(),
        lanes: task.lanes.clone(),
        attempt: task.attempt,
        attempts_max: task.attempts_max,
        retry_seconds: task.retry_seconds,
        started: task.started,
        error_kind: task.error_kind.clone(),
        message: task.message.clone(),
        outcome: task.outcome.clone(),
        held_up: task.held_up.clone(),
    }
}

pub(crate) fn after(now: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}
