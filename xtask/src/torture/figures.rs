//! What the tests have counted.
//!
//! A test leaves a line with section, name and value; here the day and the command are added, so
//! that figures of several runs can stand in one table.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process;

/// One counted figure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Figure {
    /// The group of rows.
    pub(crate) section: String,
    /// The row.
    pub(crate) what: String,
    /// What was counted.
    pub(crate) value: String,
    /// The day, as in 2026-01-31.
    #[serde(default)]
    pub(crate) date: String,
    /// What a person types to count it again.
    #[serde(default)]
    pub(crate) command: String,
}

/// Reads what a module has left, if anything, and adds today and `command`.
pub(crate) fn collect(path: &Path, command: &str) -> Result<Vec<Figure>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut figures = read(path)?;
    let today = today()?;
    for figure in &mut figures {
        today.clone_into(&mut figure.date);
        command.clone_into(&mut figure.command);
    }
    figures.sort_by(|a, b| (&a.section, &a.what).cmp(&(&b.section, &b.what)));
    Ok(figures)
}

/// The day, as in 2026-01-31.
pub(crate) fn today() -> Result<String> {
    let today = process::output(Command::new("date").args(["-u", "+%F"]))?;
    Ok(today.trim().to_owned())
}

/// Keeps figures for later tables.
pub(crate) fn save(path: &Path, figures: &[Figure]) -> Result<()> {
    let lines = figures.iter().map(serde_json::to_string);
    let text = lines.collect::<Result<Vec<_>, _>>()?.join("\n");
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// All kept figures of a folder, in the order of their files; none where there is no folder.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Figure>> {
    let mut paths = Vec::new();
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let kept = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in kept {
        let path = entry?.path();
        let is_kept = path.extension().is_some_and(|found| found == "jsonl");
        if is_kept && path.file_stem().is_some_and(|name| name != "figures") {
            paths.push(path);
        }
    }
    paths.sort();
    let figures = paths.iter().map(|path| read(path));
    Ok(figures.collect::<Result<Vec<_>>>()?.concat())
}

fn read(path: &Path) -> Result<Vec<Figure>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading {line}")))
        .collect()
}
