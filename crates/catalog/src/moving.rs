//! A catalog's rows in another database: as they are, with the seals of the audit log.

use lifeboat_model::ErrorKind;

use crate::database::{Transaction, Value, insert_rows};
use crate::{Catalog, Error, Result};

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// Tables in an order in which each row's owner comes first, their columns, and how many of those
/// name a row.
const TABLES: [(&str, &[&str], usize); 23] = [
    (
        "runs",
        &["id", "job", "planned", "state", "created", "ended", "body"],
        1,
    ),
    (
        "tasks",
        &[
            "id",
            "run",
            "stage",
            "subject",
            "state",
            "not_before",
            "node",
            "fence",
            "lease_until",
            "cancel",
            "ended",
            "body",
            "progress",
        ],
        1,
    ),
    ("steps", &["task", "number", "body"], 2),
    ("log", &["task", "number", "at", "level", "line"], 2),
    (
        "machines",
        &["platform", "id", "name", "seen", "gone", "body", "since"],
        2,
    ),
    (
        "points",
        &["repository", "snapshot", "machine", "at", "body", "written"],
        2,
    ),
    ("listings", &["repository", "fence"], 1),
    ("proofs", &["id", "machine", "repository", "at", "body"], 1),
    ("repositories", &["name", "body"], 1),
    ("repository_sizes", &["repository", "at", "body"], 2),
    ("alerts", &["id", "subject", "since", "cleared", "body"], 1),
    ("users", &["name", "body"], 1),
    ("tokens", &["id", "digest", "body"], 1),
    ("sessions", &["digest", "user_name", "expires", "body"], 1),
    ("audit", &["number", "body", "mac"], 1),
    ("nodes", &["name", "seen", "body"], 1),
    ("events", &["number", "at", "body"], 1),
    ("notes", &["name", "body"], 1),
    ("counters", &["name", "value"], 1),
    ("series", &["job", "newest", "planned"], 1),
    (
        "task_ends",
        &["job", "action", "subject", "state", "ended", "message"],
        3,
    ),
    (
        "reads",
        &["job", "machine", "task", "last_full", "increments"],
        2,
    ),
    ("run_totals", &["job", "state", "runs"], 2),
];

impl Catalog {
    /// Takes every row of another catalog over, all or none, and says how many they were.
    ///
    /// Errors: `Exists` if this one has rows.
    pub fn take_rows_of(&self, other: &Self) -> Result<u64> {
        other.read(|source| {
            self.write(|target| {
                target.exclude_others()?;
                for (table, ..) in TABLES {
                    refuse_rows(target, table)?;
                }
                let mut count = 0;
                for (table, columns, keys) in TABLES {
                    count += take(source, target, (table, columns, keys))?;
                }
                Ok(count)
            })
        })
    }
}

fn refuse_rows(target: &mut dyn Transaction, table: &str) -> Result<()> {
    let statement = format!("SELECT 1 FROM {table} LIMIT 1");
    match target.query(&statement, &[])?.is_empty() {
        true => Ok(()),
        false => {
            let text = format!(
                "this catalog has {table} already: rows are taken over into an empty one only, \
                 before the service has used it"
            );
            Err(Error::new(ErrorKind::Exists, text))
        }
    }
}

fn take(
    source: &mut dyn Transaction,
    target: &mut dyn Transaction,
    (table, columns, keys): (&str, &[&str], usize),
) -> Result<u64> {
    let names = columns.join(", ");
    let order = columns.get(..keys).unwrap_or_default().join(", ");
    let statement = format!("SELECT {names} FROM {table} ORDER BY {order} LIMIT $1 OFFSET $2");
    let into = format!("{table} ({names})");
    let mut count = 0;
    loop {
        let page = [PAGE.into(), Value::Integer(count)];
        let rows = source.query(&statement, &page)?;
        if rows.is_empty() {
            return Ok(count.unsigned_abs());
        }
        count += rows.len() as i64;
        let rows: Vec<Vec<Value>> = rows.into_iter().map(|row| row.0).collect();
        insert_rows(target, &into, &rows, "")?;
    }
}
