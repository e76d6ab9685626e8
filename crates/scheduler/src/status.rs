//! How things are, as a page or a metric shows them.

use jiff::Timestamp;
use lifeboat_catalog::{Point, RepositoryFacts, Run, RunId, TaskState};
use lifeboat_model::fits_pattern;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// The age of the newest point.
    Rpo,
    /// How long a recovery takes.
    Rto,
    /// Repositories that hold it.
    Copies,
    /// The age of the last proof.
    Proof,
}

/// How a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveState {
    /// It is.
    Met,
    /// It is, and will soon not be: more than 80 % of the time is used up.
    AtRisk,
    /// It is not.
    Missed,
    /// Nothing was measured yet.
    Unknown,
}

/// One promise of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveStatus {
    /// What.
    pub kind: ObjectiveKind,
    /// How it is kept.
    pub state: ObjectiveState,
    /// What was promised: seconds, or a number of copies.
    pub promised: u64,
    /// What was measured: seconds, or a number of copies; nothing where there is nothing yet.
    pub measured: Option<u64>,
    /// Where there is nothing yet: it is not missed before.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// How a machine is, in one word: the first of `Gone`, `Excused`, `Unprotected` and `NoPoint` that
/// is so, else its worst promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineClass {
    /// Its platform does not show it any more.
    Gone,
    /// It was left out on purpose.
    Excused,
    /// No job means it.
    Unprotected,
    /// A job means it, and it cannot come back from anything.
    NoPoint,
    /// A promise is not kept.
    Missed,
    /// A promise will soon not be kept.
    AtRisk,
    /// A promise was not measured yet.
    Unknown,
    /// All promises are kept.
    Met,
}

/// How many machines are how; those that are gone or were left out are in none of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineCounts {
    /// All promises are kept.
    pub met: u64,
    /// The worst promise will soon not be kept.
    pub at_risk: u64,
    /// A promise is not kept.
    pub missed: u64,
    /// A promise was not measured yet.
    pub unknown: u64,
    /// A job means them, and they cannot come back from anything.
    pub no_point: u64,
    /// No job means them.
    pub unprotected: u64,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// Whether another platform has a machine of that name.
    #[serde(default)]
    pub has_namesake: bool,
    /// Its platform's name.
    pub platform: String,
    /// Its platform's id of it.
    pub id: String,
    /// How it was when last seen: `running`, `off`, `gone`.
    pub state: String,
    /// Jobs that mean it.
    pub jobs: Vec<String>,
    /// Whether a job means it, or the platform's settings say that none need to.
    pub is_protected: bool,
    /// Whether it was left out on purpose.
    pub is_excused: bool,
    /// The sum of its disks, in bytes; of its newest point where the platform does not say it.
    pub bytes: u64,
    /// Its newest point.
    pub newest: Option<Point>,
    /// Its points, in all repositories.
    pub points: u64,
    /// Repositories that hold its newest instant.
    pub copies: u32,
    /// When a point was last proved to come back, in which way nobody asks here.
    pub proved: Option<Timestamp>,
    /// Promises.
    pub objectives: Vec<ObjectiveStatus>,
    /// The worst of them; `Met` if nothing is promised.
    pub worst: ObjectiveState,
    /// What failed of it since its newest point, the newest of it.
    #[serde(default)]
    pub last_failure: Option<FailureStatus>,
    /// How its newest task is.
    pub last_task: Option<(TaskState, Timestamp)>,
    /// When its next run begins.
    pub next: Option<Timestamp>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// The platform's name.
    pub platform: String,
    /// The repository's name.
    pub repository: String,
    /// The policy's name.
    pub policy: Option<String>,
    /// Its schedule in words.
    pub schedule: Option<String>,
    /// Whether it is run by its schedule.
    pub is_enabled: bool,
    /// Its newest run.
    pub last: Option<Run>,
    /// When its next run begins.
    pub next: Option<Timestamp>,
    /// The run of it that has not ended, for which the next one waits that is due.
    #[serde(default)]
    pub waits_for: Option<RunId>,
    /// The job that has to end well before the run that is due, and has not.
    #[serde(default)]
    pub comes_after: Option<String>,
    /// Since when a run is overdue.
    pub overdue: Option<Timestamp>,
    /// Machines that it means.
    pub machines: u64,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepositoryStatus {
    /// What was last seen of it.
    pub facts: RepositoryFacts,
    /// Its place, without secrets.
    pub place: String,
    /// The newest attempt at it, if that found nothing that answers.
    #[serde(default)]
    pub unreachable: Option<FailureStatus>,
    /// Points in it.
    pub points: u64,
    /// When its next check begins.
    pub next_check: Option<Timestamp>,
    /// When its next prune begins.
    pub next_prune: Option<Timestamp>,
    /// It should not be larger, in bytes.
    pub size_max: Option<u64>,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStatus {
    /// The job; of upkeep as in `check main`.
    pub job: String,
    /// What was to be done: `copy`, `resolve`.
    pub action: String,
    /// To what: a repository, platform or machine.
    pub subject: String,
    /// When it failed.
    pub at: Timestamp,
    /// What was said.
    pub message: String,
    /// Whether it is of the way to a repository: a copy, or a backup that names the place.
    #[serde(default)]
    pub is_transfer: bool,
}

/// Everything that the first page needs, from one look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The site's name.
    pub site: Option<String>,
    /// Machines by platform and name.
    pub machines: Vec<MachineStatus>,
    /// Jobs by name.
    pub jobs: Vec<JobStatus>,
    /// Repositories by name.
    pub repositories: Vec<RepositoryStatus>,
    /// What failed last, beside backups of machines.
    #[serde(default)]
    pub failures: Vec<FailureStatus>,
    /// When a machine was last proved to come back.
    pub proved: Option<Timestamp>,
    /// When this was seen.
    pub at: Option<Timestamp>,
}

