//! The report as values, from the catalog.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{
    Action, Alert, AlertSeverity, Catalog, Point, Proof, ProofKind, Run, RunFilter, RunState, Task,
    TaskFilter, TaskState,
};
use lifeboat_scheduler::{MachineStatus, Node, ObjectiveKind, RepositoryStatus, Settings};
use serde::Serialize;

use super::checklist::{self, Item};
use super::month::Month;
use super::wanted::Wanted;
use crate::context::Context;
use crate::error::Result;
use crate::service::Service;

/// Rows of each sort that are read at most.
const ROWS_MAX: u32 = 1_000_000;
/// A task's point is dated within the task, and so much around it.
const AROUND: SignedDuration = SignedDuration::from_mins(1);

/// A month.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) month: String,
    pub(super) site: Option<String>,
    pub(super) from: Timestamp,
    /// Where the month ends, or when this was written.
    pub(super) to: Timestamp,
    /// Whether the month was over.
    pub(super) is_over: bool,
    pub(super) made: Timestamp,
    pub(super) runs: Counts,
    pub(super) backups: Counts,
    pub(super) sites: Vec<SitePart>,
    pub(super) repositories: Vec<RepositoryPart>,
    /// Failed tasks by sort of failure, the most frequent first.
    pub(super) failures: Vec<(String, u64)>,
    pub(super) alerts: Vec<AlertPart>,
    pub(super) checklist: Vec<Item>,
}

/// How often something ended how.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    pub(super) succeeded: u64,
    pub(super) partial: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
}

impl Counts {
    /// Those that ended well, of those that ended by themselves, in percent.
    pub(super) fn rate(&self) -> Option<f64> {
        let all = self.succeeded + self.partial + self.failed;
        (all > 0).then(|| self.succeeded as f64 * 100.0 / all as f64)
    }
}

/// Machines of one site.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SitePart {
    pub(super) name: String,
    pub(super) backups: Counts,
    pub(super) machines: Vec<MachinePart>,
}

/// How a day of a machine was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Day {
    /// It gave a point.
    Point,
    /// It gave none, and a backup failed.
    Failed,
    /// Nothing happened.
    Nothing,
}

/// A machine.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MachinePart {
    pub(super) name: String,
    /// As no other machine is named: with the platform where the name is shared.
    pub(super) distinct_name: String,
    pub(super) platform: String,
    pub(super) is_protected: bool,
    pub(super) is_excused: bool,
    pub(super) is_gone: bool,
    pub(super) backups: Counts,
    /// One for each day of the month.
    pub(super) days: Vec<Day>,
    /// Points that the month gave, also those that are removed by now.
    pub(super) points: u64,
    pub(super) newest: Option<Timestamp>,
    /// Seconds between points: half of the gaps are not longer.
    pub(super) gap_usual: Option<u64>,
    /// The longest, to the month's end too.
    pub(super) gap_worst: Option<u64>,
    pub(super) rpo_promised: Option<u64>,
    /// Recoveries that were measured, and the seconds of the slowest.
    pub(super) recoveries: u64,
    pub(super) recovery_worst: Option<u64>,
    pub(super) rto_promised: Option<u64>,
    /// Points that were read back, and how many of them were damaged.
    pub(super) verified: u64,
    pub(super) damaged: u64,
    /// Bytes that its points added.
    pub(super) bytes_stored: u64,
}

/// A repository.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RepositoryPart {
    pub(super) name: String,
    pub(super) place: String,
    /// Bytes when the month began, or when it was first seen in it.
    pub(super) bytes_before: Option<u64>,
    pub(super) bytes_after: Option<u64>,
    pub(super) size_max: Option<u64>,
    pub(super) points: u64,
    pub(super) checked: Option<Timestamp>,
    pub(super) is_ok: Option<bool>,
    pub(super) pruned: Option<Timestamp>,
}

/// An alert, as far as it held in the month.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AlertPart {
    pub(super) text: String,
    pub(super) severity: AlertSeverity,
    pub(super) since: Timestamp,
    pub(super) cleared: Option<Timestamp>,
    /// Inside the month.
    pub(super) seconds: u64,
    pub(super) acknowledged_by: Option<String>,
}

