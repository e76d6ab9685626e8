//! Notices to a program of the operator.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{process, thread};

use lifeboat_model::ErrorKind;
use rustix::process::{Pid, Signal, kill_process_group};

use super::Transport;
use crate::notice::Content;
use crate::{Error, Notice, Result};

/// Between two looks at the process.
const POLL: Duration = Duration::from_millis(10);
/// How long what it wrote is awaited when it has ended: its children may hold it open.
const DRAIN: Duration = Duration::from_secs(1);
/// How much of what it writes to its errors is kept, in bytes.
const ERRORS_BYTES_MAX: u64 = 16 << 10;
/// What it sees of our environment: the rest may hold secrets.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// A program and what it is given.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The target's configured name.
    pub name: String,
    /// The program and its arguments; never a line for a shell. Kept out of errors: arguments may
    /// be secret.
    pub words: Vec<String>,
    /// It is ended after this time, with all that it started.
    pub limit: Duration,
}

/// Runs a program for each notice: the notice as JSON on standard input, facts in `LIFEBOAT_*`.
///
/// Exit code 0 is a delivery.
pub struct Command {
    settings: CommandSettings,
}

impl Command {
    /// Checks the settings.
    ///
    /// Errors: `Invalid` for no words.
    pub fn new(settings: CommandSettings) -> Result<Self> {
        if settings.words.first().is_none_or(String::is_empty) {
            let text = format!("the target \"{}\": its command is empty", settings.name);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(Self { settings })
    }

    fn error(&self, kind: ErrorKind, seen: &str) -> Error {
        Error::sending(kind, &self.settings.name, "a command", seen)
    }

    fn start(&self, notice: &Notice) -> Result<Child> {
        let (program, arguments) = self
            .settings
            .words
            .split_first()
            .ok_or_else(|| self.error(ErrorKind::Invalid, "it has no words"))?;
        let kept = ENVIRONMENT.iter();
        let kept = kept.filter_map(|name| Some((name, std::env::var_os(name)?)));
        process::Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(kept)
            .envs(facts(notice))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| {
                let seen = format!("it did not start: {error}");
                self.error(ErrorKind::of_io(&error), &seen)
            })
    }

    /// How it ended; none when it took too long and was ended.
    fn wait(&self, child: &mut Child) -> Result<Option<ExitStatus>> {
        let began = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(Some(status)),
                Ok(None) if began.elapsed() >= self.settings.limit => {
                    end_group(child);
                    return Ok(None);
                }
                Ok(None) => thread::sleep(POLL),
                Err(error) => {
                    let seen = format!("waiting for it: {error}");
                    return Err(self.error(ErrorKind::of_io(&error), &seen));
                }
            }
        }
    }

    /// The last line that it wrote to its errors, without its own arguments.
    fn last_line(&self, errors: &Receiver<Vec<u8>>) -> String {
        let written = errors.recv_timeout(DRAIN).unwrap_or_default();
        let text = String::from_utf8_lossy(&written).into_owned();
        let mut lines = text.lines().rev();
        let Some(last) = lines.find(|line| !line.trim().is_empty()) else {
            return String::new();
        };
        let mut last: String = last
            .chars()
            .filter(|it| !it.is_control())
            .take(500)
            .collect();
        let arguments = self.settings.words.iter().skip(1);
        for word in arguments.filter(|word| word.len() > 3) {
            last = last.replace(word.as_str(), "***");
        }
        format!(": {}", last.trim())
    }
}

impl Transport for Command {
    fn send(&self, notice: &Notice) -> Result<()> {
        let body = serde_json::to_vec(notice)
            .map_err(|error| self.error(ErrorKind::Invalid, &error.to_string()))?;
        let mut child = self.start(notice)?;
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read it may still do its work: its exit code decides.
            thread::spawn(move || input.write_all(&body));
        }
        let (sender, errors) = channel();
        if let Some(output) = child.stderr.take() {
            thread::spawn(move || {
                let mut kept = Vec::new();
                let mut output = output;
                let _ = output
                    .by_ref()
                    .take(ERRORS_BYTES_MAX)
                    .read_to_end(&mut kept);
                let _ = sender.send(kept);
                // Reads on, so that it does not stand still.
                let _ = std::io::copy(&mut output, &mut std::io::sink());
            });
        }
        let Some(status) = self.wait(&mut child)? else {
            let limit = self.settings.limit.as_secs_f64();
            let seen = format!("it took longer than {limit} s and was ended");
            return Err(self.error(ErrorKind::Unreachable, &seen));
        };
        if status.success() {
            return Ok(());
        }
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, signal) => format!("it was ended by signal {}", signal.unwrap_or_default()),
        };
        let seen = format!("{end}{}", self.last_line(&errors));
        Err(self.error(ErrorKind::Io, &seen))
    }
}

/// Ends the process and all that it started.
fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// What a script wants to know without reading JSON.
fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let kind = match &notice.content {
        Content::Conditions { .. } if notice.is_resolved() => "resolved",
        Content::Conditions { .. } => "conditions",
        Content::RunBegan(_) => "run_began",
        Content::RunEnded(_) => "run_ended",
        Content::Digest(_) => "digest",
        Content::Test => "test",
    };
    let mut facts = vec![
        ("LIFEBOAT_NOTICE", notice.id.clone()),
        ("LIFEBOAT_KIND", kind.to_owned()),
        ("LIFEBOAT_SEVERITY", notice.severity.word().to_owned()),
        ("LIFEBOAT_TITLE", notice.title()),
        ("LIFEBOAT_TARGET", notice.target.clone()),
        ("LIFEBOAT_LEVEL", notice.level.to_string()),
    ];
    if let Content::RunBegan(run) | Content::RunEnded(run) = &notice.content {
        facts.push(("LIFEBOAT_RUN", run.id.clone()));
        facts.push(("LIFEBOAT_JOB", run.job.clone()));
    }
    // No value of the environment may hold a zero byte.
    for (_, value) in &mut facts {
        value.retain(|letter| letter != '\0');
    }
    facts
}
