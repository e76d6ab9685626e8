//! The control plane as commands use it: settings from the configuration, children that carry
//! tasks out, and the catalog of this host.

mod child;
mod commands;
mod keys;
mod message;
mod notices;
mod orphans;
mod own_runs;
mod running;
mod settings;
mod state;
mod supervisor;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_catalog::{AuditEntry, AuditKey, Catalog, CatalogPlace};
use lifeboat_config::{CatalogPlace as Configured, Config, Loaded, SourceFile};
use lifeboat_control::Job;
use lifeboat_model::{CancelToken, Clock, ErrorKind};
use lifeboat_scheduler::{Node, NodeOptions};

use crate::CheckPlatform;
use crate::configuration;
use crate::context::Context;
use crate::error::{Error, Result};

pub(crate) use child::{CHILDREN_LOCK, Children, HELD_UNTIL, TELLS_STEPS};
pub use commands::AnswerCommands;
use running::Running;

pub(crate) use keys::{audit_head, set_audit_head};
pub(crate) use notices::{Notices, exit_code, label, send};
pub(crate) use orphans::{Held, open as lock_of_children};
pub(crate) use own_runs::{LeftRun, OwnRun};
pub(crate) use settings::{guard, settings};
pub(crate) use supervisor::tell as tell_supervisor;
pub(crate) use watched::Watched;

/// This very program, also when another one has taken its place since it was started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Between the name of a host's node and a process: nodes of one run, and of one look.
pub(crate) const RUN: &str = " run ";
pub(crate) const LOOK: &str = " look ";

/// The longest pause between two looks of a node.
const NODE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What is configured, and the catalog that goes with it.
pub(crate) struct Service {
    /// The configuration's file.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) loaded: Loaded<Job>,
    /// The files that say it.
    pub(crate) files: Vec<SourceFile>,
    /// What children read.
    pub(crate) running: Running,
    /// The folder of keys, certificates and the catalog.
    pub(crate) state: PathBuf,
    /// What was run and what is kept.
    pub(crate) catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    check_platform: CheckPlatform,
}

impl Service {
    /// Reads the configuration and opens its catalog.
    ///
    /// Errors: `Invalid` for a configuration that is not sound.
    pub(crate) fn open(context: &Context) -> Result<Self> {
        let path = context.configuration_path();
        let (loaded, files) =
            configuration::load_with_files::<Job>(&path, context.wiring.check_platform)?;
        Self::of(context, path, sound(loaded)?, files)
    }

    /// As [`Self::open`], but makes nothing: nothing without a configuration or its catalog.
    pub(crate) fn open_if_there(context: &Context) -> Result<Option<Self>> {
        let path = context.configuration_path();
        if !path.exists() {
            return Ok(None);
        }
        let (loaded, files) =
            configuration::load_with_files::<Job>(&path, context.wiring.check_platform)?;
        let loaded = sound(loaded)?;
        let state = state_of(&loaded.config)?;
        let is_there = catalog_file(&loaded.config, &state).is_none_or(|it| it.exists());
        is_there
            .then(|| Self::of(context, path, loaded, files))
            .transpose()
    }

    /// Reads its configuration anew.
    pub(crate) fn read(&self) -> Result<(Loaded<Job>, Vec<SourceFile>)> {
        configuration::load_with_files(&self.path, self.check_platform)
    }

    /// Opens the catalog of a configuration that is sound.
    pub(crate) fn of(
        context: &Context,
        path: PathBuf,
        loaded: Loaded<Job>,
        files: Vec<SourceFile>,
    ) -> Result<Self> {
        let state = state_of(&loaded.config)?;
        let place = place(&loaded.config, &state)?;
        let clock = Arc::clone(&context.environment.clock);
        let catalog = state::catalog(&place, &clock)?;
        Ok(Self {
            running: Running::new(&state, &path),
            path,
            loaded,
            files,
            state,
            catalog,
            clock,
            check_platform: context.wiring.check_platform,
        })
    }

    /// The key of the audit log's seals.
    ///
    /// Errors: as for [`keys::audit_key`].
    pub(crate) fn audit_key(&self, context: &Context) -> Result<AuditKey> {
        self.audit_key_of(context, &self.catalog)
    }

    /// The same of a log in another catalog.
    pub(crate) fn audit_key_of(&self, context: &Context, catalog: &Catalog) -> Result<AuditKey> {
        keys::audit_key(&self.state, catalog, &*context.environment.entropy)
    }

