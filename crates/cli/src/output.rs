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
    /// Standard output is one document: whatever is said beside it goes to standard error.
    pub(crate) is_document: bool,
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
        match self.style == Style::Text && self.verbosity >= 1 {
            true => self.beside(line.as_ref()),
            false => Ok(()),
        }
    }

    /// Prints a line of detail; only with `-v`.
    pub(crate) fn detail(self, line: impl AsRef<str>) -> Result<()> {
        match self.style == Style::Text && self.verbosity >= 2 {
            true => self.beside(line.as_ref()),
            false => Ok(()),
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
            Style::Json => self.event("step", &StepLine { subject, step }),
        }
    }

    /// Prints a JSON line of what happens; nobody needs it so much that the work should end
    /// without it.
    pub(crate) fn event(self, message_type: &str, value: &impl Serialize) {
        let _ = self.beside(&tagged(message_type, value));
    }

    /// Prints a line that is no part of a document.
    fn beside(self, line: &str) -> Result<()> {
        match self.is_document {
            true => to_stderr(line),
            false => self.result(line)?,
        }
        Ok(())
    }

    /// Prints a warning to standard error.
    pub(crate) fn warn(self, line: impl AsRef<str>) {
        match self.style {
            Style::Text => to_stderr(&format!("warning: {}", line.as_ref())),
            Style::Json => {
                let error = Message {
                    message: line.as_ref(),
                };
                to_stderr(&tagged("error", &ErrorLine { error }));
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
                to_stderr(&tagged("exit_error", &value));
            }
        }
    }
}

/// Says a line where standard error still takes one: it may lead to a file on a full disk, and
/// then the exit code has to do.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A JSON line of these; none of them can fail to be written as one.
fn tagged(message_type: &str, value: &impl Serialize) -> String {
    let line = Tagged {
        message_type,
        value,
    };
    serde_json::to_string(&line).unwrap_or_default()
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
