//! What is left of a table, as a value of a type that the caller of this crate brings.
//!
//! A table that is refused as a whole is read again key by key: each mistake is told at its place.

use std::cell::Cell;
use std::ops::Range;

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Error};

use super::{Section, joined, meant_key};
use crate::finding::nearest;

/// Names of the fields of a type.
type Fields = &'static [&'static str];

impl<'d> Section<'d> {
    /// Everything that nobody took, as a value of another type; every key of it may be missing.
    pub(crate) fn rest<T: DeserializeOwned>(self) -> Option<T> {
        let fields = fields_of::<T>();
        if let Some(fields) = fields {
            self.refuse_unknown(fields);
        }
        let mut table = self.table.clone();
        for key in self.known.borrow().iter() {
            table.remove(*key);
        }
        let all = table.len();
        let is_field = |key: &str| fields.is_none_or(|fields| fields.contains(&key));
        let entries = table.into_iter();
        let table: DeTable<'_> = entries.filter(|(key, _)| is_field(key.get_ref())).collect();
        let is_whole = table.len() == all;
        match read_as::<T>(table.clone(), self.span.clone()) {
            Ok(value) => is_whole.then_some(value),
            Err(error) => {
                self.refuse_each::<T>(&table, &error);
                None
            }
        }
    }

    /// Tells what is wrong with every key; `error` only if none is wrong by itself.
    fn refuse_each<T: DeserializeOwned>(&self, table: &DeTable<'d>, error: &Error) {
        let mut is_told = false;
        for (key, value) in table {
            for value in singles(value) {
                let span = value.span();
                let one = [(key.clone(), value)].into_iter().collect();
                if let Err(error) = read_as::<T>(one, span.clone()) {
                    self.refuse_value(key.get_ref(), &error, span);
                    is_told = true;
                }
            }
        }
        if !is_told {
            let named = table
                .keys()
                .find(|key| is_about(error.message(), key.get_ref()));
            let span = named.map_or(self.span.clone(), Spanned::span);
            self.refuse_value("", error, span);
        }
    }

    /// `key` is empty for the table itself.
    fn refuse_value(&self, key: &str, error: &Error, span: Range<usize>) {
        let spot = self.document.spot(error.span().unwrap_or(span));
        let (below, what, next) = mistake(error.message());
        let path = match is_about(&what, key) {
            true => format!("{}.{what}", self.path),
            false => {
                let path = [key, &below].into_iter().filter(|it| !it.is_empty());
                let path = path.fold(self.path.clone(), |path, key| joined(&path, key));
                format!("{path}: {what}")
            }
        };
        self.find(spot, path, next);
    }
}

/// Whether a message begins with a key, or with what is below it.
fn is_about(message: &str, key: &str) -> bool {
    let rest = message.strip_prefix(key);
    !key.is_empty() && rest.is_some_and(|rest| rest.starts_with([':', '.']))
}

fn read_as<T: DeserializeOwned>(table: DeTable<'_>, span: Range<usize>) -> Result<T, Error> {
    T::deserialize(toml::Deserializer::from(Spanned::new(span, table)))
}

/// A list as lists of one, which are read each by itself.
fn singles<'d>(value: &Spanned<DeValue<'d>>) -> Vec<Spanned<DeValue<'d>>> {
    let list = value.get_ref().as_array().filter(|list| list.len() > 1);
    let Some(list) = list else {
        return vec![value.clone()];
    };
    let one = |value: &Spanned<DeValue<'d>>| {
        let mut list = DeArray::new();
        list.push(value.clone());
        Spanned::new(value.span(), DeValue::Array(list))
    };
    list.iter().map(one).collect()
}

/// A message of serde in this crate's words: the key below that it is about, what is wrong, and
/// what to write. Others stay as they are.
fn mistake(message: &str) -> (String, String, Option<String>) {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default();
    let known: Vec<_> = quoted.collect();
    let below = |what: &str, next| (first.to_owned(), what.to_owned(), next);
    let here = |what, next| (String::new(), what, next);
    if message.starts_with("unknown field ") {
        let next = Some(meant_key(first, &known));
        return below("there is no such setting", next);
    }
    if message.starts_with("missing field ") {
        return below("it is missing", None);
    }
    if message.starts_with("unknown variant ") {
        let next = match nearest(first, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        return here(format!("there is no \"{first}\" here"), Some(next));
    }
    let types = message.strip_prefix("invalid type: ");
    let what = types.and_then(|types| {
        let (seen, wanted) = types.rsplit_once(", expected ")?;
        Some(format!(
            "it is {}, and must be {}",
            seen_kind(seen)?,
            wanted_kind(wanted)?
        ))
    });
    here(what.unwrap_or_else(|| message.to_owned()), None)
}

fn seen_kind(seen: &str) -> Option<&'static str> {
    let kinds = [
        ("string", "a text"),
        ("integer", "a whole number"),
        ("floating point", "a number with a fraction"),
        ("boolean", "true or false"),
        ("sequence", "a list"),
        ("map", "a table"),
    ];
    let found = kinds.into_iter().find(|(start, _)| seen.starts_with(start));
    found.map(|(_, kind)| kind)
}

fn wanted_kind(wanted: &str) -> Option<&'static str> {
    Some(match wanted {
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" => "a whole number",
        "a map" => "a table",
        wanted if wanted.starts_with("struct ") => "a table",
        _ => return None,
    })
}

/// The fields of a type, if it is a structure.
fn fields_of<T: DeserializeOwned>() -> Option<Fields> {
    let asked = Cell::new(None);
    // It has no value, and fails.
    let _ = T::deserialize(Asked(&asked));
    asked.get()
}

/// Asks a type for its fields.
struct Asked<'f>(&'f Cell<Option<Fields>>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("it has no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: Fields,
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.set(Some(fields));
        Err(Self::Error::custom("it has no value"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
