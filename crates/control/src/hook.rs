//! Commands of the operator around a capture or a recovery.
//!
//! A hook is a list of words, never a line for a shell: what machines are called cannot become
//! part of a command. Facts of the run come in its environment, as `LIFEBOAT_MACHINE`.

mod process;

use std::time::{Duration, Instant};

use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_platform::{GuestCommand, Platform, VmId};
use serde::Serialize;

use crate::error::chain;
use crate::{Error, Result};

/// How much of a hook's output is kept, from its end, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 16 << 10;

/// Where a hook runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookPlace {
    /// On the machine that lifeboat runs on.
    Host,
    /// Inside the captured machine, through its agent.
    Guest,
    /// Inside restored disks, in a machine of its own.
    Inside,
    /// On another host, by the system's ssh; the word is a destination as ssh takes it.
    Ssh(String),
}

/// What a hook's failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The run fails.
    #[default]
    Fail,
    /// The run goes on with a warning.
    Warn,
    /// The run goes on.
    Ignore,
}

/// A command around a capture or a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When it runs, as in `pre_snapshot`.
    pub when: &'static str,
    /// Where it runs.
    pub place: HookPlace,
    /// The program and its arguments; not empty.
    pub words: Vec<String>,
    /// It is ended after this time.
    pub limit: Duration,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEnd {
    /// With this exit code.
    Code(i32),
    /// By a signal.
    Signal,
    /// It took too long and was ended.
    TimedOut,
    /// The run was asked to stop.
    Cancelled,
    /// It did not start; why.
    NotStarted(String),
}

/// One execution of a hook, as it is kept with the run.
#[derive(Clone, Debug, Serialize)]
pub struct HookRun {
    /// When it ran.
    pub when: &'static str,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// How it ended.
    pub end: HookEnd,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The end of what it printed, both outputs mixed.
    pub output: String,
}

impl HookRun {
    /// The run of a hook that has just ended, with what it printed.
    pub(crate) fn ended(hook: &Hook, began: Instant, end: HookEnd, output: &[u8]) -> Self {
        Self {
            when: hook.when,
            words: hook.words.clone(),
            end,
            seconds: began.elapsed().as_secs_f64(),
            output: kept_output(output),
        }
    }

    /// Whether it ended with exit code 0.
    pub fn is_success(&self) -> bool {
        self.end == HookEnd::Code(0)
    }

    /// How it ended and its last line, in words.
    pub fn told(&self) -> String {
        let end = match &self.end {
            HookEnd::Code(code) => format!("ended with exit code {code}"),
            HookEnd::Signal => "was ended by a signal".to_owned(),
            HookEnd::TimedOut => format!("took longer than its {:.0} s", self.seconds.floor()),
            HookEnd::Cancelled => "was stopped on request".to_owned(),
            HookEnd::NotStarted(why) => format!("did not start: {why}"),
        };
        let last = self
            .output
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {}", line.trim()));
        format!(
            "the {} hook \"{}\" {end}{}",
            self.when,
            self.words.join(" "),
            last.unwrap_or_default()
        )
    }
}

/// Where hooks may go, and what they are told.
pub struct HookContext<'a> {
    /// For hooks inside a machine.
    pub platform: &'a dyn Platform,
    /// The machine.
    pub vm: &'a VmId,
    /// Names and values for the environment; the names begin with `LIFEBOAT_`.
    pub facts: &'a [(String, String)],
    /// Ends the hook early.
    pub cancel: &'a CancelToken,
}

/// Runs a hook to its end.
pub fn run(hook: &Hook, context: &HookContext<'_>) -> HookRun {
    let began = Instant::now();
    let (end, output) = match &hook.place {
        HookPlace::Host => process::run(&hook.words, context.facts, hook.limit, context.cancel),
        HookPlace::Ssh(destination) => {
            let words = ssh_words(destination, &hook.words, context.facts);
            process::run(&words, &[], hook.limit, context.cancel)
        }
        HookPlace::Guest => in_guest(hook, context),
        HookPlace::Inside => {
            let why = "there are no restored disks to run in".to_owned();
            (HookEnd::NotStarted(why), Vec::new())
        }
    };
    HookRun::ended(hook, began, end, &output)
}

