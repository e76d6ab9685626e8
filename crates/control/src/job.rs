//! A configured intention: which machines are backed up, and how.

mod files;
mod snapshots;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat_model::{ByteCount, DiskName, ErrorKind};
use lifeboat_platform::{Quiesce, SnapshotRules};
use serde::Deserialize;

use crate::hook::{Hook, HookPlace, OnFailure};
use crate::selection::Selection;
use crate::{Error, IoClass, Result};
pub(crate) use files::shown;
pub use files::{FilesJob, FilesText};
pub use snapshots::LvmText;

/// The longest time a guest may stay frozen.
const FREEZE_MAX: Duration = Duration::from_secs(10);
/// A hook without a limit of its own ends after this.
const HOOK_LIMIT: Duration = Duration::from_secs(300);
/// The longest limit of a hook.
const HOOK_LIMIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// When hooks run inside restored disks.
pub(crate) const END_RECOVERY: &str = "end_recovery";
/// Machines at the same time where nothing is said.
const PARALLEL: u32 = 2;
const PARALLEL_MAX: u32 = 64;

/// What happens to a machine that is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflinePolicy {
    /// It is backed up like others.
    #[default]
    BackUp,
    /// It is passed over with a note.
    Skip,
    /// Its run fails.
    Fail,
}

/// What a job may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Machines at the same time.
    pub parallel: u32,
    /// Machines at the same time on one host, of all runs of this computer.
    pub per_host: Option<u32>,
    /// Machines at the same time into one repository, of all runs of this computer.
    pub per_repository: Option<u32>,
    /// Bytes per second read from disks, of all machines together.
    pub bandwidth: Option<NonZeroU64>,
    /// Priority of the process: 0 to 19.
    pub nice: Option<u8>,
    /// Priority of its input and output.
    pub io: Option<IoClass>,
}

/// A job, parsed; read from [`JobText`].
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "JobText")]
pub struct Job {
    /// Which machines.
    pub selection: Selection,
    /// Only these disks; none stands for all.
    pub disks: Vec<DiskName>,
    /// Not these disks.
    pub but_disks: Vec<DiskName>,
    /// Machines that are not running.
    pub offline: OfflinePolicy,
    /// Freezing of guests.
    pub quiesce: Quiesce,
    /// The longest time a guest may stay frozen.
    pub freeze_max: Duration,
    /// Where platforms keep what guests overwrite meanwhile.
    pub scratch: Option<PathBuf>,
    /// Tags of the snapshots.
    pub tags: Vec<String>,
    /// Around captures and recoveries.
    pub hooks: Vec<Hook>,
    /// What it may use up.
    pub limits: Limits,
    /// What was decided about snapshots of LVM volumes, if anything.
    pub snapshots: Option<SnapshotRules>,
    /// Files inside the machines are stored instead of disks.
    pub files: Option<FilesJob>,
}

/// A job as it is written; everything has a usual value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobText {
    /// Names, patterns, `tag:KEY=VALUE`, `id:ID`; none stands for all.
    pub machines: Vec<String>,
    /// The same, for machines that are left out.
    pub all_but: Vec<String>,
    /// Names of disks that are captured; none stands for all.
    pub disks: Vec<String>,
    /// Names of disks that are not.
    pub all_disks_but: Vec<String>,
    /// `back_up`, `skip` or `fail`.
    pub offline: OfflinePolicy,
    /// Short for `offline`: true is `back_up`, false is `fail`.
    pub offline_ok: Option<bool>,
    /// `never`, `if_possible` or `required`.
    pub quiesce: Option<String>,
    /// At most 10.
    pub freeze_seconds_max: Option<u64>,
    /// A folder.
    pub scratch: Option<PathBuf>,
    /// Tags of the snapshots.
    pub tags: Vec<String>,
    /// Machines at the same time: 1 to 64.
    pub parallel: Option<u32>,
    /// The same for all runs of this computer together, on one host.
    pub parallel_per_host: Option<u32>,
    /// The same for all runs of this computer together, into one repository.
    pub parallel_per_repository: Option<u32>,
    /// Bytes per second, as in `100M`.
    pub bandwidth: Option<String>,
    /// 0 to 19.
    pub nice: Option<u8>,
    /// `idle`, or 0 to 7.
    pub ionice: Option<String>,
    /// Snapshots of LVM volumes.
    pub lvm: Option<LvmText>,
    /// Files inside the machines are stored instead of disks.
    pub files: Option<FilesText>,
    /// Before the capture: bring applications in order.
    pub pre_snapshot: Vec<HookText>,
    /// When the capture is there: let applications go on.
    pub on_snapshot: Vec<HookText>,
    /// After everything, whatever happened.
    pub post_snapshot: Vec<HookText>,
    /// Before a recovery.
    pub pre_recovery: Vec<HookText>,
    /// Inside the restored disks, in a machine of its own, before the machine starts.
    pub end_recovery: Vec<HookText>,
    /// When the machine is back.
    pub post_recovery: Vec<HookText>,
}

