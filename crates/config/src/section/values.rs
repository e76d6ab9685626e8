//! Values of a table, by what may be written there.

use std::cell::RefCell;
use std::fmt::Display;
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_model::{ByteCount, parse_span};
use lifeboat_policy::{Schedule, parse_zone};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Asked, Kind, Origin, Section, joined};
use crate::finding::{Spot, nearest};

impl<'d> Section<'d> {
    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        self.text_of(key, Kind::Text)
    }

    fn text_of(&self, key: &'static str, kind: Kind) -> Option<String> {
        self.read_as(key, kind, |text| Ok::<_, String>(text.to_owned()))
    }

    /// A text that must be there.
    pub(crate) fn needed(&self, key: &'static str, hint: &str) -> Option<String> {
        self.require(key, Kind::Text, hint);
        self.text(key)
    }

    /// Says that a key is missing, if it is.
    fn require(&self, key: &'static str, kind: Kind, hint: &str) {
        let asked = Asked {
            kind,
            is_needed: true,
        };
        let pattern = joined(&self.pattern, key);
        self.record.borrow_mut().asked.insert(pattern, asked);
        if self.value(key, kind).is_none() {
            let message = format!("{}: it is missing", self.path(key));
            self.find(self.spot(), message, Some(format!("write {hint}")));
        }
    }

    /// A text that a function reads.
    pub(crate) fn parsed_by<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.read_as(key, Kind::Text, parse)
    }

    fn read_as<T, E: Display>(
        &self,
        key: &'static str,
        kind: Kind,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(key, kind)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_kind(key, value, "a text in quotes");
            return None;
        };
        match parse(text) {
            Ok(parsed) => {
                self.show(key, format!("{text:?}"), self.written(value));
                Some(parsed)
            }
            // What was refused is not shown: it may hold a secret.
            Err(error) => {
                self.refuse(key, error);
                None
            }
        }
    }

    /// A text that a function reads; the usual one where nothing is written.
    pub(crate) fn parsed_or<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
        usual: &str,
    ) -> Option<T> {
        self.show_usual(key, format!("{usual:?}"));
        match self.table.get(key) {
            Some(_) => self.parsed_by(key, parse),
            None => {
                self.value(key, Kind::Text);
                parse(usual).ok()
            }
        }
    }

    /// When something begins.
    pub(crate) fn schedule(&self, key: &'static str) -> Option<Schedule> {
        self.read_as(key, Kind::Schedule, str::parse)
    }

    /// A span of time.
    pub(crate) fn span(&self, key: &'static str) -> Option<Duration> {
        self.read_as(key, Kind::Span, parse_span)
    }

    /// A span of time that a function reads.
    pub(crate) fn parsed_span<E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<Duration, E>,
    ) -> Option<Duration> {
        self.read_as(key, Kind::Span, parse)
    }

    /// A time zone; one that is not there gets the name that may be meant.
    pub(crate) fn zone(&self, key: &'static str) -> Option<TimeZone> {
        let text = self.value(key, Kind::Text)?.get_ref().as_str();
        match text.map(|text| (text, parse_zone(text))) {
            Some((text, Err(error))) => {
                let names = jiff::tz::db().available();
                let names: Vec<String> = names.map(|name| name.to_string()).collect();
                let near = nearest(text, names.iter().map(String::as_str));
                let next = near.map(|near| format!("did you mean \"{near}\"?"));
                let message = format!("{}: {error}", self.path(key));
                self.find(self.spot_of(key), message, next);
                None
            }
            _ => self.read_as(key, Kind::Text, parse_zone),
        }
    }

    /// A span of time; what is usual, written the same way, where nothing is written.
    pub(crate) fn span_or(&self, key: &'static str, usual: &str) -> Duration {
        self.show_usual(key, format!("{usual:?}"));
        let usual = parse_span(usual).unwrap_or_default();
        self.span(key).unwrap_or(usual)
    }

    /// A number of bytes.
    pub(crate) fn size(&self, key: &'static str) -> Option<u64> {
        let size = self.read_as(key, Kind::Size, str::parse::<ByteCount>)?;
        Some(size.0)
    }

    /// One of some words, as the value that belongs to it.
    pub(crate) fn word<T: Copy>(
        &self,
        key: &'static str,
        words: &'static [&'static str],
        values: &[T],
    ) -> Option<T> {
        let word = self.text_of(key, Kind::Word(words))?;
        self.meant(key, &word, words, values)
    }

    /// The same for the first word where nothing is written.
    pub(crate) fn word_or_first<T: Copy>(
        &self,
        key: &'static str,
        words: &'static [&'static str],
        values: &[T],
    ) -> Option<T> {
        self.show_usual(key, format!("{:?}", words.first()?));
        let is_written = self.table.get(key).is_some();
        let value = self.word(key, words, values);
        if is_written {
            value
        } else {
            values.first().copied()
        }
    }

    /// One of some words that must be there.
    pub(crate) fn word_needed<T: Copy>(
        &self,
        key: &'static str,
        words: &'static [&'static str],
        values: &[T],
    ) -> Option<T> {
        let hint = format!("{key} = one of: {}", words.join(", "));
        self.require(key, Kind::Word(words), &hint);
        self.word(key, words, values)
    }

    /// A list of some words.
    pub(crate) fn words<T: Copy>(
        &self,
        key: &'static str,
        words: &'static [&'static str],
        values: &[T],
    ) -> Vec<T> {
        let written = self.texts_of(key, Kind::Words(words)).into_iter();
        written
            .filter_map(|word| self.meant(key, &word, words, values))
            .collect()
    }

    fn meant<T: Copy>(&self, key: &str, word: &str, words: &[&str], values: &[T]) -> Option<T> {
        let mut pairs = words.iter().zip(values);
        let found = pairs.find(|(known, _)| **known == word);
        if found.is_none() {
            let near = nearest(word, words.iter().copied());
            let suggestion = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write one of: {}", words.join(", ")),
            };
            self.refuse_with(key, &format!("there is no \"{word}\" here"), &suggestion);
        }
        found.map(|(_, value)| *value)
    }

    /// A whole number in bounds.
    pub(crate) fn number(&self, key: &'static str, (low, high): (u32, u32)) -> Option<u32> {
        let value = self.value(key, Kind::Number(low, high))?;
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

    /// A whole number in bounds; what is usual where nothing is written.
    pub(crate) fn number_or(&self, key: &'static str, bounds: (u32, u32), usual: u32) -> u32 {
        self.show_usual(key, usual);
        self.number(key, bounds).unwrap_or(usual)
    }

    /// A whole number or a text, as a text.
    pub(crate) fn number_or_text(&self, key: &'static str) -> Option<String> {
        let value = self.value(key, Kind::NumberOrText)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            return self.text_of(key, Kind::NumberOrText);
        };
        self.show(key, digits.as_str(), self.written(value));
        Some(digits.as_str().to_owned())
    }

    /// True or false; what is usual where nothing is written.
    pub(crate) fn flag(&self, key: &'static str, usual: bool) -> bool {
        let Some(value) = self.value(key, Kind::Flag) else {
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
        self.texts_of(key, Kind::Texts)
    }

    /// The same with the place of each.
    pub(crate) fn texts_and_spots(&self, key: &'static str) -> Vec<(String, Spot)> {
        let texts = self.texts(key).into_iter();
        let value = self.table.get(key);
        let list = value.and_then(|value| value.get_ref().as_array());
        let each = texts.enumerate().map(|(number, text)| {
            let one = list.and_then(|list| list.get(number)).or(value);
            let span = one.map_or(self.span.clone(), Spanned::span);
            (text, self.document.spot(span))
        });
        each.collect()
    }

    fn texts_of(&self, key: &'static str, kind: Kind) -> Vec<String> {
        let Some(value) = self.value(key, kind) else {
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

    /// Anything, as TOML writes it.
    pub(crate) fn anything(&self, key: &'static str) -> Option<String> {
        let value = self.value(key, Kind::Any)?;
        let written = self.document.text.get(value.span());
        let text = written.unwrap_or_default().trim().to_owned();
        self.show(key, &text, self.written(value));
        Some(text)
    }

    /// The tables of a table, each with its name.
    pub(crate) fn tables(&self, key: &'static str) -> Vec<(String, Section<'d>)> {
        let Some(value) = self.value(key, Kind::Tables) else {
            return Vec::new();
        };
        let form = self.path(key);
        let DeValue::Table(tables) = value.get_ref() else {
            self.wrong_kind(key, value, &format!("tables, as in [{form}.NAME]"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in tables {
            let path = joined(&form, name.get_ref());
            let DeValue::Table(table) = value.get_ref() else {
                let message = format!("{path}: it must be a table, as in [{form}.NAME]");
                self.find(self.document.spot(name.span()), message, None);
                continue;
            };
            let pattern = format!("{}.*", joined(&self.pattern, key));
            let section = self.below(table, name, (path, pattern));
            found.push((name.get_ref().to_string(), section));
        }
        found
    }

    /// One table of a table; an empty one where nothing is written.
    pub(crate) fn table(&self, key: &'static str) -> Section<'d> {
        let value = self.value(key, Kind::Table);
        let paths = (self.path(key), joined(&self.pattern, key));
        let written = self.table.get_key_value(key);
        if let Some((name, value)) = written
            && let DeValue::Table(table) = value.get_ref()
        {
            return self.below(table, name, paths);
        }
        if let Some(value) = value {
            self.wrong_kind(key, value, &format!("a table, as in [{}]", paths.0));
        }
        let nowhere = Spanned::new(self.span.clone(), "");
        self.below(&self.document.empty, &nowhere, paths)
    }

    /// A list of tables.
    pub(crate) fn list(&self, key: &'static str) -> Vec<Section<'d>> {
        let Some(value) = self.value(key, Kind::List) else {
            return Vec::new();
        };
        let path = self.path(key);
        let wanted = format!("tables, as in [[{path}]]");
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_kind(key, value, &wanted);
            return Vec::new();
        };
        let mut found = Vec::new();
        for (at, value) in list.iter().enumerate() {
            let DeValue::Table(table) = value.get_ref() else {
                self.wrong_kind(key, value, &wanted);
                continue;
            };
            let pattern = format!("{}[]", joined(&self.pattern, key));
            let place = Spanned::new(value.span(), "");
            let path = format!("{path}[{}]", at + 1);
            found.push(self.below(table, &place, (path, pattern)));
        }
        found
    }

    fn below<T>(
        &self,
        table: &'d DeTable<'d>,
        at: &Spanned<T>,
        (path, pattern): (String, String),
    ) -> Section<'d> {
        Section {
            document: self.document,
            record: self.record,
            table,
            span: at.span(),
            path,
            pattern,
            known: RefCell::default(),
        }
    }

    /// Shows what is usual, if nothing is written.
    fn show_usual(&self, key: &str, usual: impl Display) {
        if self.table.get(key).is_none() {
            self.show(key, usual, Origin::Usual);
        }
    }
}
