//! What is configured, as the scheduler needs it.

use std::collections::BTreeMap;

use lifeboat_catalog::Point;
use lifeboat_config::Objectives;
use lifeboat_policy::{FullRule, Guard, Retention, Timing};

/// Everything; replaced as a whole when the configuration is read anew.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The site's name.
    pub site: Option<String>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, JobSettings>,
    /// Platforms by name.
    pub platforms: BTreeMap<String, PlatformSettings>,
    /// Repositories by name.
    pub repositories: BTreeMap<String, RepositorySettings>,
    /// Tasks at the same time on one node.
    pub parallel: u32,
}

impl Settings {
    /// The platform that a point is from, if it is known: that of the job that made it, else the
    /// one that was written down.
    pub fn platform_of<'a>(&'a self, point: &'a Point) -> Option<&'a str> {
        let job = point.job.as_ref().and_then(|job| self.jobs.get(job));
        let platform = job.map(|job| &job.platform).or(point.platform.as_ref());
        platform.map(String::as_str)
    }
}

/// A job.
#[derive(Clone, Debug)]
pub struct JobSettings {
    /// The platform's name.
    pub platform: String,
    /// The repository's name.
    pub repository: String,
    /// Further repositories that get copies.
    pub copies_to: Vec<String>,
    /// The policy's name.
    pub policy: Option<String>,
    /// When runs begin; none for jobs that others start.
    pub timing: Option<Timing>,
    /// Which runs read everything.
    pub full: FullRule,
    /// What is kept; none keeps everything.
    pub retention: Option<Retention>,
    /// What holds beside the keep rules.
    pub guard: Guard,
    /// When the newest point of each machine is read back.
    pub verify: Option<Timing>,
    /// What is promised of each machine.
    pub objectives: Objectives,
    /// Whether it is run by its schedule.
    pub is_enabled: bool,
    /// It begins only when these have ended well.
    pub after: Vec<String>,
    /// Machines at the same time.
    pub parallel: u32,
    /// Machines at the same time on one platform.
    pub per_host: Option<u32>,
    /// Machines at the same time into one repository.
    pub per_repository: Option<u32>,
    /// How often a machine is tried.
    pub attempts: u32,
    /// The pause before the second attempt, in seconds; it doubles.
    pub retry_seconds: u64,
}

impl JobSettings {
    /// Whether points of the job go at all: by keep rules, or by age alone.
    pub(crate) fn forgets(&self) -> bool {
        self.retention.is_some() || self.guard.age_max.is_some()
    }
}

/// A platform.
#[derive(Clone, Debug, Default)]
pub struct PlatformSettings {
    /// Its address, without secrets.
    pub uri: String,
    /// Patterns of machines that need no protection.
    pub unprotected_ok: Vec<String>,
}

impl PlatformSettings {
    /// Whether machines can be made there; not where this computer itself is the machine.
    pub fn makes_machines(&self) -> bool {
        !["plain:", "self:"]
            .iter()
            .any(|it| self.uri.starts_with(it))
    }
}

/// A repository.
#[derive(Clone, Debug, Default)]
pub struct RepositorySettings {
    /// Its place, without secrets.
    pub place: String,
    /// When it is checked.
    pub check: Option<Timing>,
    /// How much of the data a check reads: `5%`, `1/30`, `all`; none reads no data.
    pub check_data: Option<String>,
    /// When it is pruned.
    pub prune: Option<Timing>,
    /// It should not be larger, in bytes.
    pub size_max: Option<u64>,
}
