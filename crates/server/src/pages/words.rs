//! Numbers, spans and moments as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_catalog::{Action, Point, Run, Task};
use lifeboat_scheduler::{MachineStatus, shell_word};
use maud::{Markup, html};

/// When a page is seen, and in which zone its reader lives.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub now: Timestamp,
    /// The zone of the times that it shows.
    pub zone: TimeZone,
}

const BYTE_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// An amount of bytes in three digits: `12.4 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < BYTE_UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let places = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.places$} {}", BYTE_UNITS[unit])
}

/// A span in its two greatest units: `3 h 12 min`.
pub(crate) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size);
    let Some(first) = first else {
        return "0 s".to_owned();
    };
    let (size, name) = units[first];
    let mut text = format!("{} {name}", seconds / size);
    // Seconds beside minutes matter while one waits, hours beside many days do not.
    if let Some((next, name)) = units.get(first + 1)
        && seconds / size < 10
        && seconds % size / next > 0
    {
        text += &format!(" {} {name}", seconds % size / next);
    }
    text
}

/// A span that may be shorter than a second: `0.4 s`.
pub(crate) fn span_of(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.05 => "< 0.1 s".to_owned(),
        seconds if seconds < 9.95 => format!("{seconds:.1} s"),
        seconds => span(seconds.round() as u64),
    }
}

/// A measured span from one moment to a later one.
pub(crate) fn span_between(from: Timestamp, to: Timestamp) -> String {
    span_of(to.duration_since(from).as_secs_f64().max(0.0))
}

/// What a task does, in words of people.
pub(crate) fn deed(task: &Task) -> &'static str {
    match (task.action, task.words.first().map(String::as_str)) {
        (Action::Look, Some("stats")) => "measure",
        (Action::Look, _) => "read contents",
        (Action::Resolve, _) => "find machines",
        (other, _) => other.as_str(),
    }
}

/// The title of a run: the job's name, or what is kept up; of a restore what comes back.
pub(crate) fn run_title(moment: &Moment, run: &Run, restored: Option<&Point>) -> String {
    match (run.job.split_once(' '), restored) {
        (Some(("look", repository)), _) => format!("Contents of {repository}"),
        (Some(("check", repository)), _) => format!("Check of {repository}"),
        (Some(("prune", repository)), _) => format!("Prune of {repository}"),
        (Some(("verify", machine)), _) => format!("Verify {machine}"),
        (Some(("restore", _)), Some(point)) => {
            format!("Restore {} of {}", point.machine, moment.short(point.at))
        }
        (Some(("restore", snapshot)), None) => {
            format!("Restore {}", snapshot.get(..8).unwrap_or(snapshot))
        }
        _ => run.job.clone(),
    }
}

/// The machine that a task brings back.
pub(crate) fn restored(task: &Task) -> Option<&str> {
    let point = task
        .words
        .last()
        .filter(|_| task.action == Action::Restore)?;
    point.rsplit_once('@').map(|(machine, _)| machine)
}

/// What a task is about.
pub(crate) fn subject(task: &Task) -> &str {
    restored(task).unwrap_or(&task.subject)
}

/// A number with its noun: `1 machine`, `3 machines`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "repository") => format!("{} repositories", thousands(number)),
        (_, "entry") => format!("{} entries", thousands(number)),
        (_, "copy") => format!("{} copies", thousands(number)),
        _ => format!("{} {noun}s", thousands(number)),
    }
}

/// A number with thin gaps: `12 345`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `s` for a verb of one: `1 machine misses`.
pub(crate) fn verb(number: u64, one: &str, many: &str) -> String {
    if number == 1 { one } else { many }.to_owned()
}

/// Seconds from one moment to a later one; 0 if it is not later.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

