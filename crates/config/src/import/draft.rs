//! The text that is made, table by table, with what is to be said of it.

use std::collections::BTreeSet;
use std::fmt::Write;

use lifeboat_model::Secret;

use super::{Imported, ImportedSecret};
use crate::finding::{Finding, Severity, Spot};
use crate::read::SourceFile;

/// Limit: secrets of one file.
const SECRETS_MAX: usize = 1000;

/// What is being made.
pub(super) struct Draft<'s> {
    pub(super) source: &'s SourceFile,
    folder: String,
    tables: Vec<Table>,
    secrets: Vec<ImportedSecret>,
    told: Vec<Told>,
    /// Paths of tables and names of files, so that none comes twice.
    taken: BTreeSet<String>,
}

/// A finding whose place is a byte.
struct Told {
    at: usize,
    severity: Severity,
    message: String,
    suggestion: Option<String>,
}

/// A table of the text.
pub(super) struct Table {
    path: String,
    lines: Vec<(String, String)>,
}

impl Table {
    /// An empty table; its path is made of words that are quoted where they must be.
    pub(super) fn new(path: &[&str]) -> Self {
        let path: Vec<_> = path.iter().map(|word| key(word)).collect();
        Self {
            path: path.join("."),
            lines: Vec::new(),
        }
    }

    /// Adds a setting; the value is TOML.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.lines.push((key(name), value.into()));
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.set(name, quoted(text));
    }

    /// What it says, without its name.
    pub(super) fn content(&self) -> &[(String, String)] {
        &self.lines
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl<'s> Draft<'s> {
    pub(super) fn new(source: &'s SourceFile, folder: &str) -> Self {
        Self {
            source,
            folder: folder.trim_end_matches('/').to_owned(),
            tables: Vec::new(),
            secrets: Vec::new(),
            told: Vec::new(),
            taken: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Says that something cannot be read; nothing is made then.
    pub(super) fn refuse(&mut self, at: usize, message: &str, suggestion: Option<&str>) {
        self.find(at, Severity::Error, message, suggestion);
    }

    /// Says what people should look at.
    pub(super) fn note(&mut self, at: usize, message: &str, suggestion: Option<&str>) {
        self.find(at, Severity::Warning, message, suggestion);
    }

    fn find(&mut self, at: usize, severity: Severity, message: &str, suggestion: Option<&str>) {
        self.told.push(Told {
            at,
            severity,
            message: message.to_owned(),
            suggestion: suggestion.map(str::to_owned),
        });
    }

    /// Puts a secret aside; gives the path of its file.
    pub(super) fn secret(&mut self, name: &str, secret: &str) -> String {
        if self.secrets.len() == SECRETS_MAX && self.taken.insert("too many".to_owned()) {
            let message = format!("it holds more than {SECRETS_MAX} secrets");
            self.refuse(0, &message, None);
        }
        if self.secrets.len() >= SECRETS_MAX {
            return String::new();
        }
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        };
        let name: String = name.chars().take(80).map(safe).collect();
        let mut file = name.clone();
        let mut number = 2;
        while !self.taken.insert(format!("file {file}")) {
            file = format!("{name}-{number}");
            number += 1;
        }
        let path = self.file(&file);
        let secret = Secret::new(secret.as_bytes().to_vec());
        self.secrets.push(ImportedSecret { file, secret });
        path
    }

    /// The path of a file in the folder of secrets.
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Keeps settings that have no meaning here: as a table with a mark.
    pub(super) fn carry(&mut self, name: &str, from: &str, note: &str, settings: Option<String>) {
        let mut table = Table::new(&["carried_over", name]);
        let mut number = 2;
        while !self.taken.insert(table.path.clone()) {
            table = Table::new(&["carried_over", &format!("{name}_{number}")]);
            number += 1;
        }
        table.text("from", &format!("{}: {from}", short(&self.source.name)));
        table.text("note", note);
        if let Some(settings) = settings {
            table.set("settings", settings);
        }
        self.add(table);
    }

    /// The mark of an entry that is kept and not carried out.
    pub(super) fn mark(&self, note: &str) -> String {
        format!("{}: {note}", short(&self.source.name))
    }

    pub(super) fn finish(mut self) -> Result<Imported, Vec<Finding>> {
        let mut findings = placed(self.source, std::mem::take(&mut self.told));
        let is_error = |it: &Finding| it.severity == Severity::Error;
        if findings.iter().any(is_error) {
            findings.retain(is_error);
            return Err(findings);
        }
        let mut text = format!("# Made from {}.\n", short(&self.source.name));
        for table in &self.tables {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "\n[{}]", table.path);
            for (key, value) in &table.lines {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        Ok(Imported {
            text,
            secrets: self.secrets,
            notes: findings,
        })
    }
}

/// A file's name without its folder, on one line.
fn short(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.replace(char::is_control, "?")
}

/// Findings with lines and columns, in order: one walk over the text for all of them.
fn placed(source: &SourceFile, mut told: Vec<Told>) -> Vec<Finding> {
    told.sort_by_key(|it| it.at);
    let (mut line, mut column) = (1, 1);
    let mut rest = source.text.char_indices().peekable();
    let mut findings = Vec::new();
    for told in told {
        while let Some((_, c)) = rest.next_if(|(at, _)| *at < told.at) {
            (line, column) = match c {
                '\n' => (line + 1, 1),
                _ => (line, column + 1),
            };
        }
        findings.push(Finding {
            spot: Spot {
                file: source.name.clone(),
                line,
                column,
            },
            severity: told.severity,
            message: told.message,
            suggestion: told.suggestion,
        });
    }
    findings.sort();
    findings
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of texts as TOML writes it.
pub(super) fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|it| quoted(it)).collect();
    format!("[{}]", texts.join(", "))
}

/// Settings as a table on one line.
pub(super) fn inline(settings: &[(String, String)]) -> String {
    let lines: Vec<_> = settings.iter().map(|(k, v)| format!("{k} = {v}")).collect();
    format!("{{ {} }}", lines.join(", "))
}

/// A key as TOML writes it.
pub(super) fn key(word: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !word.is_empty() && word.chars().all(is_bare) {
        true => word.to_owned(),
        false => quoted(word),
    }
}
