//! A notice as plain text.

use std::fmt::Write;

use jiff::{Timestamp, Unit};

use super::{Content, Digest, Event, Item, Notice, Outcome, Run};
use crate::Remedy;

/// How long a subject may be, in characters.
const TITLE_MAX: usize = 200;
/// How many names a subject lists.
const NAMES_MAX: usize = 3;
/// A notice of more conditions says of each only that it holds.
const DETAILED_MAX: usize = 5;
/// A name within so many words of a text is not put before it once more.
const NAMED_WITHIN: usize = 2;
/// Names of a digest that stand beside their values are at most so long, in characters.
const NAME_MAX: usize = 30;
/// Columns of a terminal and of a mail, without the last.
const COLUMNS: usize = 78;
/// What helps when there are so many that each has no room for its own.
pub(super) const MANY: &str = "lifeboat alert list -v";

/// One line of text that came from outside: what cannot be seen becomes spaces.
pub(super) fn line(text: &str) -> String {
    let spaced = text.chars().map(|it| if is_hidden(it) { ' ' } else { it });
    spaced.collect::<String>().trim().to_owned()
}

/// Letters that end lines, turn the direction of others around, or have no width: a name with
/// them would look like another, or like more than a name.
fn is_hidden(letter: char) -> bool {
    let is_format = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || ('\u{200b}'..='\u{200f}').contains(&letter)
        || ('\u{2028}'..='\u{202e}').contains(&letter)
        || ('\u{2060}'..='\u{206f}').contains(&letter);
    letter.is_control() || is_format
}

pub(super) fn title(notice: &Notice) -> String {
    let what = match &notice.content {
        Content::Conditions { items, more, .. } => of_conditions(items, *more),
        Content::RunBegan(run) | Content::RunEnded(run) => of_run(run),
        Content::Digest(digest) => format!("DIGEST: {}", digest.summary),
        Content::Test => format!("TEST: notices reach \"{}\"", notice.target),
    };
    let whole = line(&format!("[{}] {what}", notice.label));
    if whole.chars().count() <= TITLE_MAX {
        return whole;
    }
    let kept: String = whole.chars().take(TITLE_MAX - 1).collect();
    format!("{kept}…")
}

fn of_conditions(items: &[Item], more: usize) -> String {
    let Some(first) = items.first() else {
        return format!("{more} problems");
    };
    let count = items.len() + more;
    if count == 1 {
        return heading(first);
    }
    let subjects = items
        .iter()
        .filter_map(|item| item.condition.subject.name());
    match names(subjects) {
        names if names.is_empty() => format!("{}: {count} problems", word(first)),
        names => format!("{}: {count} problems: {names}", word(first)),
    }
}

/// The first of some names, each once, and how many more there are.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let others = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    match others {
        0 => names.join(", "),
        others => format!("{} and {others} more", names.join(", ")),
    }
}

/// What happened, as one word for the eye.
fn word(item: &Item) -> String {
    let severity = item.condition.severity.word();
    match item.event {
        _ if item.condition.cleared.is_some() => "RESOLVED".to_owned(),
        Event::Began | Event::Resolved => severity.to_uppercase(),
        Event::Escalated => format!("ESCALATED, {}", severity.to_uppercase()),
        Event::Continues => format!("STILL {}", severity.to_uppercase()),
    }
}

/// What happened, to what, and what is wrong.
pub(super) fn heading(item: &Item) -> String {
    let text = line(&item.condition.text);
    let word = word(item);
    match item.condition.subject.name() {
        Some(name) if !begins_with(&text, name) => format!("{word}: {}: {text}", line(name)),
        _ => format!("{word}: {text}"),
    }
}

/// Whether a text names something with its first words: `machine web01 is in no job`.
fn begins_with(text: &str, name: &str) -> bool {
    let name = line(name);
    let mut words = text.split([' ', ':', ',']);
    text.starts_with(&name) || words.by_ref().take(NAMED_WITHIN).any(|word| word == name)
}

/// When it began and ended, who takes care of it, what it is about.
pub(super) fn facts(item: &Item) -> Vec<String> {
    let since = moment(item.condition.since);
    let mut facts = vec![match item.condition.cleared {
        Some(cleared) => {
            let seconds = cleared.duration_since(item.condition.since).as_secs();
            format!("from {since} to {} ({})", moment(cleared), span(seconds))
        }
        None => format!("since {since}"),
    }];
    match (&item.acknowledged_by, item.event) {
        (Some(by), _) => facts.push(format!("acknowledged by {}", line(by))),
        (None, Event::Escalated) => {
            facts.push("nobody of the level before has acknowledged it in time".to_owned());
        }
        _ => {}
    }
    facts.extend(Some(line(&item.condition.subject.words())).filter(|words| !words.is_empty()));
    facts
}