    /// Writes down that somebody at this computer did something, or tried to: what, to what, and
    /// how.
    ///
    /// Errors: as for [`keys::audit_key`]; those of the catalog.
    pub(crate) fn write_down(
        &self,
        context: &Context,
        (action, subject, details): (&str, &str, &str),
        is_done: bool,
    ) -> Result<()> {
        let entry = AuditEntry {
            number: 0,
            at: self.catalog.now(),
            who: self.who(),
            from: None,
            action: action.to_owned(),
            subject: subject.to_owned(),
            details: details.to_owned(),
            is_done,
        };
        self.catalog.audit(&self.audit_key(context)?, &entry)?;
        Ok(())
    }

    /// Children with this configuration.
    pub(crate) fn children(&self, lock: Option<PathBuf>) -> Children {
        Children {
            program: PathBuf::from(THIS_PROGRAM),
            running: self.running.clone(),
            lock,
        }
    }

    /// A node that carries out one run and ends. Somebody waits for it: what is missing or
    /// refused is told at once.
    pub(crate) fn node_for_a_run(&self, run: &OwnRun) -> Result<Arc<Node>> {
        let options = NodeOptions {
            is_attended: true,
            ..self.options(&self.own_node_name())
        };
        self.node(options, Some(run.children()))
    }

    /// A node that only looks: the tasks of the host's node stay with it.
    pub(crate) fn node_to_look(&self) -> Result<Arc<Node>> {
        let name = format!("{}{LOOK}{}", self.node_name(), std::process::id());
        self.node(self.options(&name), None)
    }

    /// The node of this host, and the lock that it has for as long as it lives. What it takes
    /// back at its start must not run any more: children of the service before are waited for.
    /// `tell` hears that they are.
    ///
    /// Errors: `Busy` if there is a service already, or if children do not end.
    pub(crate) fn node_of_host(
        &self,
        stop: &CancelToken,
        tell: &dyn Fn(&str),
    ) -> Result<(Arc<Node>, Held)> {
        let held = orphans::lock_state(&self.state)?;
        let path = self.state.join("children.lock");
        let lease = self.loaded.config.catalog.lease;
        let lock = orphans::wait(&path, lease, stop, tell)?;
        let options = NodeOptions {
            lists_unknown: true,
            ..self.options(&self.node_name())
        };
        Ok((self.node(options, Some(lock))?, held))
    }

    fn options(&self, name: &str) -> NodeOptions {
        let hold = self.loaded.config.catalog.lease;
        NodeOptions {
            hold,
            pause: (hold / 6).min(NODE_PAUSE_MAX),
            ..NodeOptions::new(name, env!("CARGO_PKG_VERSION"))
        }
    }

    /// `lock` is what children lock that outlive who began them.
    fn node(&self, options: NodeOptions, lock: Option<PathBuf>) -> Result<Arc<Node>> {
        let node = Node::new(
            options,
            settings(&self.loaded.config),
            Arc::clone(&self.catalog),
            Arc::new(self.children(lock)),
            Arc::clone(&self.clock),
        );
        Ok(Arc::new(node?))
    }

    /// The name of the node of this host.
    pub(crate) fn node_name(&self) -> String {
        state::node_name(self.loaded.config.catalog.node.as_ref())
    }

    /// Who runs this command, for the catalog.
    pub(crate) fn who(&self) -> String {
        std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_else(|_| format!("uid{}", rustix::process::getuid().as_raw()))
    }
}

/// The folder of keys, certificates and the catalog.
pub(crate) fn state_of(config: &Config<Job>) -> Result<PathBuf> {
    state::state_folder(config.server.state.as_ref())
}

/// The file of the catalog, if it is one.
pub(crate) fn catalog_file(config: &Config<Job>, state: &std::path::Path) -> Option<PathBuf> {
    match &config.catalog.place {
        None => Some(state.join("catalog.sqlite")),
        Some(Configured::Sqlite(path)) => Some(path.clone()),
        Some(Configured::Postgres(_)) => None,
    }
}

/// The tag that snapshots of a job's runs carry.
pub(crate) fn job_tag(job: &str) -> String {
    format!("job={job}")
}

/// Refuses a configuration with errors.
pub(crate) fn sound(loaded: Loaded<Job>) -> Result<Loaded<Job>> {
    if loaded.is_sound() {
        return Ok(loaded);
    }
    let errors: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
    let text = format!("the configuration cannot be used:\n{}", errors.join("\n"));
    Err(Error::new(ErrorKind::Invalid, text))
}

fn place(config: &Config<Job>, state: &std::path::Path) -> Result<CatalogPlace> {
    Ok(match &config.catalog.place {
        None => CatalogPlace::File(state.join("catalog.sqlite")),
        Some(Configured::Sqlite(path)) => CatalogPlace::File(path.clone()),
        Some(Configured::Postgres(url)) => {
            let password = config.catalog.password.as_ref();
            let password = password.map(configuration::resolve).transpose()?;
            CatalogPlace::parse(url, password)?
        }
    })
}
