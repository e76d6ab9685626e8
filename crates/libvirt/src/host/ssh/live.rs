//! Something at the other end that lives as long as this end wants it, and no longer than the
//! connection.
//!
//! It is a script that says [`READY`] and what else there is to say, and then reads a byte every
//! few seconds: when no more come it ends, also when this host was switched off and nobody told
//! the other one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lifeboat_platform::{Error, Result};

use super::refusal::{Refusal, refused};

/// Begins the line with which a script says that it is there.
pub(crate) const READY: &str = "lifeboat-ready ";
/// The end of every script: returns when nobody wants it any more, or `$child` has ended.
///
/// Two silences are needed: a host that stood still for a while goes on in the second.
pub(crate) const WAIT: &str = "
silent=0
while [ \"$silent\" -lt 2 ]; do
  if beat=$(timeout 90 head -c 1 9>&-); then
    [ -n \"$beat\" ] || break
    silent=0
  else
    silent=$((silent + 1))
  fi
  [ -z \"$child\" ] || kill -0 \"$child\" 2>/dev/null || break
done
";
/// Between two signs of life; the other end waits for twice 90 s.
const BEAT: Duration = Duration::from_secs(15);
/// How long a script may take to say that it is there.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How long it may take to end.
const END_LIMIT: Duration = Duration::from_secs(300);
/// Limits: bytes of one line that is heard, and of complaints that are kept.
const LINE_BYTES_MAX: u64 = 64 << 10;
const COMPLAINT_LINES_MAX: usize = 20;

/// What an ssh complained last.
#[derive(Clone, Default)]
pub(crate) struct Complaints(Arc<Mutex<VecDeque<String>>>);

/// A script at the other end.
pub(crate) struct Live {
    process: Mutex<Child>,
    /// The signs of life stop when it closes.
    beat: Mutex<Option<Sender<()>>>,
    lines: Mutex<Receiver<String>>,
    complaints: Complaints,
    /// Closes when no more complaints come.
    quiet: Mutex<Receiver<()>>,
    said: String,
}

impl Complaints {
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= COMPLAINT_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl Live {
    /// Starts a script and waits until it is there; `doing` and `object` are for errors.
    pub(crate) fn start(mut command: Command, doing: &'static str, object: &str) -> Result<Self> {
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = spawned.map_err(|e| super::refusal::no_program(&command, e))?;
        let (sender, lines) = channel();
        if let Some(output) = process.stdout.take() {
            each_line(output, move |line| sender.send(line).is_ok());
        }
        let (complaints, (done, quiet)) = (Complaints::default(), channel::<()>());
        if let Some(errors) = process.stderr.take() {
            let kept = complaints.clone();
            each_line(errors, move |line| {
                // Held until the last complaint is kept.
                let _ = &done;
                kept.add(line);
                true
            });
        }
        let beat = process.stdin.take().map(begin_beat);
        let mut live = Self {
            process: Mutex::new(process),
            beat: Mutex::new(beat),
            lines: Mutex::new(lines),
            complaints,
            quiet: Mutex::new(quiet),
            said: String::new(),
        };
        match live.hear() {
            Some(said) => {
                live.said = said;
                Ok(live)
            }
            None => {
                let status = live.stop();
                let text = live.complaints.text();
                Err(refused(&Refusal { status, text }, doing, object))
            }
        }
    }

    /// What it said when it was there; a login script may say things of its own before.
    fn hear(&self) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let line = lines.recv_timeout(READY_LIMIT).ok()?;
            if let Some(said) = line.strip_prefix(READY) {
                return Some(said.to_owned());
            }
        }
    }

    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    pub(crate) fn is_alive(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(process.try_wait(), Ok(None))
    }

    /// Lets it end, and waits for that.
    ///
    /// Errors: it did not end, or says that something failed.
    pub(crate) fn end(&self, doing: &'static str, object: &str) -> Result<()> {
        match self.stop() {
            Some(status) if status.success() => Ok(()),
            status => {
                let text = self.complaints.text();
                let error: Error = refused(&Refusal { status, text }, doing, object);
                Err(error)
            }
        }
    }

    /// How it ended; nothing if it had to be ended by force.
    fn stop(&self) -> Option<ExitStatus> {
        let mut beat = self.beat.lock().unwrap_or_else(PoisonError::into_inner);
        drop(beat.take());
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let process = || self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // Its output closes when it ends.
        loop {
            match lines.recv_timeout(END_LIMIT) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = process().wait().ok();
                    self.hear_complaints();
                    return status;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = process().kill();
                    let _ = process().wait();
                    return None;
                }
            }
        }
    }
}

impl Live {
    /// What is on its way is heard, where nobody else keeps the pipe open.
    fn hear_complaints(&self) {
        let quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = quiet.recv_timeout(Duration::from_secs(1));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // One that has ended answers at once.
        let _ = self.stop();
    }
}

fn begin_beat(mut pipe: ChildStdin) -> Sender<()> {
    let (sender, stopped) = channel::<()>();
    let beat = move || {
        while pipe.write_all(b".").and_then(|()| pipe.flush()).is_ok() {
            if stopped.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    // Without the thread the pipe closes, and the script ends.
    let _ = thread::Builder::new().name("beat".into()).spawn(beat);
    sender
}

/// Hears lines until there are no more, or nobody wants them.
fn each_line(
    from: impl Read + Send + 'static,
    mut take: impl FnMut(String) -> bool + Send + 'static,
) {
    let read = move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            let part = from
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line);
            if !matches!(part, Ok(1..)) {
                return;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            if !take(text) {
                return;
            }
        }
    };
    // Without the thread the pipe closes, which counts as silence.
    let _ = thread::Builder::new().name("lines".into()).spawn(read);
}
