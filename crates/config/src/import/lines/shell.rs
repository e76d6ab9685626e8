//! Files that a shell reads: `KEY=VALUE`, `export KEY="VALUE"`, several in a line, values over
//! several lines, and `$KEY` of earlier lines. What only a shell can do is refused.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

use super::super::draft::Draft;
use super::{Line, is_name};

const SHELL: &str = "only a shell knows what it says; write it out";
/// Words that may stand before settings.
const BEFORE: [&str; 4] = ["export", "declare", "typeset", "readonly"];
/// Limit: bytes of all values; a reference can double what was there before.
const VALUES_MAX: usize = 16 << 20;

/// Takes the settings; what cannot be read is refused.
pub(in super::super) fn lines(draft: &mut Draft<'_>) -> Vec<Line> {
    let text = &draft.source.text;
    let (mut lines, mut known, mut bytes, mut at) = (Vec::new(), BTreeMap::new(), 0, 0);
    while let Some(start) = next_statement(text, at) {
        let mut reader = Reader::new(&text[start..], Some(&known));
        let read = reader.statement();
        at = start + reader.end();
        let words = match read {
            Ok(()) => reader.words,
            Err(why) => {
                // The line after the first may be sound again.
                at = text[start..]
                    .find('\n')
                    .map_or(text.len(), |end| start + end);
                let key = reader.words.pop().unwrap_or_default();
                let key = key
                    .split_once('=')
                    .map(|(key, _)| key)
                    .filter(|it| is_name(it));
                let message = key.map_or(why.to_owned(), |key| format!("{key}: {why}"));
                draft.refuse(start, &message, None);
                continue;
            }
        };
        for (key, value) in settings(draft, start, words) {
            bytes += value.len();
            if bytes > VALUES_MAX {
                draft.refuse(start, "its values have more than 16 MiB", None);
                return lines;
            }
            known.insert(key.clone(), value.clone());
            lines.push(Line {
                at: start,
                key,
                value,
            });
        }
    }
    lines
}

/// Where something that is neither empty nor a comment begins.
fn next_statement(text: &str, mut at: usize) -> Option<usize> {
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        let rest = &text[at..];
        match rest.chars().next()? {
            // systemd has both for comments.
            '#' | ';' => at += rest.find('\n').unwrap_or(rest.len()),
            _ => return Some(at),
        }
    }
}

/// The settings of a statement.
fn settings(draft: &mut Draft<'_>, at: usize, words: Vec<String>) -> Vec<(String, String)> {
    let next = Some("write KEY=VALUE");
    let mut words = words.into_iter().peekable();
    let is_option = |word: &String| word.starts_with(['-', '+']);
    if words.next_if(|word| word == "set").is_some() && words.peek().is_some_and(is_option) {
        return Vec::new();
    }
    let is_exported = words
        .next_if(|word| BEFORE.contains(&word.as_str()))
        .is_some();
    while is_exported && words.next_if(is_option).is_some() {}
    let mut found: Vec<(String, String)> = Vec::new();
    for word in words {
        match (word.split_once('='), found.last()) {
            (Some((key, value)), _) if is_name(key) => {
                found.push((key.to_owned(), value.to_owned()));
            }
            (None, _) if is_exported && is_name(&word) => {}
            (_, Some((key, _))) => {
                let message = format!("{key}: its value has several words");
                draft.refuse(at, &message, Some("put it into quotation marks"));
                return Vec::new();
            }
            (Some(_), None) => draft.refuse(at, "it has no name of a variable", next),
            (None, None) => {
                draft.refuse(at, "it is no setting", next);
                return Vec::new();
            }
        }
    }
    found
}

/// Splits a command as restic does: quotes and backslashes count, and no shell is there.
pub(in super::super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut reader = Reader::new(text, None);
    reader.statement()?;
    Ok(reader.words)
}

/// Reads words up to the end of a statement.
struct Reader<'t, 'k> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
    /// Earlier settings; none where no shell looks at the text.
    known: Option<&'k BTreeMap<String, String>>,
    words: Vec<String>,
    /// Whether the last word may go on.
    is_open: bool,
}

impl<'t, 'k> Reader<'t, 'k> {
    fn new(text: &'t str, known: Option<&'k BTreeMap<String, String>>) -> Self {
        Self {
            text,
            rest: text.char_indices().peekable(),
            known,
            words: Vec::new(),
            is_open: false,
        }
    }

    /// Bytes that were read.
    fn end(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn word(&mut self) -> &mut String {
        if !self.is_open {
            self.words.push(String::new());
            self.is_open = true;
        }
        let last = self.words.len() - 1;
        &mut self.words[last]
    }

    fn statement(&mut self) -> Result<(), &'static str> {
        let is_shell = self.known.is_some();
        while let Some((_, c)) = self.rest.next() {
            match c {
                '\n' | ';' if is_shell => break,
                '\'' | '"' => self.quoted(c)?,
                '\\' => self.escaped(false)?,
                '$' if is_shell => self.reference(false)?,
                '`' | '&' | '|' | '<' | '>' | '(' | ')' if is_shell => return Err(SHELL),
                '~' if is_shell && self.is_open && self.word().ends_with('=') => {
                    return Err("only a shell knows where ~ is; write the folder out");
                }
                '#' if is_shell && !self.is_open => {
                    while self.rest.next_if(|(_, c)| *c != '\n').is_some() {}
                }
                c if c.is_whitespace() => self.is_open = false,
                c => self.word().push(c),
            }
        }
        Ok(())
    }

    /// What follows a quotation mark, and the other one.
    fn quoted(&mut self, mark: char) -> Result<(), &'static str> {
        self.word();
        while let Some((_, c)) = self.rest.next() {
            match c {
                c if c == mark => return Ok(()),
                '\\' if mark == '"' => self.escaped(true)?,
                '$' if mark == '"' && self.known.is_some() => self.reference(true)?,
                '`' if mark == '"' && self.known.is_some() => return Err(SHELL),
                c => self.word().push(c),
            }
        }
        Err("it has an open quotation mark")
    }

    fn escaped(&mut self, is_quoted: bool) -> Result<(), &'static str> {
        let (_, next) = self.rest.next().ok_or("it ends with a backslash")?;
        match next {
            '\n' => {}
            '"' | '\\' | '$' | '`' => self.word().push(next),
            next if is_quoted => self.word().extend(['\\', next]),
            next => self.word().push(next),
        }
        Ok(())
    }

    /// The value of an earlier setting.
    fn reference(&mut self, is_quoted: bool) -> Result<(), &'static str> {
        let is_braced = self.rest.next_if(|(_, c)| *c == '{').is_some();
        let start = self.end();
        let is_part = |(_, c): &(usize, char)| c.is_ascii_alphanumeric() || *c == '_';
        while self.rest.next_if(is_part).is_some() {}
        let name = &self.text[start..self.end()];
        if is_braced && self.rest.next_if(|(_, c)| *c == '}').is_none() {
            return Err(SHELL);
        }
        if name.is_empty() && !is_braced {
            // A dollar that begins nothing stands for itself.
            let is_plain = match self.rest.peek() {
                None => true,
                Some((_, c)) => c.is_whitespace() || is_quoted && *c == '"',
            };
            self.word().push('$');
            return if is_plain { Ok(()) } else { Err(SHELL) };
        }
        let known = self.known.and_then(|known| known.get(name));
        let value = known.ok_or("it names a variable that is not set above; write it out")?;
        if self.word().len() + value.len() > VALUES_MAX {
            return Err("its value has more than 16 MiB");
        }
        self.word().push_str(value);
        Ok(())
    }
}
