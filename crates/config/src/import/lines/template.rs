//! Templates of OpenNebula: `KEY = "value"`, `KEY = value`, `KEY = [ A = "b", C = "d" ]`, each
//! over several lines if it must be.

use super::super::draft::Draft;
use super::{Line, is_name};

const NEXT: Option<&str> = Some("write KEY = \"value\"");

/// Takes the attributes; those of a list are named `KEY/A`.
///
/// Nothing after the first that cannot be read: nobody knows where the next begins.
pub(in super::super) fn lines(draft: &mut Draft<'_>) -> Vec<Line> {
    let mut walk = Walk {
        text: &draft.source.text,
        at: 0,
    };
    let mut lines = Vec::new();
    while walk.pass_space() {
        let at = walk.at;
        if let Err((at, message)) = walk.attribute(&mut lines, at) {
            draft.refuse(at, &message, NEXT);
            break;
        }
    }
    lines
}

type Wrong = (usize, String);

struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Walk<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Passes over spaces and comments; says whether something is left.
    fn pass_space(&mut self) -> bool {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let rest = self.rest();
            if !rest.starts_with('#') {
                return !rest.is_empty();
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn pass(&mut self, mark: char) -> bool {
        self.pass_space();
        let is_there = self.rest().starts_with(mark);
        self.at += if is_there { mark.len_utf8() } else { 0 };
        is_there
    }

    /// A name and the sign behind it. OpenNebula writes names in capitals.
    fn key(&mut self) -> Result<String, Wrong> {
        let (start, rest) = (self.at, self.rest());
        let wrong = || (start, "it is no attribute".to_owned());
        let end = rest.find(|c: char| c == '=' || c.is_whitespace());
        let key = &rest[..end.ok_or_else(wrong)?];
        self.at += key.len();
        if !self.pass('=') || !is_name(key) {
            return Err(wrong());
        }
        Ok(key.to_ascii_uppercase())
    }

    fn attribute(&mut self, lines: &mut Vec<Line>, at: usize) -> Result<(), Wrong> {
        let key = self.key()?;
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let start = self.at;
        let unending = || (start, format!("{key}: its value does not end"));
        if !self.rest().starts_with('[') {
            let value = self.value(&['\n']).ok_or_else(unending)?;
            lines.push(Line { at, key, value });
            return Ok(());
        }
        self.at += 1;
        loop {
            if !self.pass_space() {
                return Err(unending());
            }
            if self.pass(']') {
                return Ok(());
            }
            let at = self.at;
            let name = self.key()?;
            self.pass_space();
            let value = self.value(&['\n', ',', ']']).ok_or_else(unending)?;
            let key = format!("{key}/{name}");
            lines.push(Line { at, key, value });
            self.pass(',');
        }
    }

    /// A value in quotation marks, or one that goes on to one of `ends`.
    fn value(&mut self, ends: &[char]) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with('"') {
            let end = rest.find(ends).unwrap_or(rest.len());
            self.at += end;
            return Some(rest[..end].trim().to_owned());
        }
        let (mut value, mut is_escaped) = (String::new(), false);
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                '"' if !is_escaped => {
                    self.at += at + 1;
                    return Some(value);
                }
                '\\' if !is_escaped => is_escaped = true,
                c => {
                    if is_escaped && c != '"' && c != '\\' {
                        value.push('\\');
                    }
                    is_escaped = false;
                    value.push(c);
                }
            }
        }
        None
    }
}
