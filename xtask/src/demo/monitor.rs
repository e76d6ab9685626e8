//! QEMU's machine protocol (QMP) over the process's own input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long QEMU may take to answer a command.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A conversation with one QEMU.
#[derive(Debug)]
pub(crate) struct Monitor {
    input: ChildStdin,
    messages: Receiver<Value>,
}

impl Monitor {
    /// Takes the process's pipes and agrees on the protocol.
    pub(crate) fn open(input: ChildStdin, output: ChildStdout) -> Result<Self> {
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap_or(Value::Null);
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut monitor = Self { input, messages };
        monitor.wait_for(ANSWER_LIMIT, |message| message.get("QMP").is_some())?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command and waits for its answer; events on the way are dropped.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.input, "{request}").with_context(|| format!("asking QEMU: {command}"))?;
        let is_answer = |it: &Value| it.get("return").is_some() || it.get("error").is_some();
        let answer = self.wait_for(ANSWER_LIMIT, is_answer)?;
        if let Some(error) = answer.get("error") {
            bail!("QEMU refused {command}: {error}");
        }
        Ok(answer)
    }

    fn wait_for(&self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self
                .messages
                .recv_timeout(left)
                .context("QEMU does not answer")?;
            if wanted(&message) {
                return Ok(message);
            }
        }
    }
}
