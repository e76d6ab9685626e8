//! Why a condition holds, and what to do about it.
//!
//! Takes an alert and looks into the catalog for the attempt that failed; what helps follows from
//! the sort of failure: what failed for a missing repository fails again when it is only repeated.
//! Does not write anything: alerts say what holds, this is asked when somebody reads them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat_catalog::{Action, Alert, Catalog, Task, TaskFilter, TaskState};
use lifeboat_model::ErrorKind;

use crate::Result;
use crate::conditions::moment;
use crate::settings::Settings;

/// Tasks of a subject among which the newest attempt is looked for: other jobs have some too.
const TASKS_MAX: u32 = 20;
/// Machines that a command names; of more the whole job is run.
const MACHINES_MAX: usize = 8;

/// Alerts of a list of which the reason is looked for: an outage of thousands has one.
pub const ADVISED_MAX: usize = 200;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What for, in a few words: `back it up now`.
    pub text: String,
    /// The command, as it is typed into a shell.
    pub command: String,
}

/// What is known about an alert beside what it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advice {
    /// The attempt that failed, with what it said; none if the alert says it, or nobody knows.
    pub why: Option<String>,
    /// The task of that attempt.
    pub task: Option<Task>,
    /// What to do, the likeliest first.
    pub remedies: Vec<Remedy>,
}

/// Why an alert holds, and what to do about it.
///
/// Cost: up to two questions to the catalog.
pub fn advise(catalog: &Catalog, settings: &Settings, alert: &Alert) -> Result<Advice> {
    let task = match alert.condition.as_str() {
        "rpo" => unfinished_backup(catalog, alert)?,
        "copies" => failed_copy(catalog, alert)?,
        "proof" => failed(catalog, alert, Some(Action::Verify))?,
        "failure" => failed(catalog, alert, None)?,
        _ => None,
    };
    let is_told = |it: &Task| {
        it.message
            .as_ref()
            .is_some_and(|it| alert.text.contains(it))
    };
    let why = task.as_ref().filter(|it| !is_told(it)).and_then(why);
    Ok(Advice {
        why,
        remedies: of_alert(settings, alert, task.as_ref()),
        task,
    })
}

/// As [`advise`], of all alerts of a list that hold, by their numbers.
///
/// The reasons are looked for of the first `most` alone.
pub fn advise_all(
    catalog: &Catalog,
    settings: &Settings,
    alerts: &[Alert],
    most: usize,
) -> Result<BTreeMap<i64, Advice>> {
    let holding = alerts.iter().filter(|alert| alert.cleared.is_none());
    let one = |(number, alert): (usize, &Alert)| {
        let advice = match number < most {
            true => advise(catalog, settings, alert)?,
            false => Advice {
                remedies: of_alert(settings, alert, None),
                ..Advice::default()
            },
        };
        Ok((alert.id, advice))
    };
    holding.enumerate().map(one).collect()
}

/// What helps against the failures of tasks, the likeliest first; they do and say the same sort of
/// thing.
pub fn remedies(settings: &Settings, tasks: &[&Task]) -> Vec<Remedy> {
    let Some(task) = tasks.first() else {
        return Vec::new();
    };
    let mut remedies = of_failure(settings, task, &twin(task, tasks));
    // A look at a repository changes nothing there, and is taken again by itself.
    remedies.retain(|it| task.action != Action::Look || it.command != twin(task, tasks));
    remedies
}

fn of_failure(settings: &Settings, task: &Task, twin: &str) -> Vec<Remedy> {
    let again = |text: &str| Remedy {
        text: text.to_owned(),
        command: twin.to_owned(),
    };
    let doctor = |text: &str| one(text, &["doctor"]);
    let of_repository = |text: &str, words: &[&str]| match repository(settings, task) {
        None => doctor(text),
        Some(name) => {
            let place = format!("@{name}");
            let words: Vec<&str> = words.iter().copied().chain(["-r", &place]).collect();
            one(text, &words)
        }
    };
    match kind(task) {
        Some(ErrorKind::NotFound) => vec![
            doctor("see what is missing: is it mounted, is its name right?"),
            again("when it is there, do it again"),
        ],
        Some(ErrorKind::Unreachable) => vec![
            doctor("see what does not answer"),
            again("when it answers, do it again"),
        ],
        Some(ErrorKind::Denied) => vec![
            doctor("see which password or right is missing"),
            again("when it is given, do it again"),
        ],
        Some(ErrorKind::Full) => vec![
            of_repository("see what takes the space", &["stats"]),
            of_repository("see what can go", &["prune", "--dry-run"]),
            again("when there is room, do it again"),
        ],
        Some(ErrorKind::Corrupt) => vec![
            of_repository("see what is damaged", &["check"]),
            one("see how to repair it", &["repair", "--help"]),
        ],
        Some(ErrorKind::Busy) => vec![
            of_repository("see who holds it", &["list", "locks"]),
            again("when it is free, do it again"),
        ],
        Some(ErrorKind::Invalid | ErrorKind::Unsupported) => vec![
            one("look at what is configured", &["config", "validate"]),
            again("when that is mended, do it again"),
        ],
        Some(ErrorKind::Exists) if task.action == Action::Restore => vec![
            with_option("bring it back under another name", task, &["--as", "NAME"]),
            with_option("or set the old one aside", task, &["--replace"]),
        ],
        Some(ErrorKind::Cancelled) => vec![again("do it again")],
        Some(ErrorKind::Exists | ErrorKind::Io) | None => {
            vec![doctor("look for what is wrong here"), again("do it again")]
        }
    }
}

