//! What the server asks of the node that it runs beside.

use std::sync::Arc;

use lifeboat_catalog::{Catalog, RunId};
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
}
