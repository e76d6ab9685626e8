//! What all answers share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_catalog::AuditKey;
use lifeboat_config::{Finding, LoginLimits};
use lifeboat_model::{Clock, Entropy};
use lifeboat_scheduler::Node;
use tokio::sync::{Semaphore, watch};

use crate::accounts::{Passwords, is_same, new_secret};
use crate::browse::Browsing;
use crate::commands::Commands;
use crate::events::LISTENERS;
use crate::limiter::Limiter;
use crate::repository_catalog::TURNS;
use crate::simulation;
use crate::visitor::digest;

/// Answers that ask the catalog at the same time; others wait in line.
const WORKERS: usize = 16;
/// So many times the failures that one address has may be had for one user, from addresses where
/// the user never was: few could keep everybody out.
const ADDRESSES: u32 = 10;
/// Refusals of strangers that are written down, from one address in an hour.
const STRANGERS: u32 = 100;

/// What a server is made of.
pub struct StateParts {
    /// Whom it asks.
    pub node: Arc<Node>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// Seals the audit log.
    pub audit_key: AuditKey,
    /// Whether metrics are read without saying who asks.
    pub is_metrics_open: bool,
    /// How often somebody may fail to sign in, and how long a session lasts.
    pub login: LoginLimits,
    /// Effective values of the configuration: path, value, origin.
    pub config: Vec<(String, String, String)>,
    /// Who runs commands; answers that need one are refused if nobody does.
    pub commands: Option<Arc<dyn Commands>>,
    /// Bytes of a catalog that is sent, at most.
    pub upload_max: u64,
}

/// The configuration that counts, and what is wrong with the one that lies there.
#[derive(Clone, Debug)]
struct Configured {
    /// Effective values: path, value, origin.
    values: Vec<(String, String, String)>,
    /// Since when they count.
    since: Timestamp,
    broken: Option<BrokenConfig>,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug)]
pub struct BrokenConfig {
    /// Since when it was seen to be broken.
    pub since: Timestamp,
    /// Since when the one counts that goes on.
    pub sound_since: Timestamp,
    /// Why it cannot be used.
    pub text: String,
    /// What is wrong with it, and where; none where it could not even be read.
    pub findings: Vec<Finding>,
}

/// Catalogs that are sent are at most so large: the command reads no larger ones.
pub const UPLOAD_MAX: u64 = 256 << 20;

/// What all answers share.
pub struct State {
    pub(crate) node: Arc<Node>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) audit_key: AuditKey,
    pub(crate) is_metrics_open: bool,
    pub(crate) passwords: Passwords,
    /// Attempts to sign in that failed or are looked at, by address.
    pub(crate) attempts: Limiter,
    /// Attempts that failed, by user.
    pub(crate) failures: Limiter,
    /// Refusals of those who did not say who they are, by address.
    pub(crate) strangers: Limiter,
    /// Who came in from where.
    pub(crate) known: Mutex<HashSet<(String, String)>>,
    pub(crate) commands: Option<Arc<dyn Commands>>,
    pub(crate) upload_max: u64,
    pub(crate) catalog_turns: Arc<Semaphore>,
    pub(crate) simulation_turns: Arc<Semaphore>,
    /// Recoveries that are planned at the same time.
    pub(crate) plan_turns: Arc<Semaphore>,
    pub(crate) listeners: Arc<Semaphore>,
    pub(crate) newest_event: watch::Sender<i64>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) browsing: Browsing,
    config: RwLock<Configured>,
    setup: Mutex<Option<String>>,
    session: Mutex<Duration>,
    workers: Semaphore,
}

impl State {
    /// A state of these parts.
    ///
    /// Errors: why passwords cannot be computed here.
    pub fn new(parts: StateParts) -> Result<Arc<Self>, String> {
        let login = parts.login;
        let of_user = login.attempts.saturating_mul(ADDRESSES);
        let configured = Configured {
            values: parts.config,
            since: parts.clock.now(),
            broken: None,
        };
        Ok(Arc::new(Self {
            passwords: Passwords::new(&*parts.entropy)?,
            node: parts.node,
            clock: parts.clock,
            entropy: parts.entropy,
            audit_key: parts.audit_key,
            is_metrics_open: parts.is_metrics_open,
            attempts: Limiter::new(login.attempts, login.window),
            failures: Limiter::new(of_user, login.window),
            strangers: Limiter::new(STRANGERS, Duration::from_secs(3600)),
            known: Mutex::default(),
            commands: parts.commands,
            upload_max: parts.upload_max,
            catalog_turns: Arc::new(Semaphore::new(TURNS)),
            simulation_turns: Arc::new(Semaphore::new(simulation::TURNS)),
            plan_turns: Arc::new(Semaphore::new(crate::recovery::TURNS)),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            newest_event: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            browsing: Browsing::new(),
            config: RwLock::new(configured),
            setup: Mutex::default(),
            session: Mutex::new(login.session),
            workers: Semaphore::new(WORKERS),
        }))
    }

    /// Goes by these limits from now on; sessions that were begun end when they were to end.
    pub fn set_login(&self, login: LoginLimits) {
        let of_user = login.attempts.saturating_mul(ADDRESSES);
        self.attempts.set(login.attempts, login.window);
        self.failures.set(of_user, login.window);
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        *session = login.session;
    }

    /// How long a session lasts that begins now.
    pub(crate) fn session(&self) -> Duration {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows these effective values from now on; the configuration is sound.
    pub fn set_config(&self, values: Vec<(String, String, String)>) {
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        config.broken = None;
        if config.values != values {
            config.values = values;
            config.since = self.clock.now();
        }
    }

    /// Shows that the configuration as it lies there cannot be used.
    pub fn set_broken_config(&self, text: String, findings: Vec<Finding>) {
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let before = config.broken.as_ref().map(|broken| broken.since);
        config.broken = Some(BrokenConfig {
            since: before.unwrap_or_else(|| self.clock.now()),
            sound_since: config.since,
            text,
            findings,
        });
    }

    /// Effective values of the configuration: path, value, origin.
    pub(crate) fn config(&self) -> Vec<(String, String, String)> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.values.clone()
    }

    /// What is wrong with the configuration, if it cannot be used.
    pub(crate) fn broken_config(&self) -> Option<BrokenConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.broken.clone()
    }

    /// The key with which the first user is made, once; none if there are users.
    ///
    /// Errors: those of the catalog.
    pub fn new_setup_key(&self) -> lifeboat_catalog::Result<Option<String>> {
        if !self.node.catalog().users()?.is_empty() {
            return Ok(None);
        }
        let key = new_secret(&*self.entropy);
        let mut setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        *setup = Some(digest(&key));
        Ok(Some(key))
    }

    pub(crate) fn is_setup_key(&self, key: &str) -> bool {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digest(key);
        setup
            .as_ref()
            .is_some_and(|wanted| is_same(wanted, &digest))
    }

    /// Whether the key was there; it is not any more.
    pub(crate) fn take_setup_key(&self) -> bool {
        let mut setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        setup.take().is_some()
    }

    /// Does what waits for the catalog or computes, beside the threads that answer.
    pub(crate) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let _turn = self.workers.acquire().await.map_err(|_| Stopped)?;
        let state = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || work(&state));
        work.await.map_err(|_| Stopped)
    }
}

/// The work did not end: it panicked, or the server stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped;