/// What to do: of conditions that hold.
pub(super) fn remedies(item: &Item) -> &[Remedy] {
    match item.condition.cleared {
        None => &item.condition.remedies,
        Some(_) => &[],
    }
}

/// Whether there is room for everything that is known of each.
pub(super) fn is_detailed(items: &[Item]) -> bool {
    items.len() <= DETAILED_MAX
}

pub(super) fn body(notice: &Notice) -> String {
    let mut text = String::new();
    match &notice.content {
        Content::Conditions {
            items,
            more,
            missed,
        } => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 && is_detailed(items) {
                    text.push('\n');
                }
                put_item(&mut text, item, is_detailed(items));
            }
            for rest in rests(*more, *missed) {
                put(&mut text, ("", ""), &rest);
            }
            if !is_detailed(items) && !notice.is_resolved() {
                let _ = writeln!(text, "\nWhat to do about each:  {MANY}");
            }
        }
        Content::RunBegan(run) | Content::RunEnded(run) => put_run(&mut text, run),
        Content::Digest(digest) => put_digest(&mut text, digest),
        Content::Test => {
            put(&mut text, ("", ""), &of_test(notice));
        }
    }
    let _ = writeln!(text, "\n-- ");
    put(&mut text, ("", ""), &footer(notice));
    if let Some(link) = &notice.link {
        let _ = writeln!(text, "{}", line(link));
    }
    text
}

pub(super) fn of_test(notice: &Notice) -> String {
    let (label, target) = (line(&notice.label), line(&notice.target));
    format!("This is a test: notices of {label} reach \"{target}\". There is nothing to do.")
}

/// The sentences about what is not listed.
pub(super) fn rests(more: usize, missed: usize) -> Vec<String> {
    let more = (more > 0).then(|| format!("and {more} more that hold"));
    let missed = (missed > 0).then(|| format!("and {missed} more that came and went"));
    more.into_iter().chain(missed).collect()
}

pub(super) fn footer(notice: &Notice) -> String {
    let mut parts = vec![line(&notice.label), moment(notice.at)];
    if !notice.route.is_empty() {
        parts.push(format!("route {}", line(&notice.route)));
    }
    if notice.level > 0 {
        parts.push(format!("escalation level {}", notice.level));
    }
    parts.push(format!("notice {}", notice.id));
    parts.join(", ")
}

fn put_item(text: &mut String, item: &Item, is_detailed: bool) {
    put(text, ("", ""), &heading(item));
    if !is_detailed {
        return;
    }
    for fact in facts(item) {
        put(text, ("  ", "  "), &fact);
    }
    put_log(text, &item.condition.details);
    put_remedies(text, remedies(item));
    put_link(text, item.condition.link.as_deref());
}

/// A line that is broken between words where it is too long, after one start and, on its further
/// lines, another.
fn put(text: &mut String, (first, further): (&str, &str), row: &str) {
    let row = line(row);
    let mut start = first;
    let mut left = row.as_str();
    loop {
        let room = COLUMNS.saturating_sub(start.chars().count());
        let (head, rest) = broken(left, room);
        let _ = writeln!(text, "{start}{head}");
        if rest.is_empty() {
            return;
        }
        (start, left) = (further, rest);
    }
}

/// The words that fit into so many columns, at least one, and what is left.
fn broken(row: &str, room: usize) -> (&str, &str) {
    let Some((end, _)) = row.char_indices().nth(room) else {
        return (row, "");
    };
    let at = match row[end..].starts_with(' ') {
        true => Some(end),
        false => row[..end].rfind(' ').or_else(|| row.find(' ')),
    };
    match at {
        Some(at) => (row[..at].trim_end(), row[at..].trim_start()),
        None => (row, ""),
    }
}

fn put_log(text: &mut String, log: &str) {
    for row in log.lines() {
        put(text, ("  | ", "  |   "), row);
    }
}

