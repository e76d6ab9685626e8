//! What a child says, line by line.

use lifeboat_catalog::Progress;
use lifeboat_model::ErrorKind;
use serde::Deserialize;
use serde_json::Value;

/// A line of a child's output.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// A step begins.
    Step(String),
    /// How far it is.
    Progress(Progress),
    /// A warning.
    Warning(String),
    /// Why it failed, and what sort of failure that is, if it says so.
    Failure(String, Option<ErrorKind>),
    /// A part of the result.
    Result(Value),
    /// Plain words.
    Words(String),
}

#[derive(Deserialize)]
struct Status {
    phase: String,
    #[serde(default)]
    seconds_elapsed: u64,
    #[serde(default)]
    seconds_remaining: Option<u64>,
    #[serde(default)]
    total_bytes: u64,
    #[serde(default)]
    bytes_done: u64,
}

impl Said {
    /// Reads a line; one that is no JSON is plain words.
    pub(crate) fn read(line: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            return Self::Words(line.to_owned());
        };
        let text = |path: &str| {
            value
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        match value.get("message_type").and_then(Value::as_str) {
            Some("step") => text("/step").map_or(Self::Result(value), Self::Step),
            Some("status") => match Status::deserialize(&value) {
                Ok(status) => Self::Progress(progress(status)),
                Err(_) => Self::Result(value),
            },
            Some("error") => text("/error/message").map_or(Self::Result(value), Self::Warning),
            Some("exit_error") => match (text("/message"), text("/kind")) {
                (Some(message), kind) => {
                    Self::Failure(message, kind.and_then(|it| ErrorKind::named(&it)))
                }
                (None, _) => Self::Result(value),
            },
            _ => Self::Result(value),
        }
    }
}

fn progress(status: Status) -> Progress {
    Progress {
        phase: status.phase,
        done: status.bytes_done,
        total: status.total_bytes,
        rate: status.bytes_done / status.seconds_elapsed.max(1),
        seconds_left: status.seconds_remaining,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let step = r#"{"message_type":"step","machine":"web","step":"capture"}"#;
        assert_eq!(Said::read(step), Said::Step("capture".to_owned()));
        let warning = r#"{"message_type":"error","error":{"message":"slow"}}"#;
        assert_eq!(Said::read(warning), Said::Warning("slow".to_owned()));
        let failure = r#"{"message_type":"exit_error","code":11,"message":"locked"}"#;
        let locked = |kind| Said::Failure("locked".to_owned(), kind);
        assert_eq!(Said::read(failure), locked(None));
        let failure = failure.replace("11", r#"1,"kind":"not found""#);
        assert_eq!(Said::read(&failure), locked(Some(ErrorKind::NotFound)));
        assert_eq!(Said::read("{oh"), Said::Words("{oh".to_owned()));
        assert!(matches!(Said::read("[]"), Said::Result(_)));
        let status = r#"{"message_type":"status","phase":"storing","seconds_elapsed":2,
                         "total_bytes":100,"bytes_done":50}"#;
        match Said::read(status) {
            Said::Progress(progress) => assert_eq!((progress.done, progress.rate), (50, 25)),
            other => panic!("{other:?}"),
        }
    }
}
