//! What is left by those who ended in the middle, and what is not worth doing any more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_model::ErrorKind;

use crate::catalog::next_number;
use crate::database::{Transaction, body};
use crate::lease::{details, remember_end};
use crate::log::{self, LogLevel};
use crate::runs::{self, RunId, RunState, settle};
use crate::tasks::{self, Action, COLUMNS, Task, TaskEnd, TaskId, TaskState, set_state};
use crate::{Catalog, Result, steps};

impl Catalog {
    /// Ends a run that only the command carried out whose node had this name, and which is gone:
    /// what it had begun has failed, the rest is cancelled. Says whether that was so; a run that
    /// never belonged to it, or that another node works on, is left alone.
    pub fn end_abandoned(&self, id: RunId, node: &str) -> Result<bool> {
        self.write(|transaction| {
            transaction.exclude_others()?;
            let (now, _) = self.judged(transaction)?;
            let run = runs::get(transaction, id)?;
            let all = of_run(transaction, id)?;
            let is_own = |it: &Task| it.node.as_deref() == Some(node);
            let is_with_others = |it: &Task| it.state == TaskState::Running && !is_own(it);
            if run.state != RunState::Open || !all.iter().any(is_own) {
                return Ok(false);
            }
            if all.iter().any(is_with_others) {
                return Ok(false);
            }
            let line = format!("{node} ended in the middle of it");
            for task in all.into_iter().filter(|it| !it.state.is_over()) {
                abandon(transaction, task, &line, now)?;
            }
            settle(transaction, id, now)?;
            Ok(true)
        })
    }

    /// Tasks that a node has, and whose lease it does not renew any more.
    pub fn lapsed(&self) -> Result<BTreeSet<TaskId>> {
        let now = self.now();
        self.read(|transaction| {
            let statement = "SELECT id FROM tasks WHERE state = 'running' AND lease_until < $1";
            let rows = transaction.query(statement, &[now.into()])?;
            rows.iter().map(|row| Ok(TaskId(row.integer(0)?))).collect()
        })
    }
}

fn of_run(transaction: &mut dyn Transaction, id: RunId) -> Result<Vec<Task>> {
    let statement = format!("SELECT {COLUMNS} FROM tasks WHERE run = $1 ORDER BY id");
    let rows = transaction.query(&statement, &[id.0.into()])?;
    rows.iter().map(tasks::task).collect()
}

fn abandon(
    transaction: &mut dyn Transaction,
    mut task: Task,
    line: &str,
    now: Timestamp,
) -> Result<()> {
    log::append(transaction, task.id, now, LogLevel::Warning, line)?;
    if task.attempt == 0 {
        task.message = Some(line.to_owned());
        return over(transaction, &task, TaskState::Cancelled, now);
    }
    // One that waits for another attempt has said itself why it failed.
    if task.state == TaskState::Running || task.message.is_none() {
        task.error_kind = Some(ErrorKind::Unreachable.to_string());
        task.message = Some(line.to_owned());
    }
    let end = TaskEnd::Failed(ErrorKind::Unreachable, line.to_owned());
    steps::end(transaction, task.id, &end, now)?;
    let kind = task.error_kind.clone().unwrap_or_default();
    if task.state == TaskState::Running {
        next_number(transaction, &format!("attempts {} {kind}", task.action))?;
    }
    next_number(transaction, &format!("failures {} {kind}", task.action))?;
    over(transaction, &task, TaskState::Failed, now)?;
    remember_end(transaction, &task, TaskState::Failed, now)
}

fn over(
    transaction: &mut dyn Transaction,
    task: &Task,
    state: TaskState,
    now: Timestamp,
) -> Result<()> {
    let statement = "UPDATE tasks SET body = $2, progress = NULL WHERE id = $1";
    transaction.execute(statement, &[task.id.0.into(), body(&details(task))?])?;
    set_state(transaction, task.id, state, now)
}

/// Whether it is a mistake: nothing of that name, no right to it, a request that is wrong.
fn is_mistake(task: &Task) -> bool {
    let kinds = [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::Invalid];
    let kind = task.error_kind.as_deref();
    task.state == TaskState::Failed && kinds.iter().any(|it| kind == Some(&*it.to_string()))
}

/// When the last backup of a run has failed as all others did, by a mistake, what stands behind
/// them is passed over: it would only fail in the same way.
pub(crate) fn pass_over_rest(
    transaction: &mut dyn Transaction,
    last: &Task,
    now: Timestamp,
) -> Result<()> {
    if last.action != Action::Backup {
        return Ok(());
    }
    let (run, stage) = (last.run.0, i64::from(last.stage));
    // Asked at the end of every backup: what has ended is not looked at before the last of them.
    let statement = "SELECT id FROM tasks WHERE run = $1 AND stage <= $2 \
                     AND state IN ('queued', 'running') LIMIT 1";
    let left = transaction.query(statement, &[run.into(), stage.into()])?;
    if !left.is_empty() {
        return Ok(());
    }
    let all = of_run(transaction, last.run)?;
    let mut backups = all.iter().filter(|it| it.action == Action::Backup);
    if !backups.all(is_mistake) {
        return Ok(());
    }
    let later = all.into_iter().filter(|it| it.state == TaskState::Queued);
    for mut task in later {
        task.message = Some("no backup of this run could be made".to_owned());
        over(transaction, &task, TaskState::PassedOver, now)?;
    }
    Ok(())
}
