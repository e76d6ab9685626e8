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

impl Located {
    /// Errors: what is no JSON, and a key that comes twice, of which one would be lost.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
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
        let mut walk = Walk { text, at: 0 };
        walk.value("", &mut places)?;
        Ok(Self { value, places })
    }

    /// Where a part begins; the whole document for one that is not there.
    pub(super) fn place(&self, path: &str) -> usize {
        self.places.get(path).copied().unwrap_or(0)
    }
}

/// A walk over a text that is known to be JSON; it is no deeper than its parser allows.
struct Walk<'t> {
    text: &'t str,
    at: usize,
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
        match first {
            b'{' => self.object(path, places),
            b'[' => self.array(path, places),
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
