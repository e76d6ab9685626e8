//! Decides when runs begin, and which recovery points are kept, and says why.
//!
//! Takes points with their time, host, paths and tags, and rules; gives one decision per point.
//! Does not remove anything, does not read a clock, and knows no repository.
//!
//! The rules are restic's, to the hour: what `restic forget` of version 0.19 would keep is kept
//! here, so that operators can move their settings and compare. One thing is stricter: removing
//! every point of a group needs a permission in the call.
//!
//! Source: restic's documentation of `forget`; the behaviour of restic 0.14.0 and 0.19.1, which
//! the tests replay.

mod apply;
mod duration;
mod error;
mod full;
mod grouping;
mod guard;
mod period;
mod point;
mod reason;
mod retention;
mod schedule;
mod simulator;

pub use apply::{Decision, GroupPlan, RemovingAll, apply, plan};
pub use duration::KeepDuration;
pub use error::{Error, Result};
pub use full::{FullCause, FullHistory, FullRule};
pub use grouping::{GroupKey, Grouping};
pub use guard::{Brake, Guard, PIN, pinned_until, plan_guarded};
pub use period::Period;
pub use point::{RecoveryPoint, localized};
pub use reason::KeepReason;
pub use retention::{KeepCount, Retention};
pub use schedule::{Blackout, Due, Occurrence, Schedule, Timing, parse_weekdays, parse_zone};
pub use simulator::{PointBefore, SimulatedPoint, SimulatedRun, Simulator};
