//! One table of the configuration: its values are taken one by one, and what nobody took is
//! unknown.

mod rest;
mod values;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;

use lifeboat_policy::Timing;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Document;
use crate::finding::{Finding, Severity, Spot, nearest};
use crate::gaps::{Gaps, gaps};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands there.
    Written(Spot),
    /// Nothing was written.
    Usual,
}

/// A value that counts, as `config show` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownValue {
    /// Its path: `policies.gold.schedule`.
    pub path: String,
    /// The value in words.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// What reading collects.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) findings: Vec<Finding>,
    pub(crate) shown: Vec<ShownValue>,
    pub(crate) asked: BTreeMap<String, Asked>,
    /// Some files are missing: a name that nobody knows may be in them.
    pub(crate) is_partial: bool,
    /// The gaps of schedules that were played already.
    pub(crate) gaps: BTreeMap<String, Option<Gaps>>,
}

/// A setting that was asked for, written or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// What may be written.
    pub kind: Kind,
    /// Whether it must be there.
    pub is_needed: bool,
}

/// What may be written for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A text.
    Text,
    /// A list of texts, or one text.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words, or one.
    Words(&'static [&'static str]),
    /// A whole number between the two.
    Number(u32, u32),
    /// A whole number or a text.
    NumberOrText,
    /// True or false.
    Flag,
    /// A span of time, as in `26h`.
    Span,
    /// A number of bytes, as in `64M`.
    Size,
    /// When something begins.
    Schedule,
    /// One table.
    Table,
    /// Tables, each with a name.
    Tables,
    /// A list of tables.
    List,
    /// Anything.
    Any,
}