/// A command of lifeboat as it is typed into a shell: `lifeboat run nightly -m 'my web'`.
pub fn command(words: &[impl AsRef<str>]) -> String {
    let words = words.iter().map(|word| shell_word(word.as_ref()));
    let all: Vec<String> = ["lifeboat".to_owned()].into_iter().chain(words).collect();
    all.join(" ")
}

/// The command of a task with further options; they stand before the names.
pub fn command_with(task: &Task, options: &[&str]) -> String {
    let words: Vec<&str> = task.words.iter().map(String::as_str).collect();
    let at = words.iter().position(|it| *it == "--");
    let (before, after) = words.split_at(at.unwrap_or(words.len()));
    command(&[before, options, after].concat())
}

/// A word as it is typed into a shell.
pub fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:@=+,%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn one(text: &str, words: &[&str]) -> Remedy {
    Remedy {
        text: text.to_owned(),
        command: command(words),
    }
}

/// What does the same as some tasks: of backups by the service, which writes down how they ended.
fn twin(first: &Task, tasks: &[&Task]) -> String {
    let machines = || tasks.iter().flat_map(|it| ["-m", &it.subject]);
    let named = match first.action {
        Action::Backup if tasks.len() <= MACHINES_MAX => machines().collect(),
        Action::Backup | Action::Resolve => Vec::new(),
        _ => return command(&first.words),
    };
    command(&[vec!["run", &first.job], named].concat())
}

fn with_option(text: &str, task: &Task, options: &[&str]) -> Remedy {
    Remedy {
        text: text.to_owned(),
        command: command_with(task, options),
    }
}

fn kind(task: &Task) -> Option<ErrorKind> {
    ErrorKind::named(task.error_kind.as_ref()?)
}

/// The repository that a task writes into or reads.
fn repository<'a>(settings: &'a Settings, task: &'a Task) -> Option<&'a str> {
    let at = task.words.iter().position(|it| it == "--repo");
    let named = at.and_then(|at| task.words.get(at + 1)?.strip_prefix('@'));
    let of_job = || Some(settings.jobs.get(&task.job)?.repository.as_str());
    named.or_else(of_job)
}

/// How an attempt failed, and whether there is another.
fn why(task: &Task) -> Option<String> {
    let said = task.message.as_ref();
    let waits = task
        .held_up
        .as_ref()
        .filter(|_| task.state == TaskState::Queued);
    let what = format!("{} {}", task.action, task.subject);
    if let Some(waits) = waits {
        return Some(format!("{what} waits: {waits}"));
    }
    let said = said?;
    let at = task.ended.or(task.started);
    let at = at.map_or(String::new(), |at: Timestamp| format!(" {}", moment(at)));
    let tries = match (task.state, task.attempts_max) {
        (TaskState::PassedOver, _) => return Some(format!("{what} was passed over{at}: {said}")),
        (TaskState::Failed, 0 | 1) => String::new(),
        (TaskState::Failed, _) => format!(", attempt {} and the last", task.attempt),
        (TaskState::Queued, most) => {
            let again = moment(task.not_before);
            format!(", attempt {} of {most}, the next one {again}", task.attempt)
        }
        _ => ", and is tried again now".to_owned(),
    };
    Some(format!("{what} failed{at}{tries}: {said}"))
}

fn tasks_of(catalog: &Catalog, subject: &str, state: Option<TaskState>) -> Result<Vec<Task>> {
    let filter = TaskFilter {
        subject: Some(subject.to_owned()),
        state,
        count: TASKS_MAX,
        ..TaskFilter::default()
    };
    Ok(catalog.tasks(&filter)?)
}

fn is_of(alert: &Alert, task: &Task) -> bool {
    alert.job.as_ref().is_none_or(|job| *job == task.job)
}

