//! What is wrong, as alerts of the catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_catalog::{Alert, AlertSeverity, Node, TaskState};

use jiff::{SignedDuration, Timestamp};

use crate::settings::Settings;
use crate::status::{
    FailureStatus, JobStatus, MachineStatus, ObjectiveKind, ObjectiveState, ObjectiveStatus,
    Overview, RepositoryStatus,
};

/// The note that says of each target of notices that takes none why: a text by its name.
pub const UNDELIVERED: &str = "undelivered notices";

/// A node that was not seen for so long has ended without a word.
const NODE_SILENT: SignedDuration = SignedDuration::from_mins(5);
/// Characters of what a failed attempt said.
const SAID_MAX: usize = 500;

/// Every condition that holds.
pub(crate) fn conditions(
    settings: &Settings,
    overview: &Overview,
    (nodes, tolerance): (&[Node], Duration),
    undelivered: &BTreeMap<String, String>,
    now: Timestamp,
) -> Vec<Alert> {
    let site = settings.site.as_deref();
    let machines = overview.machines.iter().flat_map(of_machine);
    let jobs = overview.jobs.iter().filter_map(of_job);
    let repositories = overview.repositories.iter().flat_map(of_repository);
    let failures = overview.failures.iter().map(of_failure);
    let nodes = nodes
        .iter()
        .filter_map(|node| of_node(node, tolerance, now));
    let all = machines.chain(jobs).chain(repositories);
    let targets = undelivered.iter();
    let targets = targets
        .map(|(target, text)| new(("notices", target), AlertSeverity::Critical, text.clone()));
    let all = all.chain(failures).chain(nodes).chain(targets);
    all.map(|alert| Alert {
        site: site.map(str::to_owned),
        ..alert
    })
    .collect()
}

fn new((condition, subject): (&str, &str), severity: AlertSeverity, text: String) -> Alert {
    Alert {
        id: 0,
        subject: format!("{condition} {subject}"),
        condition: condition.to_owned(),
        severity,
        text,
        site: None,
        job: None,
        machine: None,
        platform: None,
        repository: None,
        since: Timestamp::UNIX_EPOCH,
        cleared: None,
        acknowledged: None,
    }
}

fn of_node(node: &Node, tolerance: Duration, now: Timestamp) -> Option<Alert> {
    let name = &node.name;
    if now.duration_since(node.seen) > NODE_SILENT {
        let text = format!("node {name} was last seen at {}", node.seen);
        return Some(new(("node", name), AlertSeverity::Warning, text));
    }
    let ahead = node.clock_ahead;
    if ahead.unsigned_abs() <= tolerance {
        return None;
    }
    let side = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let text = format!(
        "the clock of node {name} is more than {} {side} that of the catalog's database: the node \
         begins nothing until they agree; set both by NTP ('timedatectl set-ntp true')",
        span(tolerance.as_secs())
    );
    Some(new(("clock_skew", name), AlertSeverity::Critical, text))
}

fn of_machine(machine: &MachineStatus) -> Vec<Alert> {
    let subject = format!("{}/{}", machine.platform, machine.name);
    let mut alerts = Vec::new();
    if !machine.is_protected && !machine.is_excused && machine.state != "gone" {
        let name = machine.distinct_name();
        let text = format!("machine {name} is in no job: nothing protects it");
        alerts.push(new(("unprotected", &subject), AlertSeverity::Warning, text));
    }
    if let Some((TaskState::Failed, at)) = machine.last_task
        && machine.state != "gone"
    {
        let name = machine.distinct_name();
        let text = format!("the last backup of {name} failed {}", moment(at));
        let is_transfer = machine
            .last_failure
            .as_ref()
            .is_some_and(|it| it.is_transfer);
        alerts.push(new(("failure", &subject), of_transfer(is_transfer), text));
    }
    for objective in &machine.objectives {
        alerts.extend(of_objective(machine, &subject, objective));
    }
    for alert in &mut alerts {
        alert.machine = Some(machine.name.clone());
        alert.platform = Some(machine.platform.clone());
        alert.job = machine.jobs.first().cloned();
    }
    alerts
}

