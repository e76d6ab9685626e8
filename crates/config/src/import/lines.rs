//! Settings as `KEY=VALUE`, as shells and templates have them.

use super::draft::Draft;

/// A setting and where it begins.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// Takes the lines of a file that a shell would read; what only a shell can do is refused.
pub(super) fn of_shell(draft: &mut Draft<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let (source, mut at) = (draft.source, 0);
    for line in source.text.split_inclusive('\n') {
        let (start, text) = (at, line.trim());
        at += line.len();
        let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some((key, value)) = text.split_once('=') else {
            draft.refuse(start, "it is no setting", Some("write KEY=VALUE"));
            continue;
        };
        if !is_name(key) {
            draft.refuse(
                start,
                "it has no name of a variable",
                Some("write KEY=VALUE"),
            );
            continue;
        }
        match words(value) {
            Ok(words) if words.len() <= 1 => {
                let value = words.into_iter().next().unwrap_or_default();
                let key = key.to_owned();
                lines.push(Line {
                    at: start,
                    key,
                    value,
                });
            }
            Ok(_) => {
                let message = format!("{key}: its value has several words");
                draft.refuse(start, &message, Some("put it into quotation marks"));
            }
            Err(why) => draft.refuse(start, &format!("{key}: {why}"), None),
        }
    }
    lines
}

fn is_name(key: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !key.is_empty() && key.chars().all(is_part) && !key.starts_with(|c: char| c.is_ascii_digit())
}

/// Splits as a shell does, without what only a shell can do.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    const SHELL: &str = "only a shell knows what it says; write it out";
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '$' | '`') => return Err(SHELL),
            (None, ';' | '&' | '|' | '<' | '>' | '(' | ')') => return Err(SHELL),
            (None, '#') if word.is_none() => break,
            (None, '\\') | (Some('"'), '\\') => {
                let next = characters.next().ok_or("it ends with a backslash")?;
                let is_kept = quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`');
                let word = word.get_or_insert_default();
                word.extend(is_kept.then_some('\\'));
                word.push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("it has an open quotation mark");
    }
    words.extend(word);
    Ok(words)
}

/// Takes the attributes of a template: `KEY = "value"`, `KEY = value`, `KEY = [ ... ]`.
pub(super) fn of_template(draft: &mut Draft<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let text = &draft.source.text;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let space = rest.len() - rest.trim_start().len();
        if space > 0 {
            at += space;
            continue;
        }
        let end_of_line = rest.find('\n').unwrap_or(rest.len());
        if rest.starts_with('#') {
            at += end_of_line;
            continue;
        }
        let Some((key, after)) = rest.split_once('=') else {
            draft.refuse(at, "it is no attribute", Some("write KEY = \"value\""));
            return lines;
        };
        let key = key.trim_end();
        if !is_name(key) {
            draft.refuse(
                at,
                "it is no name of an attribute",
                Some("write KEY = \"value\""),
            );
            return lines;
        }
        let value = after.trim_start_matches([' ', '\t']);
        let start = at + (rest.len() - value.len());
        let Some((value, length)) = template_value(value) else {
            draft.refuse(start, &format!("{key}: its value does not end"), None);
            return lines;
        };
        let key = key.to_owned();
        lines.push(Line { at, key, value });
        at = start + length;
    }
    lines
}

/// A value, and how many bytes it takes.
fn template_value(text: &str) -> Option<(String, usize)> {
    if text.starts_with('[') {
        let end = text.find(']')?;
        return Some((text[..=end].to_owned(), end + 1));
    }
    if !text.starts_with('"') {
        let end = text.find('\n').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), end));
    }
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return Some((value, at + 1)),
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
