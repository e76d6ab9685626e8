//! Settings of one table of JSON, taken one by one; what nobody took is carried over.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::draft::{Draft, inline, quoted};
use super::super::located::{Located, escaped};
use super::super::secrets::{self, is_secret};

/// The settings of one table.
pub(super) struct Fields<'v> {
    pub(super) map: &'v Map<String, Value>,
    /// As JSON pointers are written.
    pub(super) path: String,
    pub(super) located: &'v Located,
    taken: BTreeSet<String>,
}

impl<'v> Fields<'v> {
    pub(super) fn new(map: &'v Map<String, Value>, path: &str, located: &'v Located) -> Self {
        Self {
            map,
            path: path.to_owned(),
            located,
            taken: BTreeSet::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{}", self.path, escaped(name))
    }

    pub(super) fn place(&self, name: &str) -> usize {
        self.located.place(&self.path(name))
    }

    /// Whether it is there and says something.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// A value; null is as if it were not there.
    pub(super) fn take(&mut self, name: &str) -> Option<&'v Value> {
        let value = self.map.get(name)?;
        self.taken.insert(name.to_owned());
        Some(value).filter(|value| !value.is_null())
    }

    /// The first of some names that is there.
    pub(super) fn take_first(&mut self, names: &[&str]) -> Option<&'v Value> {
        let name = names.iter().find(|name| self.has(name))?;
        self.take(name)
    }

    pub(super) fn wrong(&self, draft: &mut Draft<'_>, name: &str, wanted: &str) {
        let path = self.path(name);
        let message = format!("{}: it must be {wanted}", path.trim_start_matches('/'));
        draft.refuse(self.place(name), &message, None);
    }

    pub(super) fn text(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<String> {
        let text = self.take(name)?.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong(draft, name, "a text");
        }
        text.map(str::to_owned)
    }

    /// A text, if it is one; else it is left to be carried over.
    pub(super) fn text_if(&mut self, name: &str) -> Option<String> {
        let text = self.map.get(name)?.as_str()?.to_owned();
        self.taken.insert(name.to_owned());
        Some(text)
    }

    pub(super) fn flag(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        let text = value.as_str().map(str::to_ascii_lowercase);
        let flag = value.as_bool().or_else(|| text?.parse().ok());
        if flag.is_none() {
            self.wrong(draft, name, "true or false");
        }
        flag
    }

    /// A whole number up to a bound, as a number or as a text.
    pub(super) fn number(&mut self, draft: &mut Draft<'_>, name: &str, max: u32) -> Option<u32> {
        let number = number_of(self.take(name)?).filter(|number| *number <= max);
        if number.is_none() {
            let wanted = format!("a whole number from 0 to {max}");
            self.wrong(draft, name, &wanted);
        }
        number
    }

    /// A time of day as in 02:00.
    pub(super) fn time(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<String> {
        let time = self.take(name)?.as_str().and_then(time_of);
        if time.is_none() {
            self.wrong(draft, name, "a time of day, as in 02:00");
        }
        time
    }

    /// A time of day, or several.
    pub(super) fn times(&mut self, draft: &mut Draft<'_>, name: &str) -> Vec<String> {
        let Some(list) = self.map.get(name).and_then(Value::as_array) else {
            return self.time(draft, name).into_iter().collect();
        };
        self.taken.insert(name.to_owned());
        let times: Option<Vec<_>> = list.iter().map(|it| time_of(it.as_str()?)).collect();
        if times.is_none() {
            self.wrong(draft, name, "a list of times of day, as in 02:00");
        }
        times.unwrap_or_default()
    }

    pub(super) fn table(&mut self, draft: &mut Draft<'_>, name: &str) -> Option<Self> {
        let Some(map) = self.take(name)?.as_object() else {
            self.wrong(draft, name, "a table: { ... }");
            return None;
        };
        Some(Self::new(map, &self.path(name), self.located))
    }

    /// Keeps what nobody took, and says why.
    pub(super) fn carry_rest(self, draft: &mut Draft<'_>, entry: &str, from: &str, why: &str) {
        let mut settings = Vec::new();
        for (name, value) in self.map {
            if self.taken.contains(name) {
                continue;
            }
            let path = self.path(name);
            let message = format!("{}: {why}; carried over", path.trim_start_matches('/'));
            draft.note(self.place(name), &message, None);
            settings.push(kept(draft, name, value, self.place(name)));
        }
        if !settings.is_empty() {
            draft.carry(entry, from, why, Some(inline(settings)));
        }
    }
}

/// A whole number that stands as a number or as a text.
pub(super) fn number_of(value: &Value) -> Option<u32> {
    match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => u32::try_from(value.as_u64()?).ok(),
    }
}

/// `2:05` and `02:05:00` as `02:05`.
fn time_of(text: &str) -> Option<String> {
    let parts: Vec<_> = text.trim().split(':').collect();
    let number = |text: &str, max: u8| {
        let is_digits = matches!(text.len(), 1 | 2) && text.bytes().all(|it| it.is_ascii_digit());
        let number: u8 = is_digits.then(|| text.parse().ok())??;
        (number <= max).then_some(number)
    };
    let (hour, minute) = match parts.as_slice() {
        [hour, minute] => (hour, minute),
        [hour, minute, "0" | "00"] => (hour, minute),
        _ => return None,
    };
    Some(format!(
        "{:02}:{:02}",
        number(hour, 23)?,
        number(minute, 59)?
    ))
}

/// A setting as TOML keeps it; a secret one by its file.
pub(super) fn kept(
    draft: &mut Draft<'_>,
    name: &str,
    value: &Value,
    at: usize,
) -> (String, String) {
    match value {
        Value::String(text) => secrets::kept(draft, name, text, at),
        // Secrets in lists and tables too; a flag or nothing is none.
        Value::Number(_) | Value::Array(_) | Value::Object(_) if is_secret(name) => {
            secrets::kept(draft, name, &value.to_string(), at)
        }
        _ => (name.to_owned(), toml_of(draft, name, value, at)),
    }
}

/// JSON as TOML; null, which TOML has not, as a text. No deeper than [`Located`] allows.
fn toml_of(draft: &mut Draft<'_>, name: &str, value: &Value, at: usize) -> String {
    match value {
        Value::Null => quoted("null"),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.to_string(),
            None => quoted(&number.to_string()),
        },
        Value::String(text) => secrets::kept(draft, name, text, at).1,
        Value::Array(list) => {
            let items = list.iter().map(|it| toml_of(draft, name, it, at));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let settings = map.iter().map(|(name, value)| kept(draft, name, value, at));
            inline(settings.collect::<Vec<_>>())
        }
    }
}
