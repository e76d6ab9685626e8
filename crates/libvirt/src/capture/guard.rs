//! A process of its own that thaws a guest when nobody else does.
//!
//! Freezing and thawing are two calls; whoever dies between them would leave a machine standing
//! still. So a second process, which survives the first, holds a connection of its own before
//! the guest is frozen, and thaws it when the first process's pipe closes or time passes.
//!
//! The talk, in lines: it is given the URI and the machine's UUID and says `ready`; it is told
//! `freeze` and milliseconds; it is told `done` and answers `unused`, or `thawed` if it had to
//! thaw before.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::binding::{Code, Connection, Domain};

/// The argument with which this program is started again to watch over a frozen guest; the
/// program must then call [`guard_a_frozen_guest`] and nothing else.
pub const GUARD_ARGUMENT: &str = "--watch-over-a-frozen-guest";

/// This very program, also when another one has taken its place since it was started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long the guard may take to come up, a cold daemon included.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long thawing is tried again.
const THAW_LIMIT: Duration = Duration::from_secs(300);
const THAW_PAUSE: Duration = Duration::from_millis(500);
/// How long the guard waits to be told that freezing begins.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The side of the process that freezes.
pub(crate) struct Guard {
    process: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

/// What the guard did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuardVerdict {
    /// Nothing: the guest stayed frozen until it was thawed by the one who froze it.
    Unused,
    /// It thawed, or cannot say.
    Fired,
}

impl Guard {
    /// Starts the guard and waits until it could thaw.
    pub(crate) fn start(
        command: Option<&[OsString]>,
        uri: &str,
        uuid: &str,
    ) -> Result<Self, String> {
        let failed = |e: io::Error| format!("the process that would thaw it did not start: {e}");
        let mut command = match command {
            Some([program, arguments @ ..]) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            _ => {
                let mut command = Command::new(THIS_PROGRAM);
                command.arg(GUARD_ARGUMENT);
                command
            }
        };
        // A group of its own: what ends this one's group must not end the guard.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::null()).spawn().map_err(failed)?;
        let orders = process.stdin.take();
        let answers = lines_of(process.stdout.take().ok_or("it has no output")?);
        let mut guard = Self {
            process,
            orders,
            answers,
        };
        guard.say(&format!("{uri}\n{uuid}"));
        let said = guard.hear(READY_LIMIT);
        match said.as_deref() {
            Some("ready") => Ok(guard),
            said => {
                let said = said.unwrap_or("it says nothing");
                let reason = format!("the process that would thaw it is not ready: {said}");
                guard.abandon();
                Err(reason)
            }
        }
    }

    /// From now on the guest may be frozen, for at most `limit`.
    pub(crate) fn begin(&mut self, limit: Duration) {
        self.say(&format!("freeze {}", limit.as_millis()));
    }

    /// The guest is thawed; says whether it was the guard who did it.
    pub(crate) fn finish(mut self) -> GuardVerdict {
        self.say("done");
        // Whatever is not a clear answer counts as the worse one.
        let verdict = match self.hear(Duration::from_secs(5)).as_deref() {
            Some("unused") => GuardVerdict::Unused,
            _ => GuardVerdict::Fired,
        };
        drop(self.orders.take());
        let _ = self.process.wait();
        verdict
    }

    /// Leaves the thawing to the guard.
    pub(crate) fn abandon(mut self) {
        drop(self.orders.take());
        let mut process = self.process;
        // Collects the process when it is done; nobody waits for it.
        let waiting = thread::Builder::new().name("guard".into());
        let _ = waiting.spawn(move || process.wait());
    }

    fn say(&mut self, line: &str) {
        if let Some(orders) = &mut self.orders {
            // A guard that does not listen does not answer either, which is noticed.
            let _ = writeln!(orders, "{line}").and_then(|()| orders.flush());
        }
    }

    /// The next line of the guard itself; a program around it may write lines of its own.
    fn hear(&self, limit: Duration) -> Option<String> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.answers.recv_timeout(left).ok()?;
            if let Some((_, answer)) = line.split_once(ANSWER) {
                return Some(answer.to_owned());
            }
        }
    }
}

/// Begins every line of the guard.
const ANSWER: &str = "guard: ";

fn lines_of(from: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    let read = move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    };
    // Without the thread the channel closes, which counts as silence.
    let _ = thread::Builder::new().name("lines".into()).spawn(read);
    receiver
}

/// Watches over a guest until it is thawed: the whole life of the process started for it.
///
/// Talks over standard input and output as the head of this module says.
pub fn guard_a_frozen_guest() -> ExitCode {
    let orders = lines_of(io::stdin());
    match watch(&orders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            answer(&format!("failed: {reason}"));
            ExitCode::FAILURE
        }
    }
}

fn watch(orders: &Receiver<String>) -> Result<(), String> {
    let next = || orders.recv_timeout(IDLE_LIMIT).map_err(|e| e.to_string());
    let (uri, uuid) = (next()?, next()?);
    let connection = Connection::open(&uri).map_err(|e| e.to_string())?;
    let domain = connection
        .domain_by_uuid(&uuid)
        .map_err(|e| e.to_string())?;
    answer("ready");
    let order = next()?;
    let Some(milliseconds) = order.strip_prefix("freeze ") else {
        return Ok(());
    };
    let milliseconds = milliseconds.parse().unwrap_or(0);
    match orders.recv_timeout(Duration::from_millis(milliseconds)) {
        Ok(_) => answer("unused"),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            answer(thaw(&domain));
        }
    }
    Ok(())
}

/// Thaws until it worked, or until there is nobody to thaw.
fn thaw(domain: &Domain) -> &'static str {
    let end = Instant::now() + THAW_LIMIT;
    loop {
        match domain.thaw() {
            Ok(_) => return "thawed",
            Err(failure) if failure.code == Code::NO_DOMAIN => return "gone",
            Err(_) if domain.number().is_none() => return "gone",
            Err(_) if Instant::now() > end => return "failed: the guest does not answer",
            Err(_) => thread::sleep(THAW_PAUSE),
        }
    }
}

fn answer(line: &str) {
    // The other side may be dead; thawing goes on all the same.
    let mut output = io::stdout();
    let _ = writeln!(output, "{ANSWER}{line}").and_then(|()| output.flush());
}
