//! Makes this process give way to the machines it protects.

use std::process::{Command, Stdio};

use lifeboat_model::{ErrorKind, ParseError};

use crate::{Error, Result};

/// The kernel's classes of input and output that a backup may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// After everybody else of the usual class: 0 (first) to 7 (last).
    BestEffort(u8),
    /// Only when nobody else wants the disk.
    Idle,
}

impl std::str::FromStr for IoClass {
    type Err = ParseError;

    /// Reads `idle` or a level from 0 to 7.
    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        match (text, text.parse()) {
            ("idle", _) => Ok(Self::Idle),
            (_, Ok(level @ 0..=7)) => Ok(Self::BestEffort(level)),
            _ => Err(ParseError::new(
                "ionice",
                text,
                "write idle, or a level from 0 to 7",
            )),
        }
    }
}

/// Lowers this process's priorities, for all its threads to come.
///
/// Errors: `Unsupported` where the program `ionice` is missing; `Io`.
pub fn lower_priority(nice: Option<u8>, io: Option<IoClass>) -> Result<()> {
    if let Some(nice) = nice {
        let set = rustix::process::setpriority_process(None, i32::from(nice.min(19)));
        set.map_err(|e| {
            let kind = ErrorKind::of_io(&e.into());
            Error::new(kind, format!("cannot set the priority to {nice}")).with_source(e)
        })?;
    }
    io.map_or(Ok(()), lower_io)
}

/// There is no safe call for this; the system's own program is always there with util-linux.
fn lower_io(class: IoClass) -> Result<()> {
    let process = std::process::id().to_string();
    let words = match class {
        IoClass::Idle => vec!["-c3".to_owned()],
        IoClass::BestEffort(level) => vec!["-c2".to_owned(), format!("-n{level}")],
    };
    let done = Command::new("ionice")
        .args(words)
        .args(["-p", &process])
        .stdin(Stdio::null())
        .output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let seen = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            Err(Error::new(ErrorKind::Io, format!("ionice failed: {seen}")))
        }
        Err(error) => {
            let message = "cannot run ionice: install the package util-linux";
            Err(Error::new(ErrorKind::Unsupported, message).with_source(error))
        }
    }
}