/// Rows of the month.
struct Rows {
    runs: Vec<Run>,
    tasks: Vec<Task>,
    points: Vec<Point>,
    proofs: Vec<Proof>,
    alerts: Vec<Alert>,
}

/// Everything of a month, of some machines or of all.
pub(super) fn report(
    context: &Context,
    (service, node): (&Service, &Node),
    (month, wanted): (&Month, &[String]),
) -> Result<Report> {
    let (overview, settings) = (node.overview()?, node.settings());
    let rows = rows(&service.catalog, month)?;
    let wanted = Wanted::of(&overview, wanted)?;
    let sites = sites(service, &settings, (&rows, month), &wanted);
    let mut report = Report {
        month: month.to_string(),
        site: overview.site.clone(),
        from: month.from,
        to: month.to,
        is_over: month.is_over,
        made: service.catalog.now(),
        runs: runs(&rows.runs),
        backups: sum(sites.iter().map(|site| site.backups)),
        sites,
        repositories: overview
            .repositories
            .iter()
            .map(|it| repository(&service.catalog, it, month))
            .collect::<Result<_>>()?,
        failures: failures(node, &rows.tasks, &wanted)?,
        alerts: alerts(&rows.alerts, month, &wanted),
        checklist: Vec::new(),
    };
    report.checklist = checklist::items(context, service, &report, &overview);
    Ok(report)
}

fn rows(catalog: &Catalog, month: &Month) -> Result<Rows> {
    let mut runs = catalog.runs(&RunFilter {
        since: Some(month.from),
        count: ROWS_MAX,
        ..RunFilter::default()
    })?;
    runs.retain(|run| month.holds(run.created));
    let mut tasks = catalog.tasks(&TaskFilter {
        ended_since: Some(month.from),
        count: ROWS_MAX,
        ..TaskFilter::default()
    })?;
    tasks.retain(|task| task.ended.is_some_and(|at| month.holds(at)));
    let mut proofs = catalog.proofs(None, ROWS_MAX)?;
    proofs.retain(|proof| month.holds(proof.at));
    // Alerts that began long before hold on, or are of no interest.
    let year = SignedDuration::from_hours(24 * 366);
    let since = month.from.checked_sub(year).unwrap_or(month.from);
    let mut alerts = catalog.alerts_since(since, ROWS_MAX)?;
    alerts
        .retain(|alert| alert.since < month.to && alert.cleared.is_none_or(|end| end > month.from));
    Ok(Rows {
        runs,
        tasks,
        points: catalog.points(None, ROWS_MAX)?,
        proofs,
        alerts,
    })
}

fn runs(runs: &[Run]) -> Counts {
    let mut counts = Counts::default();
    for run in runs {
        match run.state {
            RunState::Succeeded => counts.succeeded += 1,
            RunState::Partial => counts.partial += 1,
            RunState::Failed => counts.failed += 1,
            RunState::Cancelled => counts.cancelled += 1,
            RunState::Open => {}
        }
    }
    counts
}

fn sum(all: impl Iterator<Item = Counts>) -> Counts {
    all.fold(Counts::default(), |sum, one| Counts {
        succeeded: sum.succeeded + one.succeeded,
        partial: sum.partial + one.partial,
        failed: sum.failed + one.failed,
        cancelled: sum.cancelled + one.cancelled,
    })
}

fn sites(
    service: &Service,
    settings: &Settings,
    (rows, month): (&Rows, &Month),
    wanted: &Wanted<'_>,
) -> Vec<SitePart> {
    let config = &service.loaded.config;
    let mut sites: BTreeMap<String, Vec<MachinePart>> = BTreeMap::new();
    for status in &wanted.machines {
        let part = machine(status, settings, rows, month);
        // Those that went before have no part in it.
        if part.is_gone && part.points == 0 && part.backups.failed == 0 {
            continue;
        }
        let platform = config.platforms.get(&status.platform);
        let site = platform.and_then(|it| it.site.clone());
        let site = site.or(config.site.clone()).unwrap_or_default();
        sites.entry(site).or_default().push(part);
    }
    let part = |(name, machines): (String, Vec<MachinePart>)| SitePart {
        name: match config.sites.get(&name).and_then(|it| it.title.clone()) {
            Some(title) => title,
            None => name,
        },
        backups: sum(machines.iter().map(|machine| machine.backups)),
        machines,
    };
    sites.into_iter().map(part).collect()
}

