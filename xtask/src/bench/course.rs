//! One tool on its way through one suite: runs its steps, and keeps those that were asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::measure::{self, Call, Measured, measure, words_of};
use super::place::Place;
use super::record::{Record, Records};
use super::tools::{Backup, Snapshot, Tool};
use crate::narrator::Narrator;
use crate::process;

/// Counts by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A tool, its place, what is wanted of it, and what it has done.
pub(crate) struct Course<'a> {
    pub(crate) tool: &'a dyn Tool,
    pub(crate) version: String,
    pub(crate) round: u32,
    /// Names of rows without a figure.
    pub(crate) wanted: Vec<&'static str>,
    pub(crate) place: Place,
    pub(crate) logs: PathBuf,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) records: &'a mut Records,
    pub(crate) narrator: &'a mut Narrator,
}

impl Course<'_> {
    /// Whether any of these rows is wanted.
    pub(crate) fn wants(&self, rows: &[&str]) -> bool {
        self.wanted.iter().any(|name| rows.contains(name))
    }

    /// Makes the repository; not measured.
    pub(crate) fn init(&mut self) -> Result<()> {
        let calls = self.tool.init(&self.place);
        self.run(calls, "init").map(drop)
    }

    /// Backs up the source, in a row or as a step towards others.
    pub(crate) fn backup(&mut self, row: &str, backup: Backup<'_>) -> Result<()> {
        self.backup_and_count(row, backup, Counts::new())
    }

    /// The same, for a row that has more counts. Nothing is done if the tool cannot.
    pub(crate) fn backup_and_count(
        &mut self,
        row: &str,
        backup: Backup<'_>,
        mut counts: Counts,
    ) -> Result<()> {
        let Some(calls) = self.tool.backup(&self.place, backup) else {
            return Ok(());
        };
        measure::warm(&self.place.source())?;
        let repository = self.place.repository();
        let stored = measure::stored_bytes(&repository)?;
        let before = snapshot_files(&repository)?;
        let shown = self.shown(&calls);
        let measured = self.run(calls, backup.label)?;
        let now = measure::stored_bytes(&repository)?;
        counts.insert("stored".to_owned(), now);
        counts.insert("added".to_owned(), now.saturating_sub(stored));
        let words = fs::read_to_string(words_of(&self.log(backup.label))).unwrap_or_default();
        counts.extend(
            self.tool
                .bytes_read(&words)
                .map(|it| ("read".to_owned(), it)),
        );
        let mut after = snapshot_files(&repository)?;
        after.retain(|name| !before.contains(name));
        self.snapshots.push(Snapshot {
            label: backup.label.to_owned(),
            id: after.pop(),
        });
        self.keep(row, shown, measured, counts)
    }

    /// Runs commands and gives what they took, with how they are typed.
    pub(crate) fn step(&mut self, calls: Vec<Call>, name: &str) -> Result<(String, Measured)> {
        let shown = self.shown(&calls);
        Ok((shown, self.run(calls, name)?))
    }

    /// The snapshot that was made with this label.
    pub(crate) fn snapshot(&self, label: &str) -> Result<Snapshot> {
        let found = self.snapshots.iter().find(|it| it.label == label);
        found
            .cloned()
            .with_context(|| format!("{} made no snapshot {label}", self.tool.name()))
    }

    /// Keeps a figure, if its row is wanted.
    pub(crate) fn keep(
        &mut self,
        row: &str,
        command: String,
        measured: Measured,
        counts: Counts,
    ) -> Result<()> {
        if !self.wants(&[row]) {
            return Ok(());
        }
        let text = format!("row {row}: {} {}", self.tool.name(), told(&counts));
        self.narrator.done(text.trim_end(), measured.wall);
        self.records.add(Record {
            command,
            wall: measured.wall.as_secs_f64(),
            durable: measured.durable.as_secs_f64(),
            cpu: measured.cpu.as_secs_f64(),
            resident: measured.resident_bytes,
            counts,
            ..self.blank(row)
        })
    }

    /// Notes that wanted rows without a figure have none because of this.
    pub(crate) fn fail(&mut self, error: &anyhow::Error) -> Result<()> {
        let name = self.tool.name();
        self.narrator.note(&format!("{name} failed: {error:#}"));
        let words = self.without_places(&format!("{error:#}"));
        for row in self.open_rows() {
            let failed = Some(words.clone());
            let blank = self.blank(row);
            self.records.add(Record { failed, ..blank })?;
        }
        Ok(())
    }

    /// Notes that wanted rows without a figure are nothing that the tool could do.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for row in self.open_rows() {
            let is_impossible = true;
            let blank = self.blank(row);
            self.records.add(Record {
                is_impossible,
                ..blank
            })?;
        }
        Ok(())
    }

    fn open_rows(&self) -> Vec<&'static str> {
        let (round, tool) = (self.round, self.tool.name());
        let mut rows = self.wanted.clone();
        rows.retain(|row| !self.records.has(round, row, tool));
        rows
    }

    fn blank(&self, row: &str) -> Record {
        Record {
            round: self.round,
            row: row.to_owned(),
            tool: self.tool.name().to_owned(),
            version: self.version.clone(),
            ..Record::default()
        }
    }

    fn run(&self, calls: Vec<Call>, name: &str) -> Result<Measured> {
        measure(calls, self.place.folder(), &self.log(name))
    }

    /// The folder with everything that outlives a place.
    pub(crate) fn work(&self) -> Result<&Path> {
        self.logs.parent().context("the logs lie in no folder")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        let tool = self.tool.name();
        self.logs.join(format!("{}-{tool}-{name}.log", self.round))
    }

    /// One command as typed in the place's folder.
    pub(crate) fn shown_command(&self, command: &Command) -> String {
        self.without_places(&with_short_program(&process::shown(command)))
    }

    /// Commands as typed in the place's folder.
    pub(crate) fn shown(&self, calls: &[Call]) -> String {
        let all: Vec<_> = calls
            .iter()
            .map(|call| with_short_program(&call.shown()))
            .collect();
        let words = self.without_places(&all.join(" ; "));
        let words: Vec<_> = words.split(' ').map(short_id).collect();
        words.join(" ")
    }

    /// A text without what is only true on this machine.
    fn without_places(&self, text: &str) -> String {
        let work = self.logs.parent().unwrap_or(&self.logs);
        [self.place.folder(), work]
            .iter()
            .fold(text.to_owned(), |text, folder| {
                text.replace(&format!("{}/", folder.display()), "")
            })
    }
}

