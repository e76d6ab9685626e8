//! The text that is made, table by table, with what is to be said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use lifeboat_model::Secret;

use super::{Imported, ImportedSecret};
use crate::finding::{Finding, Severity, Spot};
use crate::read::SourceFile;

/// Limit: secrets of one file.
const SECRETS_MAX: usize = 1000;

/// Tables in the order of what needs what.
const ORDER: [&str; 5] = [
    "platforms.",
    "repositories.",
    "policies.",
    "jobs.",
    "carried_over.",
];

/// What is being made.
pub(super) struct Draft<'s> {
    pub(super) source: &'s SourceFile,
    folder: String,
    tables: Vec<Table>,
    secrets: Vec<ImportedSecret>,
    told: Vec<Told>,
    files: Names,
    carried: Names,
    /// What is to be said of several entries at once: where the first is, and their names.
    shared: BTreeMap<String, (usize, Vec<String>)>,
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
    lines: Lines,
}

/// Settings in their order, each with a name of its own.
#[derive(Default)]
struct Lines {
    lines: Vec<(String, String)>,
    names: Names,
}

impl Lines {
    fn add(&mut self, name: &str, value: String) {
        self.lines.push((self.names.unique(name, '_'), value));
    }
}

/// Names that are taken.
#[derive(Default)]
pub(super) struct Names {
    taken: BTreeSet<String>,
    /// The last number that a name got.
    numbers: BTreeMap<String, usize>,
}

impl Names {
    /// The name, with a number if it is taken.
    pub(super) fn unique(&mut self, name: &str, before_number: char) -> String {
        let mut unique = name.to_owned();
        while !self.taken.insert(unique.clone()) {
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            unique = format!("{name}{before_number}{number}");
        }
        unique
    }
}

impl Table {
    /// An empty table; its path is made of words that are quoted where they must be.
    pub(super) fn new(path: &[&str]) -> Self {
        let path: Vec<_> = path.iter().map(|word| key(word)).collect();
        Self {
            path: path.join("."),
            lines: Lines::default(),
        }
    }

    /// Adds a setting; the value is TOML. A name that is there already gets a number.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.lines.add(name, value.into());
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.set(name, quoted(text));
    }

    /// What it says, as a table on one line.
    pub(super) fn inline(self) -> String {
        inline(self.lines.lines)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.lines.is_empty()
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
            files: Names::default(),
            carried: Names::default(),
            shared: BTreeMap::new(),
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

    /// Says the same of several entries, once.
    pub(super) fn note_of(&mut self, name: &str, at: usize, message: &str) {
        let shared = self.shared.entry(message.to_owned());
        let (_, names) = shared.or_insert((at, Vec::new()));
        names.push(name.to_owned());
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
        if self.secrets.len() > SECRETS_MAX {
            return String::new();
        }
        if self.secrets.len() == SECRETS_MAX {
            let message = format!("it holds more than {SECRETS_MAX} secrets");
            self.refuse(0, &message, Some("split it into several files"));
        }
        let file = self.files.unique(&file_name(name), '-');
        let path = self.file(&file);
        let secret = Secret::new(secret.as_bytes().to_vec());
        self.secrets.push(ImportedSecret { file, secret });
        path
    }

    /// The path of a file that people fill; no secret of the settings gets its name.
    pub(super) fn empty_file(&mut self, name: &str) -> String {
        let name = file_name(name);
        self.files.taken.insert(name.clone());
        self.file(&name)
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Keeps settings that have no meaning here: as a table with a mark.
    pub(super) fn carry(&mut self, name: &str, from: &str, note: &str, settings: Option<String>) {
        let name = self.carried.unique(name, '_');
        let mut table = Table::new(&["carried_over", &name]);
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
        for (message, (at, names)) in std::mem::take(&mut self.shared) {
            self.note(at, &format!("{}: {message}", few(&names)), None);
        }
        let mut findings = placed(self.source, std::mem::take(&mut self.told));
        let is_error = |it: &Finding| it.severity == Severity::Error;
        if findings.iter().any(is_error) {
            findings.retain(is_error);
            return Err(findings);
        }
        let mut text = format!("# Made from {}.\n", short(&self.source.name));
        let rank = |table: &Table| ORDER.iter().position(|it| table.path.starts_with(it));
        self.tables.sort_by_key(rank);
        for table in &self.tables {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "\n[{}]", table.path);
            for (name, value) in &table.lines.lines {
                let _ = writeln!(text, "{} = {value}", key(name));
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

/// Settings as a table on one line; names that come twice get numbers.
pub(super) fn inline(settings: impl IntoIterator<Item = (String, String)>) -> String {
    let mut lines = Lines::default();
    for (name, value) in settings {
        lines.add(&name, value);
    }
    let lines: Vec<_> = lines
        .lines
        .iter()
        .map(|(name, value)| format!("{} = {value}", key(name)))
        .collect();
    match lines.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{ {} }}", lines.join(", ")),
    }
}

/// Names of entries, the first of many.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name as a file may have it: it leads nowhere else and is not hidden.
fn file_name(name: &str) -> String {
    let safe = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
        _ => '_',
    };
    let name: String = name.chars().take(80).map(safe).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None if name.is_empty() => "secret".to_owned(),
        None => name,
    }
}

/// A key as TOML writes it.
pub(super) fn key(word: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !word.is_empty() && word.chars().all(is_bare) {
        true => word.to_owned(),
        false => quoted(word),
    }
}
