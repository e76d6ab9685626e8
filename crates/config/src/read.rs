//! All files together.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::carried::CarriedEntry;
use crate::check::check;
use crate::document::Document;
use crate::finding::{Finding, Severity, Spot};
use crate::job::{JobEntry, Names};
use crate::notification::Notifications;
use crate::place::{PlatformEntry, RepositoryEntry, SiteEntry};
use crate::policy::PolicyEntry;
use crate::section::{Asked, Record, Section, ShownValue};
use crate::service::{CatalogEntry, LimitsEntry, ServerEntry};

/// A file, read by the caller.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its name, as findings tell it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What the first file says of further ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// A name, or a pattern.
    pub pattern: String,
    /// Where it stands.
    pub spot: Spot,
}

/// What is configured. Entries that are wrong are not in it.
#[derive(Clone, Debug)]
pub struct Config<J> {
    /// The name of this site.
    pub site: Option<String>,
    /// Sites by name.
    pub sites: BTreeMap<String, SiteEntry>,
    /// Repositories by name.
    pub repositories: BTreeMap<String, RepositoryEntry>,
    /// Platforms by name.
    pub platforms: BTreeMap<String, PlatformEntry>,
    /// Policies by name.
    pub policies: BTreeMap<String, PolicyEntry>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, JobEntry<J>>,
    /// Where people and programs reach the program that stays.
    pub server: ServerEntry,
    /// Where it remembers.
    pub catalog: CatalogEntry,
    /// What all jobs together may use.
    pub limits: LimitsEntry,
    /// Who is told what.
    pub notifications: Notifications,
    /// What came from another program and has no meaning here yet.
    pub carried_over: BTreeMap<String, CarriedEntry>,
}

/// A configuration with everything that is to be said of it.
#[derive(Clone, Debug)]
pub struct Loaded<J> {
    /// The values.
    pub config: Config<J>,
    /// Patterns of further files, as the first one names them.
    pub includes: Vec<Include>,
    /// What is wrong, in order of files and lines.
    pub findings: Vec<Finding>,
    /// Whether all files could be taken apart: else nobody knows what is missing.
    pub is_parsed: bool,
    /// Every value that counts.
    pub shown: Vec<ShownValue>,
    /// Every setting that was looked for, written or not: `*` stands for names, `[]` for places
    /// in lists.
    pub asked: BTreeMap<String, Asked>,
}

impl<J> Loaded<J> {
    /// Whether it can be used.
    pub fn is_sound(&self) -> bool {
        let errors = self.findings.iter();
        !errors.map(|it| it.severity).any(|it| it == Severity::Error)
    }

    /// What forbids to use an entry, as in `jobs.web`: its own errors, and all if a file could not
    /// be taken apart.
    pub fn errors_of(&self, path: &str) -> impl Iterator<Item = &Finding> {
        let errors = self.findings.iter();
        errors.filter(move |it| {
            let rest = it.message.strip_prefix(path);
            let is_own = rest.is_some_and(|rest| rest.starts_with(['.', ':']));
            it.severity == Severity::Error && (is_own || !self.is_parsed)
        })
    }
}

/// Reads files as one configuration; the first may name further ones in `include`.
///
/// `J` is what a job says beside the settings of [`JobEntry`].
pub fn read<J: DeserializeOwned>(files: &[SourceFile]) -> Loaded<J> {
    read_partly(files, Vec::new())
}

/// The same, where `unread` says which files could not be read: whatever is named may be there.
pub fn read_partly<J: DeserializeOwned>(files: &[SourceFile], unread: Vec<Finding>) -> Loaded<J> {
    let is_partial = !unread.is_empty();
    let mut findings = unread;
    let each = files.iter();
    let documents: Vec<_> = each
        .map(|file| Document::parse(&file.name, &file.text, &mut findings))
        .collect();
    let is_parsed = findings.is_empty();
    let nothing = Document::parse("", "", &mut Vec::new());
    let record = RefCell::new(Record {
        findings,
        is_partial,
        ..Record::default()
    });
    let names = names(&documents);
    let roots: Vec<_> = documents
        .iter()
        .map(|document| Section::root(document, &record))
        .collect();
    let mut reading = Reading::begin(&names, &roots, &Section::root(&nothing, &record));
    for (number, root) in roots.into_iter().enumerate() {
        reading.take(root, number == 0);
    }
    check(&mut reading.config, &documents, &record);
    let Record {
        mut findings,
        shown,
        asked,
        ..
    } = record.into_inner();
    findings.sort();
    findings.dedup();
    Loaded {
        config: reading.config,
        includes: reading.includes,
        findings,
        is_parsed,
        shown,
        asked,
    }
}