/// What to do and the command for it: side by side, or below each other where that is too wide. A
/// command is never broken: it is copied.
fn put_remedies(text: &mut String, remedies: &[Remedy]) {
    if remedies.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n  What to do:");
    let rows = remedies
        .iter()
        .map(|it| (line(&it.text), line(&it.command)));
    let rows: Vec<(String, String)> = rows.collect();
    let widest = |of: fn(&(String, String)) -> &String| {
        let widths = rows.iter().map(|row| of(row).chars().count());
        widths.max().unwrap_or(0)
    };
    let (width, commands) = (widest(|row| &row.0), widest(|row| &row.1));
    let is_wide = width + commands + 6 > COLUMNS;
    for (what, command) in &rows {
        if is_wide {
            put(text, ("    ", "    "), &format!("{what}:"));
            let _ = writeln!(text, "      {command}");
        } else {
            let _ = writeln!(text, "    {what:width$}  {command}");
        }
    }
}

fn put_link(text: &mut String, link: Option<&str>) {
    if let Some(link) = link {
        let _ = writeln!(text, "\n  {}", line(link));
    }
}

fn put_run(text: &mut String, run: &Run) {
    put(text, ("", ""), &of_run(run));
    put(text, ("  ", "  "), &times(run));
    for row in run.text.lines() {
        // What was said stands deeper than who said it.
        match row.starts_with(' ') {
            true => put(text, ("  | ", "  |   "), row),
            false => put(text, ("  ", "    "), row),
        }
    }
    put_remedies(text, &run.remedies);
    put_link(text, run.link.as_deref());
}

fn put_digest(text: &mut String, digest: &Digest) {
    put(text, ("", ""), &digest.summary);
    for section in &digest.sections {
        let _ = writeln!(text, "\n{}", line(&section.title));
        let widest = section
            .rows
            .iter()
            .map(|(name, _)| line(name).chars().count());
        let width = widest.max().unwrap_or(0);
        for (name, value) in &section.rows {
            let name = line(name);
            // Long names leave no room beside them.
            match width > NAME_MAX {
                true => {
                    put(text, ("  ", "  "), &name);
                    put(text, ("      ", "      "), value);
                }
                false => {
                    let further = " ".repeat(width + 4);
                    put(text, (&format!("  {name:width$}  "), &further), value);
                }
            }
        }
    }
    put_link(text, digest.link.as_deref());
}

/// When a run began and how long it took.
pub(super) fn times(run: &Run) -> String {
    let began = moment(run.began);
    match run.ended {
        Some(ended) => {
            let seconds = ended.duration_since(run.began).as_secs();
            format!("began {began}, took {}", span(seconds))
        }
        None => format!("began {began}"),
    }
}

/// How a run is, which, and whose part of it failed.
pub(super) fn of_run(run: &Run) -> String {
    let word = match run.outcome {
        None => "BEGAN",
        Some(Outcome::Success) => "OK",
        Some(Outcome::Warning) => "WARNING",
        Some(Outcome::Failure) => "FAILED",
    };
    let name = match run.name.as_str() {
        "" => format!("job {}", run.job),
        name => name.to_owned(),
    };
    let is_news = |it: &&str| !name.split(' ').any(|word| word == *it);
    let failed = run.failed.iter().map(String::as_str).filter(is_news);
    match names(failed) {
        failed if failed.is_empty() => format!("{word}: {name}, run {}", run.id),
        failed => format!("{word}: {name}, run {}: {failed}", run.id),
    }
}

pub(super) fn moment(at: Timestamp) -> String {
    let seconds = at.round(Unit::Second).unwrap_or(at);
    seconds.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn span(seconds: i64) -> String {
    let minutes = seconds / 60;
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..172_800 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_long_words_stay_whole() {
        let check = |row: &str, expected: &str| {
            let mut text = String::new();
            put(&mut text, ("  ", "    "), row);
            assert_eq!(text, expected);
        };
        let word = "ü".repeat(40);
        check(
            &format!("{word} {word}"),
            &format!("  {word}\n    {word}\n"),
        );
        // As long as a line may be.
        let (half, other) = ("ü".repeat(37), "é".repeat(38));
        check(&format!("{half} {other}"), &format!("  {half} {other}\n"));
        check(
            &format!("{half} {other} x"),
            &format!("  {half} {other}\n    x\n"),
        );
        let long = "ü".repeat(200);
        check(&format!("{long} x"), &format!("  {long}\n    x\n"));
        check("", "  \n");
    }
}
