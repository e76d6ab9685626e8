//! What is drawn: lines for a size, made of what one look showed.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use lifeboat_catalog::{AlertSeverity, Progress, Task, TaskId};
use lifeboat_model::ByteCount;
use lifeboat_scheduler::MachineClass;

use crate::situation::{Health, Situation, word};
use crate::tables::{moment, shown, span};

const BOLD: &str = "1";
const REVERSED: &str = "7";
const BAR: usize = 20;
/// Columns of a machine's name at least, and of all that stands beside it.
const NAME_MIN: usize = 12;
const BESIDE_NAME: usize = 60;

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// A line, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// The number of a terminal's attribute.
    pub(super) style: Option<&'static str>,
}

/// Which page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Everything.
    All,
    /// What one task said.
    Log(TaskId),
    /// Whether a task shall be stopped.
    Asked(TaskId),
}

impl Page {
    /// The task that it is about.
    pub(super) fn task(self) -> Option<TaskId> {
        match self {
            Self::All => None,
            Self::Log(task) | Self::Asked(task) => Some(task),
        }
    }
}

/// When a line was said, and the line.
pub(super) type SaidLine = (Timestamp, String);

/// Everything that is shown.
pub(super) struct View {
    pub(super) now: Timestamp,
    pub(super) situation: Situation,
    /// Which of the running tasks.
    pub(super) selected: usize,
    pub(super) page: Page,
    /// The number of the newest line, and the newest lines, by task.
    pub(super) said: BTreeMap<TaskId, (i64, VecDeque<SaidLine>)>,
    /// What the last key did.
    pub(super) note: String,
}

/// Exactly as many lines as there are rows, none wider than the columns.
pub(super) fn lines(view: &View, size: Size) -> Vec<Line> {
    let room = size.rows.saturating_sub(3);
    let mut lines = head(view);
    lines.extend(match view.page {
        Page::Log(task) => log(view, task, room),
        Page::All | Page::Asked(_) => all(view, room, size.columns),
    });
    lines.truncate(size.rows.saturating_sub(1));
    lines.resize(size.rows.saturating_sub(1), plain(String::new()));
    lines.push(foot(view));
    for line in &mut lines {
        line.text = line.text.chars().take(size.columns).collect();
    }
    lines
}

fn plain(text: String) -> Line {
    Line { text, style: None }
}

fn bold(text: &str) -> Line {
    let (text, style) = (text.to_owned(), Some(BOLD));
    Line { text, style }
}

fn style(health: Health) -> &'static str {
    match health {
        Health::Well => "32",
        Health::AtRisk => "33",
        Health::Missed => "1;31",
    }
}

fn head(view: &View) -> Vec<Line> {
    let site = view.situation.overview.site.as_deref();
    let site = shown(site.unwrap_or("lifeboat"));
    let answer = &view.situation.answer;
    let answer = Line {
        text: answer.text.clone(),
        style: Some(style(answer.health)),
    };
    vec![bold(&format!("{site}  {}", moment(view.now))), answer]
}

fn foot(view: &View) -> Line {
    let text = match view.page {
        Page::Asked(task) => format!("stop task {}? y stops it, any other key does not", task.0),
        _ if !view.note.is_empty() => view.note.clone(),
        Page::Log(_) => "Esc back  q quit".to_owned(),
        Page::All => "up/down choose  Enter log  c cancel  q quit".to_owned(),
    };
    let style = Some(REVERSED);
    Line { text, style }
}

/// Running tasks, alerts and machines, each with a share of the rows, then what is said.
fn all(view: &View, room: usize, columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let tasks = tasks(view);
    let shares = [
        ("Running", tasks, room / 3),
        ("Alerts", alerts(view), room / 4),
        ("Machines", machines(view, columns), room / 3),
    ];
    for (title, part, share) in shares {
        if part.is_empty() {
            continue;
        }
        let fit = share.saturating_sub(1).max(1);
        let title = match part.len().saturating_sub(fit) {
            0 => title.to_owned(),
            more => format!("{title} ({more} more)"),
        };
        let from = match title.starts_with("Running") {
            true => (view.selected + 1).saturating_sub(fit),
            false => 0,
        };
        lines.push(bold(&title));
        lines.extend(part.into_iter().skip(from).take(fit));
    }
    let left = room.saturating_sub(lines.len() + 1);
    let said = newest(view, left);
    if !said.is_empty() {
        lines.push(bold("Log"));
        lines.extend(said);
    }
    lines
}

