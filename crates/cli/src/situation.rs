//! How everything is now, in one look and one sentence.

use std::collections::BTreeSet;

use lifeboat_catalog::{Alert, AlertSeverity, Task, TaskFilter, TaskId, TaskState};
use lifeboat_scheduler::{MachineStatus, Node, ObjectiveState, Overview};
use serde::Serialize;

use crate::error::Result;
use crate::service::{LeftRun, Service};
use crate::tables::count;

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// All promises are kept.
    Well,
    /// A promise is nearly missed, or a machine is in no job.
    AtRisk,
    /// A promise is missed.
    Missed,
}

/// Whether machines can be recovered now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer {
    /// How well it is.
    pub(crate) health: Health,
    /// A sentence.
    pub(crate) text: String,
}

/// What one look at the catalog showed.
pub(crate) struct Situation {
    pub(crate) overview: std::sync::Arc<Overview>,
    /// Those that hold, worst first.
    pub(crate) alerts: Vec<Alert>,
    /// Those that a node carries out now, oldest first.
    pub(crate) running: Vec<Task>,
    /// Those of them whose node says nothing more.
    pub(crate) silent: BTreeSet<TaskId>,
    /// Runs that commands of this host left in the middle.
    pub(crate) left: Vec<LeftRun>,
    pub(crate) answer: Answer,
}

impl Situation {
    /// Looks.
    pub(crate) fn look(service: &Service, node: &Node) -> Result<Self> {
        let overview = node.overview()?;
        let alerts = node.catalog().open_alerts()?;
        let mut running = node.catalog().tasks(&TaskFilter {
            state: Some(TaskState::Running),
            ..TaskFilter::default()
        })?;
        running.reverse();
        // Whoever may not look into the state is told the rest.
        let left = service.left_runs().unwrap_or_default();
        let mut silent = node.catalog().lapsed()?;
        for task in &mut running {
            let is_gone = |it: &LeftRun| task.node.as_ref() == Some(&it.node);
            if left.iter().any(is_gone) {
                silent.insert(task.id);
            }
            let progress = task.progress.as_mut().filter(|_| silent.contains(&task.id));
            if let Some(progress) = progress {
                (progress.rate, progress.seconds_left) = (0, None);
            }
        }
        let answer = answer(&overview, &alerts);
        Ok(Self {
            overview,
            alerts,
            running,
            silent,
            left,
            answer,
        })
    }
}

/// Whether a machine is there, and nobody said that it needs no protection.
fn is_wanted(machine: &&MachineStatus) -> bool {
    machine.state != "gone" && !machine.is_excused
}

/// Whether a machine is in no job.
pub(crate) fn is_unprotected(machine: &MachineStatus) -> bool {
    is_wanted(&machine) && !machine.is_protected
}

/// Whether a machine that jobs mean has nothing to come back from.
pub(crate) fn has_no_point(machine: &MachineStatus) -> bool {
    is_wanted(&machine) && machine.is_protected && machine.newest.is_none()
}

/// A word for a machine, which says the worst of it.
pub(crate) fn word(machine: &MachineStatus) -> (&'static str, Health) {
    match machine.worst {
        _ if machine.state == "gone" => ("gone", Health::Well),
        _ if has_no_point(machine) => ("no point", Health::Missed),
        ObjectiveState::Missed => ("missed", Health::Missed),
        _ if is_unprotected(machine) => ("unprotected", Health::AtRisk),
        ObjectiveState::AtRisk => ("at risk", Health::AtRisk),
        ObjectiveState::Unknown => ("unknown", Health::AtRisk),
        ObjectiveState::Met if !machine.is_protected => ("excused", Health::Well),
        ObjectiveState::Met => ("met", Health::Well),
    }
}

/// Numbers that the answer is made of.
struct Numbers {
    wanted: usize,
    without: usize,
    missed: usize,
    at_risk: usize,
    unprotected: usize,
    overdue: usize,
    critical: usize,
}

fn numbers(overview: &Overview, alerts: &[Alert]) -> Numbers {
    let machines = || overview.machines.iter();
    let worst = |state| {
        let wanted = machines().filter(is_wanted);
        wanted.filter(move |it| it.worst == state).count()
    };
    let critical = |it: &&Alert| it.severity == AlertSeverity::Critical;
    Numbers {
        wanted: machines().filter(is_wanted).count(),
        without: machines().filter(|it| has_no_point(it)).count(),
        missed: worst(ObjectiveState::Missed),
        at_risk: worst(ObjectiveState::AtRisk),
        unprotected: machines().filter(|it| is_unprotected(it)).count(),
        overdue: overview
            .jobs
            .iter()
            .filter(|it| it.overdue.is_some())
            .count(),
        critical: alerts.iter().filter(critical).count(),
    }
}

fn answer(overview: &Overview, alerts: &[Alert]) -> Answer {
    let numbers = numbers(overview, alerts);
    let (health, text) = match &numbers {
        it if it.wanted == 0 => (
            match it.overdue + it.critical {
                0 => Health::Well,
                _ => Health::Missed,
            },
            "Nothing is known yet: no run has looked for machines; 'lifeboat run JOB' does."
                .to_owned(),
        ),
        it if it.without > 0 => {
            let text = format!(
                "No: {} of {} have no recovery point.",
                it.without,
                count(it.wanted, "machine")
            );
            (Health::Missed, text)
        }
        it if it.missed + it.overdue + it.critical > 0 => (Health::Missed, not_as_promised(it)),
        it if it.at_risk + it.unprotected > 0 => (Health::AtRisk, still(it)),
        it => {
            let text = format!(
                "Yes: {} can be recovered, every promise is kept.",
                count(it.wanted, "machine")
            );
            (Health::Well, text)
        }
    };
    Answer { health, text }
}

fn not_as_promised(numbers: &Numbers) -> String {
    let mut parts = Vec::new();
    if numbers.missed > 0 {
        let of = count(numbers.wanted, "machine");
        parts.push(format!("{} of {of} miss a promise", numbers.missed));
    }
    if numbers.overdue > 0 {
        let verb = if numbers.overdue == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} overdue", count(numbers.overdue, "job")));
    }
    if numbers.critical > 0 {
        let verb = if numbers.critical == 1 { "is" } else { "are" };
        let alerts = count(numbers.critical, "critical alert");
        parts.push(format!("{alerts} {verb} open"));
    }
    format!("Not as promised: {}.", parts.join(", "))
}

fn still(numbers: &Numbers) -> String {
    let mut parts = Vec::new();
    if numbers.at_risk > 0 {
        let soon = count(numbers.at_risk, "promise");
        parts.push(format!("{soon} will soon be missed"));
    }
    if numbers.unprotected > 0 {
        let verb = if numbers.unprotected == 1 {
            "is"
        } else {
            "are"
        };
        let machines = count(numbers.unprotected, "machine");
        parts.push(format!("{machines} {verb} in no job"));
    }
    format!("Yes, still: {}.", parts.join(", "))
}
