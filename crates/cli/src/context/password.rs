//! Where a password comes from: never from an argument.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use lifeboat_config::SecretSource;
use lifeboat_model::Secret;

use crate::args::GlobalArguments;
use crate::configuration::{first_line, resolve};
use crate::error::{Error, Result};

/// A password that has not been looked up yet.
#[derive(Clone, Debug)]
pub(crate) struct Password {
    file: Option<PathBuf>,
    command: Option<String>,
    /// Where the configuration says that it is.
    source: Option<SecretSource>,
    /// Prefixes of variables, as in `RESTIC_PASSWORD`.
    variables: &'static [&'static str],
    prompt: &'static str,
    /// Once it was looked up.
    known: OnceLock<Secret>,
}

impl Password {
    /// The password of the repository that a command works on.
    pub(crate) fn of_repository(global: &GlobalArguments) -> Self {
        Self {
            file: global.password_file.clone(),
            command: global.password_command.clone(),
            source: None,
            variables: &["LIFEBOAT_PASSWORD", "RESTIC_PASSWORD"],
            prompt: "password of the repository: ",
            known: OnceLock::new(),
        }
    }

    /// The password of the repository that is read from.
    pub(crate) fn of_source(file: Option<PathBuf>, command: Option<String>) -> Self {
        let variables = &["LIFEBOAT_FROM_PASSWORD", "RESTIC_FROM_PASSWORD"];
        Self {
            file,
            command,
            source: None,
            variables,
            prompt: "password of the source repository: ",
            known: OnceLock::new(),
        }
    }

    /// A password that only a file can hold.
    pub(crate) fn in_file(file: PathBuf) -> Self {
        Self {
            file: Some(file),
            command: None,
            source: None,
            variables: &[],
            prompt: "",
            known: OnceLock::new(),
        }
    }

    /// The same, for a repository of the configuration: what was typed goes first, what the
    /// configuration says goes before the environment.
    pub(crate) fn with_source(mut self, source: SecretSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Looks it up, once: file, command, environment, and at last the terminal.
    pub(crate) fn get(&self) -> Result<Secret> {
        if let Some(password) = self.known.get() {
            return Ok(password.clone());
        }
        let password = match self.find()? {
            Some(password) => password,
            None => ask(self.prompt)?,
        };
        Ok(self.known.get_or_init(|| password).clone())
    }

    /// Like [`Password::get`], for one that does not exist yet: asks twice, refuses an empty one.
    pub(crate) fn get_new(&self) -> Result<Secret> {
        let password = match self.find()? {
            Some(password) => password,
            None => ask_new()?,
        };
        if password.expose().is_empty() {
            return Err(Error::usage("an empty password protects nothing"));
        }
        Ok(password)
    }

    fn find(&self) -> Result<Option<Secret>> {
        if let Some(path) = &self.file {
            return read_file(path).map(Some);
        }
        if let Some(command) = &self.command {
            return run(command).map(Some);
        }
        if let Some(source) = &self.source {
            return resolve(source).map(Some);
        }
        for name in self.variables {
            if let Some(password) = std::env::var_os(name) {
                return Ok(Some(Secret::new(password.into_encoded_bytes())));
            }
            if let Some(path) = std::env::var_os(format!("{name}_FILE")) {
                return read_file(Path::new(&path)).map(Some);
            }
            if let Ok(command) = std::env::var(format!("{name}_COMMAND")) {
                return run(&command).map(Some);
            }
        }
        Ok(None)
    }
}

/// The first line of a file, without its end.
fn read_file(path: &Path) -> Result<Secret> {
    let bytes = std::fs::read(path).map_err(|e| {
        Error::usage(format!(
            "cannot read the password file {}: {e}",
            path.display()
        ))
    })?;
    Ok(first_line(bytes))
}

/// Runs a program with its arguments; no shell looks at them.
fn run(command: &str) -> Result<Secret> {
    let mut words = split(command)?.into_iter();
    let program = words
        .next()
        .ok_or_else(|| Error::usage("the password command is empty"))?;
    let failed = |seen: String| Error::usage(format!("the password command {program} {seen}"));
    let output = Command::new(&program)
        .args(words)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| failed(format!("cannot be started: {e}")))?;
    if !output.status.success() {
        return Err(failed(format!("failed: {}", output.status)));
    }
    Ok(first_line(output.stdout))
}

/// Splits at spaces; single and double quotation marks keep words together.
fn split(command: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match quote {
            Some(mark) if c == mark => quote = None,
            None if matches!(c, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::usage(
            "the password command has an open quotation mark",
        ));
    }
    words.extend(word);
    Ok(words)
}

fn ask(prompt: &str) -> Result<Secret> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(
            "no password: give --password-file, --password-command, or set RESTIC_PASSWORD_FILE",
        ));
    }
    let password = rpassword::prompt_password(prompt)
        .map_err(|e| Error::usage(format!("cannot read the password: {e}")))?;
    Ok(Secret::new(password.into_bytes()))
}

/// Asks twice for a new password.
pub(crate) fn ask_new() -> Result<Secret> {
    let first = ask("new password: ")?;
    let second = ask("new password again: ")?;
    if first == second {
        Ok(first)
    } else {
        Err(Error::usage("the passwords differ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_commands_are_split_without_a_shell() {
        for (text, words) in [
            ("pass show backup", vec!["pass", "show", "backup"]),
            ("cat '/a b/c'  \"d\"", vec!["cat", "/a b/c", "d"]),
            ("echo $(id) ; x", vec!["echo", "$(id)", ";", "x"]),
            ("x ''", vec!["x", ""]),
        ] {
            assert_eq!(split(text).expect("splits"), words);
        }
        assert!(split("echo 'x").is_err());
    }
}
