//! Ways by which a notice reaches people and programs.

mod command;
mod exchange;
mod mail;
mod ping;
mod web_hook;

use std::collections::BTreeMap;

use lifeboat_model::ErrorKind;

use crate::{Error, Notice, Result};

pub use command::{Command, CommandSettings};
pub use mail::{Mail, MailSecurity, MailSettings};
pub use ping::{Method, Ping, PingSettings};
pub use web_hook::{WebHook, WebHookSettings};

/// A way to one target.
pub trait Transport: Send + Sync {
    /// Delivers a notice, once, or says why not; the caller tries again.
    ///
    /// Blocks, at most about as long as the target's limit.
    ///
    /// Errors name the target and its host: no address, password, header or argument.
    fn send(&self, notice: &Notice) -> Result<()>;
}

/// The configured targets by name.
#[derive(Default)]
pub struct Targets(BTreeMap<String, Box<dyn Transport>>);

impl Targets {
    /// No targets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a target, or replaces it.
    pub fn insert(&mut self, name: &str, transport: impl Transport + 'static) {
        self.0.insert(name.to_owned(), Box::new(transport));
    }

    /// The names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Delivers a notice to the target that it names.
    ///
    /// Errors: `NotFound` for a target that is not configured, and those of the transport.
    pub fn send(&self, notice: &Notice) -> Result<()> {
        let Some(transport) = self.0.get(&notice.target) else {
            let names: Vec<&str> = self.names().collect();
            let known = match names.as_slice() {
                [] => "none is configured".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            let text = format!(
                "there is no target \"{}\" of notices; {known}",
                notice.target
            );
            return Err(Error::new(ErrorKind::NotFound, text));
        };
        transport.send(notice)
    }
}