/// The newest attempt to back a machine up, unless it came to a good end; a platform that could
/// not be asked is why there was none.
fn unfinished_backup(catalog: &Catalog, alert: &Alert) -> Result<Option<Task>> {
    let Some(machine) = &alert.machine else {
        return Ok(None);
    };
    let mut tasks = tasks_of(catalog, machine, None)?;
    tasks.retain(|it| it.action == Action::Backup);
    let place = alert.subject.split_once(' ').map(|(_, place)| place);
    if let Some((platform, _)) = place.and_then(|place| place.split_once('/')) {
        let asked = tasks_of(catalog, platform, None)?.into_iter();
        tasks.extend(asked.filter(|it| it.action == Action::Resolve));
    }
    tasks.retain(|it| is_of(alert, it));
    tasks.sort_by_key(|it| std::cmp::Reverse(it.id));
    for task in tasks {
        match (task.action, task.state) {
            (Action::Backup, TaskState::Succeeded) => return Ok(None),
            _ if task.message.is_some() || task.held_up.is_some() => return Ok(Some(task)),
            _ => {}
        }
    }
    Ok(None)
}

/// The newest failure to copy what a job backs up.
fn failed_copy(catalog: &Catalog, alert: &Alert) -> Result<Option<Task>> {
    let ends = catalog.last_ends()?.into_iter().filter(|end| {
        let is_own = alert.job.as_ref().is_none_or(|job| *job == end.job);
        is_own && end.action == Action::Copy && end.state == TaskState::Failed
    });
    let Some(newest) = ends.max_by_key(|end| end.ended) else {
        return Ok(None);
    };
    let tasks = tasks_of(catalog, &newest.subject, Some(TaskState::Failed))?;
    let mut copies = tasks.into_iter();
    Ok(copies.find(|it| it.action == Action::Copy && it.job == newest.job))
}

/// The newest task that failed for what an alert is about.
fn failed(catalog: &Catalog, alert: &Alert, action: Option<Action>) -> Result<Option<Task>> {
    let last_word = alert.subject.rsplit(' ').next();
    let named = alert.machine.as_deref().or(alert.repository.as_deref());
    let Some(subject) = named.or(last_word) else {
        return Ok(None);
    };
    let mut tasks = tasks_of(catalog, subject, Some(TaskState::Failed))?.into_iter();
    Ok(tasks.find(|task| match action {
        // Upkeep is a job of its own name.
        Some(action) => task.action == action,
        None => is_of(alert, task),
    }))
}

/// What to do about an alert, the likeliest first; the last is to say that one takes care of it.
fn of_alert(settings: &Settings, alert: &Alert, task: Option<&Task>) -> Vec<Remedy> {
    let failed = task.filter(|it| it.error_kind.is_some());
    let mut remedies = match failed {
        Some(task) => remedies(settings, &[task]),
        None => of_condition(alert),
    };
    if alert.acknowledged.is_none() {
        let number = alert.id.to_string();
        let text = "say that you take care of it";
        remedies.push(one(text, &["alert", "acknowledge", &number]));
    }
    remedies
}

fn of_condition(alert: &Alert) -> Vec<Remedy> {
    let job = alert.job.as_deref().unwrap_or("JOB");
    let place = format!("@{}", alert.repository.as_deref().unwrap_or("NAME"));
    let last_word = alert.subject.rsplit(' ').next().unwrap_or_default();
    let elsewhere = |text: &str, command: &str| Remedy {
        text: text.to_owned(),
        command: command.to_owned(),
    };
    match (alert.condition.as_str(), &alert.machine) {
        ("rpo" | "copies", Some(machine)) => {
            vec![one("back it up now", &["run", job, "-m", machine])]
        }
        ("rpo" | "copies", None) => vec![one("back it up now", &["run", job])],
        ("failure", _) => vec![one("look for what is wrong here", &["doctor"])],
        ("unprotected", _) => vec![one(
            "name it in a job or in unprotected_ok, then",
            &["config", "validate"],
        )],
        ("overdue", _) => vec![
            one("begin it now", &["run", job]),
            one("look why it waits", &["doctor"]),
        ],
        ("check", _) => vec![
            one("see what is damaged", &["check", "-r", &place]),
            one("see how to repair it", &["repair", "--help"]),
        ],
        ("size", _) => vec![
            one("see what takes the space", &["stats", "-r", &place]),
            one("see what can go", &["prune", "--dry-run", "-r", &place]),
        ],
        ("node", _) => vec![elsewhere("look at it there", "systemctl status lifeboat")],
        ("clock_skew", _) => vec![elsewhere("set its clock there", "timedatectl set-ntp true")],
        ("notices", _) => vec![one("try it", &["notify", "test", last_word])],
        _ => vec![one("see all", &["status"])],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_word_of_a_shell() {
        let typed = command(&["run", "nightly", "-m", "web $(reboot) 'x'"]);
        assert_eq!(typed, "lifeboat run nightly -m 'web $(reboot) '\\''x'\\'''");
        assert_eq!(command(&["run", ""]), "lifeboat run ''");
    }
}
