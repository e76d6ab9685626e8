//! How a job's machines were read: when everything, and how often changes alone since then.
//!
//! Recovery points do not tell it: keep rules remove the point of a full read while increments
//! go on.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::database::{Row, moment};
use crate::tasks::Task;
use crate::{Catalog, Result};

/// The reads of one machine by one job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// When everything was last read.
    pub last_full: Option<Timestamp>,
    /// Increments since then.
    pub increments: u32,
}

impl Catalog {
    /// Counts a backup task's read of its machine; once, however often it is told.
    pub fn add_read(&self, task: &Task, is_full: bool) -> Result<()> {
        let at = task.started.unwrap_or_else(|| self.now());
        self.write(|transaction| {
            transaction.exclude_others()?;
            let statement = "INSERT INTO reads (job, machine, task, last_full, increments) \
                             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (job, machine) \
                             DO UPDATE SET task = excluded.task, \
                             last_full = COALESCE(excluded.last_full, reads.last_full), \
                             increments = CASE WHEN excluded.increments = 0 THEN 0 \
                             ELSE reads.increments + 1 END WHERE reads.task <> excluded.task";
            let values = [
                (&task.job).into(),
                (&task.subject).into(),
                task.id.0.into(),
                is_full.then_some(at).into(),
                i64::from(!is_full).into(),
            ];
            transaction.execute(statement, &values).map(drop)
        })
    }

    /// The reads of a job's machines, by name.
    pub fn reads(&self, job: &str) -> Result<BTreeMap<String, Reads>> {
        self.read(|transaction| {
            let statement = "SELECT machine, last_full, increments FROM reads WHERE job = $1";
            let rows = transaction.query(statement, &[job.into()])?;
            let one = |row: &Row| {
                let reads = Reads {
                    last_full: row.maybe_integer(1)?.map(moment).transpose()?,
                    increments: u32::try_from(row.integer(2)?).unwrap_or(u32::MAX),
                };
                Ok((row.text(0)?.to_owned(), reads))
            };
            rows.iter().map(one).collect()
        })
    }
}
