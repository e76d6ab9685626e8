//! Running other programs, with errors that say what was run and what it answered.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// How much of a failed program's words an error repeats, in lines.
const ERROR_LINES_MAX: usize = 20;

/// Runs a command whose output goes to our own.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and gives what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = finished(command)?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}",
            shown(command),
            output.status,
            last_words(&output)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of {}", shown(command)))
}

/// Runs a command that is only heard when it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    let output = finished(command)?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}",
            shown(command),
            output.status,
            last_words(&output)
        );
    }
    Ok(())
}

/// Whether a command can be started and succeeds; it is not heard.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    finished(command).is_ok_and(|output| output.status.success())
}

/// A command that runs as root: itself where we are root, else through sudo.
pub(crate) fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn finished(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null());
    command
        .output()
        .with_context(|| format!("starting {}", shown(command)))
}

/// Whether this program runs as root.
pub(crate) fn is_root() -> bool {
    let mut id = Command::new("id");
    output(id.arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

fn last_words(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let answers = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = answers.lines().chain(errors.lines()).collect();
    lines[lines.len().saturating_sub(ERROR_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken pump >&2; exit 3"]);
        let error = output(&mut command).unwrap_err().to_string();
        assert!(
            error.contains("sh -c") && error.contains("broken pump"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_an_error_not_a_panic() {
        assert!(run(&mut Command::new("lifeboat-no-such-program")).is_err());
        assert!(!succeeds(&mut Command::new("lifeboat-no-such-program")));
    }
}
