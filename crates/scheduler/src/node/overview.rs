//! Everything that a page or a metric shows, from one look at the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lifeboat_catalog::{
    Action, Catalog, LastEnd, Machine, MachineKey, Point, Proof, Run, RunFilter, RunId, RunState,
    Task, TaskFilter, TaskState,
};
use lifeboat_config::Objectives;

use super::machines::newest_of_each_repository;
use super::{Node, lock};
use crate::Result;
use crate::attempts::Attempts;
use crate::due::{SINCE, scheduled};
use crate::judge::{Measured, by_machine, judge, strictest};
use crate::settings::{JobSettings, Settings};
use crate::status::{
    FailureStatus, JobStatus, MachineStatus, ObjectiveState, Overview, RepositoryStatus, is_excused,
};

/// An overview is shown for so long if nothing has happened.
const FRESH: SignedDuration = SignedDuration::from_secs(10);
/// Tasks and runs that have not ended which are looked at.
const OPEN_MAX: u32 = 10_000;
/// A run that has not begun so long after its moment is overdue.
const OVERDUE: SignedDuration = SignedDuration::from_mins(15);

/// Rows that several parts need.
struct Rows {
    machines: Vec<Machine>,
    seen_since: BTreeMap<MachineKey, Timestamp>,
    newest: Vec<Point>,
    /// All points of machines that share their name with one of another platform.
    apart: BTreeMap<MachineKey, Vec<Point>>,
    counts: BTreeMap<String, u64>,
    in_repository: BTreeMap<String, u64>,
    proofs: Vec<Proof>,
    ends: Vec<LastEnd>,
    /// Those that wait or run.
    tasks: Vec<Task>,
    /// The oldest run of each job that has not ended.
    open: BTreeMap<String, RunId>,
    runs: BTreeMap<String, Run>,
    next: BTreeMap<String, Timestamp>,
    last_planned: BTreeMap<String, Timestamp>,
}

impl Node {
    /// How everything is; the same value until something happens, for ten seconds at most.
    pub fn overview(&self) -> Result<Arc<Overview>> {
        let now = self.catalog.now();
        let newest = self.catalog.newest_event()?;
        if let Some((event, at, overview)) = &*lock(&self.overview)
            && *event == newest
            && now.duration_since(*at) < FRESH
        {
            return Ok(Arc::clone(overview));
        }
        let settings = self.settings();
        let overview = Arc::new(self.look(&settings, now)?);
        *lock(&self.overview) = Some((newest, now, Arc::clone(&overview)));
        Ok(overview)
    }

    fn look(&self, settings: &Settings, now: Timestamp) -> Result<Overview> {
        let rows = self.rows(settings, now)?;
        let attempts = Attempts::of(&rows.ends, &rows.tasks);
        Ok(Overview {
            site: settings.site.clone(),
            machines: machines(settings, (&rows, &attempts), now),
            jobs: jobs(settings, &rows, now),
            repositories: self.repositories(settings, (&rows, &attempts))?,
            failures: failures(settings, &rows),
            proved: rows
                .proofs
                .iter()
                .filter(|it| it.is_ok)
                .map(|it| it.at)
                .max(),
            at: Some(now),
        })
    }

    fn rows(&self, settings: &Settings, now: Timestamp) -> Result<Rows> {
        let catalog = &self.catalog;
        let (mut counts, mut in_repository) = (BTreeMap::new(), BTreeMap::new());
        for (machine, repository, count, ..) in catalog.point_counts()? {
            let count = count.unsigned_abs();
            *counts.entry(machine).or_default() += count;
            *in_repository.entry(repository).or_default() += count;
        }
        let runs = catalog.newest_runs()?.into_iter();
        // One that never began counts from the moment on at which it was first seen.
        let mut last_planned: BTreeMap<_, _> = catalog.note(SINCE)?.unwrap_or_default();
        last_planned.extend(catalog.all_last_planned()?);
        let next = scheduled(settings).filter_map(|it| {
            let next = it.timing.after(now, it.name).next()?;
            Some((it.job(), next.begins))
        });
        let machines = present(catalog.machines()?);
        Ok(Rows {
            apart: self.apart(settings, &machines)?,
            machines,
            seen_since: catalog.machines_since()?.into_iter().collect(),
            newest: catalog.newest_points()?,
            counts,
            in_repository,
            proofs: catalog.proofs(None, 10_000)?,
            ends: catalog.last_ends()?,
            tasks: waiting(catalog)?,
            open: open_runs(catalog)?,
            runs: runs.map(|run| (run.job.clone(), run)).collect(),
            next: next.collect(),
            last_planned,
        })
    }

