//! What the server asks of the node that it runs beside.

use std::sync::Arc;

use jiff::Timestamp;
use lifeboat_api::{PlannedRun, SimulatedPoint};
use lifeboat_catalog::{Catalog, Point, RunId};
use lifeboat_scheduler::{Overview, Request, Result, Settings};

/// A node: decides, and hands out work.
pub trait Door: Send + Sync {
    /// What is configured now.
    fn settings(&self) -> Arc<Settings>;

    /// What was run and what is kept.
    fn catalog(&self) -> &Arc<Catalog>;

    /// The node's name.
    fn name(&self) -> &str;

    /// Every machine, job and repository with its states.
    fn overview(&self) -> Result<Arc<Overview>>;

    /// Begins what somebody asks for.
    fn begin(&self, request: &Request, who: &str) -> Result<RunId>;

    /// Runs that schedules will begin in a time, soonest first.
    fn upcoming(&self, from: Timestamp, until: Timestamp) -> Vec<PlannedRun>;

    /// Which points a job will have made of a machine that has these.
    fn simulate(
        &self,
        job: &str,
        existing: &[Point],
        from: Timestamp,
        days: u32,
    ) -> Result<Vec<SimulatedPoint>>;
}
