//! A played executor: platforms and repositories of the mind, changed by the words of tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_catalog::{Action, Task, TaskEnd};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_policy::{Grouping, RecoveryPoint, plan_guarded};
use lifeboat_scheduler::{Executor, Settings, TaskWatch};
use serde_json::{Value, json};

/// What a repository holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) machine: String,
    pub(crate) job: String,
    pub(crate) at: Timestamp,
}

/// A machine of a platform, and the jobs that mean it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) jobs: Vec<String>,
}

/// Everything outside of the catalog.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) now: Timestamp,
    pub(crate) settings: Settings,
    pub(crate) platforms: BTreeMap<String, Vec<Shown>>,
    pub(crate) repositories: BTreeMap<String, Vec<Held>>,
    /// Repositories that take nothing.
    pub(crate) full: BTreeSet<String>,
    /// What the next attempts at a subject come to, in place of what they would.
    pub(crate) scripted: BTreeMap<(String, String), Vec<TaskEnd>>,
    /// Bytes that repositories say they have.
    pub(crate) bytes: u64,
    /// Every word list that was carried out.
    pub(crate) done: Vec<Vec<String>>,
    pub(crate) next_id: u64,
}

/// The executor; tests look into it and change it.
#[derive(Debug, Default)]
pub(crate) struct Play(Mutex<Outside>);

impl Play {
    pub(crate) fn look(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap()
    }
}

impl Executor for Play {
    fn execute(&self, task: &Task, _: &dyn TaskWatch, _: &CancelToken) -> TaskEnd {
        self.look().perform(task)
    }
}

/// The word after another one, without its mark.
pub(crate) fn after<'w>(words: &'w [String], option: &str) -> Option<&'w str> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at + 1).map(|word| word.trim_start_matches('@'))
}

impl Outside {
    pub(crate) fn show(&mut self, platform: &str, machines: &[(&str, &str)]) {
        let shown = machines.iter().map(|(name, job)| Shown {
            name: (*name).to_owned(),
            jobs: match job.is_empty() {
                true => Vec::new(),
                false => vec![(*job).to_owned()],
            },
        });
        self.platforms.insert(platform.to_owned(), shown.collect());
    }

    /// Lets the next attempts of an action at a subject end so.
    pub(crate) fn script(&mut self, action: &str, subject: &str, ends: Vec<TaskEnd>) {
        let key = (action.to_owned(), subject.to_owned());
        self.scripted.insert(key, ends);
    }

    pub(crate) fn held(&self, repository: &str) -> &[Held] {
        self.repositories.get(repository).map_or(&[], Vec::as_slice)
    }

    /// Does what a task's words say.
    pub(crate) fn perform(&mut self, task: &Task) -> TaskEnd {
        self.done.push(task.words.clone());
        let key = (task.action.to_string(), task.subject.clone());
        let scripted = self.scripted.get_mut(&key).filter(|it| !it.is_empty());
        if let Some(ends) = scripted {
            return ends.remove(0);
        }
        match task.action {
            Action::Resolve => self.resolve(task),
            Action::Backup => self.back_up(task),
            Action::Copy => self.copy(task),
            Action::Forget => self.forget(task),
            Action::Look => self.list(task),
            Action::Verify => self.verify(task),
            _ => TaskEnd::Succeeded(json!([])),
        }
    }

    fn resolve(&self, task: &Task) -> TaskEnd {
        let Some(machines) = self.platforms.get(&task.subject) else {
            return TaskEnd::Failed(ErrorKind::Unreachable, "nobody answers".to_owned());
        };
        let one = |it: &Shown| {
            json!({"id": format!("id-{}", it.name), "name": it.name, "state": "running",
                   "jobs": it.jobs, "disks": [{"size": 1 << 30}]})
        };
        TaskEnd::Succeeded(machines.iter().map(one).collect::<Value>())
    }

