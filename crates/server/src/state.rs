//! What all answers share.

use std::sync::{Arc, PoisonError, RwLock};

use lifeboat_catalog::AuditKey;
use lifeboat_model::{Clock, Entropy};
use tokio::sync::Semaphore;

use crate::door::Door;

/// Answers that ask the catalog at the same time; others wait in line.
const WORKERS: usize = 16;

/// What a server is made of.
pub struct StateParts {
    /// Whom it asks.
    pub node: Arc<dyn Door>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// Seals the audit log.
    pub audit_key: AuditKey,
    /// Effective values of the configuration: path, value, origin.
    pub config: Vec<(String, String, String)>,
}

/// What all answers share.
pub struct State {
    pub(crate) node: Arc<dyn Door>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) audit_key: AuditKey,
    config: RwLock<Vec<(String, String, String)>>,
    workers: Semaphore,
}

impl State {
    /// A state of these parts.
    pub fn new(parts: StateParts) -> Arc<Self> {
        Arc::new(Self {
            node: parts.node,
            clock: parts.clock,
            entropy: parts.entropy,
            audit_key: parts.audit_key,
            config: RwLock::new(parts.config),
            workers: Semaphore::new(WORKERS),
        })
    }

    /// Shows other effective values from now on.
    pub fn set_config(&self, config: Vec<(String, String, String)>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Effective values of the configuration: path, value, origin.
    pub(crate) fn config(&self) -> Vec<(String, String, String)> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Does what waits for the catalog or computes, beside the threads that answer.
    pub(crate) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> std::result::Result<T, Stopped> {
        let _turn = self.workers.acquire().await.map_err(|_| Stopped)?;
        let state = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || work(&state));
        work.await.map_err(|_| Stopped)
    }
}

/// The work did not end: it panicked, or the server stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped;
