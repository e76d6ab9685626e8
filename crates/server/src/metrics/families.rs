//! Every family and where its values come from.

use std::collections::BTreeMap;

use lifeboat_catalog::{Action, Alert, AlertSeverity, Catalog, RunState, TaskState};
use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{MachineClass, MachineStatus, Node, ObjectiveState, Overview, Result};

use super::Part;
use super::text::{Format, Kind, Text};
use crate::look::unix;

/// Machines that have series, one of several jobs once for each; those left out are counted.
const MACHINES_MAX: usize = 5_000;
/// The same for the names of jobs, repositories, nodes and targets.
const NAMES_MAX: usize = 1_000;

type Labels<'a> = [(&'static str, Option<&'a str>); 4];

/// Writes the families of a part.
pub(super) fn write(node: &Node, part: Part, format: Format) -> Result<String> {
    let (seen, catalog) = (node.overview()?, node.catalog());
    let mut text = Text::new(format);
    machines(&mut text, &seen);
    repositories(&mut text, &seen);
    if part == Part::Everything {
        let mut build = text.family(Kind::Gauge, "lifeboat_build_info", "Is always 1.");
        build.sample(&[("version", Some(env!("CARGO_PKG_VERSION")))], 1);
        runs(&mut text, &seen, catalog)?;
        failures(&mut text, catalog)?;
        queue(&mut text, catalog)?;
        alerts(&mut text, &catalog.open_alerts()?);
        notices(&mut text, catalog)?;
        nodes(&mut text, catalog)?;
    }
    Ok(text.finish())
}

