//! One child that looks: its lines, its bytes, its end.
//!
//! A child ends when its standard input does, so it never outlives whoever asked.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use axum::body::{Body, Bytes};
use lifeboat_api::FailureKind;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::refusal::Refusal;

/// Limits: bytes of a line, and of what a child says when it fails.
const LINE_MAX: u64 = 256 << 20;
const WORDS_MAX: u64 = 64 << 10;
/// Characters of it that are passed on.
const SAID_MAX: usize = 2_000;
/// A child that was told to end is killed after so many looks at it.
const LOOKS: u32 = 400;
const PAUSE: Duration = Duration::from_millis(25);
/// A part could not be read; the rest was told.
const PARTIAL: i32 = 3;
/// Bytes that are handed on at once.
const PIECE: usize = 64 << 10;

/// Why a child failed: its exit code and its words.
#[derive(Clone, Debug)]
struct Failed {
    code: Option<i32>,
    said: String,
}

#[derive(Deserialize)]
struct Said {
    message_type: String,
    message: Option<String>,
}

fn start(command: &mut Command) -> io::Result<Child> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Runs a command to its end and gives `take` each line of its output, and nothing after the
/// last; the error is what it said.
pub(crate) async fn lines(
    mut command: Command,
    patience: Duration,
    mut take: impl FnMut(Option<&[u8]>) + Send + 'static,
) -> Result<(), String> {
    let lost = || "the work was broken off".to_owned();
    let started = spawn_blocking(move || start(&mut command)).await;
    let mut child = match started.map_err(|_| lost())? {
        Ok(child) => child,
        Err(error) => return Err(format!("cannot start a child: {error}")),
    };
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let words = spawn_blocking(move || words(stderr));
    let reading = spawn_blocking(move || each_line(stdout, &mut take));
    let is_late = timeout(patience, reading).await.is_err();
    drop(stdin);
    let status = spawn_blocking(move || wait(child)).await;
    let said = words.await.map_err(|_| lost())?;
    match status.map_err(|_| lost())? {
        _ if is_late => Err(format!("no end after {} s", patience.as_secs())),
        Ok(status) if status.success() || status.code() == Some(PARTIAL) => Ok(()),
        Ok(status) => Err(failed(status, said).said),
        Err(error) => Err(format!("lost a child: {error}")),
    }
}

fn each_line(stdout: Option<impl Read>, take: &mut impl FnMut(Option<&[u8]>)) {
    let Some(stdout) = stdout else { return };
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line);
        if !read.is_ok_and(|count| count > 0) {
            return take(None);
        }
        take(Some(line.trim_ascii()));
    }
}

/// What the child said last on its standard error; everything is taken, so that it can go on.
fn words(stderr: Option<impl Read>) -> String {
    let mut text = Vec::new();
    if let Some(mut stderr) = stderr {
        // What cannot be read is not said.
        let _ = (&mut stderr).take(WORDS_MAX).read_to_end(&mut text);
        let _ = io::copy(&mut stderr, &mut io::sink());
    }
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    let tagged = lines.clone().find_map(|line| {
        let said: Said = serde_json::from_str(line).ok()?;
        said.message.filter(|_| said.message_type == "exit_error")
    });
    let plain = || lines.clone().next().unwrap_or_default().to_owned();
    tagged
        .unwrap_or_else(plain)
        .chars()
        .take(SAID_MAX)
        .collect()
}

fn failed(status: ExitStatus, said: String) -> Failed {
    let said = match said.is_empty() {
        true => format!("it ended with {status} and no word"),
        false => said,
    };
    Failed {
        code: status.code(),
        said,
    }
}

/// Waits for a child whose standard input has ended, and insists later.
fn wait(mut child: Child) -> io::Result<ExitStatus> {
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(PAUSE);
    }
    child.kill()?;
    child.wait()
}

/// The bytes that a command writes, as a body; at most so many. The answer begins with the first
/// of them; a child that fails later breaks it off.
///
/// Errors: what the child said if it wrote nothing; `TooSlow` if that takes longer than
/// `patience`.
pub(crate) async fn bytes(
    mut command: Command,
    patience: Duration,
    bytes_max: u64,
    turn: OwnedSemaphorePermit,
) -> Result<Body, Refusal> {
    let broken = |text: String| Refusal::new(FailureKind::Broken, text);
    let started = spawn_blocking(move || start(&mut command)).await;
    let started = started.map_err(|_| broken("the work was broken off".to_owned()))?;
    let started = started.map_err(|error| broken(format!("cannot start a child: {error}")));
    let mut child = started?;
    let stdin = child.stdin.take();
    let (sender, mut receiver) = mpsc::channel(4);
    spawn_blocking(move || {
        let _turn = turn;
        send(child, bytes_max, &sender);
    });
    let first = match timeout(patience, receiver.recv()).await {
        Err(_) => {
            let text = "the file was not reached in time";
            let hint = "ask again, or use the command that stands beside it";
            return Err(Refusal::new(FailureKind::TooSlow, text).with_hint(hint));
        }
        Ok(Some(Err(failed))) => return Err(refusal(&failed)),
        Ok(Some(Ok(piece))) => Some(Ok(piece)),
        Ok(None) => None,
    };
    let rest = ReceiverStream::new(receiver);
    let pieces = tokio_stream::iter(first).chain(rest);
    let pieces = pieces.map(move |piece| {
        // Held as long as somebody reads: its end ends the child.
        let _ = &stdin;
        piece.map_err(|failed| io::Error::other(failed.said))
    });
    Ok(Body::from_stream(pieces))
}

fn refusal(failed: &Failed) -> Refusal {
    let kind = match failed.code {
        Some(2) => FailureKind::Invalid,
        Some(10) => FailureKind::NotFound,
        Some(11) => FailureKind::Conflict,
        Some(23) => FailureKind::Unreachable,
        Some(26) => FailureKind::Unsupported,
        _ => FailureKind::Broken,
    };
    Refusal::new(kind, failed.said.clone())
}

fn send(mut child: Child, bytes_max: u64, to: &mpsc::Sender<Result<Bytes, Failed>>) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = std::thread::spawn(move || words(stderr));
    let ended = stdout.map_or(Ok(()), |stdout| send_all(stdout, bytes_max, to));
    let status = wait(child);
    let said = said.join().unwrap_or_default();
    let last = match (ended, status) {
        (Err(text), _) => Failed {
            code: None,
            said: text,
        },
        (Ok(()), Ok(status)) if status.success() => return,
        (Ok(()), Ok(status)) => failed(status, said),
        (Ok(()), Err(error)) => Failed {
            code: None,
            said: format!("lost a child: {error}"),
        },
    };
    // A client that has gone needs no more.
    let _ = to.blocking_send(Err(last));
}

fn send_all(
    mut stdout: impl Read,
    bytes_max: u64,
    to: &mpsc::Sender<Result<Bytes, Failed>>,
) -> Result<(), String> {
    let mut sent = 0;
    loop {
        let mut piece = vec![0; PIECE];
        let count = stdout.read(&mut piece).map_err(|error| error.to_string())?;
        if count == 0 {
            return Ok(());
        }
        sent += count as u64;
        if sent > bytes_max {
            return Err(format!("it is longer than {bytes_max} bytes"));
        }
        piece.truncate(count);
        if to.blocking_send(Ok(piece.into())).is_err() {
            return Err("nobody reads any more".to_owned());
        }
    }
}
