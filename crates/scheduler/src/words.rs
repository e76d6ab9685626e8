//! The command-line twins of tasks.
//!
//! Names that come from platforms stand behind `--`, so that none is taken for an option.

use lifeboat_catalog::{Action, Lane, NewTask, Task};

use crate::settings::{JobSettings, Settings};

/// The job of runs that keep a repository whole: `check main`.
pub(crate) fn upkeep_job(action: Action, name: &str) -> String {
    format!("{action} {name}")
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn at(name: &str) -> String {
    format!("@{name}")
}

fn lane(kind: &str, name: &str, most: Option<u32>) -> Option<Lane> {
    let name = format!("{kind} {name}");
    most.map(|most| Lane { name, most })
}

fn task(action: Action, subject: &str, words: Vec<String>, stage: u32) -> NewTask {
    NewTask {
        action,
        subject: subject.to_owned(),
        words,
        stage,
        lanes: Vec::new(),
        attempts_max: 3,
        retry_seconds: 60,
    }
}

/// A task that is tried as often as its job says.
fn of_job(job: &JobSettings, task: NewTask) -> NewTask {
    NewTask {
        attempts_max: job.attempts,
        retry_seconds: job.retry_seconds,
        ..task
    }
}

/// Finds out which machines a job's platform shows, and which jobs mean them.
pub(crate) fn resolve(job: &JobSettings) -> NewTask {
    let words = words(&["machine", "ls", "--platform", &at(&job.platform)]);
    of_job(job, task(Action::Resolve, &job.platform, words, 0))
}

/// Backs one machine up.
pub(crate) fn backup(
    name: &str,
    job_name: &str,
    job: &JobSettings,
    (platform_id, is_full): (&str, bool),
) -> NewTask {
    let mut words = words(&["machine", "backup", "--job", &at(job_name)]);
    if is_full {
        words.push("--force".to_owned());
    }
    words.extend(["--".to_owned(), name.to_owned()]);
    let lanes = [
        lane("job", job_name, Some(job.parallel)),
        lane("platform", &job.platform, job.per_host),
        lane("repository", &job.repository, job.per_repository),
        lane(
            "machine",
            &format!("{}/{platform_id}", job.platform),
            Some(1),
        ),
    ];
    NewTask {
        lanes: lanes.into_iter().flatten().collect(),
        ..of_job(job, task(Action::Backup, name, words, 1))
    }
}

/// Copies what a repository holds of a job to another one.
pub(crate) fn copy(to: &str, job_name: &str, job: &JobSettings) -> NewTask {
    let words = words(&[
        "copy",
        "--repo",
        &at(to),
        "--from-repo",
        &at(&job.repository),
        "--job",
        &at(job_name),
    ]);
    NewTask {
        lanes: lane("copy", to, Some(1)).into_iter().collect(),
        ..of_job(job, task(Action::Copy, to, words, 2))
    }
}

/// A snapshot that stays whatever the rules say.
pub(crate) const KEEP_ID: &str = "--keep-id";

/// Removes a job's points by its rules; those of `spared` stay whatever the rules say.
pub(crate) fn forget(
    repository: &str,
    (job_name, job): (&str, &JobSettings),
    spared: &[String],
) -> NewTask {
    let mut words = words(&["forget", "--repo", &at(repository), "--job", &at(job_name)]);
    for snapshot in spared {
        words.extend([KEEP_ID.to_owned(), snapshot.clone()]);
    }
    of_job(job, task(Action::Forget, repository, words, 3))
}

/// Reads a point back.
pub(crate) fn verify(machine: &str, repository: &str, snapshot: &str) -> NewTask {
    let words = words(&["verify", "--repo", &at(repository), "--snapshot", snapshot]);
    NewTask {
        lanes: lane("verify", repository, Some(1)).into_iter().collect(),
        ..task(Action::Verify, machine, words, 0)
    }
}

/// Looks whether a repository is whole.
pub(crate) fn check(repository: &str, data: Option<&str>) -> NewTask {
    let mut words = words(&["check", "--repo", &at(repository)]);
    match data {
        None => {}
        Some("all") => words.push("--read-data".to_owned()),
        Some(part) => words.extend(["--read-data-subset".to_owned(), part.to_owned()]),
    }
    NewTask {
        lanes: lane("upkeep", repository, Some(1)).into_iter().collect(),
        ..task(Action::Check, repository, words, 0)
    }
}

/// The note that keeps which part of a repository was last read.
pub(crate) fn part_note(repository: &str) -> String {
    format!("check part {repository}")
}

/// The number of the part that a check reads, of `7/30`.
pub(crate) fn part_of(words: &[String]) -> Option<u64> {
    let at = words.iter().position(|it| it == "--read-data-subset")?;
    words.get(at + 1)?.split_once('/')?.0.parse().ok()
}

/// Removes what no snapshot needs.
pub(crate) fn prune(repository: &str) -> NewTask {
    let words = words(&["prune", "--repo", &at(repository)]);
    NewTask {
        lanes: lane("upkeep", repository, Some(1)).into_iter().collect(),
        ..task(Action::Prune, repository, words, 0)
    }
}

/// Lists what a repository holds, then how large it is.
pub(crate) fn look(repository: &str, stage: u32) -> [NewTask; 2] {
    let place = at(repository);
    let list = words(&["snapshots", "--repo", &place]);
    let size = words(&["stats", "--repo", &place]);
    [
        task(Action::Look, repository, list, stage),
        task(Action::Look, repository, size, stage),
    ]
}

/// What a restore is of: the machine's name and the snapshot's id, the repository's and the
/// platform's names.
pub(crate) struct RestorePlaces<'a> {
    pub(crate) machine: &'a str,
    pub(crate) snapshot: &'a str,
    pub(crate) repository: &'a str,
    pub(crate) platform: &'a str,
}

/// Brings a machine back.
pub(crate) fn restore(
    settings: &Settings,
    places: &RestorePlaces<'_>,
    options: &[String],
) -> NewTask {
    let site = settings.site.as_deref().unwrap_or_default();
    let mut words = words(&[
        "machine",
        "recover",
        "--repo",
        &at(places.repository),
        "--platform",
        &at(places.platform),
    ]);
    words.extend_from_slice(options);
    let point = format!("{}@{}", places.machine, places.snapshot);
    words.extend(["--".to_owned(), point]);
    let subject = places.snapshot.get(..8).unwrap_or(places.snapshot);
    let subject = match site.is_empty() {
        true => subject.to_owned(),
        false => format!("{subject} at {site}"),
    };
    NewTask {
        attempts_max: 1,
        ..task(Action::Restore, &subject, words, 0)
    }
}

/// Puts what is restored into the place of what is there.
pub(crate) const REPLACE: &str = "--replace";

/// Whether a task puts something into the place of what is there.
pub fn is_replacing(task: &Task) -> bool {
    let mut options = task.words.iter().take_while(|word| *word != "--");
    task.action == Action::Restore && options.any(|word| word == REPLACE)
}

/// The word behind an option of a task.
pub(crate) fn value<'t>(task: &'t Task, option: &str) -> Option<&'t str> {
    let mut words = task.words.iter().skip_while(|word| *word != option);
    words.nth(1).map(String::as_str)
}

/// Whether a backup reads everything.
pub(crate) fn is_forced(task: &Task) -> bool {
    let mut options = task.words.iter().take_while(|word| *word != "--");
    options.any(|word| word == "--force")
}