    fn repositories(
        &self,
        settings: &Settings,
        (rows, attempts): (&Rows, &Attempts<'_>),
    ) -> Result<Vec<RepositoryStatus>> {
        let mut unreachable = attempts.unreachable(settings);
        let mut seen = self.catalog.repositories()?;
        let next = |action: Action, name: &str| {
            rows.next
                .get(&crate::words::upkeep_job(action, name))
                .copied()
        };
        let mut one = |(name, configured): (&String, &crate::RepositorySettings)| {
            let at = seen.iter().position(|facts| facts.name == *name);
            let mut facts = at.map(|at| seen.swap_remove(at)).unwrap_or_default();
            facts.name.clone_from(name);
            RepositoryStatus {
                facts,
                place: configured.place.clone(),
                unreachable: unreachable.remove(name),
                points: rows.in_repository.get(name).copied().unwrap_or_default(),
                next_check: next(Action::Check, name),
                next_prune: next(Action::Prune, name),
                size_max: configured.size_max,
            }
        };
        Ok(settings.repositories.iter().map(&mut one).collect())
    }
}

/// Tasks that wait or run.
fn waiting(catalog: &Catalog) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for state in [TaskState::Queued, TaskState::Running] {
        tasks.extend(catalog.tasks(&TaskFilter {
            state: Some(state),
            count: OPEN_MAX,
            ..TaskFilter::default()
        })?);
    }
    Ok(tasks)
}

/// The oldest open run of each job.
fn open_runs(catalog: &Catalog) -> Result<BTreeMap<String, RunId>> {
    let open = catalog.runs(&RunFilter {
        state: Some(RunState::Open),
        count: OPEN_MAX,
        ..RunFilter::default()
    })?;
    Ok(open.into_iter().map(|run| (run.job, run.id)).collect())
}

/// Without those that are gone and whose name another one of their platform has by now: who was
/// restored in their place goes on with their points.
fn present(machines: Vec<Machine>) -> Vec<Machine> {
    let name = |it: &Machine| (it.key.platform.clone(), it.name.clone());
    let mut last: BTreeMap<(String, String), Timestamp> = BTreeMap::new();
    for machine in &machines {
        let gone = machine.gone.unwrap_or(Timestamp::MAX);
        let kept = last.entry(name(machine)).or_insert(gone);
        *kept = gone.max(*kept);
    }
    let is_last = |it: &Machine| {
        it.gone
            .is_none_or(|gone| last.get(&name(it)) == Some(&gone))
    };
    machines.into_iter().filter(is_last).collect()
}

