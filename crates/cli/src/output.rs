//! What a command says: text for people or JSON lines for scripts.
//!
//! Field names of JSON lines are a promise: fields may be added, never renamed.
//!
//! Source: reference ecosystem 3.4.

use std::io::Write;

use serde::Serialize;

use crate::error::{Error, Result};

/// How a command speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Sentences and tables.
    Text,
    /// One JSON value a line.
    Json,
}

/// Where and how a command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) style: Style,
    /// 0 says results only, 1 is usual, 2 and more tell details.
    pub(crate) verbosity: u8,
}

impl Output {
    /// Whether scripts read it.
    pub(crate) fn is_json(self) -> bool {
        self.style == Style::Json
    }

    /// Prints a line of the result itself; also when quiet.
    pub(crate) fn result(self, line: impl AsRef<str>) -> Result<()> {
        writeln!(std::io::stdout(), "{}", line.as_ref())?;
        Ok(())
    }

    /// Prints a line that tells people what happens; not when quiet, not in JSON.
    pub(crate) fn tell(self, line: impl AsRef<str>) -> Result<()> {
        if self.style == Style::Text && self.verbosity >= 1 {
            self.result(line)
        } else {
            Ok(())
        }
    }

    /// Prints a line of detail; only with `-v`.
    pub(crate) fn detail(self, line: impl AsRef<str>) -> Result<()> {
        if self.style == Style::Text && self.verbosity >= 2 {
            self.result(line)
        } else {
            Ok(())
        }
    }

    /// Prints a line of detail to standard error; standard output may carry a disk.
    pub(crate) fn detail_aside(self, line: impl AsRef<str>) {
        if self.style == Style::Text && self.verbosity >= 2 {
            eprintln!("{}", line.as_ref());
        }
    }

    /// Tells that a step begins: to people with `-v`, to scripts always.
    pub(crate) fn step(self, subject: &str, step: &str) {
        match self.style {
            Style::Text => self.detail_aside(format!("{subject}: {step}")),
            // Nobody needs it so much that the work should end without it.
            Style::Json => drop(self.message("step", &StepLine { subject, step })),
        }
    }

    /// Prints a warning to standard error.
    pub(crate) fn warn(self, line: impl AsRef<str>) {
        match self.style {
            Style::Text => to_stderr(&format!("warning: {}", line.as_ref())),
            Style::Json => {
                let error = Message {
                    message: line.as_ref(),
                };
                let line = Tagged {
                    message_type: "error",
                    value: ErrorLine { error },
                };
                to_stderr(&serde_json::to_string(&line).unwrap_or_default());
            }
        }
    }

    /// Prints one JSON line.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|e| Error::usage(e.to_string()))?;
        self.result(text)
    }

    /// Prints one JSON line with its `message_type`.
    pub(crate) fn message(self, message_type: &str, value: &impl Serialize) -> Result<()> {
        self.json(&Tagged {
            message_type,
            value,
        })
    }

    /// Says why the command failed, on standard error.
    pub(crate) fn fail(self, error: &Error) {
        match self.style {
            Style::Text => to_stderr(&format!("error: {error}")),
            Style::Json => {
                let value = ExitError {
                    code: error.code(),
                    kind: error.kind().map(|kind| kind.to_string()),
                    message: &error.to_string(),
                };
                let line = Tagged {
                    message_type: "exit_error",
                    value,
                };
                to_stderr(&serde_json::to_string(&line).unwrap_or_default());
            }
        }
    }
}

/// Says a line where standard error still takes one: it may lead to a file on a full disk, and
/// then the exit code has to do.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    message_type: &'a str,
    #[serde(flatten)]
    value: T,
}

#[derive(Serialize)]
struct StepLine<'a> {
    subject: &'a str,
    step: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: Message<'a>,
}

#[derive(Serialize)]
struct ExitError<'a> {
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    message: &'a str,
}
