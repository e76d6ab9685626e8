//! The tables, step by step as they came.

use lifeboat_model::ErrorKind;

use crate::database::{Transaction, Value};
use crate::{Error, Result};

/// Each step is applied once, in order, and never changed afterwards.
const STEPS: &[&[&str]] = &[FIRST, INDEXES, SUMS, TOTALS];

const FIRST: &[&str] = &[
    "CREATE TABLE runs (
        id BIGINT PRIMARY KEY, job TEXT NOT NULL, planned BIGINT, state TEXT NOT NULL,
        created BIGINT NOT NULL, ended BIGINT, body TEXT NOT NULL)",
    // No run begins twice for one moment of its schedule.
    "CREATE UNIQUE INDEX runs_planned ON runs (job, planned)",
    "CREATE INDEX runs_created ON runs (created)",
    "CREATE INDEX runs_state ON runs (state)",
    "CREATE TABLE tasks (
        id BIGINT PRIMARY KEY, run BIGINT NOT NULL REFERENCES runs (id), stage BIGINT NOT NULL,
        subject TEXT NOT NULL, state TEXT NOT NULL, not_before BIGINT NOT NULL,
        node TEXT, fence BIGINT NOT NULL, lease_until BIGINT, cancel TEXT,
        ended BIGINT, body TEXT NOT NULL, progress TEXT)",
    "CREATE INDEX tasks_run ON tasks (run)",
    "CREATE INDEX tasks_state ON tasks (state, not_before)",
    "CREATE INDEX tasks_subject ON tasks (subject, ended)",
    "CREATE TABLE steps (
        task BIGINT NOT NULL REFERENCES tasks (id), number BIGINT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (task, number))",
    "CREATE TABLE log (
        task BIGINT NOT NULL REFERENCES tasks (id), number BIGINT NOT NULL, at BIGINT NOT NULL,
        level TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (task, number))",
    "CREATE TABLE machines (
        platform TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, seen BIGINT NOT NULL,
        gone BIGINT, body TEXT NOT NULL, PRIMARY KEY (platform, id))",
    "CREATE INDEX machines_name ON machines (name)",
    "CREATE TABLE points (
        repository TEXT NOT NULL, snapshot TEXT NOT NULL, machine TEXT NOT NULL,
        at BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (repository, snapshot))",
    "CREATE INDEX points_machine ON points (machine, at)",
    "CREATE TABLE proofs (
        id BIGINT PRIMARY KEY, machine TEXT NOT NULL, repository TEXT NOT NULL, at BIGINT NOT NULL,
        body TEXT NOT NULL)",
    "CREATE INDEX proofs_machine ON proofs (machine, at)",
    "CREATE TABLE repositories (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE repository_sizes (
        repository TEXT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (repository, at))",
    "CREATE TABLE alerts (
        id BIGINT PRIMARY KEY, subject TEXT NOT NULL, since BIGINT NOT NULL, cleared BIGINT,
        body TEXT NOT NULL)",
    "CREATE INDEX alerts_subject ON alerts (subject, cleared)",
    "CREATE TABLE users (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, body TEXT NOT NULL)",
    "CREATE TABLE sessions (
        digest TEXT PRIMARY KEY, user_name TEXT NOT NULL, expires BIGINT NOT NULL,
        body TEXT NOT NULL)",
    "CREATE TABLE audit (number BIGINT PRIMARY KEY, body TEXT NOT NULL, mac BYTEA NOT NULL)",
    "CREATE TABLE nodes (name TEXT PRIMARY KEY, seen BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE events (number BIGINT PRIMARY KEY, at BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
];

const INDEXES: &[&str] = &[
    // Whether tasks of earlier stages are left is asked for every task that waits.
    "CREATE INDEX tasks_open ON tasks (run, stage) WHERE state IN ('queued', 'running')",
    "CREATE INDEX tasks_ended ON tasks (ended)",
    "CREATE INDEX runs_counts ON runs (job, state)",
    "CREATE INDEX runs_ended ON runs (ended)",
    "CREATE INDEX points_series ON points (machine, repository, at)",
    "CREATE INDEX points_at ON points (at)",
    "CREATE INDEX proofs_at ON proofs (at)",
];

/// What pages and the schedule ask of all jobs at once, kept beside the rows it follows from.
const SUMS: &[&str] = &[
    "CREATE TABLE series (job TEXT PRIMARY KEY, newest BIGINT NOT NULL, planned BIGINT)",
    "INSERT INTO series (job, newest, planned) \
     SELECT job, MAX(id), MAX(planned) FROM runs GROUP BY job",
    "CREATE TABLE task_ends (
        job TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, state TEXT NOT NULL,
        ended BIGINT NOT NULL, message TEXT, PRIMARY KEY (job, action, subject))",
    "CREATE TABLE reads (
        job TEXT NOT NULL, machine TEXT NOT NULL, task BIGINT NOT NULL, last_full BIGINT,
        increments BIGINT NOT NULL, PRIMARY KEY (job, machine))",
    "ALTER TABLE machines ADD COLUMN since BIGINT",
];

/// What never falls, and which of two listings of a repository knows more.
const TOTALS: &[&str] = &[
    "CREATE TABLE run_totals (
        job TEXT NOT NULL, state TEXT NOT NULL, runs BIGINT NOT NULL, PRIMARY KEY (job, state))",
    "INSERT INTO run_totals (job, state, runs) \
     SELECT job, state, COUNT(*) FROM runs WHERE state <> 'open' GROUP BY job, state",
    "INSERT INTO counters (name, value) \
     SELECT 'attempts ' || SUBSTR(name, 10), value FROM counters WHERE name LIKE 'failures %'",
    // The newest lease when the row was written: a listing with an older one cannot know of it.
    "ALTER TABLE points ADD COLUMN written BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE listings (repository TEXT PRIMARY KEY, fence BIGINT NOT NULL)",
];

/// Brings the tables to this program's version.
///
/// Errors: `Unsupported` if a newer program has changed them.
pub(crate) fn bring_up_to_date(transaction: &mut dyn Transaction) -> Result<()> {
    transaction.exclude_others()?;
    let table = "CREATE TABLE IF NOT EXISTS schema_steps (number BIGINT PRIMARY KEY)";
    transaction.execute(table, &[])?;
    let rows = transaction.query("SELECT number FROM schema_steps", &[])?;
    if rows.len() > STEPS.len() {
        let text = "the catalog was changed by a newer lifeboat: use that one, or another catalog";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    for (number, step) in STEPS.iter().enumerate().skip(rows.len()) {
        for statement in *step {
            transaction.execute(statement, &[])?;
        }
        let number = Value::Integer(number as i64);
        transaction.execute("INSERT INTO schema_steps (number) VALUES ($1)", &[number])?;
    }
    Ok(())
}
