//! How everything is now, in one look and one sentence.

use std::collections::BTreeSet;

use lifeboat_catalog::{Alert, AlertSeverity, Task, TaskFilter, TaskId, TaskState};
use lifeboat_scheduler::{MachineClass, MachineCounts, MachineStatus, Node, Overview};
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

/// A word for a machine, which says the worst of it.
pub(crate) fn word(machine: &MachineStatus) -> (&'static str, Health) {
    match machine.class() {
        MachineClass::Gone => ("gone", Health::Well),
        MachineClass::Excused => ("excused", Health::Well),
        MachineClass::Unprotected => ("unprotected", Health::AtRisk),
        MachineClass::NoPoint => ("no point", Health::Missed),
        MachineClass::Missed => ("missed", Health::Missed),
        MachineClass::AtRisk => ("at risk", Health::AtRisk),
        MachineClass::Unknown => ("unknown", Health::AtRisk),
        MachineClass::Met => ("met", Health::Well),
    }
}

/// Numbers that the answer is made of.
struct Numbers {
    machines: MachineCounts,
    overdue: u64,
    critical: u64,
}

fn numbers(overview: &Overview, alerts: &[Alert]) -> Numbers {
    let critical = |it: &&Alert| it.severity == AlertSeverity::Critical;
    let overdue = overview.jobs.iter().filter(|it| it.overdue.is_some());
    Numbers {
        machines: overview.counts(),
        overdue: overdue.count() as u64,
        critical: alerts.iter().filter(critical).count() as u64,
    }
}

fn answer(overview: &Overview, alerts: &[Alert]) -> Answer {
    let numbers = numbers(overview, alerts);
    let machines = &numbers.machines;
    let all = machines.all();
    let (health, text) = match &numbers {
        it if all == 0 => (
            match it.overdue + it.critical {
                0 if !overview.jobs.iter().any(|job| job.is_enabled) => Health::Well,
                _ => Health::Missed,
            },
            "Nothing is known yet: no run has looked for machines; 'lifeboat run JOB' does."
                .to_owned(),
        ),
        _ if machines.no_point > 0 => {
            let text = format!(
                "No: {} of {} have no recovery point.",
                machines.no_point,
                count(all, "machine")
            );
            (Health::Missed, text)
        }
        it if machines.missed + it.overdue + it.critical > 0 => {
            (Health::Missed, not_as_promised(it))
        }
        _ if machines.at_risk + machines.unprotected > 0 => (Health::AtRisk, still(machines)),
        _ => {
            let text = format!(
                "Yes: {} can be recovered, every promise{} is kept.",
                count(all, "machine"),
                if machines.unknown > 0 {
                    " that was measured"
                } else {
                    ""
                }
            );
            (Health::Well, text)
        }
    };
    Answer { health, text }
}

fn not_as_promised(numbers: &Numbers) -> String {
    let mut parts = Vec::new();
    let machines = &numbers.machines;
    if machines.missed > 0 {
        let of = count(machines.all(), "machine");
        parts.push(format!("{} of {of} miss a promise", machines.missed));
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

fn still(numbers: &MachineCounts) -> String {
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
