//! Begins what is due, once, wherever it is carried out; judges what was promised.
//!
//! Takes settings, a catalog, a clock and an executor. Every node of a site runs the same loop
//! over the same catalog.
//! Does not move data, speak to platforms, or talk to people: tasks are carried out by an
//! [`Executor`], conditions are written into the catalog as alerts.
//!
//! Source: DESIGN, row 3.

mod advice;
mod attempts;
mod conditions;
mod due;
mod error;
mod execute;
mod judge;
mod outcome;
mod preview;
mod request;
mod settings;
mod status;
mod upcoming;
mod words;

mod node;

pub use advice::{
    ADVISED_MAX, Advice, Remedy, advise, advise_all, command, command_with, remedies, shell_word,
};
pub use conditions::UNDELIVERED;
pub use error::{Error, Result};
pub use execute::{Executor, TaskWatch};
pub use node::{Node, NodeOptions};
pub use outcome::{BackupOutcome, FoundMachine, LookOutcome};
pub use preview::simulate_job;
pub use request::{Request, RestoreRequest};
pub use settings::{JobSettings, PlatformSettings, RepositorySettings, Settings};
pub use status::{
    FailureStatus, JobStatus, MachineClass, MachineCounts, MachineStatus, ObjectiveKind,
    ObjectiveState, ObjectiveStatus, Overview, RepositoryStatus,
};
pub use upcoming::{PlannedDay, PlannedRun, RunPlace, upcoming, upcoming_days};
pub use words::is_replacing;
