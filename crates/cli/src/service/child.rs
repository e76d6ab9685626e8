//! Tasks as child processes of this very program.
//!
//! A child runs in a process group of its own and ends when its standard input does: one whose
//! owner was killed stops by itself.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lifeboat_catalog::{Action, LogLevel, Task, TaskEnd};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_scheduler::{Executor, TaskWatch};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::message::Said;
use super::running::Running;

/// The variable that tells a child to end with its standard input.
pub(crate) const ENDS_WITH_STDIN: &str = "LIFEBOAT_ENDS_WITH_STDIN";
/// A child that was asked to stop is killed after this.
const GRACE: Duration = Duration::from_secs(120);
/// Pause between two looks at a child.
const PAUSE: Duration = Duration::from_millis(50);
/// Limits: bytes of one line, and of the whole result.
const LINE_BYTES_MAX: u64 = 64 << 20;
const RESULT_BYTES_MAX: usize = 256 << 20;
/// Progress is written down this often at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Starts children.
pub(crate) struct Children {
    /// This program.
    pub(crate) program: PathBuf,
    /// The configuration that they read.
    pub(crate) running: Running,
}

/// What a child has said.
#[derive(Default)]
struct Heard {
    results: Vec<Value>,
    bytes: usize,
    failure: Option<String>,
    last_words: Option<String>,
}

impl Executor for Children {
    fn execute(&self, task: &Task, watch: &dyn TaskWatch, cancel: &CancelToken) -> TaskEnd {
        let mut child = match self.start(task) {
            Ok(child) => child,
            Err(error) => {
                let text = format!("cannot start {}: {error}", self.program.display());
                return TaskEnd::Failed(ErrorKind::of_io(&error), text);
            }
        };
        // Held open: its end tells the child that nobody waits any more.
        let stdin = child.stdin.take();
        let heard = Mutex::new(Heard::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let status = thread::scope(|scope| {
            scope.spawn(|| stdout.map(|stream| listen(stream, &heard, watch)));
            scope.spawn(|| stderr.map(|stream| listen(stream, &heard, watch)));
            wait(&mut child, cancel)
        });
        drop(stdin);
        let heard = heard
            .into_inner()
            .unwrap_or_else(|poison| poison.into_inner());
        match status {
            Ok(status) => ended(task.action, status, heard, cancel, watch),
            Err(error) => TaskEnd::Failed(ErrorKind::Io, format!("lost a child: {error}")),
        }
    }
}

impl Children {
    /// This program, to be told what to do; it ends with its standard input.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.running.file())
            .env(ENDS_WITH_STDIN, "1")
            .process_group(0);
        command
    }

    fn start(&self, task: &Task) -> std::io::Result<Child> {
        self.command()
            .arg("--json")
            .args(&task.words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Waits for the end; asks for it when `cancel` is set, and insists later.
fn wait(child: &mut Child, cancel: &CancelToken) -> std::io::Result<ExitStatus> {
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match asked {
            None if cancel.is_cancelled() => {
                asked = Some(Instant::now());
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                if let Some(pid) = pid {
                    // It may have ended meanwhile.
                    let _ = kill_process(pid, Signal::INT);
                }
            }
            Some(since) if since.elapsed() > GRACE => child.kill()?,
            _ => {}
        }
        thread::sleep(PAUSE);
    }
}

fn listen(stream: impl Read, heard: &Mutex<Heard>, watch: &dyn TaskWatch) {
    let mut reader = BufReader::new(stream);
    let mut told: Option<Instant> = None;
    loop {
        let mut line = Vec::new();
        match (&mut reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        match Said::read(line.trim_end()) {
            Said::Step(name) => watch.step(&name),
            Said::Progress(progress) => {
                if told.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
                    watch.progress(&progress);
                    told = Some(Instant::now());
                }
            }
            Said::Warning(text) => watch.line(LogLevel::Warning, &text),
            Said::Failure(text) => {
                watch.line(LogLevel::Error, &text);
                lock(heard).failure = Some(text);
            }
            Said::Words(text) if text.is_empty() => {}
            Said::Words(text) => {
                watch.line(LogLevel::Note, &text);
                let mut heard = lock(heard);
                // What is wrong with a command line comes first, help after it.
                let is_error = heard
                    .last_words
                    .as_ref()
                    .is_some_and(|it| it.starts_with("error:"));
                if !is_error {
                    heard.last_words = Some(text);
                }
            }
            Said::Result(value) => {
                let mut heard = lock(heard);
                heard.bytes += line.len();
                if heard.bytes <= RESULT_BYTES_MAX {
                    heard.results.push(value);
                }
            }
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(|poison| poison.into_inner())
}

fn ended(
    action: Action,
    status: ExitStatus,
    heard: Heard,
    cancel: &CancelToken,
    watch: &dyn TaskWatch,
) -> TaskEnd {
    let passed_over = heard
        .results
        .iter()
        .find(|it| it.get("outcome").and_then(Value::as_str) == Some("passed_over"));
    match status.code() {
        Some(0) => match passed_over {
            Some(told) => TaskEnd::PassedOver(why(told)),
            None => TaskEnd::Succeeded(Value::Array(heard.results)),
        },
        // What could not be read stands in the log.
        Some(3) if action == Action::Backup && !is_failed(&heard.results) => {
            watch.line(LogLevel::Warning, "a part could not be read");
            TaskEnd::Succeeded(Value::Array(heard.results))
        }
        _ if cancel.is_cancelled() => TaskEnd::Cancelled,
        code => {
            let text = heard.failure.or(heard.last_words);
            let text = text.unwrap_or_else(|| format!("it ended with {status} and no word"));
            TaskEnd::Failed(code.map_or(ErrorKind::Io, |code| kind(action, code)), text)
        }
    }
}

fn is_failed(results: &[Value]) -> bool {
    let outcome = |it: &Value| it.get("outcome").and_then(Value::as_str).map(str::to_owned);
    results
        .iter()
        .any(|it| outcome(it).as_deref() == Some("failed"))
}

fn why(told: &Value) -> String {
    let findings = told.get("findings").and_then(Value::as_array);
    let first = findings
        .and_then(|list| list.first())
        .and_then(Value::as_str);
    first.unwrap_or("nothing was to be done").to_owned()
}

/// The kind of failure that an exit code stands for.
fn kind(action: Action, code: i32) -> ErrorKind {
    match code {
        1 | 20 | 25 if matches!(action, Action::Check | Action::Verify) => ErrorKind::Corrupt,
        2 => ErrorKind::Invalid,
        10 => ErrorKind::NotFound,
        11 => ErrorKind::Busy,
        12 | 22 => ErrorKind::Denied,
        20 | 25 => ErrorKind::Corrupt,
        23 => ErrorKind::Unreachable,
        24 => ErrorKind::Full,
        26 => ErrorKind::Unsupported,
        130 => ErrorKind::Cancelled,
        _ => ErrorKind::Io,
    }
}
