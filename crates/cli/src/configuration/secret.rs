//! Secrets, from where the configuration says that they are.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lifeboat_config::SecretSource;
use lifeboat_model::{ErrorKind, Secret};

use crate::error::{Error, Result};

/// No secret is longer, in bytes.
const SECRET_MAX: u64 = 64 << 10;
/// What everybody on the computer may do with a file.
const OTHERS: u32 = 0o007;

/// Finds a secret. Messages say where it is looked for, never what is there.
///
/// Errors: `Denied` for a file that everybody may read, else those of the source; an empty secret.
pub(crate) fn resolve(source: &SecretSource) -> Result<Secret> {
    let (secret, place) = match source {
        SecretSource::File(path) => {
            let place = format!("the file {}", path.display());
            (of_file(path, &place, true)?, place)
        }
        SecretSource::Environment(name) => {
            let place = format!("the variable {name}");
            let value = std::env::var_os(name).ok_or_else(|| {
                let message = format!("{place} is not set, and a secret is looked for there");
                Error::new(ErrorKind::NotFound, message)
            })?;
            (Secret::new(value.into_encoded_bytes()), place)
        }
        SecretSource::Command(words) => {
            let program = words.first().map(String::as_str).unwrap_or_default();
            let place = format!("the command {program}");
            (of_command(words, &place)?, place)
        }
        SecretSource::Credential(name) => {
            let place = format!("the credential {name}");
            (of_file(&credential(name)?, &place, false)?, place)
        }
    };
    if secret.expose().is_empty() {
        let message = format!("{place} holds no secret: its first line is empty");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(secret)
}

fn of_file(path: &Path, place: &str, is_ours: bool) -> Result<Secret> {
    let failed = |e: &std::io::Error| {
        let message = format!("cannot read a secret from {place}: {e}");
        Error::new(ErrorKind::of_io(e), message)
    };
    let file = File::open(path).map_err(|e| failed(&e))?;
    let about = file.metadata().map_err(|e| failed(&e))?;
    let mode = about.permissions().mode();
    if is_ours && about.is_file() && mode & OTHERS != 0 {
        let message = format!(
            "{place} holds a secret and is open to everybody (mode {:o}): chmod 600 {}",
            mode & 0o777,
            path.display()
        );
        return Err(Error::new(ErrorKind::Denied, message));
    }
    let mut bytes = Vec::new();
    let read = file.take(SECRET_MAX).read_to_end(&mut bytes);
    read.map_err(|e| failed(&e))?;
    Ok(first_line(bytes))
}

/// Runs a program with its words; no shell looks at them.
fn of_command(words: &[String], place: &str) -> Result<Secret> {
    let failed = |seen: String| {
        let message = format!("cannot read a secret from {place}: {seen}");
        Error::new(ErrorKind::Io, message)
    };
    let (program, rest) = words
        .split_first()
        .ok_or_else(|| failed("it is empty".to_owned()))?;
    let output = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| failed(format!("it cannot be started: {e}")))?;
    if !output.status.success() {
        return Err(failed(format!("it failed: {}", output.status)));
    }
    Ok(first_line(output.stdout))
}

/// Where systemd puts a credential.
fn credential(name: &str) -> Result<PathBuf> {
    let invalid = |seen: &str| {
        let message = format!("cannot read the credential {name}: {seen}");
        Error::new(ErrorKind::Invalid, message)
    };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(invalid("its name is no name of a file"));
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        invalid(
            "CREDENTIALS_DIRECTORY is not set: systemd sets it for units with LoadCredential= or \
             LoadCredentialEncrypted=",
        )
    })?;
    Ok(PathBuf::from(folder).join(name))
}

/// The first line, without its end.
pub(crate) fn first_line(mut bytes: Vec<u8>) -> Secret {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let mut end = end.unwrap_or(bytes.len());
    if end > 0 && bytes[end - 1] == b'\r' {
        end -= 1;
    }
    // What is cut off may be secret too.
    bytes[end..].fill(0);
    bytes.truncate(end);
    Secret::new(bytes)
}