/// Backups, points and proofs of one machine, also where another one has its name.
struct Own<'r> {
    tasks: Vec<&'r Task>,
    points: Vec<&'r Point>,
    proofs: Vec<&'r Proof>,
}

impl<'r> Own<'r> {
    fn of(status: &MachineStatus, settings: &Settings, rows: &'r Rows) -> Self {
        let (name, platform) = (&status.name, status.distinct_platform());
        let is_from = |found: Option<&str>| platform.is_none() || found == platform;
        let tasks = rows.tasks.iter().filter(|task| {
            let job = settings.jobs.get(&task.job);
            task.action == Action::Backup
                && task.subject == *name
                && is_from(job.map(|job| job.platform.as_str()))
        });
        let tasks: Vec<&Task> = tasks.collect();
        let points = rows.points.iter().filter(|it| it.machine == *name);
        let points = points.filter(|it| is_from(settings.platform_of(it)));
        let points: Vec<&Point> = points.collect();
        // Points that keep rules have removed since are known by the backups that made them.
        let outcomes = tasks.iter().filter_map(|task| task.outcome.as_ref());
        let made = outcomes.filter_map(|it| it.get("snapshot_id")?.as_str());
        let there = points.iter().map(|point| point.key.snapshot.as_str());
        let snapshots: BTreeSet<&str> = made.chain(there).collect();
        let proofs = rows.proofs.iter().filter(|it| it.machine == *name);
        let is_own = |it: &&Proof| platform.is_none() || snapshots.contains(&*it.point.snapshot);
        Self {
            proofs: proofs.filter(is_own).collect(),
            tasks,
            points,
        }
    }
}

fn machine(status: &MachineStatus, settings: &Settings, rows: &Rows, month: &Month) -> MachinePart {
    let Own {
        tasks,
        points,
        proofs,
    } = Own::of(status, settings, rows);
    let (verified, recovered): (Vec<&Proof>, Vec<&Proof>) = proofs
        .into_iter()
        .partition(|proof| proof.kind == ProofKind::Verify);
    let instants = instants(&points, &tasks);
    let gaps = gaps(&instants, month);
    let promised = |kind| {
        let objective = status.objectives.iter().find(|it| it.kind == kind);
        objective.map(|it| it.promised)
    };
    let of_month = points.iter().filter(|point| month.holds(point.at));
    MachinePart {
        name: status.name.clone(),
        distinct_name: status.distinct_name(),
        platform: status.platform.clone(),
        is_protected: status.is_protected,
        is_excused: status.is_excused,
        is_gone: status.state == "gone",
        backups: counts(&tasks),
        days: days(&instants, &tasks, month),
        points: instants.iter().filter(|at| month.holds(**at)).count() as u64,
        newest: instants.range(..month.to).next_back().copied(),
        gap_usual: gaps.get(gaps.len().saturating_sub(1) / 2).copied(),
        gap_worst: gaps.last().copied(),
        rpo_promised: promised(ObjectiveKind::Rpo),
        recoveries: recovered.iter().filter(|it| it.is_ok).count() as u64,
        recovery_worst: recovered
            .iter()
            .filter(|it| it.is_ok)
            .map(|it| it.seconds.ceil() as u64)
            .max(),
        rto_promised: promised(ObjectiveKind::Rto),
        verified: verified.len() as u64,
        damaged: verified.iter().filter(|it| !it.is_ok).count() as u64,
        bytes_stored: of_month.map(|point| point.bytes_stored).sum(),
    }
}

/// Instants that a machine could come back to: points that are there, and successful backups
/// whose points the keep rules have removed since.
fn instants(points: &[&Point], tasks: &[&Task]) -> BTreeSet<Timestamp> {
    let kept: BTreeSet<Timestamp> = points.iter().map(|point| point.at).collect();
    let mut all = kept.clone();
    for task in tasks.iter().filter(|it| it.state == TaskState::Succeeded) {
        let Some((began, ended)) = task.started.zip(task.ended) else {
            continue;
        };
        let from = began.checked_sub(AROUND).unwrap_or(began);
        let to = ended.checked_add(AROUND).unwrap_or(ended);
        if kept.range(from..=to).next().is_none() {
            all.insert(began);
        }
    }
    all
}