/// A machine and its labels, once for each of its jobs, or once without; and how many machines
/// have no place.
fn rows(seen: &Overview) -> (Vec<(&MachineStatus, Labels<'_>)>, usize) {
    let mut rows = Vec::new();
    for (number, machine) in seen.machines.iter().enumerate() {
        if rows.len() + machine.jobs.len().max(1) > MACHINES_MAX {
            return (rows, seen.machines.len() - number);
        }
        let labels = |job| {
            [
                ("site", seen.site.as_deref()),
                ("platform", Some(machine.platform.as_str())),
                ("machine", Some(machine.name.as_str())),
                ("job", job),
            ]
        };
        match machine.jobs.is_empty() {
            true => rows.push((machine, labels(None))),
            false => rows.extend(
                machine
                    .jobs
                    .iter()
                    .map(|job| (machine, labels(Some(job.as_str())))),
            ),
        }
    }
    (rows, 0)
}

type Value = fn(&MachineStatus) -> Option<f64>;

const MACHINE: [(&str, &str, Value); 8] = [
    (
        "lifeboat_machine_last_success_timestamp_seconds",
        "When the newest recovery point was made.",
        |machine| Some(unix(machine.newest.as_ref()?.at)),
    ),
    (
        "lifeboat_machine_last_backup_duration_seconds",
        "How long the newest recovery point took.",
        |machine| Some(machine.newest.as_ref()?.seconds).filter(|it| *it > 0.0),
    ),
    (
        "lifeboat_machine_last_backup_size_bytes",
        "How large the disks are in it.",
        |machine| Some(machine.newest.as_ref()?.bytes as f64),
    ),
    (
        "lifeboat_machine_last_backup_read_bytes",
        "How much of them was read.",
        |machine| {
            let newest = machine.newest.as_ref().filter(|it| it.tells_how())?;
            Some(newest.bytes_read as f64)
        },
    ),
    (
        "lifeboat_machine_last_backup_stored_bytes",
        "How much it added to the repository.",
        |machine| Some(machine.newest.as_ref()?.bytes_stored as f64),
    ),
    (
        "lifeboat_machine_last_verified_timestamp_seconds",
        "When a recovery point was last proved to come back.",
        |machine| Some(unix(machine.proved?)),
    ),
    (
        "lifeboat_machine_points",
        "Recovery points in all repositories.",
        |machine| Some(machine.points as f64),
    ),
    (
        "lifeboat_machine_protected",
        "Whether a job takes it, or nobody needs to.",
        |machine| Some(f64::from(machine.is_protected || machine.is_excused)),
    ),
];

fn machines(text: &mut Text, seen: &Overview) {
    let (rows, left_out) = rows(seen);
    for (name, help, value) in MACHINE {
        let mut family = text.family(Kind::Gauge, name, help);
        for (machine, labels) in &rows {
            if let Some(value) = value(machine) {
                family.sample(labels, value);
            }
        }
    }
    let name = "lifeboat_machine_objective_met";
    let mut family = text.family(Kind::Gauge, name, "Whether what was promised is kept.");
    for (machine, [site, platform, name, job]) in &rows {
        for objective in &machine.objectives {
            let is_met = match objective.state {
                _ if objective.until.is_some() => continue,
                ObjectiveState::Met | ObjectiveState::AtRisk => 1,
                ObjectiveState::Missed => 0,
                ObjectiveState::Unknown => continue,
            };
            let kind = ("objective", Some(objective.kind.as_str()));
            family.sample(&[*site, *platform, *name, *job, kind], is_met);
        }
    }
    let counts = seen.counts();
    let mut family = text.family(
        Kind::Gauge,
        "lifeboat_machines",
        "Machines by how they are.",
    );
    for (class, count) in [
        (MachineClass::Met, counts.met),
        (MachineClass::AtRisk, counts.at_risk),
        (MachineClass::Missed, counts.missed),
        (MachineClass::Unknown, counts.unknown),
        (MachineClass::NoPoint, counts.no_point),
        (MachineClass::Unprotected, counts.unprotected),
    ] {
        family.sample(&[("class", Some(class.as_str()))], count);
    }
    let name = "lifeboat_machines_left_out";
    let help = "Machines without series, because there are too many.";
    text.family(Kind::Gauge, name, help).sample(&[], left_out);
}

type Fact = fn(&lifeboat_catalog::RepositoryFacts) -> Option<f64>;

const REPOSITORY: [(&str, &str, Fact); 4] = [
    (
        "lifeboat_repository_size_bytes",
        "Bytes of all packs.",
        |facts| Some(facts.size?.bytes as f64),
    ),
    ("lifeboat_repository_blobs", "Blobs.", |facts| {
        Some(facts.size?.blobs as f64)
    }),
    (
        "lifeboat_repository_last_check_timestamp_seconds",
        "When it was last checked.",
        |facts| Some(unix(facts.checked?)),
    ),
    (
        "lifeboat_repository_check_ok",
        "Whether the last check found nothing.",
        |facts| Some(f64::from(facts.is_ok?)),
    ),
];

fn repositories(text: &mut Text, seen: &Overview) {
    for (name, help, value) in REPOSITORY {
        let mut family = text.family(Kind::Gauge, name, help);
        for repository in seen.repositories.iter().take(NAMES_MAX) {
            let facts = &repository.facts;
            if let Some(value) = value(facts) {
                family.sample(&[("repository", Some(facts.name.as_str()))], value);
            }
        }
    }
}

/// States in which runs end, and the words for them in metrics.
const ENDED: [(RunState, &str); 4] = [
    (RunState::Succeeded, "succeeded"),
    (RunState::Partial, "warned"),
    (RunState::Failed, "failed"),
    (RunState::Cancelled, "cancelled"),
];

fn runs(text: &mut Text, seen: &Overview, catalog: &Catalog) -> Result<()> {
    let mut counts = BTreeMap::new();
    for job in seen.jobs.iter().take(NAMES_MAX) {
        for (_, word) in ENDED {
            counts.insert((job.name.clone(), word), 0);
        }
    }
    for (job, state, count) in catalog.run_totals()? {
        let word = ENDED.iter().find(|(ended, _)| *ended == state);
        if let Some(known) = word.and_then(|(_, word)| counts.get_mut(&(job, *word))) {
            *known = count;
        }
    }
    let mut family = text.family(Kind::Counter, "lifeboat_runs_total", "Runs that ended.");
    for ((job, state), count) in counts {
        family.sample(
            &[("job", Some(job.as_str())), ("state", Some(state))],
            count,
        );
    }
    Ok(())
}

fn failures(text: &mut Text, catalog: &Catalog) -> Result<()> {
    let families = [
        (
            "lifeboat_task_failures_total",
            "Tasks that failed and are not tried again.",
            catalog.failures()?,
        ),
        (
            "lifeboat_task_failed_attempts_total",
            "Attempts that failed, those that are tried again too.",
            catalog.failed_attempts()?,
        ),
    ];
    for (name, help, counted) in families {
        let counted: BTreeMap<String, i64> = counted.into_iter().collect();
        let mut family = text.family(Kind::Counter, name, help);
        for action in Action::ALL {
            for kind in ErrorKind::ALL {
                let count = counted.get(&format!("{action} {kind}")).copied();
                let word = kind.to_string().replace(' ', "_");
                let labels = [
                    ("kind", Some(word.as_str())),
                    ("action", Some(action.as_str())),
                ];
                family.sample(&labels, count.unwrap_or(0));
            }
        }
    }
    Ok(())
}

fn queue(text: &mut Text, catalog: &Catalog) -> Result<()> {
    let counted = catalog.queue()?;
    let name = "lifeboat_queue_tasks";
    let mut family = text.family(Kind::Gauge, name, "Tasks that are not over.");
    for (state, word) in [
        (TaskState::Queued, "waiting"),
        (TaskState::Running, "running"),
    ] {
        let found = counted.iter().find(|(counted, _)| *counted == state);
        let count = found.map_or(0, |(_, count)| *count);
        family.sample(&[("state", Some(word))], count);
    }
    Ok(())
}

fn alerts(text: &mut Text, alerts: &[Alert]) {
    let help = "Conditions that hold.";
    let mut family = text.family(Kind::Gauge, "lifeboat_alerts", help);
    for (severity, word) in [
        (AlertSeverity::Info, "info"),
        (AlertSeverity::Warning, "warning"),
        (AlertSeverity::Critical, "critical"),
    ] {
        for (is_seen, state) in [(false, "open"), (true, "acknowledged")] {
            let is_one = |alert: &&Alert| {
                alert.severity == severity && alert.acknowledged.is_some() == is_seen
            };
            let count = alerts.iter().filter(is_one).count();
            family.sample(&[("severity", Some(word)), ("state", Some(state))], count);
        }
    }
}

/// The note of the catalog that counts notices that targets did not take, by target.
pub(crate) const NOTICE_FAILURES: &str = "notice failures";

fn notices(text: &mut Text, catalog: &Catalog) -> Result<()> {
    let counted: Option<BTreeMap<String, u64>> = catalog.note(NOTICE_FAILURES)?;
    let name = "lifeboat_notice_failures_total";
    let help = "Notices that a target did not take, each attempt.";
    let mut family = text.family(Kind::Counter, name, help);
    for (target, count) in counted.unwrap_or_default().iter().take(NAMES_MAX) {
        family.sample(&[("target", Some(target.as_str()))], count);
    }
    Ok(())
}

fn nodes(text: &mut Text, catalog: &Catalog) -> Result<()> {
    let name = "lifeboat_node_last_seen_timestamp_seconds";
    let help = "When a node was last alive.";
    let mut family = text.family(Kind::Gauge, name, help);
    for node in catalog.nodes()?.iter().take(NAMES_MAX) {
        family.sample(&[("node", Some(node.name.as_str()))], unix(node.seen));
    }
    Ok(())
}
