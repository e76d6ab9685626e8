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

use crate::oracle::Rules;
use crate::real::Real;

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

/// A point that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) machine: String,
    /// Its moment.
    pub(crate) at: Timestamp,
    /// Since when it is there.
    pub(crate) there: Timestamp,
    /// Whether the node lived to say so; else the next list tells.
    pub(crate) is_told: bool,
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
    /// Points that ever were.
    pub(crate) made: Vec<Made>,
    /// Rules of jobs, as the oracle knows them.
    pub(crate) rules: BTreeMap<String, Rules>,
    /// Machines and repositories that are more than played.
    pub(crate) real: Option<Real>,
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
        if self.is_real(task) {
            return self.back_up_really(task);
        }
        let end = match task.action {
            Action::Resolve => self.resolve(task),
            Action::Backup => self.back_up(task),
            Action::Copy => self.copy(task),
            Action::Forget => self.forget(task),
            Action::Look => self.list(task),
            Action::Verify => self.verify(task),
            _ => TaskEnd::Succeeded(json!([])),
        };
        match (&end, self.real.take()) {
            (TaskEnd::Succeeded(_), Some(mut real)) => {
                self.follow(&mut real, task).unwrap();
                self.real = Some(real);
            }
            (_, real) => self.real = real,
        }
        end
    }

    pub(crate) fn is_real(&self, task: &Task) -> bool {
        let real = self.real.as_ref();
        task.action == Action::Backup && real.is_some_and(|it| it.machines.contains(&task.subject))
    }

    fn note(&mut self, task: &Task) {
        self.made.push(Made {
            machine: task.subject.clone(),
            at: began(task, self.now),
            there: self.now,
            is_told: true,
        });
    }

    fn back_up_really(&mut self, task: &Task) -> TaskEnd {
        let job = after(&task.words, "--job").unwrap().to_owned();
        let repository = self.settings.jobs[&job].repository.clone();
        let is_full = self.full.contains(&repository);
        let real = self.real.as_mut().unwrap();
        let at = began(task, self.now);
        let done = real.back_up((&task.subject, &job, &repository), at, is_full);
        self.see(&repository);
        match done {
            Err(error) => TaskEnd::Failed(error.kind(), error.to_string()),
            Ok(id) => {
                self.note(task);
                stored(&id, task)
            }
        }
    }

    /// Does with real repositories what was just played.
    fn follow(&mut self, real: &mut Real, task: &Task) -> lifeboat_engine::Result<()> {
        let Some(repository) = after(&task.words, "--repo") else {
            return Ok(());
        };
        match task.action {
            Action::Copy => {
                let (from, job) = (
                    after(&task.words, "--from-repo"),
                    after(&task.words, "--job"),
                );
                real.copy((from.unwrap(), repository), job.unwrap())?;
                self.see_in(real, repository);
            }
            Action::Forget => {
                let name = after(&task.words, "--job").unwrap();
                let job = &self.settings.jobs[name];
                let rules = (
                    job.retention.as_ref().unwrap(),
                    &job.guard,
                    self.rules[name],
                );
                let spared = |id: &String| task.words.contains(id);
                real.forget((repository, name), rules, &spared)?;
                let played = self.of_real(real, repository);
                self.see_in(real, repository);
                assert_eq!(self.of_real(real, repository), played, "forget of {name}");
            }
            Action::Prune => real.prune(repository)?,
            Action::Check => real.check(repository),
            Action::Verify => {
                let id = after(&task.words, "--snapshot").unwrap();
                if self.of_real(real, repository).contains(id) {
                    real.restores(repository, id, false);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A task whose process is killed after so many calls to its repository.
    pub(crate) fn perform_until_killed(&mut self, task: &Task, calls: u64) {
        let is_real = self.is_real(task);
        let Some(real) = &mut self.real else {
            return;
        };
        real.dies_after = Some(calls);
        let repository = match is_real {
            true => {
                let before = self.made.len();
                self.back_up_really(task);
                self.made[before..]
                    .iter_mut()
                    .for_each(|it| it.is_told = false);
                self.settings.jobs[&task.job].repository.clone()
            }
            false if task.action == Action::Prune => {
                let repository = after(&task.words, "--repo").unwrap().to_owned();
                // It ends as it may.
                let _ = real.prune(&repository);
                repository
            }
            false => {
                real.dies_after = None;
                return;
            }
        };
        let real = self.real.as_mut().unwrap();
        *real.counts.entry("kills in the middle").or_default() += 1;
        real.check(&repository);
        real.check_by_stock(&repository);
    }

    /// Points of real machines in a repository, as they are played.
    fn of_real(&self, real: &Real, repository: &str) -> BTreeSet<String> {
        let held = self.held(repository).iter();
        let of_real = held.filter(|it| real.machines.contains(&it.machine));
        of_real.map(|it| it.id.clone()).collect()
    }

    /// Reads anew what a repository holds of real machines.
    fn see(&mut self, repository: &str) {
        if let Some(mut real) = self.real.take() {
            self.see_in(&mut real, repository);
            self.real = Some(real);
        }
    }

    fn see_in(&mut self, real: &mut Real, repository: &str) {
        let held = self.repositories.entry(repository.to_owned()).or_default();
        held.retain(|it| !real.machines.contains(&it.machine));
        held.extend(real.held(repository));
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
        let id = self.new_id();
        let at = began(task, self.now);
        self.note(task);
        self.repositories.entry(repository).or_default().push(Held {
            id: id.clone(),
            machine: task.subject.clone(),
            job,
            at,
        });
        stored(&id, task)
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
        let is_real = |it: &&Held| {
            self.real
                .as_ref()
                .is_some_and(|r| r.machines.contains(&it.machine))
        };
        let played = own.filter(|it| !is_real(it));
        let missing = played.filter(|it| !there.contains(&(&it.machine, it.at)));
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

/// Points are dated by the begin of their backup.
fn began(task: &Task, now: Timestamp) -> Timestamp {
    task.started.unwrap_or(now)
}

/// What a backup says that was stored as a snapshot.
fn stored(id: &str, task: &Task) -> TaskEnd {
    let is_full = task.words.iter().any(|word| word == "--force");
    let mode = if is_full { "full" } else { "incremental" };
    TaskEnd::Succeeded(json!([{
        "message_type": "machine", "snapshot_id": id, "consistency": "filesystem",
        "disks": [{"size": 1u64 << 30, "bytes_read": 1u64 << 20, "mode": mode}],
        "data_added_packed": 1000, "total_duration": 60.0
    }]))
}
