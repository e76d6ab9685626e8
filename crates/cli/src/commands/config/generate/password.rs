//! The file of the password that a new configuration names.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_config::SecretSource;
use lifeboat_model::ErrorKind;

use super::folder_of;
use crate::configuration;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::whole_file;

/// Random bytes of a password.
const PASSWORD_BYTES: usize = 32;

/// Where the password is, or will be.
pub(super) struct PasswordFile {
    pub(super) path: PathBuf,
    /// It is somebody's own file.
    is_given: bool,
}

impl PasswordFile {
    /// The one that was named, or one beside the configuration.
    pub(super) fn of(context: &Context, target: &Path) -> Result<Self> {
        let Some(given) = &context.global.password_file else {
            return Ok(Self {
                path: folder_of(target)?.join("main.password"),
                is_given: false,
            });
        };
        let path = std::path::absolute(given).map_err(|e| {
            let message = format!("cannot tell where {} is: {e}", given.display());
            Error::new(ErrorKind::of_io(&e), message)
        })?;
        Ok(Self {
            path,
            is_given: true,
        })
    }

    /// Sees to it that it is there; says whether it was written. A repository that is there has a
    /// password, which is asked for and tried.
    pub(super) fn write(&self, context: &Context, has_repository: bool) -> Result<bool> {
        if self.is_given {
            // The configuration will read it so.
            configuration::resolve(&SecretSource::File(self.path.clone()))?;
            return Ok(false);
        }
        if fs::symlink_metadata(&self.path).is_ok() {
            let kept = format!("{} is there and stays the password", self.path.display());
            context.output.tell(kept)?;
            return Ok(false);
        }
        let mut line = match has_repository {
            true => theirs(context)?,
            false => random(context),
        };
        line.push(b'\n');
        whole_file::write(&self.path, &line)?;
        Ok(true)
    }
}

/// The password of the repository, from the environment or the terminal; it opens it.
fn theirs(context: &Context) -> Result<Vec<u8>> {
    let place = context.written_place()?;
    let password = context.password()?;
    context.open_at(&place, &password).map_err(|error| {
        error.add(&format!(
            "; there is a repository at {place} already: -p FILE names the file of its password"
        ))
    })?;
    Ok(password.get()?.expose().to_vec())
}

fn random(context: &Context) -> Vec<u8> {
    let mut bytes = [0; PASSWORD_BYTES];
    context.environment.entropy.fill(&mut bytes);
    let line: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.fill(0);
    line.into_bytes()
}