/// A hook as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookText {
    /// The program and its arguments.
    pub run: Vec<String>,
    /// `host`, `guest` or `ssh:DESTINATION`; for hooks inside restored disks nothing.
    #[serde(default, rename = "where")]
    pub place: Option<String>,
    /// It is ended after this time.
    #[serde(default)]
    pub seconds_max: Option<u64>,
    /// `fail`, `warn` or `ignore`.
    #[serde(default)]
    pub on_failure: Option<String>,
}

impl JobText {
    /// Reads a job from TOML.
    ///
    /// Errors: `Invalid`, with line, column and what is allowed there.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let message = format!("the job cannot be read: {error}");
            Error::new(ErrorKind::Invalid, message.trim_end())
        })
    }

    /// Parses every value.
    ///
    /// Errors: `Invalid`, naming the field.
    pub fn parse(&self) -> Result<Job> {
        let mut hooks = Vec::new();
        let kinds = [
            ("pre_snapshot", &self.pre_snapshot),
            ("on_snapshot", &self.on_snapshot),
            ("post_snapshot", &self.post_snapshot),
            ("pre_recovery", &self.pre_recovery),
            (END_RECOVERY, &self.end_recovery),
            ("post_recovery", &self.post_recovery),
        ];
        for (when, list) in kinds {
            for hook in list {
                hooks.push(hook.parse(when)?);
            }
        }
        let freeze = self
            .freeze_seconds_max
            .map_or(FREEZE_MAX, Duration::from_secs);
        if freeze > FREEZE_MAX || freeze.is_zero() {
            return Err(invalid("freeze_seconds_max", "write 1 to 10"));
        }
        Ok(Job {
            selection: Selection {
                wanted: all(&self.machines, "machines")?,
                but: all(&self.all_but, "all_but")?,
            },
            disks: all(&self.disks, "disks")?,
            but_disks: all(&self.all_disks_but, "all_disks_but")?,
            offline: match self.offline_ok {
                Some(true) => OfflinePolicy::BackUp,
                Some(false) => OfflinePolicy::Fail,
                None => self.offline,
            },
            quiesce: self.quiesce()?,
            freeze_max: freeze,
            scratch: self.scratch.clone(),
            tags: self.tags.clone(),
            hooks,
            limits: self.limits()?,
            snapshots: self.lvm.as_ref().map(LvmText::parse).transpose()?,
            files: self
                .files
                .as_ref()
                .map(|it| it.parse(&self.tags))
                .transpose()?,
        })
    }

    fn quiesce(&self) -> Result<Quiesce> {
        match self.quiesce.as_deref() {
            None | Some("if_possible") => Ok(Quiesce::IfPossible),
            Some("never") => Ok(Quiesce::Never),
            Some("required") => Ok(Quiesce::Required),
            Some(_) => Err(invalid("quiesce", "write never, if_possible or required")),
        }
    }

    fn limits(&self) -> Result<Limits> {
        let limits = [
            ("parallel", self.parallel),
            ("parallel_per_host", self.parallel_per_host),
            ("parallel_per_repository", self.parallel_per_repository),
        ];
        for (field, limit) in limits {
            if limit.is_some_and(|limit| !(1..=PARALLEL_MAX).contains(&limit)) {
                return Err(invalid(field, "write 1 to 64"));
            }
        }
        if self.nice.is_some_and(|nice| nice > 19) {
            return Err(invalid("nice", "write 0 to 19"));
        }
        let bandwidth = match &self.bandwidth {
            None => None,
            Some(text) => {
                let ByteCount(bytes) = one(text, "bandwidth")?;
                let rate = NonZeroU64::new(bytes);
                Some(rate.ok_or_else(|| invalid("bandwidth", "write a rate like 100M"))?)
            }
        };
        Ok(Limits {
            parallel: self.parallel.unwrap_or(PARALLEL),
            per_host: self.parallel_per_host,
            per_repository: self.parallel_per_repository,
            bandwidth,
            nice: self.nice,
            io: self
                .ionice
                .as_deref()
                .map(|text| one(text, "ionice"))
                .transpose()?,
        })
    }
}

