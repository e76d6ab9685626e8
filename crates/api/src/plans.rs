//! What will be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run that its schedule will begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRun {
    /// The job's name.
    pub job: String,
    /// The moment of the schedule.
    #[schema(value_type = String, format = DateTime)]
    pub planned: Timestamp,
    /// When it begins: some time later, by the jitter.
    #[schema(value_type = String, format = DateTime)]
    pub begins: Timestamp,
}

/// A recovery point that schedule and retention will have made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedPoint {
    /// The instant that it shows.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether it is there already.
    pub is_there: bool,
    /// Whether everything is read for it.
    pub is_full: bool,
    /// After which run it is removed; none if it is there at the end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub removed: Option<Timestamp>,
    /// Why it is there at the end.
    pub reasons: Vec<String>,
}