fn machines(
    settings: &Settings,
    (rows, attempts): (&Rows, &Attempts<'_>),
    now: Timestamp,
) -> Vec<MachineStatus> {
    let newest = by_machine(&rows.newest, |point| &point.machine);
    let proofs = by_machine(&rows.proofs, |proof| &proof.machine);
    let mut ends: BTreeMap<&str, Vec<&LastEnd>> = BTreeMap::new();
    for end in rows.ends.iter().filter(|it| it.action == Action::Backup) {
        ends.entry(&end.subject).or_default().push(end);
    }
    let one = |machine: &Machine| {
        let apart = rows.apart.get(&machine.key);
        let is_own = |proof: &&&Proof| {
            apart.is_none_or(|points| points.iter().any(|it| it.key == proof.point))
        };
        let proofs = proofs.get(&machine.name).into_iter().flatten();
        let measured = Measured {
            newest: match apart {
                Some(points) => newest_of_each_repository(points),
                None => newest.get(&machine.name).cloned().unwrap_or_default(),
            },
            proofs: proofs.filter(is_own).copied().collect(),
            since: rows.seen_since.get(&machine.key).copied(),
        };
        let ends = ends.get(machine.name.as_str());
        let of_its_jobs = ends.into_iter().flatten();
        let of_its_jobs = of_its_jobs.filter(|end| machine.jobs.contains(&end.job));
        let last = of_its_jobs.max_by_key(|end| end.ended);
        let last = last.map(|end| (end.state, end.ended));
        let mut status = status(settings, rows, (machine, &measured), last, now);
        let newest = measured.newest_at();
        status.last_failure = attempts.failure_of(settings, (&machine.name, &machine.jobs), newest);
        status
    };
    rows.machines.iter().map(one).collect()
}

fn status(
    settings: &Settings,
    rows: &Rows,
    (machine, measured): (&Machine, &Measured<'_>),
    last_task: Option<(TaskState, Timestamp)>,
    now: Timestamp,
) -> MachineStatus {
    let jobs: Vec<(&String, &JobSettings)> = machine
        .jobs
        .iter()
        .filter_map(|name| settings.jobs.get_key_value(name))
        .collect();
    let promised: Objectives = strictest(jobs.iter().map(|(_, job)| &job.objectives));
    let objectives = match machine.gone {
        None => judge(&promised, measured, now),
        Some(_) => Vec::new(),
    };
    let worst = objectives.iter().map(|it| it.state);
    let worst = worst.max_by_key(|state| match state {
        ObjectiveState::Met => 0,
        ObjectiveState::Unknown => 1,
        ObjectiveState::AtRisk => 2,
        ObjectiveState::Missed => 3,
    });
    let newest = measured.newest.iter().max_by_key(|point| point.at);
    let next = jobs.iter().filter_map(|(name, _)| rows.next.get(*name));
    MachineStatus {
        name: machine.name.clone(),
        has_namesake: rows.apart.contains_key(&machine.key),
        platform: machine.key.platform.clone(),
        id: machine.key.id.clone(),
        state: match machine.gone {
            Some(_) => "gone".to_owned(),
            None => machine.state.clone(),
        },
        is_protected: jobs.iter().any(|(_, job)| job.is_enabled),
        is_excused: is_excused(settings, &machine.key.platform, &machine.name),
        jobs: machine.jobs.clone(),
        bytes: match machine.bytes {
            0 => newest.map_or(0, |point| point.bytes),
            bytes => bytes,
        },
        newest: newest.map(|point| (*point).clone()),
        points: match rows.apart.get(&machine.key) {
            Some(points) => points.len() as u64,
            None => rows.counts.get(&machine.name).copied().unwrap_or_default(),
        },
        copies: measured.copies(SignedDuration::ZERO),
        proved: measured.proved(),
        objectives,
        worst: worst.unwrap_or(ObjectiveState::Met),
        last_failure: None,
        last_task,
        next: next.min().copied(),
    }
}

/// Failures of what is configured still; backups stand at their machines.
fn failures(settings: &Settings, rows: &Rows) -> Vec<FailureStatus> {
    let known: BTreeSet<String> = scheduled(settings)
        .map(|it| it.job())
        .chain(settings.jobs.keys().cloned())
        .collect();
    let is_used = |end: &LastEnd| match settings.jobs.get(&end.job) {
        None => true,
        Some(job) => [&job.platform, &job.repository]
            .into_iter()
            .chain(&job.copies_to)
            .any(|name| *name == end.subject),
    };
    let failed = rows.ends.iter().filter(|end| {
        let is_failure = end.state == TaskState::Failed && end.action != Action::Backup;
        is_failure && known.contains(&end.job) && is_used(end)
    });
    let one = |end: &LastEnd| FailureStatus {
        job: end.job.clone(),
        action: end.action.to_string(),
        subject: end.subject.clone(),
        at: end.ended,
        message: end.message.clone().unwrap_or_default(),
        is_transfer: end.action == Action::Copy,
    };
    failed.map(one).collect()
}

fn jobs(settings: &Settings, rows: &Rows, now: Timestamp) -> Vec<JobStatus> {
    let mut meant: BTreeMap<&str, u64> = BTreeMap::new();
    let there = rows.machines.iter().filter(|it| it.gone.is_none());
    for name in there.flat_map(|machine| &machine.jobs) {
        *meant.entry(name).or_default() += 1;
    }
    let is_open = |job: &String| rows.open.contains_key(job);
    let one = |(name, job): (&String, &JobSettings)| {
        let due = job.timing.as_ref().and_then(|timing| {
            let next = timing.next(*rows.last_planned.get(name)?, name)?;
            (job.is_enabled && next.begins <= now).then_some(next.begins)
        });
        let waits_for = due.and_then(|_| rows.open.get(name).copied());
        let is_undone = |name: &&String| {
            let last = rows.runs.get(*name);
            last.is_none_or(|run| run.state != RunState::Succeeded)
        };
        let comes_after = due.and_then(|_| job.after.iter().find(is_undone).cloned());
        let is_late = |due: &Timestamp| {
            let waits = waits_for.is_some() || job.after.iter().any(is_open);
            now.duration_since(*due) > OVERDUE && !waits
        };
        JobStatus {
            name: name.clone(),
            platform: job.platform.clone(),
            repository: job.repository.clone(),
            policy: job.policy.clone(),
            schedule: job
                .timing
                .as_ref()
                .map(|timing| timing.schedule.to_string()),
            is_enabled: job.is_enabled,
            last: rows.runs.get(name).cloned(),
            next: rows.next.get(name).copied(),
            waits_for,
            comes_after,
            overdue: due.filter(is_late),
            machines: meant.get(name.as_str()).copied().unwrap_or_default(),
        }
    };
    settings.jobs.iter().map(one).collect()
}