/// The first digits of the name of a snapshot, as a person would type it.
fn short_id(word: &str) -> &str {
    let is_id = word.len() == 64 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_id { &word[..8] } else { word }
}

fn with_short_program(words: &str) -> String {
    let (program, rest) = words.split_once(' ').unwrap_or((words, ""));
    let name = program.rsplit('/').next().unwrap_or(program);
    format!("{name} {rest}").trim_end().to_owned()
}

fn told(counts: &Counts) -> String {
    let told = |count: &u64| match count >> 20 {
        0 => count.to_string(),
        mebibytes => format!("{mebibytes} MiB"),
    };
    let all = counts.iter();
    let words: Vec<_> = all
        .map(|(name, it)| format!("{name} {}", told(it)))
        .collect();
    words.join(", ")
}

/// Names of snapshots in repositories that keep them as files.
fn snapshot_files(repository: &Path) -> Result<Vec<String>> {
    let folder = repository.join("snapshots");
    let files = measure::files(&folder)?;
    let names = files.iter().filter_map(|(path, _)| path.file_name());
    Ok(names
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

/// The one file that a restore brought, wherever the tool puts it.
pub(crate) fn restored(target: &Path) -> Result<PathBuf> {
    match measure::files(target)?.as_slice() {
        [(path, _)] => Ok(path.clone()),
        other => bail!("{} files in {}, not one", other.len(), target.display()),
    }
}
