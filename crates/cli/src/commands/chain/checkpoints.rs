//! `checkpoints.json`: what backup scripts note of the files they wrote.

use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use lifeboat_model::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::select;

/// Name of the list.
pub(super) const CHECKPOINTS_NAME: &str = "checkpoints.json";

/// Limit: bytes of the list.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// Limit: entries of the list.
const ENTRIES_MAX: usize = 10_000;

/// One file of a chain.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Checkpoint {
    #[serde(default)]
    pub(super) id: Value,
    #[serde(default)]
    pub(super) vm_name: Option<String>,
    #[serde(default)]
    pub(super) status: Option<String>,
    /// `full` or `incremental`.
    #[serde(default)]
    pub(super) backup_type: Option<String>,
    #[serde(default)]
    pub(super) backup_date: Value,
    #[serde(default)]
    pub(super) chain_level: Option<u64>,
    #[serde(default)]
    pub(super) backup_file_path: Option<String>,
    #[serde(default)]
    pub(super) file_size: Option<u64>,
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// Both shapes that are in use: a list, or an object that holds one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    List(Vec<Checkpoint>),
    Object { checkpoints: Vec<Checkpoint> },
}

/// Reads the list of a folder; nothing if there is none.
pub(super) fn read(folder: &Path) -> Result<Option<Vec<Checkpoint>>> {
    let path = folder.join(CHECKPOINTS_NAME);
    let failed = |e: std::io::Error| {
        let message = format!("cannot read {}: {e}", path.display());
        Error::new(ErrorKind::of_io(&e), message)
    };
    let file = match std::fs::File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut json = Vec::new();
    let mut limited = file.take(LIST_BYTES_MAX + 1);
    limited.read_to_end(&mut json).map_err(failed)?;
    let wrong = |seen: &str| Error::usage(format!("{} cannot be used: {seen}", path.display()));
    if json.len() as u64 > LIST_BYTES_MAX {
        return Err(wrong("it is larger than 16 MiB"));
    }
    let list = match serde_json::from_slice(&json) {
        Ok(Document::List(list) | Document::Object { checkpoints: list }) => list,
        Err(_) => return Err(wrong("it is no list of checkpoints")),
    };
    if list.len() > ENTRIES_MAX {
        return Err(wrong("it has more than 10000 entries"));
    }
    Ok(Some(list))
}

impl Checkpoint {
    /// Whether its file was written completely.
    pub(super) fn is_complete(&self) -> bool {
        let status = self.status.as_deref().map(str::to_ascii_lowercase);
        matches!(
            status.as_deref(),
            None | Some("completed" | "success" | "ok")
        )
    }

    pub(super) fn is_incremental(&self) -> bool {
        let kind = self.backup_type.as_deref().unwrap_or_default();
        kind.eq_ignore_ascii_case("incremental")
    }

    /// How messages name it.
    pub(super) fn shown(&self) -> String {
        match (&self.id, &self.backup_file_path) {
            (Value::String(id), _) => format!("checkpoint {}", crate::tables::shown(id)),
            (Value::Number(id), _) => format!("checkpoint {id}"),
            (_, Some(path)) => crate::tables::shown(path),
            _ => "a checkpoint without a name".to_owned(),
        }
    }

    /// Its time: text, or seconds since 1970; nothing if it states none.
    pub(super) fn time(&self) -> Result<Option<Timestamp>> {
        let wrong = || {
            let text = &self.backup_date;
            Error::usage(format!("{}: backup_date {text} is no time", self.shown()))
        };
        match &self.backup_date {
            Value::Null => Ok(None),
            Value::String(text) => select::parse_time(text).map(Some).map_err(|_| wrong()),
            Value::Number(number) => {
                let seconds = number.as_f64().ok_or_else(wrong)?;
                let nanoseconds = (seconds * 1e9) as i128;
                let time = Timestamp::from_nanosecond(nanoseconds).map_err(|_| wrong())?;
                Ok(Some(time))
            }
            _ => Err(wrong()),
        }
    }
}
