//! Ways by which a notice reaches people and programs.

mod command;
mod exchange;
mod mail;
mod ping;
mod web_hook;

use crate::{Notice, Result};

pub use command::{Command, CommandSettings};
pub use mail::{Mail, MailSecurity, MailSettings};
pub use ping::{Method, Ping, PingFailure, PingSettings};
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
