//! Commands inside a machine, by its agent.
//!
//! Source: QEMU's documentation, "QEMU Guest Agent Protocol Reference", guest-exec.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Executed, GuestCommand, Result, VmId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access::Access;
use crate::binding::Domain;

/// Seconds for one question to the agent.
const ANSWER_SECONDS: i32 = 30;
/// Pauses between two questions whether it has ended.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Answer<T> {
    #[serde(rename = "return")]
    value: T,
}

#[derive(Deserialize)]
struct Begun {
    pid: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    exited: bool,
    exitcode: Option<i32>,
    out_data: Option<String>,
    err_data: Option<String>,
}

/// Runs a command inside a running machine.
///
/// Errors: `Invalid` without a program; `Unreachable` if no agent answers; `Busy` if the command
/// still runs when its time is over (it goes on in the guest: agents end no commands).
pub(crate) fn execute(access: &Access, vm: &VmId, command: &GuestCommand) -> Result<Executed> {
    let Some((program, arguments)) = command.words.split_first() else {
        return Err(failed(ErrorKind::Invalid, vm).seen("the command has no words"));
    };
    let domain = access.domain(vm)?;
    let environment: Vec<_> = command
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let begin = json!({"execute": "guest-exec", "arguments": {
        "path": program, "arg": arguments, "env": environment, "capture-output": true,
    }});
    let begun: Begun = ask(&domain, vm, &begin)?;
    let asked = json!({"execute": "guest-exec-status", "arguments": {"pid": begun.pid}});
    let end = access.clock.monotonic() + command.limit;
    let mut pause = PAUSE_MIN;
    loop {
        let status: Status = ask(&domain, vm, &asked)?;
        if status.exited {
            return executed(status, vm, command.output_bytes_max);
        }
        if access.clock.monotonic() >= end {
            return Err(failed(ErrorKind::Busy, vm).seen(format!(
                "`{program}` still runs after {} s; it goes on in the guest",
                command.limit.as_secs()
            )));
        }
        access.clock.sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn executed(status: Status, vm: &VmId, bytes_max: usize) -> Result<Executed> {
    let end_of = |text: Option<String>| {
        let bytes = STANDARD
            .decode(text.unwrap_or_default())
            .map_err(|cause| failed(ErrorKind::Corrupt, vm).because(cause))?;
        let start = bytes.len().saturating_sub(bytes_max);
        Ok::<_, Error>(bytes.get(start..).unwrap_or_default().to_vec())
    };
    Ok(Executed {
        code: status.exitcode,
        output: end_of(status.out_data)?,
        errors: end_of(status.err_data)?,
    })
}

fn failed(kind: ErrorKind, vm: &VmId) -> Error {
    Error::new(kind, "running a command in", vm.as_str())
}

fn ask<T: DeserializeOwned>(domain: &Domain, vm: &VmId, question: &Value) -> Result<T> {
    let answer = domain
        .ask_agent(&question.to_string(), ANSWER_SECONDS)?
        .map_err(|failure| failure.of("asking the guest agent of", vm.as_str()))?;
    serde_json::from_str::<Answer<T>>(&answer)
        .map(|answer| answer.value)
        .map_err(|cause| {
            failed(ErrorKind::Corrupt, vm)
                .seen("its agent answers strangely")
                .because(cause)
        })
}
