//! What was measured, one JSON value a line, kept between runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One row of one tool in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) round: u32,
    pub(crate) row: String,
    pub(crate) tool: String,
    pub(crate) version: String,
    /// As typed, with short places.
    pub(crate) command: String,
    /// Seconds from start to exit.
    pub(crate) wall: f64,
    /// Seconds from start until the file system holds everything.
    pub(crate) durable: f64,
    /// Seconds of user and system time, of the program and what it waited for.
    pub(crate) cpu: f64,
    /// Peak of resident memory, of the largest process, in bytes.
    pub(crate) resident: u64,
    /// Bytes and other counts by name: `stored`, `added`, `read`, `changed`, `rewritten`, `freed`.
    #[serde(default)]
    pub(crate) counts: BTreeMap<String, u64>,
    /// Whether the tool has no such thing, and there will never be a figure.
    #[serde(default)]
    pub(crate) is_impossible: bool,
    /// Why there is no figure, though there should be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl Record {
    /// Whether something was measured.
    pub(crate) fn is_figure(&self) -> bool {
        !self.is_impossible && self.failed.is_none()
    }

    fn is_of(&self, other: &Self) -> bool {
        (self.round, &self.row, &self.tool) == (other.round, &other.row, &other.tool)
    }
}

/// The file of all records; of two for the same, the later one counts.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    list: Vec<Record>,
}

impl Records {
    /// Reads what is there. A last line that was cut off by an interruption is left out.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("reading {}", path.display()))?,
        };
        let mut records = Self {
            path: path.to_owned(),
            list: Vec::new(),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for (index, line) in text[..whole].lines().enumerate() {
            let place = || format!("{}, line {}", path.display(), index + 1);
            records.insert(serde_json::from_str(line).with_context(place)?);
        }
        if whole < text.len() {
            fs::write(path, &text[..whole]).context("dropping a record that was cut off")?;
        }
        Ok(records)
    }

    /// Keeps a record, at once also in the file.
    pub(crate) fn add(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_string(&record).context("writing a record")?;
        line.push('\n');
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .with_context(|| format!("opening {}", self.path.display()))?;
        file.write_all(line.as_bytes())
            .context("writing a record")?;
        self.insert(record);
        Ok(())
    }

    /// Drops what there is of these rows and tools, so that it is measured anew.
    pub(crate) fn forget(&mut self, rows: &[&str], tools: &[&str]) -> Result<()> {
        let goes = |it: &Record| rows.contains(&&*it.row) && tools.contains(&&*it.tool);
        self.list.retain(|record| !goes(record));
        let mut text = String::new();
        for record in &self.list {
            text.push_str(&serde_json::to_string(record).context("writing a record")?);
            text.push('\n');
        }
        fs::write(&self.path, text).with_context(|| format!("writing {}", self.path.display()))
    }

    /// Whether this is over: with a figure, or because the tool has no such thing.
    pub(crate) fn has(&self, round: u32, row: &str, tool: &str) -> bool {
        let of_row = self.of(row);
        of_row
            .iter()
            .any(|it| it.round == round && it.tool == tool && it.failed.is_none())
    }

    /// The records of a row, figures or not.
    pub(crate) fn of(&self, row: &str) -> Vec<&Record> {
        self.list.iter().filter(|it| it.row == row).collect()
    }

    fn insert(&mut self, record: Record) {
        self.list.retain(|old| !old.is_of(&record));
        self.list.push(record);
    }
}
