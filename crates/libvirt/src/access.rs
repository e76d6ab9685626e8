//! The one connection that everything shares, opened anew when it was lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_model::{Clock, Entropy, ErrorKind};
use lifeboat_platform::{Error, Result, VmId};

use crate::binding::{Connection, Domain};
use crate::host::{Host, LocalHost, Ssh, SshAddress, without_questions};
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
    /// The other host, when it was first needed.
    other: Mutex<Option<Arc<Ssh>>>,
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
            other: Mutex::new(None),
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
        let opened = match Connection::open(&self.connection_uri()) {
            // Our own ssh knows better why, and what to do.
            Err(error) if self.is_behind_ssh() => {
                self.host()?.require()?;
                return Err(error);
            }
            opened => opened?,
        };
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

    fn is_behind_ssh(&self) -> bool {
        matches!(SshAddress::of(&self.options.uri), Ok(Some(_)))
    }

    /// The URI with which libvirt is asked.
    pub(crate) fn connection_uri(&self) -> String {
        match self.is_behind_ssh() {
            true => without_questions(&self.options.uri),
            false => self.options.uri.clone(),
        }
    }

    /// The host of the machines; nothing is reached yet.
    ///
    /// Errors: `Unsupported` for a host that is reached in another way than by ssh.
    pub(crate) fn host(&self) -> Result<Arc<dyn Host>> {
        if self.is_local() {
            return Ok(Arc::new(LocalHost));
        }
        let mut other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ssh) = other.as_ref() {
            return Ok(Arc::clone(ssh) as Arc<dyn Host>);
        }
        let Some(address) = SshAddress::of(&self.options.uri)? else {
            let error = Error::new(ErrorKind::Unsupported, "reaching", &self.options.uri);
            return Err(error.seen(
                "the files of another host are reached by ssh only: write \
                 qemu+ssh://[user@]host/system, or run lifeboat on that host",
            ));
        };
        let ssh = Arc::new(Ssh::new(address));
        *other = Some(Arc::clone(&ssh));
        Ok(ssh)
    }

    /// Whether the daemon is the user's own.
    pub(crate) fn is_session(&self) -> bool {
        let path = self.options.uri.split('?').next().unwrap_or_default();
        path.ends_with("/session")
    }
}