fn tasks(view: &View) -> Vec<Line> {
    let running = view.situation.running.iter().enumerate();
    let one = |(number, task): (usize, &Task)| {
        let is_chosen = number == view.selected;
        let mark = if is_chosen { ">" } else { " " };
        let name = format!("{} {}", task.action, shown(&task.subject));
        let progress = task.progress.as_ref().map(bar).unwrap_or_default();
        Line {
            text: format!("{mark} {} {progress}", fitted(&name, 24)),
            style: is_chosen.then_some(BOLD),
        }
    };
    running.map(one).collect()
}

/// `[########............]  41 % 310 MiB/s, 22s left, reading`
fn bar(progress: &Progress) -> String {
    let mut text = String::new();
    if progress.total > 0 {
        let share = |of: u64| {
            let done = u128::from(progress.done.min(progress.total)) * u128::from(of);
            (done / u128::from(progress.total)) as usize
        };
        let full = share(BAR as u64);
        let (full, rest) = ("#".repeat(full), ".".repeat(BAR - full));
        let rate = ByteCount(progress.rate);
        text = format!("[{full}{rest}] {:3} % {rate}/s", share(100));
        if let Some(seconds) = progress.seconds_left {
            let left = span(std::time::Duration::from_secs(seconds));
            text += &format!(", {left} left");
        }
        text += ", ";
    }
    text + &shown(&progress.phase)
}

fn alerts(view: &View) -> Vec<Line> {
    let one = |alert: &lifeboat_catalog::Alert| {
        let (word, health) = match alert.severity {
            AlertSeverity::Critical => ("critical", Health::Missed),
            AlertSeverity::Warning => ("warning", Health::AtRisk),
            AlertSeverity::Info => ("info", Health::Well),
        };
        Line {
            text: format!("  {word:8}  {}", shown(&alert.text)),
            style: Some(style(health)),
        }
    };
    view.situation.alerts.iter().map(one).collect()
}

/// The worst first; names are cut where there is no room for the longest.
fn machines(view: &View, columns: usize) -> Vec<Line> {
    let mut machines: Vec<_> = view.situation.overview.machines.iter().collect();
    machines.sort_by_key(|machine| {
        let health = word(machine).1;
        let has_point = machine.class() != MachineClass::NoPoint;
        (std::cmp::Reverse(health), has_point, &machine.name)
    });
    let names = machines
        .iter()
        .map(|it| shown(&it.distinct_name()).chars().count());
    let longest = names.max().unwrap_or(0).max(NAME_MIN);
    let width = longest.min(columns.saturating_sub(BESIDE_NAME).max(NAME_MIN));
    let one = |machine: &lifeboat_scheduler::MachineStatus| {
        let (word, health) = word(machine);
        let newest = machine.newest.as_ref();
        let newest = newest.map_or_else(|| "no point".to_owned(), |it| moment(it.at));
        let next = machine.next.map_or_else(|| "by hand".to_owned(), moment);
        let name = fitted(&shown(&machine.distinct_name()), width);
        Line {
            text: format!("  {name} {word:11} {newest:19}  next {next}"),
            style: Some(style(health)),
        }
    };
    machines.into_iter().map(one).collect()
}

/// The newest lines of all tasks that run, in the order in which they were said.
fn newest(view: &View, most: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for task in &view.situation.running {
        let said = view.said.get(&task.id).map(|it| &it.1);
        for (at, line) in said.into_iter().flatten() {
            lines.push((*at, format!("  {}: {line}", shown(&task.subject))));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let newest = lines.split_off(lines.len().saturating_sub(most));
    newest.into_iter().map(|(_, line)| plain(line)).collect()
}

fn log(view: &View, task: TaskId, room: usize) -> Vec<Line> {
    let running = view.situation.running.iter().find(|it| it.id == task);
    let title = match running {
        Some(task) => format!("{} {}", task.action, shown(&task.subject)),
        None => format!("task {}, which has ended", task.0),
    };
    let mut lines = vec![bold(&title)];
    let said = view.said.get(&task).map(|it| &it.1);
    let said: Vec<&String> = said.into_iter().flatten().map(|it| &it.1).collect();
    if said.is_empty() {
        lines.push(plain("it has said nothing so far".to_owned()));
    }
    let from = said.len().saturating_sub(room.saturating_sub(1));
    lines.extend(said[from..].iter().map(|line| plain((*line).clone())));
    lines
}

/// Cut, which is seen, or filled to a width.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let cut: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{cut}..")
}