impl Moment {
    /// The moment with its zone: `2026-11-22 03:09:32 CET`.
    pub fn exact(&self, at: Timestamp) -> String {
        let at = at.to_zoned(self.zone.clone());
        at.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// A day and a time: `22 Nov 03:09`.
    pub fn short(&self, at: Timestamp) -> String {
        let at = at.to_zoned(self.zone.clone());
        at.strftime("%-d %b %H:%M").to_string()
    }

    /// The instant of a point, to the second where another one of its repository is in the same
    /// minute.
    pub(crate) fn of_point(&self, point: &Point, all: &[Point]) -> String {
        let minute = |it: &Point| it.at.as_second().div_euclid(60);
        let is_twin = |it: &&Point| {
            it.key != point.key
                && it.key.repository == point.key.repository
                && minute(it) == minute(point)
        };
        match all.iter().any(|it| is_twin(&it)) {
            true => self.format(point.at, "%-d %b %H:%M:%S"),
            false => self.short(point.at),
        }
    }

    /// By a pattern of strftime.
    pub fn format(&self, at: Timestamp, pattern: &str) -> String {
        at.to_zoned(self.zone.clone()).strftime(pattern).to_string()
    }

    /// `3 h ago`, `in 20 min`; the exact moment is its tooltip.
    pub fn relative(&self, at: Timestamp) -> Markup {
        html! {
            time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(self.exact(at)) {
                (self.relative_words(at))
            }
        }
    }

    /// The words alone.
    pub fn relative_words(&self, at: Timestamp) -> String {
        match at > self.now {
            true => format!("in {}", rough(seconds_between(self.now, at))),
            false => match seconds_between(at, self.now) {
                0..10 => "just now".to_owned(),
                seconds => format!("{} ago", rough(seconds)),
            },
        }
    }

    /// A time that counts on while somebody looks: since when something runs.
    pub(crate) fn running(&self, since: Timestamp) -> Markup {
        html! {
            time data-counts="" datetime=(since.strftime("%Y-%m-%dT%H:%M:%SZ"))
                title={ "since " (self.exact(since)) } {
                (span(seconds_between(since, self.now)))
            }
        }
    }
}

/// A span in its greatest unit, as the script words it too.
fn rough(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        172_800..5_184_000 => format!("{} d", seconds / 86_400),
        _ => format!("{} months", seconds / 2_592_000),
    }
}

/// A path of the dashboard with each part escaped: `/machines/web%2001`.
pub(crate) fn path(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        text.push('/');
        text += &escape(part);
    }
    text
}

/// The name of a machine as addresses say it, and its platform's where the name is shared.
pub(crate) type MachineName<'a> = (&'a str, Option<&'a str>);

/// A machine's name for addresses.
pub(crate) fn name_of(machine: &MachineStatus) -> MachineName<'_> {
    (&machine.name, machine.distinct_platform())
}

/// The page of a machine, or one below it, with what else is asked of it:
/// `/machines/web01/browse?platform=far&point=1a2b3c4d`.
pub(crate) fn machine_page((name, platform): MachineName<'_>, below: &str, query: &str) -> String {
    let page = match below {
        "" => path(&["machines", name]),
        below => path(&["machines", name, below]),
    };
    let platform = platform.map(|it| format!("platform={}", escape(it)));
    let parts = [platform.as_deref().unwrap_or_default(), query];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match parts.is_empty() {
        true => page,
        false => format!("{page}?{}", parts.join("&")),
    }
}

/// A value of a query or a part of a path.
pub(crate) fn escape(text: &str) -> String {
    escape_bytes(text.as_bytes())
}

/// The same for what need not be text.
pub(crate) fn escape_bytes(bytes: &[u8]) -> String {
    let mut escaped = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                escaped.push(char::from(*byte));
            }
            // A part that is only dots would climb.
            b'.' if bytes.iter().any(|it| *it != b'.') => escaped.push('.'),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

/// A name from inside a guest: control characters and those that turn text around are written
/// out, what is no text is replaced.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        let turns = matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}');
        match letter.is_control() || turns {
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
    }
    shown
}

/// A word as it is typed into a shell; it need not be text.
pub(crate) fn shell_bytes(word: &[u8]) -> String {
    match std::str::from_utf8(word) {
        Ok(text) if !text.chars().any(char::is_control) => shell_word(text),
        _ => {
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:@=,+".contains(byte);
            let letters = word.iter().map(|byte| match plain(byte) {
                true => char::from(*byte).to_string(),
                false => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", letters.collect::<String>())
        }
    }
}
