//! What belongs to one machine, also where another platform has a machine of its name.
//!
//! Repositories and tasks know machines by name; what tells two of one name apart is the job.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_catalog::{Action, Machine, MachineKey, Point, PointFilter, PointKey, Proof};
use lifeboat_catalog::{Task, TaskFilter};
use lifeboat_model::ErrorKind;

use super::Node;
use crate::settings::Settings;
use crate::{Error, Result, words};

/// Rows that are looked through at a time.
const ROWS: u32 = 1_000;
/// Points that are looked at of a machine which shares its name.
const POINTS_MAX: u32 = 100_000;

impl Node {
    /// Points, newest first; of a platform those alone that are known to be from there.
    pub fn points(&self, filter: &PointFilter, platform: Option<&str>) -> Result<Vec<Point>> {
        let Some(platform) = platform else {
            return Ok(self.catalog.points_by(filter)?);
        };
        let (settings, wanted) = (self.settings(), filter.count as usize);
        let mut part = PointFilter {
            count: filter.count.max(ROWS),
            ..filter.clone()
        };
        let mut found = Vec::new();
        loop {
            let points = self.catalog.points_by(&part)?;
            let last = points.last().map(|point| (point.at, point.key.clone()));
            let is_end = points.len() < part.count as usize;
            let is_own = |it: &Point| settings.platform_of(it) == Some(platform);
            found.extend(points.into_iter().filter(is_own));
            if is_end || found.len() >= wanted {
                found.truncate(wanted);
                return Ok(found);
            }
            part.behind = last;
        }
    }

    /// Points of a machine, newest first, at most so many; `platform` where its name is shared.
    pub fn points_of(
        &self,
        machine: &str,
        platform: Option<&str>,
        count: u32,
    ) -> Result<Vec<Point>> {
        let filter = PointFilter {
            machine: Some(machine.to_owned()),
            count,
            ..PointFilter::default()
        };
        self.points(&filter, platform)
    }

    /// Proofs of a machine, newest first, at most so many; `platform` where its name is shared:
    /// then those of points that are there still.
    pub fn proofs_of(
        &self,
        machine: &str,
        platform: Option<&str>,
        count: u32,
    ) -> Result<Vec<Proof>> {
        if platform.is_none() {
            return Ok(self.catalog.proofs(Some(machine), count)?);
        }
        let points = self.points_of(machine, platform, POINTS_MAX)?;
        let own: BTreeSet<&PointKey> = points.iter().map(|point| &point.key).collect();
        let mut proofs = self.catalog.proofs(Some(machine), POINTS_MAX)?;
        proofs.retain(|proof| own.contains(&proof.point));
        proofs.truncate(count as usize);
        Ok(proofs)
    }

    /// Tasks, newest first; of a platform those alone that are known to be of its machines.
    pub fn tasks(&self, filter: &TaskFilter, platform: Option<&str>) -> Result<Vec<Task>> {
        let Some(platform) = platform else {
            return Ok(self.catalog.tasks(filter)?);
        };
        let settings = self.settings();
        let wanted = filter.count as usize;
        let mut part = TaskFilter {
            count: filter.count.max(ROWS),
            ..filter.clone()
        };
        let mut found = Vec::new();
        loop {
            let tasks = self.catalog.tasks(&part)?;
            let last = tasks.last().map(|task| task.id);
            let is_end = tasks.len() < part.count as usize;
            for task in tasks {
                if self.platform_of_task(&settings, &task)?.as_deref() == Some(platform) {
                    found.push(task);
                }
            }
            if is_end || found.len() >= wanted {
                found.truncate(wanted);
                return Ok(found);
            }
            part.before = last;
        }
    }

    /// The platform of the machine that a task is about, if it is known.
    pub fn platform_of_task(&self, settings: &Settings, task: &Task) -> Result<Option<String>> {
        if let Some(job) = settings.jobs.get(&task.job) {
            return Ok(Some(job.platform.clone()));
        }
        if task.action != Action::Verify {
            return Ok(None);
        }
        let (Some(repository), Some(snapshot)) = (
            words::value(task, "--repo"),
            words::value(task, "--snapshot"),
        ) else {
            return Ok(None);
        };
        let repository = repository.trim_start_matches('@');
        let points = self.catalog.points_starting(repository, snapshot)?;
        let platform = points.first().and_then(|point| settings.platform_of(point));
        Ok(platform.map(str::to_owned))
    }

    /// The newest point of each machine in each repository, each one's own where names are
    /// shared.
    pub(super) fn newest_points(&self, settings: &Settings) -> Result<Vec<Point>> {
        let machines = self.catalog.machines()?;
        let shared = shared_names(&machines);
        let mut newest = self.catalog.newest_points()?;
        newest.retain(|point| !shared.contains(&point.machine));
        for points in self.apart(settings, &machines)?.values() {
            newest.extend(newest_of_each_repository(points).into_iter().cloned());
        }
        Ok(newest)
    }

    /// All points of the machines whose name another platform has too.
    pub(super) fn apart(
        &self,
        settings: &Settings,
        machines: &[Machine],
    ) -> Result<BTreeMap<MachineKey, Vec<Point>>> {
        let shared = shared_names(machines);
        let mut apart = BTreeMap::new();
        for machine in machines.iter().filter(|it| shared.contains(&it.name)) {
            let mut points = self.catalog.points(Some(&machine.name), POINTS_MAX)?;
            let platform = Some(machine.key.platform.as_str());
            points.retain(|it| settings.platform_of(it) == platform);
            apart.insert(machine.key.clone(), points);
        }
        Ok(apart)
    }

    /// The newest point of a machine that somebody named, and a name that no other machine has.
    ///
    /// Errors: `Invalid` if several platforms have one of that name and none was said;
    /// `NotFound` if it has no point.
    pub(super) fn newest_point(
        &self,
        machine: &str,
        platform: Option<&str>,
    ) -> Result<(Point, String)> {
        let overview = self.overview()?;
        let found = overview.named(machine, platform);
        let (narrow, name) = match found.as_slice() {
            [] => (platform, machine.to_owned()),
            [one] => (one.distinct_platform(), one.distinct_name()),
            several => {
                let names: Vec<_> = several.iter().map(|it| it.platform.as_str()).collect();
                let text = format!(
                    "{} platforms have a machine \"{machine}\": say which one, {}",
                    names.len(),
                    names.join(" or ")
                );
                return Err(Error::new(ErrorKind::Invalid, text));
            }
        };
        let point = self.points_of(machine, narrow, 1)?.pop();
        let none = || {
            let text = format!("there is no recovery point of machine \"{name}\"");
            Error::new(ErrorKind::NotFound, text)
        };
        Ok((point.ok_or_else(none)?, name))
    }
}

/// Names that machines of several platforms have.
pub(super) fn shared_names(machines: &[Machine]) -> BTreeSet<String> {
    let mut platforms: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for machine in machines {
        let of_name = platforms.entry(&machine.name).or_default();
        of_name.insert(&machine.key.platform);
    }
    let shared = platforms.iter().filter(|(_, of_name)| of_name.len() > 1);
    shared.map(|(name, _)| (*name).to_owned()).collect()
}

/// The newest of a list in each repository.
pub(super) fn newest_of_each_repository(points: &[Point]) -> Vec<&Point> {
    let mut newest: BTreeMap<&str, &Point> = BTreeMap::new();
    for point in points {
        let kept = newest.entry(&point.key.repository).or_insert(point);
        if point.at > kept.at {
            *kept = point;
        }
    }
    newest.into_values().collect()
}