/// Runs a hook and judges it by its policy.
///
/// Errors: `Io` for one that failed and must not; `Cancelled`.
pub fn run_and_judge(
    hook: &Hook,
    context: &HookContext<'_>,
    kept: &mut Vec<HookRun>,
) -> Result<Option<String>> {
    judge(run(hook, context), hook.on_failure, kept)
}

/// Keeps what ran and judges it.
///
/// Errors: `Io` for one that failed and must not; `Cancelled`.
pub(crate) fn judge(
    run: HookRun,
    on_failure: OnFailure,
    kept: &mut Vec<HookRun>,
) -> Result<Option<String>> {
    let told = (!run.is_success()).then(|| run.told());
    let is_cancelled = run.end == HookEnd::Cancelled;
    kept.push(run);
    match (told, on_failure) {
        (Some(told), _) if is_cancelled => Err(Error::new(ErrorKind::Cancelled, told)),
        (Some(told), OnFailure::Fail) => Err(Error::new(ErrorKind::Io, told)),
        (Some(told), OnFailure::Warn) => Ok(Some(told)),
        (Some(_), OnFailure::Ignore) | (None, _) => Ok(None),
    }
}

fn in_guest(hook: &Hook, context: &HookContext<'_>) -> (HookEnd, Vec<u8>) {
    let command = GuestCommand {
        words: hook.words.clone(),
        environment: context.facts.to_vec(),
        limit: hook.limit,
        output_bytes_max: OUTPUT_BYTES_MAX,
    };
    match context.platform.execute(context.vm, &command) {
        Ok(done) => {
            let end = done.code.map_or(HookEnd::Signal, HookEnd::Code);
            (end, [done.output, done.errors].concat())
        }
        Err(error) => (HookEnd::NotStarted(chain(&error)), Vec::new()),
    }
}

/// ssh gives its words to a shell on the other side as one line, so every word is quoted whole.
fn ssh_words(destination: &str, words: &[String], facts: &[(String, String)]) -> Vec<String> {
    let mut remote = vec!["env".to_owned()];
    remote.extend(
        facts
            .iter()
            .map(|(name, value)| quoted(&format!("{name}={value}"))),
    );
    remote.extend(words.iter().map(|word| quoted(word)));
    let fixed = ["ssh", "-T", "-o", "BatchMode=yes", "--", destination];
    let mut all: Vec<String> = fixed.map(str::to_owned).to_vec();
    all.push(remote.join(" "));
    all
}

/// A word that every POSIX shell reads as itself.
///
/// Source: POSIX.1-2017, shell command language, 2.2.2.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The end of an output as text that cannot steer a terminal.
pub(crate) fn kept_output(output: &[u8]) -> String {
    let from = output.len().saturating_sub(OUTPUT_BYTES_MAX);
    let text = String::from_utf8_lossy(output.get(from..).unwrap_or_default());
    let plain = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_over_ssh_stay_words_in_a_real_shell() {
        let nasty = r#"x'; touch /tmp/never; echo "$(id)" `id` \ "#.to_owned();
        let facts = [("LIFEBOAT_MACHINE".to_owned(), nasty.clone())];
        let words = ["printf".to_owned(), "%s|".to_owned(), nasty.clone()];
        let all = ssh_words("host", &words, &facts);
        let line = format!("{} ; {}", all[6], "true");
        let shell = std::process::Command::new("sh")
            .args(["-c", &line])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(shell.stdout).unwrap(),
            format!("{nasty}|")
        );
        let line = all[6].replace("'printf' '%s|'", "sh -c 'printf %s \"$LIFEBOAT_MACHINE\"'");
        let shell = std::process::Command::new("sh")
            .args(["-c", &line])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), nasty);
    }

    #[test]
    fn outputs_cannot_steer_a_terminal() {
        assert_eq!(kept_output(b"a\x1b[2Jb\n"), "a\u{fffd}[2Jb\n");
        assert_eq!(kept_output(&vec![b'x'; 40_000]).len(), OUTPUT_BYTES_MAX);
    }
}
