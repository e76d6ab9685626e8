//! What was run, what is kept, who asked: rows in SQLite, or in PostgreSQL when several nodes
//! share the work.
//!
//! Takes values and gives them back; every method is one transaction.
//! Does not decide what is due, run anything, or speak to repositories: whatever it says of
//! recovery points can be read anew from the repositories alone.
//!
//! A task belongs to the node that leased it, for as long as its fence is the newest: whoever
//! lost a lease is told so by the next thing it writes.
//!
//! Source: DESIGN, row 3.

mod abandoned;
mod accounts;
mod alerts;
mod audit;
mod catalog;
mod database;
mod error;
mod events;
mod health;
mod lead;
mod lease;
mod log;
mod machines;
mod moving;
mod nodes;
mod points;
mod reads;
mod repositories;
mod runs;
mod schema;
mod steps;
mod tasks;

pub use accounts::{Role, Session, Token, User};
pub use alerts::{Acknowledged, Alert, AlertSeverity};
pub use audit::{AuditEntry, AuditFlaw, AuditKey, AuditReport};
pub use catalog::{Catalog, CatalogPlace};
pub use error::{Error, Result};
pub use events::Event;
pub use lease::{HeldUp, HoldsUp, Lane, Lease, LeaseOffer, clock_tolerance};
pub use log::{LogLevel, LogLine};
pub use machines::{Machine, MachineKey};
pub use nodes::Node;
pub use points::{Point, PointCount, PointFilter, PointKey, Proof, ProofKind};
pub use reads::Reads;
pub use repositories::{RepositoryFacts, RepositorySize};
pub use runs::{Cause, NewRun, Run, RunFilter, RunId, RunState};
pub use steps::{StepRecord, StepState};
pub use tasks::{Action, LastEnd, NewTask, Progress, Task, TaskEnd, TaskFilter, TaskId, TaskState};