impl MachineStatus {
    /// Its platform's name, where only that tells it from another machine.
    pub fn distinct_platform(&self) -> Option<&str> {
        self.has_namesake.then_some(self.platform.as_str())
    }

    /// A name that no other machine has: `web01`, or `far/web01` where another platform has a
    /// `web01` too. No name of a machine has a `/`.
    pub fn distinct_name(&self) -> String {
        match self.distinct_platform() {
            None => self.name.clone(),
            Some(platform) => format!("{platform}/{}", self.name),
        }
    }
}

impl Overview {
    /// The machines that a name means: one of each platform, or that of the platform alone.
    pub fn named(&self, name: &str, platform: Option<&str>) -> Vec<&MachineStatus> {
        let is_named = |it: &&MachineStatus| {
            it.name == name && platform.is_none_or(|platform| it.platform == platform)
        };
        let most = platform.map_or(usize::MAX, |_| 1);
        self.machines.iter().filter(is_named).take(most).collect()
    }
}

impl ObjectiveState {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::AtRisk => "at_risk",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
        }
    }
}

impl MachineClass {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Excused => "excused",
            Self::Unprotected => "unprotected",
            Self::NoPoint => "no_point",
            Self::Missed => "missed",
            Self::AtRisk => "at_risk",
            Self::Unknown => "unknown",
            Self::Met => "met",
        }
    }

    /// Whether machines of it are to be recoverable: they are there, and not left out on purpose.
    pub fn is_counted(self) -> bool {
        !matches!(self, Self::Gone | Self::Excused)
    }
}

impl MachineCounts {
    /// All that count.
    pub fn all(&self) -> u64 {
        let with_point = self.met + self.at_risk + self.missed + self.unknown;
        with_point + self.no_point + self.unprotected
    }
}

impl MachineStatus {
    /// How it is, in one word.
    pub fn class(&self) -> MachineClass {
        match self.worst {
            _ if self.state == "gone" => MachineClass::Gone,
            _ if self.is_excused => MachineClass::Excused,
            _ if !self.is_protected => MachineClass::Unprotected,
            _ if self.newest.is_none() => MachineClass::NoPoint,
            ObjectiveState::Missed => MachineClass::Missed,
            ObjectiveState::AtRisk => MachineClass::AtRisk,
            ObjectiveState::Unknown => MachineClass::Unknown,
            ObjectiveState::Met => MachineClass::Met,
        }
    }
}

impl Overview {
    /// How many machines are how.
    pub fn counts(&self) -> MachineCounts {
        let mut counts = MachineCounts::default();
        for machine in &self.machines {
            let count = match machine.class() {
                MachineClass::Gone | MachineClass::Excused => continue,
                MachineClass::Unprotected => &mut counts.unprotected,
                MachineClass::NoPoint => &mut counts.no_point,
                MachineClass::Missed => &mut counts.missed,
                MachineClass::AtRisk => &mut counts.at_risk,
                MachineClass::Unknown => &mut counts.unknown,
                MachineClass::Met => &mut counts.met,
            };
            *count += 1;
        }
        counts
    }
}

impl ObjectiveKind {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rpo => "rpo",
            Self::Rto => "rto",
            Self::Copies => "copies",
            Self::Proof => "proof",
        }
    }
}

/// Whether a machine's name is excused by its platform's patterns.
pub(crate) fn is_excused(settings: &Settings, platform: &str, name: &str) -> bool {
    let platform = settings.platforms.get(platform);
    let mut patterns = platform.iter().flat_map(|it| &it.unprotected_ok);
    patterns.any(|pattern| fits_pattern(pattern, name))
}