/// Every name that a table has, also of tables that turn out to be wrong: one mistake is told
/// once.
fn names(documents: &[Document<'_>]) -> Names {
    let at = |path: &[&str]| {
        let tables = documents.iter().filter_map(|document| {
            let root = Some(document.root.get_ref());
            path.iter()
                .fold(root, |table, key| table?.get(*key)?.get_ref().as_table())
        });
        let names = tables.flat_map(|table| table.keys());
        names.map(|name| name.get_ref().to_string()).collect()
    };
    let of = |key| at(&[key]);
    Names {
        sites: of("sites"),
        targets: at(&["notifications", "targets"]),
        escalations: at(&["notifications", "escalations"]),
        platforms: of("platforms"),
        repositories: of("repositories"),
        policies: of("policies"),
        jobs: of("jobs"),
    }
}

struct Reading<'n, J> {
    names: &'n Names,
    config: Config<J>,
    includes: Vec<Include>,
    /// Paths of tables that were read already, and where.
    taken: BTreeMap<String, Spot>,
}

/// What to do with a table that two files have.
const ONCE: &str = "leave it in one of them";
/// Tables that stand in one file only.
const SINGLE: [&str; 4] = ["server", "catalog", "limits", "notifications"];

impl<'n, J: DeserializeOwned> Reading<'n, J> {
    /// Reads the tables that stand in one file only.
    fn begin<'d>(names: &'n Names, roots: &[Section<'d>], nothing: &Section<'d>) -> Self {
        let [server, catalog, limits, notifications] = SINGLE.map(|key| {
            let mut holders = roots.iter().filter(|root| root.holds(key));
            let holder = holders.next().or(roots.first()).unwrap_or(nothing);
            for other in holders {
                let why = format!("{} has it too", holder.spot_of(key));
                other.refuse_with(key, &why, ONCE);
            }
            holder.table(key)
        });
        Self {
            names,
            config: Config {
                site: None,
                sites: BTreeMap::new(),
                repositories: BTreeMap::new(),
                platforms: BTreeMap::new(),
                policies: BTreeMap::new(),
                jobs: BTreeMap::new(),
                server: ServerEntry::read(server),
                catalog: CatalogEntry::read(catalog),
                limits: LimitsEntry::read(limits),
                notifications: Notifications::read(notifications, names),
                carried_over: BTreeMap::new(),
            },
            includes: Vec::new(),
            taken: BTreeMap::new(),
        }
    }

    fn take(&mut self, root: Section<'_>, is_first: bool) {
        if is_first {
            let includes = root.texts_and_spots("include").into_iter();
            self.includes = includes
                .map(|(pattern, spot)| Include { pattern, spot })
                .collect();
        }
        if let Some(site) = self.names.site(&root) {
            self.config.site = Some(site);
        }
        for (name, section) in self.new_tables(&root, "sites") {
            self.config.sites.insert(name, SiteEntry::read(section));
        }
        for (name, section) in self.new_tables(&root, "repositories") {
            let entry = RepositoryEntry::read(section, self.names);
            self.config.repositories.extend(entry.map(|it| (name, it)));
        }
        for (name, section) in self.new_tables(&root, "platforms") {
            let entry = PlatformEntry::read(section, self.names);
            self.config.platforms.extend(entry.map(|it| (name, it)));
        }
        for (name, section) in self.new_tables(&root, "policies") {
            let entry = PolicyEntry::read(section);
            self.config.policies.insert(name, entry);
        }
        for (name, section) in self.new_tables(&root, "jobs") {
            let entry = JobEntry::read(section, self.names);
            self.config.jobs.extend(entry.map(|it| (name, it)));
        }
        for (name, section) in self.new_tables(&root, "carried_over") {
            let entry = CarriedEntry::read(section);
            self.config.carried_over.extend(entry.map(|it| (name, it)));
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
            let Some(first) = self.taken.get(section.own_path()) else {
                let path = section.own_path().to_owned();
                self.taken.insert(path, section.spot());
                return true;
            };
            section.refuse_table(&format!("{first} has it too"), ONCE);
            false
        });
        tables
    }
}