/// Seconds between instants, from the last one before the month to its end; sorted.
fn gaps(instants: &BTreeSet<Timestamp>, month: &Month) -> Vec<u64> {
    let before = instants.range(..month.from).next_back();
    let inside = instants.range(month.from..month.to);
    let known: Vec<Timestamp> = before.into_iter().chain(inside).copied().collect();
    let next = known.iter().skip(1).chain(std::iter::once(&month.to));
    let mut gaps: Vec<u64> = known
        .iter()
        .zip(next)
        .map(|(from, to)| to.duration_since(*from).as_secs().max(0).unsigned_abs())
        .collect();
    // The piece to the end is a gap only if it is the longest: the next point may come at once.
    if let Some(open) = gaps.pop()
        && gaps.iter().all(|gap| *gap < open)
    {
        gaps.push(open);
    }
    gaps.sort_unstable();
    gaps
}

fn counts(tasks: &[&Task]) -> Counts {
    let number = |state| tasks.iter().filter(|task| task.state == state).count() as u64;
    Counts {
        succeeded: number(TaskState::Succeeded),
        partial: 0,
        failed: number(TaskState::Failed),
        cancelled: number(TaskState::Cancelled),
    }
}

fn days(instants: &BTreeSet<Timestamp>, tasks: &[&Task], month: &Month) -> Vec<Day> {
    let mut days = vec![Day::Nothing; month.days()];
    let failed = tasks.iter().filter(|task| task.state == TaskState::Failed);
    for at in failed.filter_map(|task| task.ended) {
        if let Some(day) = days.get_mut(month.day(at)) {
            *day = Day::Failed;
        }
    }
    for at in instants.range(month.from..month.to) {
        if let Some(day) = days.get_mut(month.day(*at)) {
            *day = Day::Point;
        }
    }
    days
}

fn repository(
    catalog: &Catalog,
    status: &RepositoryStatus,
    month: &Month,
) -> Result<RepositoryPart> {
    let sizes = catalog.repository_sizes(&status.facts.name, Timestamp::UNIX_EPOCH)?;
    let before = sizes.iter().rev().find(|size| size.at < month.from);
    let mut inside = sizes.iter().filter(|size| month.holds(size.at));
    let first = before.or_else(|| inside.clone().next());
    let last = inside.next_back().or(before);
    Ok(RepositoryPart {
        name: status.facts.name.clone(),
        place: status.place.clone(),
        bytes_before: first.map(|size| size.bytes),
        bytes_after: last.map(|size| size.bytes),
        size_max: status.size_max,
        points: status.points,
        checked: status.facts.checked,
        is_ok: status.facts.is_ok,
        pruned: status.facts.pruned,
    })
}

fn failures(node: &Node, tasks: &[Task], wanted: &Wanted<'_>) -> Result<Vec<(String, u64)>> {
    let settings = node.settings();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for task in tasks.iter().filter(|it| it.state == TaskState::Failed) {
        let platform = node.platform_of_task(&settings, task)?;
        if wanted.is_all || wanted.holds(&task.subject, platform.as_deref()) {
            let kind = task.error_kind.as_deref().unwrap_or("unknown");
            *kinds.entry(format!("{} {kind}", task.action)).or_default() += 1;
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(kinds)
}

fn alerts(alerts: &[Alert], month: &Month, wanted: &Wanted<'_>) -> Vec<AlertPart> {
    let is_mine = |alert: &&Alert| {
        let machine = alert.machine.as_ref();
        wanted.is_all || machine.is_some_and(|it| wanted.holds(it, alert.platform.as_deref()))
    };
    let mine = alerts.iter().filter(is_mine);
    let part = |alert: &Alert| {
        let end = alert.cleared.unwrap_or(month.to).min(month.to);
        let held = end.duration_since(alert.since.max(month.from));
        AlertPart {
            text: alert.text.clone(),
            severity: alert.severity,
            since: alert.since,
            cleared: alert.cleared.filter(|end| *end < month.to),
            seconds: held.as_secs().max(0).unsigned_abs(),
            acknowledged_by: alert.acknowledged.as_ref().map(|it| it.by.clone()),
        }
    };
    let mut parts: Vec<AlertPart> = mine.map(part).collect();
    parts.sort_by_key(|it| (std::cmp::Reverse(it.severity), it.since));
    parts
}