fn of_objective(
    machine: &MachineStatus,
    subject: &str,
    objective: &ObjectiveStatus,
) -> Option<Alert> {
    if objective.state != ObjectiveState::Missed {
        return None;
    }
    // The text says nothing that changes while the condition holds.
    let measured = objective.measured.unwrap_or_default();
    let (name, promised) = (machine.distinct_name(), objective.promised);
    let (severity, text) = match objective.kind {
        ObjectiveKind::Rpo => {
            let text = match &machine.newest {
                Some(point) => format!(
                    "the newest recovery point of {name} is from {}, it should not be older \
                     than {}",
                    moment(point.at),
                    span(promised)
                ),
                None => format!(
                    "there is no recovery point of {name}, there should be one each {}",
                    span(promised)
                ),
            };
            let failure = machine.last_failure.as_ref();
            (AlertSeverity::Critical, because(failure, text))
        }
        ObjectiveKind::Rto => (
            AlertSeverity::Warning,
            format!(
                "the last recovery of {name} took {}, promised were {}",
                span(measured),
                span(promised)
            ),
        ),
        ObjectiveKind::Copies => (
            AlertSeverity::Warning,
            format!("{measured} of {promised} copies of {name} are there"),
        ),
        ObjectiveKind::Proof => (
            AlertSeverity::Warning,
            match machine.proved {
                Some(at) => format!(
                    "that {name} comes back was last proved {}, it should be proved each {}",
                    moment(at),
                    span(promised)
                ),
                None => format!(
                    "that {name} comes back was never proved, it should be proved each {}",
                    span(promised)
                ),
            },
        ),
    };
    Some(new((objective.kind.as_str(), subject), severity, text))
}

/// A text with what the newest attempt said that failed.
fn because(failure: Option<&FailureStatus>, text: String) -> String {
    match failure {
        None => text,
        Some(it) => format!("{text}; {} {} failed: {}", it.action, it.subject, said(it)),
    }
}

/// A repository that does not take what it should is worse than a machine that does not give it.
fn of_transfer(is_transfer: bool) -> AlertSeverity {
    match is_transfer {
        true => AlertSeverity::Critical,
        false => AlertSeverity::Warning,
    }
}

/// The beginning of what was said.
fn said(failure: &FailureStatus) -> &str {
    let line = failure.message.lines().next().unwrap_or_default();
    match line.char_indices().nth(SAID_MAX) {
        Some((end, _)) => &line[..end],
        None => line,
    }
}

fn of_failure(failure: &FailureStatus) -> Alert {
    let FailureStatus {
        job,
        action,
        subject,
        at,
        message,
        is_transfer,
    } = failure;
    let key = format!("{job} {action} {subject}");
    let at = moment(*at);
    let text = format!("{action} {subject} of {job} failed {at}: {message}");
    let is_repository = !matches!(action.as_str(), "resolve" | "verify" | "restore");
    Alert {
        job: Some(job.clone()),
        repository: is_repository.then(|| subject.clone()),
        ..new(("failure", &key), of_transfer(*is_transfer), text)
    }
}

fn of_job(job: &JobStatus) -> Option<Alert> {
    let since = job.overdue?;
    let after = job.comes_after.as_ref();
    let why = after.map(|other| format!(": it begins after {other}, which has not ended well"));
    let text = format!(
        "job {} should have begun {}{}",
        job.name,
        moment(since),
        why.unwrap_or_default()
    );
    Some(Alert {
        job: Some(job.name.clone()),
        ..new(("overdue", &job.name), AlertSeverity::Critical, text)
    })
}

fn of_repository(repository: &RepositoryStatus) -> Vec<Alert> {
    let name = &repository.facts.name;
    let mut alerts = Vec::new();
    if let Some(failure) = &repository.unreachable {
        let text = format!("repository {name} cannot be reached: {}", said(failure));
        alerts.push(new(("unreachable", name), AlertSeverity::Critical, text));
    }
    if repository.facts.is_ok == Some(false) {
        let first = repository.facts.findings.first();
        let first = first.map_or("", String::as_str);
        let text = format!("repository {name} is damaged: {first}");
        alerts.push(new(("check", name), AlertSeverity::Critical, text));
    }
    let bytes = repository.facts.size.map_or(0, |size| size.bytes);
    if repository.size_max.is_some_and(|max| bytes > max) {
        let text = format!("repository {name} is larger than it should be: {bytes} bytes");
        alerts.push(new(("size", name), AlertSeverity::Warning, text));
    }
    for alert in &mut alerts {
        alert.repository = Some(name.clone());
    }
    alerts
}

/// A moment for people.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Seconds for people: the two largest units.
fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut left = seconds;
    let mut words = Vec::new();
    for (unit, size) in units {
        let count = left / size;
        left %= size;
        if count > 0 && words.len() < 2 {
            words.push(format!("{count} {unit}"));
        }
    }
    match words.is_empty() {
        true => "0 s".to_owned(),
        false => words.join(" "),
    }
}