    fn back_up(&mut self, task: &Task) -> TaskEnd {
        let job = after(&task.words, "--job").unwrap().to_owned();
        let repository = self.settings.jobs[&job].repository.clone();
        if self.full.contains(&repository) {
            return TaskEnd::Failed(ErrorKind::Full, "no space left".to_owned());
        }
        let is_full = task.words.iter().any(|word| word == "--force");
        let id = self.new_id();
        self.repositories.entry(repository).or_default().push(Held {
            id: id.clone(),
            machine: task.subject.clone(),
            job,
            at: self.now,
        });
        let mode = if is_full { "full" } else { "incremental" };
        TaskEnd::Succeeded(json!([{
            "message_type": "machine", "snapshot_id": id, "consistency": "filesystem",
            "disks": [{"size": 1u64 << 30, "bytes_read": 1u64 << 20, "mode": mode}],
            "data_added_packed": 1000, "total_duration": 60.0
        }]))
    }

    fn copy(&mut self, task: &Task) -> TaskEnd {
        let from = after(&task.words, "--from-repo").unwrap();
        let (to, job) = (
            after(&task.words, "--repo").unwrap(),
            after(&task.words, "--job"),
        );
        if self.full.contains(to) {
            return TaskEnd::Failed(ErrorKind::Full, "no space left".to_owned());
        }
        let there: BTreeSet<_> = self
            .held(to)
            .iter()
            .map(|it| (&it.machine, it.at))
            .collect();
        let own = self.held(from).iter().filter(|it| Some(&*it.job) == job);
        let missing = own.filter(|it| !there.contains(&(&it.machine, it.at)));
        let missing: Vec<Held> = missing.cloned().collect();
        for point in missing {
            let id = self.new_id();
            let held = self.repositories.entry(to.to_owned()).or_default();
            held.push(Held { id, ..point });
        }
        TaskEnd::Succeeded(json!([]))
    }

    /// As the command does: the job's rules, machine by machine, all or nothing.
    fn forget(&mut self, task: &Task) -> TaskEnd {
        let repository = after(&task.words, "--repo").unwrap();
        let name = after(&task.words, "--job").unwrap();
        let job = &self.settings.jobs[name];
        let zone = job
            .timing
            .as_ref()
            .map_or(TimeZone::UTC, |it| it.zone.clone());
        let spared = |id: &String| task.words.contains(id);
        let own = self.held(repository).iter().filter(|it| it.job == name);
        let points: Vec<RecoveryPoint<String>> = own
            .map(|it| RecoveryPoint {
                time: it.at.to_zoned(zone.clone()),
                host: it.machine.clone(),
                paths: Vec::new(),
                tags: Vec::new(),
                key: it.id.clone(),
            })
            .collect();
        let keep = job.retention.clone().unwrap_or_default();
        let rules = (&keep, &job.guard);
        let grouping = Grouping::parse("host").unwrap();
        let going: BTreeSet<String> =
            match plan_guarded(rules, grouping, &points, self.now, &spared) {
                Err(error) => return TaskEnd::Failed(ErrorKind::Denied, error.to_string()),
                Ok(plans) => {
                    let decisions = plans.iter().flat_map(|it| &it.decisions);
                    let going = decisions.filter(|it| !it.keep());
                    going.map(|it| it.point.key.clone()).collect()
                }
            };
        let held = self.repositories.get_mut(repository);
        held.into_iter()
            .for_each(|it| it.retain(|point| !going.contains(&point.id)));
        TaskEnd::Succeeded(json!([]))
    }

    fn list(&self, task: &Task) -> TaskEnd {
        let repository = after(&task.words, "--repo").unwrap();
        let held = self.held(repository);
        if task.words[0] == "stats" {
            return TaskEnd::Succeeded(json!([{
                "total": {"snapshots": held.len(), "restore_size": 1, "raw_size": 1, "blobs": 1},
                "repository_size": self.bytes
            }]));
        }
        let one = |it: &Held| json!({"id": it.id, "time": it.at, "machine": it.machine});
        TaskEnd::Succeeded(json!([held.iter().map(one).collect::<Value>()]))
    }

    fn verify(&self, task: &Task) -> TaskEnd {
        let repository = after(&task.words, "--repo").unwrap();
        let snapshot = after(&task.words, "--snapshot").unwrap();
        match self.held(repository).iter().any(|it| it.id == snapshot) {
            true => TaskEnd::Succeeded(json!([])),
            false => TaskEnd::Failed(ErrorKind::NotFound, format!("no snapshot {snapshot}")),
        }
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        // The beginnings differ, as those of real ones do.
        format!(
            "{:016x}{:048x}",
            self.next_id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            self.next_id
        )
    }
}
