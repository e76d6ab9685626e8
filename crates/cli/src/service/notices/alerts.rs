//! Alerts of the catalog as people are told of them: with the reason, what to do, and a link.

use lifeboat_catalog::{Alert, AlertSeverity, Catalog, Task, TaskFilter, TaskState};
use lifeboat_notify::{Condition, Remedy, Severity, Subject};

use super::runs::{remedy, shortened};
use crate::error::Result;

/// Alerts of which the reason is looked for; a notice of more has no room for it.
const REASONS_MAX: usize = 20;
/// Failed tasks among which its own is looked for: other jobs have some too.
const FAILED_MAX: u32 = 20;
/// Lines of a log that go along.
const LINES_MAX: u32 = 10;

/// Where the dashboard is, if people reach it.
pub(super) struct Links(Option<String>);

impl Links {
    pub(super) fn new(dashboard: Option<String>) -> Self {
        Self(dashboard)
    }

    /// A page of the dashboard.
    pub(super) fn page(&self, path: &str) -> Option<String> {
        let address = self.0.as_ref()?;
        Some(format!("{address}/{path}"))
    }

    pub(super) fn run(&self, number: i64) -> Option<String> {
        self.page(&format!("runs/{number}"))
    }
}

/// What holds, in words for people.
pub(super) fn conditions(
    catalog: &Catalog,
    alerts: &[Alert],
    links: &Links,
) -> Result<Vec<Condition>> {
    let mut conditions = Vec::with_capacity(alerts.len());
    for (number, alert) in alerts.iter().enumerate() {
        let task = match number < REASONS_MAX && alert.condition == "failure" {
            true => failed_task(catalog, alert)?,
            false => None,
        };
        let details = match &task {
            Some(task) => reason(catalog, task)?,
            None => String::new(),
        };
        conditions.push(Condition {
            key: alert.subject.clone(),
            severity: severity(alert.severity),
            subject: Subject {
                site: alert.site.clone(),
                job: alert.job.clone(),
                machine: alert.machine.clone(),
                repository: alert.repository.clone(),
            },
            text: alert.text.clone(),
            details,
            remedies: remedies(alert, task.as_ref()),
            since: alert.since,
            cleared: alert.cleared,
            link: links.page(&format!("alerts#alert-{}", alert.id)),
        });
    }
    Ok(conditions)
}

pub(super) fn severity(severity: AlertSeverity) -> Severity {
    match severity {
        AlertSeverity::Info => Severity::Info,
        AlertSeverity::Warning => Severity::Warning,
        AlertSeverity::Critical => Severity::Critical,
    }
}

/// The newest task that failed for what an alert is about.
fn failed_task(catalog: &Catalog, alert: &Alert) -> Result<Option<Task>> {
    let last_word = alert.subject.rsplit(' ').next();
    let named = alert.machine.as_deref().or(alert.repository.as_deref());
    let filter = TaskFilter {
        subject: named.or(last_word).map(str::to_owned),
        state: Some(TaskState::Failed),
        count: FAILED_MAX,
        ..TaskFilter::default()
    };
    let of_job = |task: &Task| alert.job.as_ref().is_none_or(|job| *job == task.job);
    Ok(catalog.tasks(&filter)?.into_iter().find(of_job))
}

/// What a task said at last.
fn reason(catalog: &Catalog, task: &Task) -> Result<String> {
    let log = catalog.log_end(task.id, LINES_MAX)?;
    let log = log.iter().map(|it| it.line.as_str());
    let said = task.message.iter().map(String::as_str);
    let mut lines: Vec<String> = said.chain(log).map(shortened).collect();
    lines.dedup();
    Ok(lines.join("\n"))
}

/// What to do, the likeliest first.
fn remedies(alert: &Alert, failed: Option<&Task>) -> Vec<Remedy> {
    let one = |text: &str, words: &[&str]| Remedy {
        text: text.to_owned(),
        command: command(words),
    };
    let job = alert.job.as_deref().unwrap_or("JOB");
    let repository = format!("@{}", alert.repository.as_deref().unwrap_or("NAME"));
    let back_up = |text: &str| match &alert.machine {
        Some(machine) => one(text, &["run", job, "-m", machine]),
        None => one(text, &["run", job]),
    };
    let mut remedies = match alert.condition.as_str() {
        "rpo" | "copies" => vec![back_up("back it up now")],
        "failure" => {
            let again = failed.map(|task| remedy("do it again", task));
            let doctor = one("look for what is wrong here", &["doctor"]);
            again.into_iter().chain([doctor]).collect()
        }
        "unprotected" => vec![one(
            "name it in a job or in unprotected_ok, then",
            &["config", "validate"],
        )],
        "overdue" => vec![
            one("begin it now", &["run", job]),
            one("look why it waits", &["doctor"]),
        ],
        "check" => vec![
            one("see what is damaged", &["check", "-r", &repository]),
            one("see how to repair it", &["repair", "--help"]),
        ],
        "size" => vec![
            one("see what takes the space", &["stats", "-r", &repository]),
            one(
                "see what can go",
                &["prune", "-r", &repository, "--dry-run"],
            ),
        ],
        "node" => vec![Remedy {
            text: "look at it there".to_owned(),
            command: "systemctl status lifeboat".to_owned(),
        }],
        _ => vec![one("see all", &["status"])],
    };
    let number = alert.id.to_string();
    remedies.push(one(
        "say that you take care of it",
        &["alert", "acknowledge", &number],
    ));
    remedies
}

/// A command of lifeboat as it is typed into a shell.
pub(super) fn command(words: &[&str]) -> String {
    let words = words.iter().map(|word| quoted(word));
    let all: Vec<String> = ["lifeboat".to_owned()].into_iter().chain(words).collect();
    all.join(" ")
}

/// A word as it is typed into a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:@=+,%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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
