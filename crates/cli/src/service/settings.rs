//! From the configuration to what the scheduler needs of it.

use lifeboat_config::{CheckData, Config, JobEntry, PolicyEntry, RepositoryEntry};
use lifeboat_control::Job;
use lifeboat_policy::{FullRule, Timing};
use lifeboat_scheduler::{JobSettings, PlatformSettings, RepositorySettings, Settings};


/// What is carried out; entries that were only carried over from elsewhere are left out.
pub(crate) fn settings(config: &Config<Job>) -> Settings {
    let jobs = config.jobs.iter().filter(|(_, it)| it.carried_over.is_none());
    let repositories = config.repositories.iter();
    let platforms = config.platforms.iter();
    Settings {
        site: config.site.clone(),
        jobs: jobs.map(|(name, entry)| (name.clone(), job(config, entry))).collect(),
        platforms: platforms
            .map(|(name, entry)| {
                let platform = PlatformSettings {
                    uri: entry.uri.clone(),
                    unprotected_ok: entry.unprotected_ok.clone(),
                };
                (name.clone(), platform)
            })
            .collect(),
        repositories: repositories
            .map(|(name, entry)| (name.clone(), repository(entry)))
            .collect(),
        parallel: config.limits.parallel,
    }
}

fn job(config: &Config<Job>, entry: &JobEntry<Job>) -> JobSettings {
    let policy = entry.policy.as_ref().and_then(|name| config.policies.get(name));
    let limits = &entry.capture.limits;
    let repository = config.repositories.get(&entry.repository);
    JobSettings {
        platform: entry.platform.clone(),
        repository: entry.repository.clone(),
        copies_to: entry.copies_to.clone(),
        policy: entry.policy.clone(),
        timing: policy.and_then(|policy| policy.timing.clone()),
        full: policy.map_or_else(FullRule::default, |policy| policy.full.clone()),
        retention: policy.and_then(|policy| policy.retention.clone()),
        verify: policy.and_then(verify),
        objectives: policy.map(|policy| policy.objectives).unwrap_or_default(),
        is_enabled: entry.is_enabled,
        after: entry.after.clone(),
        parallel: limits.parallel,
        per_host: limits.per_host,
        per_repository: limits.per_repository.or(repository.and_then(|it| it.parallel)),
        attempts: policy.map_or(4, |policy| policy.retry.times.saturating_add(1)),
        retry_seconds: policy.map_or(300, |policy| policy.retry.after.as_secs()),
    }
}

fn verify(policy: &PolicyEntry) -> Option<Timing> {
    let schedule = policy.verify.clone()?;
    Some(Timing::new(schedule, policy.zone.clone()))
}

fn repository(entry: &RepositoryEntry) -> RepositorySettings {
    let timing = |schedule: &Option<lifeboat_policy::Schedule>| {
        let schedule = schedule.clone()?;
        Some(Timing::new(schedule, entry.zone.clone()))
    };
    RepositorySettings {
        place: entry.place.clone(),
        check: timing(&entry.check),
        check_data: entry.check_data.as_ref().map(CheckData::to_string),
        prune: timing(&entry.prune),
        size_max: entry.size_max,
    }
}
