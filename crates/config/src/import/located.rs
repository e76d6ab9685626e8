//! JSON with the place of everything in it.

use std::collections::BTreeMap;

use serde_json::Value;

/// A document and where its parts begin.
pub(super) struct Located {
    pub(super) value: Value,
    /// Bytes from the beginning, by path: `/vms_config/0/name`, as JSON pointers are written.
    places: BTreeMap<String, usize>,
}

/// What is wrong, and at which byte.
pub(super) type Wrong = (usize, String);

/// Limit: tables and lists inside each other.
const DEPTH_MAX: usize = 40;

impl Located {
    /// Errors: what is no JSON, a key that comes twice, of which one would be lost, and what is
    /// nested deeper than any settings.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let (value, places) = parse(text)?;
        Ok(Self { value, places })
    }

    /// Where a part begins, or what holds it; the whole document for one that is not there.
    pub(super) fn place(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            match (self.places.get(path), path.rfind('/')) {
                (Some(place), _) => return *place,
                (None, Some(end)) => path = &path[..end],
                (None, None) => return 0,
            }
        }
    }

    /// Takes tables and lists that stand as a text in one of these keys of the root.
    ///
    /// Errors: a text that begins like one and cannot be read.
    pub(super) fn open_texts(&mut self, keys: &[&str]) -> Result<(), Wrong> {
        for key in keys {
            let at = self.place(&format!("/{key}"));
            let Some(value) = self.value.get_mut(*key) else {
                continue;
            };
            let inner = match value.as_str() {
                Some(text) if text.trim_start().starts_with(['{', '[']) => parse(text),
                _ => continue,
            };
            let wrong = |(_, message)| (at, format!("{key}: in its text: {message}"));
            *value = inner.map_err(wrong)?.0;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<(Value, BTreeMap<String, usize>), Wrong> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let lines = text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1));
        let start: usize = lines.map(str::len).sum();
        let mut message = error.to_string();
        if let Some(end) = message.find(" at line ") {
            message.truncate(end);
        }
        let at = start + error.column().saturating_sub(1);
        (at, format!("it is no JSON: {message}"))
    })?;
    let mut places = BTreeMap::new();
    let mut walk = Walk {
        text,
        at: 0,
        depth: 0,
    };
    walk.value("", &mut places)?;
    Ok((value, places))
}

/// A walk over a text that is known to be JSON.
struct Walk<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Walk<'_> {
    fn next(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    fn value(&mut self, path: &str, places: &mut BTreeMap<String, usize>) -> Result<(), Wrong> {
        let first = self.next();
        places.entry(path.to_owned()).or_insert(self.at);
        if self.depth > DEPTH_MAX {
            let message = format!("it is nested deeper than {DEPTH_MAX} tables and lists");
            return Err((self.at, message));
        }
        match first {
            b'{' | b'[' => {
                self.depth += 1;
                match first {
                    b'{' => self.object(path, places)?,
                    _ => self.array(path, places)?,
                }
                self.depth -= 1;
                Ok(())
            }
            b'"' => {
                self.string();
                Ok(())
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\n', '\r', '\t']);
                self.at += end.unwrap_or(rest.len());
                Ok(())
            }
        }
    }

    fn object(&mut self, path: &str, places: &mut BTreeMap<String, usize>) -> Result<(), Wrong> {
        self.at += 1;
        while self.next() == b'"' {
            let start = self.at;
            let written = self.string();
            let key: String = serde_json::from_str(written).unwrap_or_default();
            let path = format!("{path}/{}", escaped(&key));
            if places.insert(path.clone(), start).is_some() {
                return Err((start, format!("{path}: it stands there twice")));
            }
            self.next();
            self.at += 1;
            self.value(&path, places)?;
            if self.next() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, path: &str, places: &mut BTreeMap<String, usize>) -> Result<(), Wrong> {
        self.at += 1;
        let mut number = 0;
        while !matches!(self.next(), b']' | 0) {
            self.value(&format!("{path}/{number}"), places)?;
            number += 1;
            if self.next() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(())
    }

    /// A text with its quotation marks.
    fn string(&mut self) -> &str {
        let (start, bytes) = (self.at, self.text.as_bytes());
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += match byte {
                b'\\' => 2,
                b'"' => break,
                _ => 1,
            };
        }
        self.at += 1;
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// A key as it stands in a path.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