impl TryFrom<JobText> for Job {
    type Error = Error;

    fn try_from(text: JobText) -> Result<Self> {
        text.parse()
    }
}

impl HookText {
    /// Parses a hook that runs `when`.
    ///
    /// Errors: `Invalid`.
    pub fn parse(&self, when: &'static str) -> Result<Hook> {
        if self.run.first().is_none_or(String::is_empty) {
            return Err(invalid(
                when,
                "run needs a program: run = [\"/path/program\", \"word\"]",
            ));
        }
        let place = match self.place.as_deref() {
            None | Some("inside") if when == END_RECOVERY => HookPlace::Inside,
            Some(_) if when == END_RECOVERY => {
                return Err(invalid(
                    when,
                    "it runs inside the restored disks: leave where out",
                ));
            }
            None | Some("host") => HookPlace::Host,
            Some("guest") => HookPlace::Guest,
            Some(text) => match text.strip_prefix("ssh:") {
                Some(to) if !to.is_empty() && !to.starts_with('-') => HookPlace::Ssh(to.to_owned()),
                _ => return Err(invalid(when, "where is host, guest or ssh:DESTINATION")),
            },
        };
        let limit = self.seconds_max.map_or(HOOK_LIMIT, Duration::from_secs);
        if limit.is_zero() || limit > HOOK_LIMIT_MAX {
            return Err(invalid(when, "seconds_max is 1 to 86400"));
        }
        let on_failure = match self.on_failure.as_deref() {
            None | Some("fail") => OnFailure::Fail,
            Some("warn") => OnFailure::Warn,
            Some("ignore") => OnFailure::Ignore,
            Some(_) => return Err(invalid(when, "on_failure is fail, warn or ignore")),
        };
        Ok(Hook {
            when,
            place,
            words: self.run.clone(),
            limit,
            on_failure,
        })
    }
}

impl Job {
    /// The hooks that run at a moment, in order.
    pub fn hooks_at(&self, when: &str) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(move |hook| hook.when == when)
    }
}

fn invalid(field: &str, rule: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{field}: {rule}"))
}

fn one<T: std::str::FromStr>(text: &str, field: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("{field}: {error}")))
}

fn all<T: std::str::FromStr>(list: &[String], field: &str) -> Result<Vec<T>>
where
    T::Err: std::fmt::Display,
{
    list.iter().map(|text| one(text, field)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_everything_is_read() {
        let text = r#"
            machines = ["web*", "tag:backup=daily"]
            all_but = ["web9"]
            all_disks_but = ["vdb"]
            quiesce = "required"
            bandwidth = "100M"
            ionice = "idle"
            nice = 10
            [[pre_snapshot]]
            run = ["mariadb", "-e", "FLUSH TABLES WITH READ LOCK"]
            where = "guest"
            seconds_max = 30
            on_failure = "warn"
        "#;
        let job = JobText::from_toml(text).unwrap().parse().unwrap();
        assert_eq!(job.limits.bandwidth.unwrap().get(), 100 << 20);
        assert_eq!(job.hooks_at("pre_snapshot").count(), 1);
        assert_eq!(job.quiesce, Quiesce::Required);
        assert_eq!(job.limits.io, Some(IoClass::Idle));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("machine = [\"a\"]", "machine"),
            ("parallel = 0", "parallel"),
            ("parallel_per_host = 65", "parallel_per_host"),
            ("freeze_seconds_max = 11", "freeze_seconds_max"),
            ("quiesce = \"maybe\"", "quiesce"),
            ("[[on_snapshot]]\nrun = []", "on_snapshot"),
            (
                "[[end_recovery]]\nrun = ['x']\nwhere = 'host'",
                "leave where out",
            ),
            ("[[pre_recovery]]\nrun = ['x']\nwhere = 'inside'", "where"),
            (
                "[[on_snapshot]]\nrun = [\"x\"]\nwhere = \"ssh:-oProxyCommand=x\"",
                "where",
            ),
        ];
        for (text, word) in cases {
            let error = JobText::from_toml(text)
                .and_then(|job| job.parse().map(drop))
                .unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
