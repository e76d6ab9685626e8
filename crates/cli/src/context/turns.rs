//! Where runs of this computer wait for each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_control::Turns;

use super::Context;

impl Context {
    /// The turns that all runs of this user share.
    pub(crate) fn turns(&self) -> Turns {
        let environment = &self.environment;
        let clock = Arc::clone(&environment.clock);
        Turns::new(folder(), clock, environment.cancel.clone())
    }
}

/// A folder that nobody else can write to.
fn folder() -> PathBuf {
    let named = |name: &str| {
        let value = std::env::var_os(name).map(PathBuf::from);
        value.filter(|path| path.is_absolute())
    };
    let of_user = || named("XDG_RUNTIME_DIR").or_else(|| Some(named("HOME")?.join(".cache")));
    let base = match rustix::process::geteuid().is_root() {
        true => Path::new("/run").to_owned(),
        false => of_user().unwrap_or_else(|| Path::new("/var/cache").to_owned()),
    };
    base.join("lifeboat/turns")
}
