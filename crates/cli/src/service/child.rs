//! Tasks as child processes of this very program.
//!
//! A child runs in a process group of its own. It ends when its standard input does, and when the
//! lease of its task is over: one whose node was killed, or stands still, stops by itself.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
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

/// The variable that lets a child tell every step, as its owner shows it.
pub(crate) const TELLS_STEPS: &str = "LIFEBOAT_TELLS_STEPS";
/// The variable that tells a child until when its task is held: milliseconds since the boot of
/// this computer. Later moments come by its standard input, a line each; its end ends the child.
pub(crate) const HELD_UNTIL: &str = "LIFEBOAT_HELD_UNTIL";
/// The variable that names the file which a child locks for as long as it lives.
pub(crate) const CHILDREN_LOCK: &str = "LIFEBOAT_CHILDREN_LOCK";
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
    /// What they lock while they live: the next service of this host waits for it.
    pub(crate) lock: Option<PathBuf>,
}

/// What a child has said.
#[derive(Default)]
struct Heard {
    results: Vec<Value>,
    bytes: usize,
    failure: Failure,
}

/// Why a child failed, as it said itself.
#[derive(Default)]
pub(super) struct Failure {
    failure: Option<(String, Option<ErrorKind>)>,
    last_words: Option<String>,
}

impl Failure {
    /// Takes a line in.
    fn hear(&mut self, said: Said) {
        match said {
            Said::Failure(text, kind) => self.failure = Some((text, kind)),
            Said::Words(text) if !text.is_empty() => {
                // What is wrong with a command line comes first, help after it.
                let is_error = |it: &String| it.starts_with("error:");
                if !self.last_words.as_ref().is_some_and(is_error) {
                    self.last_words = Some(text);
                }
            }
            _ => {}
        }
    }

    /// Whether it said that it failed.
    pub(super) fn is_said(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether it said what sort of failure it was.
    fn is_kind_said(&self) -> bool {
        self.failure.as_ref().is_some_and(|it| it.1.is_some())
    }

    /// The kind that it said, or else that of its exit code, and what was said.
    pub(super) fn told(self, code: Option<i32>) -> (ErrorKind, String) {
        let (text, said) = self.failure.unzip();
        let text = text.or(self.last_words);
        let text = text.unwrap_or_else(|| match code {
            Some(code) => format!("it ended with exit code {code} and no word"),
            None => "it was killed by a signal".to_owned(),
        });
        let of_code = || code.map_or(ErrorKind::Io, kind);
        (said.flatten().unwrap_or_else(of_code), text)
    }
}

/// Reads why a child fails, from its standard error; what sort of failure it is, its exit code
/// says.
pub(super) fn listen_for_failure(stream: impl Read, failure: &Mutex<Failure>) {
    let mut reader = BufReader::new(stream);
    while let Some(line) = next_line(&mut reader) {
        let said = match Said::read(line.trim_end()) {
            Said::Failure(text, _) => Said::Failure(text, None),
            other => other,
        };
        lock(failure).hear(said);
    }
}

/// A line, if there is one more; longer ones come in pieces.
fn next_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    match reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).into_owned()),
    }
}

impl Executor for Children {
    fn execute(&self, task: &Task, watch: &dyn TaskWatch, cancel: &CancelToken) -> TaskEnd {
        let mut told = watch.held_until();
        let mut child = match self.start(task, told) {
            Ok(child) => child,
            Err(error) => {
                let text = format!("cannot start {}: {error}", self.program.display());
                return TaskEnd::Failed(ErrorKind::of_io(&error), text);
            }
        };
        // Its end tells the child that nobody waits any more.
        let mut stdin = child.stdin.take();
        let heard = Mutex::new(Heard::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Others name no steps of their own: what is known of them is what their progress says.
        let is_stepped = matches!(task.action, Action::Backup | Action::Restore);
        let telling = Telling { watch, is_stepped };
        let status = thread::scope(|scope| {
            scope.spawn(|| stdout.map(|stream| listen(stream, &heard, &telling)));
            scope.spawn(|| stderr.map(|stream| listen(stream, &heard, &telling)));
            wait(&mut child, cancel, &mut || {
                let until = watch.held_until();
                if until > told {
                    told = until;
                    // A child that hears no more has ended.
                    let _ = stdin
                        .as_mut()
                        .map(|it| writeln!(it, "{}", until.as_millis()));
                }
            })
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
    fn start(&self, task: &Task, held_until: Duration) -> std::io::Result<Child> {
        let mut command = self.telling(&task.words);
        if let Some(lock) = &self.lock {
            command.env(CHILDREN_LOCK, lock);
        }
        command
            .env(HELD_UNTIL, held_until.as_millis().to_string())
            .env(TELLS_STEPS, "1")
            .spawn()
    }

    /// This program with these words and the configuration that counts, which speaks JSON into
    /// pipes; unless a moment is set, it is held for as long as its standard input is.
    pub(super) fn telling(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg0("lifeboat")
            .arg("--config")
            .arg(self.running.file())
            .arg("--json")
            .args(words)
            .env(HELD_UNTIL, u64::MAX.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }
}

/// Waits for the end; asks for it when `cancel` is set, and insists later. `each` is called at
/// every look.
pub(super) fn wait(
    child: &mut Child,
    cancel: &CancelToken,
    each: &mut dyn FnMut(),
) -> std::io::Result<ExitStatus> {
    let mut asked: Option<Instant> = None;
    loop {
        each();
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

/// Who is told what a child says.
struct Telling<'a> {
    watch: &'a dyn TaskWatch,
    /// It names its steps itself.
    is_stepped: bool,
}

fn listen(stream: impl Read, heard: &Mutex<Heard>, told: &Telling<'_>) {
    let watch = told.watch;
    let mut reader = BufReader::new(stream);
    let mut phase = String::new();
    let mut shown: Option<Instant> = None;
    while let Some(line) = next_line(&mut reader) {
        match Said::read(line.trim_end()) {
            Said::Step(name) => watch.step(&name),
            Said::Progress(progress) => {
                if !told.is_stepped && phase != progress.phase {
                    phase.clone_from(&progress.phase);
                    watch.step(&phase);
                }
                if shown.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
                    watch.progress(&progress);
                    shown = Some(Instant::now());
                }
            }
            Said::Warning(text) => watch.line(LogLevel::Warning, &text),
            Said::Failure(text, kind) => {
                watch.line(LogLevel::Error, &text);
                lock(heard).failure.hear(Said::Failure(text, kind));
            }
            Said::Words(text) if text.is_empty() => {}
            Said::Words(text) => {
                watch.line(LogLevel::Note, &text);
                lock(heard).failure.hear(Said::Words(text));
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

fn lock<T>(heard: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
            let is_looking = matches!(action, Action::Check | Action::Verify);
            let is_kind_said = heard.failure.is_kind_said();
            let (kind, text) = heard.failure.told(code);
            match code {
                Some(1) if is_looking && !is_kind_said => TaskEnd::Failed(ErrorKind::Corrupt, text),
                _ => TaskEnd::Failed(kind, text),
            }
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
fn kind(code: i32) -> ErrorKind {
    match code {
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
