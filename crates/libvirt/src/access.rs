//! The one connection that everything shares, opened anew when it was lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_model::{Clock, Entropy, ErrorKind};
use lifeboat_platform::{Result, VmId};

use crate::binding::{Connection, Domain};
use crate::options::LibvirtOptions;

/// How long a daemon may be away while a capture lives.
const RESTART_LIMIT: Duration = Duration::from_secs(30);
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// What every part of the adapter is given.
pub(crate) struct Access {
    pub(crate) options: LibvirtOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    connection: Mutex<Option<Connection>>,
}

impl Access {
    pub(crate) fn new(
        options: LibvirtOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            options,
            clock,
            entropy,
            connection: Mutex::new(None),
        }
    }

    /// Errors: `Unsupported` without the library, `Unreachable`, `Denied`.
    pub(crate) fn connection(&self) -> Result<Connection> {
        let mut kept = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = kept.as_ref().filter(|it| it.is_alive()) {
            return Ok(connection.clone());
        }
        let opened = Connection::open(&self.options.uri)?;
        *kept = Some(opened.clone());
        Ok(opened)
    }

    /// Errors: `NotFound` if there is no such machine, and those of [`Self::connection`].
    pub(crate) fn domain(&self, vm: &VmId) -> Result<Domain> {
        let connection = self.connection()?;
        let found = match connection.domain_by_uuid(vm.as_str()) {
            // The daemon went since the last call.
            Err(_) if !connection.is_alive() => self.connection()?.domain_by_uuid(vm.as_str()),
            found => found,
        };
        found.map_err(|failure| failure.of("looking up the machine", vm.as_str()))
    }

    /// Waits a while for a daemon that is being restarted: a backup of hours goes on then.
    ///
    /// Errors: as of [`Self::domain`].
    pub(crate) fn domain_patiently(&self, vm: &VmId) -> Result<Domain> {
        let end = self.clock.monotonic() + RESTART_LIMIT;
        loop {
            match self.domain(vm) {
                Err(error)
                    if error.kind() == ErrorKind::Unreachable && self.clock.monotonic() < end =>
                {
                    self.clock.sleep(RESTART_PAUSE);
                }
                found => return found,
            }
        }
    }

    /// Whether machines and files are on this host, and not behind a connection to another.
    pub(crate) fn is_local(&self) -> bool {
        let (scheme, rest) = self.options.uri.split_once("://").unwrap_or(("", ""));
        rest.starts_with('/') && !scheme.contains('+') || scheme.ends_with("+unix")
    }

    /// Whether the daemon is the user's own.
    pub(crate) fn is_session(&self) -> bool {
        let path = self.options.uri.split('?').next().unwrap_or_default();
        path.ends_with("/session")
    }
}