/// A table and its path.
pub(crate) struct Section<'d> {
    document: &'d Document<'d>,
    record: &'d RefCell<Record>,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    path: String,
    /// The path with `*` for names and `[]` for places in lists.
    pattern: String,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Section<'d> {
    pub(crate) fn root(document: &'d Document<'d>, record: &'d RefCell<Record>) -> Self {
        Self {
            document,
            record,
            table: document.root.get_ref(),
            span: document.root.span(),
            path: String::new(),
            pattern: String::new(),
            known: RefCell::default(),
        }
    }

    /// A named table below a key, if it is there.
    pub(crate) fn table_at(&self, key: &'static str, name: &str) -> Option<Self> {
        let tables = self.table.get(key)?.get_ref().as_table()?;
        let (name, value) = tables.get_key_value(name)?;
        Some(Self {
            document: self.document,
            record: self.record,
            table: value.get_ref().as_table()?,
            span: name.span(),
            path: joined(&self.path(key), name.get_ref()),
            pattern: joined(&joined(&self.pattern, key), "*"),
            known: RefCell::default(),
        })
    }

    /// The path of a key in it.
    pub(crate) fn path(&self, key: &str) -> String {
        joined(&self.path, key)
    }

    /// The path of the table itself.
    pub(crate) fn own_path(&self) -> &str {
        &self.path
    }

    /// Where the table is.
    pub(crate) fn spot(&self) -> Spot {
        self.document.spot(self.span.clone())
    }

    /// The value of a key, which is known from now on.
    fn value(&self, key: &'static str, kind: Kind) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.borrow_mut().insert(key);
        let pattern = joined(&self.pattern, key);
        let is_needed = false;
        let mut record = self.record.borrow_mut();
        record
            .asked
            .entry(pattern)
            .or_insert(Asked { kind, is_needed });
        self.table.get(key)
    }

    fn find(&self, spot: Spot, message: String, suggestion: Option<String>) {
        self.push(Severity::Error, spot, message, suggestion);
    }

    fn push(&self, severity: Severity, spot: Spot, message: String, suggestion: Option<String>) {
        self.record.borrow_mut().findings.push(Finding {
            spot,
            severity,
            message,
            suggestion,
        });
    }

    /// Where a key is written, or its table.
    pub(crate) fn spot_of(&self, key: &str) -> Spot {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        self.document.spot(span)
    }

    /// Says that a key's value probably means something else.
    pub(crate) fn warn(&self, key: &str, why: impl Display, suggestion: &str) {
        let message = format!("{}: {why}", self.path(key));
        let suggestion = Some(suggestion.to_owned());
        self.push(Severity::Warning, self.spot_of(key), message, suggestion);
    }

    /// Says something of the table itself.
    pub(crate) fn warn_of_table(&self, why: impl Display, suggestion: &str) {
        let message = format!("{}: {why}", self.path);
        let suggestion = Some(suggestion.to_owned());
        self.push(Severity::Warning, self.spot(), message, suggestion);
    }

    /// Says that the table itself will not do.
    pub(crate) fn refuse_table(&self, why: &str, suggestion: &str) {
        let message = format!("{}: {why}", self.path);
        self.find(self.spot(), message, Some(suggestion.to_owned()));
    }

    /// Says that a key's value will not do.
    pub(crate) fn refuse(&self, key: &str, why: impl Display) {
        let message = format!("{}: {why}", self.path(key));
        self.find(self.spot_of(key), message, None);
    }

    /// The gaps of a schedule; each that several policies have is played once.
    pub(crate) fn gaps(&self, timing: &Timing) -> Option<Gaps> {
        let (schedule, zone) = (&timing.schedule, timing.zone.iana_name());
        let key = format!("{schedule} {zone:?} {:?}", timing.blackouts);
        let mut record = self.record.borrow_mut();
        *record.gaps.entry(key).or_insert_with(|| gaps(timing))
    }

    /// Whether a key is written; it is no setting by that.
    pub(crate) fn holds(&self, key: &'static str) -> bool {
        self.known.borrow_mut().insert(key);
        self.table.get(key).is_some()
    }

    /// Says that a key's value will not do, and what to write.
    pub(crate) fn refuse_with(&self, key: &str, why: &str, suggestion: &str) {
        let message = format!("{}: {why}", self.path(key));
        self.find(self.spot_of(key), message, Some(suggestion.to_owned()));
    }

    /// Says that a name that a key holds is not there; `known` are those that are.
    pub(crate) fn refuse_name<'n>(
        &self,
        key: &str,
        (what, name): (&str, &str),
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let message = format!("{}: there is no {what} \"{name}\"", self.path(key));
        let near = nearest(name, known.clone()).map(|it| format!("did you mean \"{it}\"?"));
        if near.is_none() && self.record.borrow().is_partial {
            return;
        }
        let all: Vec<_> = known.collect();
        let suggestion = near.or_else(|| match all.is_empty() {
            true => Some(format!("no {what} is configured")),
            false => Some(format!("there are: {}", all.join(", "))),
        });
        self.find(self.spot_of(key), message, suggestion);
    }

    fn wrong_kind(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let message = format!(
            "{}: it is {}, and must be {wanted}",
            self.path(key),
            kind(value.get_ref())
        );
        self.find(self.document.spot(value.span()), message, None);
    }

    fn show(&self, key: &str, value: impl Display, origin: Origin) {
        let path = self.path(key);
        let value = value.to_string();
        self.record.borrow_mut().shown.push(ShownValue {
            path,
            value,
            origin,
        });
    }

    fn written(&self, value: &Spanned<DeValue<'_>>) -> Origin {
        Origin::Written(self.document.spot(value.span()))
    }

    /// What nobody took is an error, with the key that may have been meant.
    pub(crate) fn finish(self) {
        self.refuse_unknown(&[]);
    }

    /// Refuses what is neither among those that were taken nor among `more`.
    fn refuse_unknown(&self, more: &[&'static str]) {
        let known = self.known.borrow();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if known.contains(name) || more.contains(&name) {
                continue;
            }
            let message = format!("{}: there is no such setting", self.path(name));
            let mut all: Vec<_> = known.iter().chain(more).copied().collect();
            all.sort_unstable();
            let next = meant_key(name, &all);
            self.find(self.document.spot(key.span()), message, Some(next));
        }
    }
}

/// What to write instead of a key that nobody knows.
fn meant_key(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("known are: {}", known.join(", ")),
    }
}

fn joined(path: &str, key: &str) -> String {
    match path.is_empty() {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
