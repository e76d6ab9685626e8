//! The shapes of requests and answers of the REST API, and a client that speaks them.
//!
//! Shapes are plain values; what they mean is told by their fields' words, which are also the
//! words of the OpenAPI document.
//! Does not know the catalog or who may ask: the server translates and decides.
//!
//! Source: DESIGN, row 4.

mod accounts;
mod client;
mod failure;
mod files;
mod machines;
mod overview;
mod plans;
mod runs;

pub use accounts::{
    AuditEntry, AuditFindings, ConfigValue, Me, NewPassword, NewToken, NewUser, Role, Setup,
    SignIn, SignedIn, Token, TokenMade, User, UserChange,
};
pub use client::{Client, ClientError, ClientOptions, Page, escaped};
pub use failure::{Failure, FailureKind, status_of};
pub use files::{PointFile, PointFileKind, PointFiles, PointVolume, StoredFile};
pub use machines::{Machine, MachineDetails, Point, Proof, ProofKind, Verified};
pub use overview::{
    Alert, Event, Health, Job, MachineClass, Objective, ObjectiveCounts, ObjectiveKind,
    ObjectiveState, Overview, QueueCounts, Remedy, Repository, RepositorySize, Severity,
};
pub use plans::{PlannedRun, SimulatedPoint};
pub use runs::{
    Action, Begun, Cause, LogLevel, LogLine, Progress, RestoreRequest, RetryPlan, Run, RunDetails,
    RunRequest, RunState, Step, StepState, Task, TaskDetails, TaskState,
};
