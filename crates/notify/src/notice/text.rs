//! A notice as plain text.

use std::fmt::Write;

use jiff::{Timestamp, Unit};

use super::{Content, Digest, Event, Item, Notice, Outcome, Run};

/// How long a subject may be, in characters.
const TITLE_MAX: usize = 200;
/// How many names a subject lists.
const NAMES_MAX: usize = 3;

/// One line of text that came from outside: control characters become spaces.
pub(super) fn line(text: &str) -> String {
    let spaced = text
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it });
    spaced.collect::<String>().trim().to_owned()
}

pub(super) fn title(notice: &Notice) -> String {
    let what = match &notice.content {
        Content::Conditions { items, more, .. } => of_conditions(items, *more),
        Content::RunBegan(run) => format!("run of {} begins", run.job),
        Content::RunEnded(run) => format!("run of {} {}", run.job, outcome(run)),
        Content::Digest(digest) => format!("daily digest: {}", digest.summary),
        Content::Test => "test: notices arrive here".to_owned(),
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
        return format!("{}: {}", word(first), headline(first));
    }
    let is_over = items.iter().all(|item| item.condition.cleared.is_some()) && more == 0;
    let what = if is_over { "resolved" } else { "problems" };
    let mut names: Vec<&str> = Vec::new();
    for name in items
        .iter()
        .filter_map(|item| item.condition.subject.name())
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let others = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let others = match others {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    format!(
        "{}: {count} {what}: {}{others}",
        word(first),
        names.join(", ")
    )
}

/// What happened, as one word for the eye.
pub(super) fn word(item: &Item) -> String {
    let severity = item.condition.severity.word();
    match item.event {
        _ if item.condition.cleared.is_some() => "RESOLVED".to_owned(),
        Event::Began | Event::Resolved => severity.to_uppercase(),
        Event::Escalated => format!("ESCALATED, {}", severity.to_uppercase()),
        Event::Continues => format!("STILL {}", severity.to_uppercase()),
    }
}

/// The subject's name and the sentence, without saying the name twice.
pub(super) fn headline(item: &Item) -> String {
    let text = line(&item.condition.text);
    match item.condition.subject.name() {
        Some(name) if !text.contains(name) => format!("{}: {text}", line(name)),
        _ => text,
    }
}

/// When it began and ended, who takes care of it.
pub(super) fn details(item: &Item) -> String {
    let since = moment(item.condition.since);
    let mut text = match item.condition.cleared {
        Some(cleared) => {
            let seconds = cleared.duration_since(item.condition.since).as_secs();
            format!("from {since} to {} ({})", moment(cleared), span(seconds))
        }
        None => format!("since {since}"),
    };
    if let Some(by) = &item.acknowledged_by {
        let _ = write!(text, ", acknowledged by {}", line(by));
    }
    text
}

pub(super) fn body(notice: &Notice) -> String {
    let mut text = String::new();
    match &notice.content {
        Content::Conditions {
            items,
            more,
            missed,
        } => {
            for item in items {
                let _ = writeln!(text, "{}: {}", word(item), headline(item));
                let _ = writeln!(text, "  {}", details(item));
                if let Some(link) = &item.condition.link {
                    let _ = writeln!(text, "  {}", line(link));
                }
            }
            for rest in rests(*more, *missed) {
                let _ = writeln!(text, "{rest}");
            }
        }
        Content::RunBegan(run) | Content::RunEnded(run) => of_run(&mut text, run),
        Content::Digest(digest) => of_digest(&mut text, digest),
        Content::Test => {
            let _ = writeln!(text, "This is a test. Notices arrive here.");
        }
    }
    let _ = writeln!(text, "\n-- \n{}", footer(notice));
    text
}

/// The sentences about what is not listed.
pub(super) fn rests(more: usize, missed: usize) -> Vec<String> {
    let more = (more > 0).then(|| format!("and {more} more that hold"));
    let missed = (missed > 0).then(|| format!("and {missed} more that came and went"));
    more.into_iter().chain(missed).collect()
}

pub(super) fn footer(notice: &Notice) -> String {
    let at = moment(notice.at);
    match (notice.route.as_str(), notice.level) {
        ("", _) => format!("{}, {at}, notice {}", line(&notice.label), notice.id),
        (route, level) => {
            let level = match level {
                0 => String::new(),
                level => format!(", escalation level {level}"),
            };
            let label = line(&notice.label);
            format!(
                "{label}, {at}, route {}{level}, notice {}",
                line(route),
                notice.id
            )
        }
    }
}

fn of_run(text: &mut String, run: &Run) {
    let _ = writeln!(
        text,
        "run {} of {} {}",
        line(&run.id),
        line(&run.job),
        outcome(run)
    );
    let _ = writeln!(text, "  {}", times(run));
    for row in run.text.lines() {
        let _ = writeln!(text, "  {}", line(row));
    }
    if let Some(link) = &run.link {
        let _ = writeln!(text, "  {}", line(link));
    }
}

fn of_digest(text: &mut String, digest: &Digest) {
    let _ = writeln!(text, "{}", line(&digest.summary));
    for section in &digest.sections {
        let _ = writeln!(text, "\n{}", line(&section.title));
        let widest = section
            .rows
            .iter()
            .map(|(name, _)| line(name).chars().count());
        let width = widest.max().unwrap_or(0);
        for (name, value) in &section.rows {
            let _ = writeln!(text, "  {:width$}  {}", line(name), line(value));
        }
    }
    if let Some(link) = &digest.link {
        let _ = writeln!(text, "\n{}", line(link));
    }
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

pub(super) fn outcome(run: &Run) -> &'static str {
    match run.outcome {
        None => "goes on",
        Some(Outcome::Success) => "ended well",
        Some(Outcome::Warning) => "ended with warnings",
        Some(Outcome::Failure) => "failed",
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
