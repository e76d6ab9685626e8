//! One table of the configuration: its values are taken one by one, and what nobody took is
//! unknown.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Document;
use crate::finding::{Finding, Severity, Spot, nearest};

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
}

/// A table and its path.
pub(crate) struct Section<'d> {
    document: &'d Document<'d>,
    record: &'d RefCell<Record>,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    path: String,
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
            known: RefCell::default(),
        }
    }

    /// The path of a key in it.
    pub(crate) fn path(&self, key: &str) -> String {
        match self.path.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.path),
        }
    }

    /// Where the table is.
    pub(crate) fn spot(&self) -> Spot {
        self.document.spot(self.span.clone())
    }

    fn value(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    pub(crate) fn find(&self, spot: Spot, message: String, suggestion: Option<String>) {
        self.record.borrow_mut().findings.push(Finding {
            spot,
            severity: Severity::Error,
            message,
            suggestion,
        });
    }

    /// Says that a key's value will not do.
    pub(crate) fn refuse(&self, key: &str, why: impl Display) {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        let message = format!("{}: {why}", self.path(key));
        self.find(self.document.spot(span), message, None);
    }

    /// Whether a key is written; it is known from now on.
    pub(crate) fn holds(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Says that a key's value will not do, and what to write.
    pub(crate) fn refuse_with(&self, key: &str, why: &str, suggestion: &str) {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        let message = format!("{}: {why}", self.path(key));
        self.find(
            self.document.spot(span),
            message,
            Some(suggestion.to_owned()),
        );
    }

    /// Says that a name that a key holds is not there; `known` are those that are.
    pub(crate) fn refuse_name<'n>(
        &self,
        key: &str,
        (what, name): (&str, &str),
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        let message = format!("{}: there is no {what} \"{name}\"", self.path(key));
        let near = nearest(name, known.clone()).map(|it| format!("did you mean \"{it}\"?"));
        let all: Vec<_> = known.collect();
        let suggestion = near.or_else(|| match all.is_empty() {
            true => Some(format!("no {what} is configured")),
            false => Some(format!("there are: {}", all.join(", "))),
        });
        self.find(self.document.spot(span), message, suggestion);
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

    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_kind(key, value, "a text in quotes");
            return None;
        };
        self.show(key, format!("{text:?}"), self.written(value));
        Some(text.to_owned())
    }

    /// A text that must be there.
    pub(crate) fn needed(&self, key: &'static str, hint: &str) -> Option<String> {
        if self.table.get(key).is_none() {
            self.known.borrow_mut().insert(key);
            let message = format!("{}: it is missing", self.path(key));
            self.find(self.spot(), message, Some(format!("write {hint}")));
        }
        self.text(key)
    }

    /// A text that says something of a type.
    pub(crate) fn parsed<T>(&self, key: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(key, error);
                None
            }
        }
    }

    /// The same through a function.
    pub(crate) fn parsed_by<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(&text).map_err(|error| self.refuse(key, error)).ok()
    }

    /// A whole number in bounds.
    pub(crate) fn number(&self, key: &'static str, (low, high): (u32, u32)) -> Option<u32> {
        let value = self.value(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_kind(key, value, "a whole number");
            return None;
        };
        let number = u32::from_str_radix(digits.as_str(), digits.radix()).ok();
        let number = number.filter(|number| (low..=high).contains(number));
        match number {
            Some(number) => self.show(key, number, self.written(value)),
            None => self.refuse(key, format!("write {low} to {high}")),
        }
        number
    }

    /// A whole number or a text, as a text.
    pub(crate) fn number_or_text(&self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            return self.text(key);
        };
        self.show(key, digits.as_str(), self.written(value));
        Some(digits.as_str().to_owned())
    }

    /// True or false; what is usual where nothing is written.
    pub(crate) fn flag(&self, key: &'static str, usual: bool) -> bool {
        let Some(value) = self.value(key) else {
            self.show(key, usual, Origin::Usual);
            return usual;
        };
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.wrong_kind(key, value, "true or false");
            return usual;
        };
        self.show(key, flag, self.written(value));
        *flag
    }

    /// A list of texts, or one text.
    pub(crate) fn texts(&self, key: &'static str) -> Vec<String> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let texts: Option<Vec<String>> = match value.get_ref() {
            DeValue::String(text) => Some(vec![text.to_string()]),
            DeValue::Array(list) => list
                .iter()
                .map(|it| it.get_ref().as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        match &texts {
            Some(texts) => self.show(key, format!("{texts:?}"), self.written(value)),
            None => self.wrong_kind(key, value, "a list of texts in quotes"),
        }
        texts.unwrap_or_default()
    }

    /// The tables of a table, each with its name.
    pub(crate) fn tables(&self, key: &'static str) -> Vec<(String, Section<'d>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Table(tables) = value.get_ref() else {
            self.wrong_kind(key, value, &format!("tables, as in [{key}.NAME]"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in tables {
            let path = format!("{}.{}", self.path(key), name.get_ref());
            let DeValue::Table(table) = value.get_ref() else {
                let message = format!("{path}: it must be a table, as in [{key}.NAME]");
                self.find(self.document.spot(name.span()), message, None);
                continue;
            };
            let section = Section {
                document: self.document,
                record: self.record,
                table,
                span: name.span(),
                path,
                known: RefCell::default(),
            };
            found.push((name.get_ref().to_string(), section));
        }
        found
    }

    /// What nobody took is an error, with the key that may have been meant.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if known.contains(name) {
                continue;
            }
            let message = format!("{}: there is no such setting", self.path(name));
            let near = nearest(name, known.iter().copied());
            let suggestion = near.map(|it| format!("did you mean '{it}'?"));
            let suggestion = suggestion.or_else(|| {
                let all: Vec<_> = known.iter().copied().collect();
                Some(format!("known are: {}", all.join(", ")))
            });
            self.find(self.document.spot(key.span()), message, suggestion);
        }
    }

    /// Everything that nobody took, as a value of another type.
    pub(crate) fn rest<T: DeserializeOwned>(self) -> Option<T> {
        let mut table = self.table.clone();
        for key in self.known.borrow().iter() {
            table.remove(*key);
        }
        let rest = Spanned::new(self.span.clone(), table);
        match T::deserialize(toml::Deserializer::from(rest)) {
            Ok(value) => Some(value),
            Err(error) => {
                let spot = self
                    .document
                    .spot(error.span().unwrap_or(self.span.clone()));
                let message = format!("{}: {}", self.path, error.message());
                self.find(spot, message, None);
                None
            }
        }
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
