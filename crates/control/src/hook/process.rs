//! One process with a time limit, whose output is kept from its end.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lifeboat_model::CancelToken;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{HookEnd, OUTPUT_BYTES_MAX};

/// Between two looks at the process.
const POLL: Duration = Duration::from_millis(10);
/// How long a process may take to end when it is asked politely.
const GRACE: Duration = Duration::from_secs(2);
/// How long outputs are awaited when the process has ended: its children may hold them open.
const DRAIN: Duration = Duration::from_secs(1);
/// Beginnings of names that are not for hooks: they may hold secrets.
const PRIVATE: [&str; 4] = ["LIFEBOAT_", "RESTIC_", "AWS_", "RUSTIC_"];

type Tail = Arc<Mutex<Vec<u8>>>;

/// Runs `words` with `facts` in the environment, in a process group of its own.
pub(super) fn run(
    words: &[String],
    facts: &[(String, String)],
    limit: Duration,
    cancel: &CancelToken,
) -> (HookEnd, Vec<u8>) {
    let Some((program, arguments)) = words.split_first() else {
        return (
            HookEnd::NotStarted("it has no words".to_owned()),
            Vec::new(),
        );
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if PRIVATE.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.envs(facts.iter().map(|(name, value)| (name, value)));
    match command.spawn() {
        Ok(child) => watch(child, limit, cancel),
        Err(error) => (HookEnd::NotStarted(error.to_string()), Vec::new()),
    }
}

fn watch(mut child: Child, limit: Duration, cancel: &CancelToken) -> (HookEnd, Vec<u8>) {
    let tail = Tail::default();
    let (sender, drained) = channel();
    if let Some(output) = child.stdout.take() {
        keep_tail(output, Arc::clone(&tail), sender.clone());
    }
    if let Some(errors) = child.stderr.take() {
        keep_tail(errors, Arc::clone(&tail), sender.clone());
    }
    drop(sender);
    let end = wait(&mut child, limit, cancel);
    wait_for_outputs(&drained);
    let kept = tail.lock().unwrap_or_else(|p| p.into_inner());
    (end, kept.clone())
}

fn wait(child: &mut Child, limit: Duration, cancel: &CancelToken) -> HookEnd {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.signal().is_some() => return HookEnd::Signal,
            Ok(Some(status)) => return HookEnd::Code(status.code().unwrap_or(-1)),
            Ok(None) => {}
            Err(error) => return HookEnd::NotStarted(error.to_string()),
        }
        if cancel.is_cancelled() || began.elapsed() >= limit {
            end_group(child);
            return if cancel.is_cancelled() {
                HookEnd::Cancelled
            } else {
                HookEnd::TimedOut
            };
        }
        thread::sleep(POLL);
    }
}

/// Ends the process and its children: first politely, then not.
fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let _ = signal(Signal::TERM);
    let began = Instant::now();
    while began.elapsed() < GRACE {
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        thread::sleep(POLL);
    }
    let _ = signal(Signal::KILL);
    let _ = child.wait();
}

fn keep_tail(mut from: impl Read + Send + 'static, tail: Tail, done: std::sync::mpsc::Sender<()>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut kept = tail.lock().unwrap_or_else(|p| p.into_inner());
            kept.extend(buffer.get(..count).unwrap_or_default());
            let surplus = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
            kept.drain(..surplus);
        }
        drop(done);
    });
}

fn wait_for_outputs(drained: &Receiver<()>) {
    // Both senders are dropped when both outputs have ended.
    let _ = drained.recv_timeout(DRAIN);
}
