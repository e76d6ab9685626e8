//! All files together.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::document::Document;
use crate::finding::{Finding, Severity};
use crate::job::{JobEntry, Names, circle};
use crate::place::{PlatformEntry, RepositoryEntry};
use crate::policy::PolicyEntry;
use crate::section::{Record, Section, ShownValue};

/// A file, read by the caller.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its name, as findings tell it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is configured. Entries that are wrong are not in it.
#[derive(Clone, Debug)]
pub struct Config<J> {
    /// The name of this site.
    pub site: Option<String>,
    /// Repositories by name.
    pub repositories: BTreeMap<String, RepositoryEntry>,
    /// Platforms by name.
    pub platforms: BTreeMap<String, PlatformEntry>,
    /// Policies by name.
    pub policies: BTreeMap<String, PolicyEntry>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, JobEntry<J>>,
}

/// A configuration with everything that is to be said of it.
#[derive(Clone, Debug)]
pub struct Loaded<J> {
    /// The values.
    pub config: Config<J>,
    /// Patterns of further files, as the first one names them.
    pub includes: Vec<String>,
    /// What is wrong, in order of files and lines.
    pub findings: Vec<Finding>,
    /// Every value that counts.
    pub shown: Vec<ShownValue>,
}

impl<J> Loaded<J> {
    /// Whether it can be used.
    pub fn is_sound(&self) -> bool {
        let errors = self.findings.iter();
        !errors.map(|it| it.severity).any(|it| it == Severity::Error)
    }
}

/// Reads files as one configuration; the first may name further ones in `include`.
///
/// `J` is what a job says beside `platform`, `repository`, `policy`, `enabled` and `after`.
pub fn read<J: DeserializeOwned>(files: &[SourceFile]) -> Loaded<J> {
    let mut findings = Vec::new();
    let each = files.iter();
    let documents: Vec<_> = each
        .map(|file| Document::parse(&file.name, &file.text, &mut findings))
        .collect();
    let record = RefCell::new(Record {
        findings,
        ..Record::default()
    });
    let names = names(&documents);
    let mut reading = Reading {
        names: &names,
        config: Config {
            site: None,
            repositories: BTreeMap::new(),
            platforms: BTreeMap::new(),
            policies: BTreeMap::new(),
            jobs: BTreeMap::new(),
        },
        includes: Vec::new(),
        taken: BTreeSet::new(),
    };
    for (number, document) in documents.iter().enumerate() {
        reading.take(Section::root(document, &record), number == 0);
    }
    reading.refuse_circles(&documents, &record);
    let Record {
        mut findings,
        shown,
    } = record.into_inner();
    findings.sort();
    findings.dedup();
    Loaded {
        config: reading.config,
        includes: reading.includes,
        findings,
        shown,
    }
}

/// Every name that a table has, also of tables that turn out to be wrong: one mistake is told
/// once.
fn names(documents: &[Document<'_>]) -> Names {
    let of = |key: &str| {
        let tables = documents.iter().filter_map(|document| {
            let value = document.root.get_ref().get(key)?;
            value.get_ref().as_table()
        });
        let names = tables.flat_map(|table| table.keys());
        names.map(|name| name.get_ref().to_string()).collect()
    };
    Names {
        platforms: of("platforms"),
        repositories: of("repositories"),
        policies: of("policies"),
        jobs: of("jobs"),
    }
}

struct Reading<'n, J> {
    names: &'n Names,
    config: Config<J>,
    includes: Vec<String>,
    /// Paths of tables that were read already.
    taken: BTreeSet<String>,
}

impl<J: DeserializeOwned> Reading<'_, J> {
    fn take(&mut self, root: Section<'_>, is_first: bool) {
        if is_first {
            self.includes = root.texts("include");
        }
        if let Some(site) = root.text("site") {
            self.config.site = Some(site);
        }
        for (name, section) in self.new_tables(&root, "repositories") {
            if let Some(entry) = RepositoryEntry::read(section) {
                self.config.repositories.insert(name, entry);
            }
        }
        for (name, section) in self.new_tables(&root, "platforms") {
            if let Some(entry) = PlatformEntry::read(section) {
                self.config.platforms.insert(name, entry);
            }
        }
        for (name, section) in self.new_tables(&root, "policies") {
            let entry = PolicyEntry::read(section);
            self.config.policies.insert(name, entry);
        }
        for (name, section) in self.new_tables(&root, "jobs") {
            if let Some(entry) = JobEntry::read(section, self.names) {
                self.config.jobs.insert(name, entry);
            }
        }
        root.finish();
    }

    /// The tables of a key, without those that another file has already.
    fn new_tables<'d>(
        &mut self,
        root: &Section<'d>,
        key: &'static str,
    ) -> Vec<(String, Section<'d>)> {
        let mut tables = root.tables(key);
        tables.retain(|(_, section)| {
            let path = section.path("");
            let is_new = self.taken.insert(path.clone());
            if !is_new {
                let message = format!("{}: another file has it too", path.trim_end_matches('.'));
                section.find(section.spot(), message, None);
            }
            is_new
        });
        tables
    }

    fn refuse_circles(&self, documents: &[Document<'_>], record: &RefCell<Record>) {
        let Some(circle) = circle(&self.config.jobs) else {
            return;
        };
        let first = circle.first().copied().unwrap_or_default();
        let found = documents.iter().find_map(|document| {
            let root = Section::root(document, record);
            let tables = root.tables("jobs");
            let found = tables.into_iter().find(|(name, _)| name == first);
            found.map(|(_, section)| section)
        });
        if let Some(section) = found {
            section.refuse(
                "after",
                format!("jobs wait in a circle: {}", circle.join(" -> ")),
            );
        }
    }
}
