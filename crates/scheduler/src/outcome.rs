//! What children say at their end, and what of it the catalog keeps.
//!
//! A child speaks JSON, one value a line; its outcome is the list of all values that are no
//! progress. They are read tolerantly: fields may be added.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_catalog::{
    Action, Catalog, Lease, Machine, MachineKey, Point, PointKey, Proof, ProofKind, RepositorySize,
    Task,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::Settings;
use crate::{Result, words};

/// A machine as `machine ls` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundMachine {
    /// The platform's id.
    pub id: String,
    /// The name.
    pub name: String,
    /// `running`, `off`.
    pub state: String,
    /// Jobs of the configuration that mean it.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// Its disks.
    #[serde(default)]
    pub disks: Vec<FoundDisk>,
}

/// A disk as `machine ls` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundDisk {
    /// Its size in bytes, if it is known.
    #[serde(default)]
    pub size: Option<u64>,
}

/// A backup as `machine backup` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupOutcome {
    /// The snapshot, if one was recorded.
    #[serde(default)]
    pub snapshot_id: Option<String>,
    /// What the bytes are worth.
    #[serde(default)]
    pub consistency: Option<String>,
    /// How each disk was read.
    #[serde(default)]
    pub disks: Vec<BackedUpDisk>,
    /// Bytes that were added, as stored.
    #[serde(default)]
    pub data_added_packed: u64,
    /// Seconds.
    #[serde(default)]
    pub total_duration: f64,
}

/// A disk as `machine backup` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackedUpDisk {
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// `full`, `incremental`.
    pub mode: String,
}

/// A snapshot as `snapshots` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookOutcome {
    /// Its id, 64 digits.
    pub id: String,
    /// Its time.
    pub time: Timestamp,
    /// The machine's name, for snapshots of machines.
    #[serde(default)]
    pub machine: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The first snapshot that it was copied from.
    #[serde(default)]
    pub original: Option<String>,
    /// What the backup counted.
    #[serde(default)]
    pub summary: Option<LookSummary>,
}

/// What a snapshot's record says of its backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookSummary {
    /// The sum of the disks.
    #[serde(default)]
    pub total_bytes_processed: u64,
    /// Bytes that were added, as stored.
    #[serde(default)]
    pub data_added_packed: u64,
    /// When it began.
    #[serde(default)]
    pub backup_start: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub backup_end: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Raw {
    total: RawTotal,
    repository_size: u64,
}

#[derive(Deserialize)]
struct RawTotal {
    snapshots: u64,
    restore_size: u64,
    raw_size: u64,
    blobs: u64,
}

/// Writes down what a task that ended well has brought, and gives what its row keeps of it.
pub(crate) fn keep(
    settings: &Settings,
    catalog: &Catalog,
    lease: &Lease,
    repository: Option<&str>,
    outcome: &Value,
) -> Result<Value> {
    let task = &lease.task;
    let now = catalog.now();
    let messages = outcome.as_array().map(Vec::as_slice).unwrap_or_default();
    match (task.action, repository) {
        (Action::Resolve, _) => {
            let found = machines(messages);
            let rows: Vec<_> = found.iter().map(|it| machine(&task.subject, it)).collect();
            catalog.set_machines(&task.subject, &rows)?;
            Ok(serde_json::json!({ "machines": rows.len() }))
        }
        (Action::Backup, Some(repository)) => {
            let told = last::<BackupOutcome>(messages, "machine");
            if let Some(point) = told
                .as_ref()
                .and_then(|it| point(task, repository, it, now))
                .map(|point| placed(settings, point))
            {
                catalog.add_point(&point)?;
                catalog.add_read(task, point.is_full)?;
            }
            Ok(told.map_or(Value::Null, |it| serde_json::json!(it)))
        }
        (Action::Look, Some(repository)) => look(settings, catalog, lease, (repository, messages)),
        (Action::Verify, Some(repository)) => {
            let proof = proof(task, repository, now, Ok(()));
            catalog.add_proof(&proof)?;
            Ok(Value::Null)
        }
        (Action::Check, Some(repository)) => {
            catalog.change_repository(repository, |facts| {
                facts.checked = Some(now);
                facts.is_ok = Some(true);
                facts.findings.clear();
            })?;
            if let Some(part) = words::part_of(&task.words) {
                catalog.set_note(&words::part_note(repository), &part)?;
            }
            Ok(Value::Null)
        }
        (Action::Prune, Some(repository)) => {
            catalog.change_repository(repository, |facts| facts.pruned = Some(now))?;
            Ok(Value::Null)
        }
        (Action::Restore, Some(repository)) => {
            if let Some(proof) = recovery(catalog, task, repository, now)? {
                catalog.add_proof(&proof)?;
            }
            Ok(messages.last().cloned().unwrap_or_default())
        }
        _ => Ok(messages.last().cloned().unwrap_or_default()),
    }
}

/// A restore that ended well proves its point, and measures how long a recovery takes.
fn recovery(
    catalog: &Catalog,
    task: &Task,
    repository: &str,
    now: Timestamp,
) -> Result<Option<Proof>> {
    // The machine, and the snapshot behind its `@`.
    let Some((_, asked)) = task.words.last().and_then(|word| word.rsplit_once('@')) else {
        return Ok(None);
    };
    let points = catalog.points_starting(repository, asked)?;
    let began = task.started.unwrap_or(now);
    Ok(points.into_iter().next().map(|point| Proof {
        point: point.key,
        machine: point.machine,
        kind: ProofKind::Restore,
        at: now,
        is_ok: true,
        seconds: now.duration_since(began).as_secs_f64(),
        bytes: point.bytes,
        message: String::new(),
    }))
}

/// Writes down what the failure of a task says of what it looked at.
pub(crate) fn keep_failure(
    catalog: &Catalog,
    task: &Task,
    repository: Option<&str>,
    (is_corrupt, message): (bool, &str),
) -> Result<()> {
    let now = catalog.now();
    let (Some(repository), true) = (repository, is_corrupt) else {
        return Ok(());
    };
    match task.action {
        Action::Check => catalog.change_repository(repository, |facts| {
            facts.checked = Some(now);
            facts.is_ok = Some(false);
            facts.findings = message.lines().take(20).map(str::to_owned).collect();
        })?,
        Action::Verify => {
            catalog.add_proof(&proof(task, repository, now, Err(message)))?;
        }
        _ => {}
    }
    Ok(())
}

/// The machines that a `resolve` found.
pub(crate) fn machines(messages: &[Value]) -> Vec<FoundMachine> {
    let found = each(messages).filter_map(|value| FoundMachine::deserialize(value).ok());
    found.collect()
}

/// The values of a list: one array, or one value a line.
fn each(messages: &[Value]) -> impl Iterator<Item = &Value> {
    messages.iter().flat_map(|value| match value {
        Value::Array(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    })
}

fn last<T: for<'d> Deserialize<'d>>(messages: &[Value], kind: &str) -> Option<T> {
    let is_kind = |value: &&Value| value.get("message_type").is_some_and(|it| it == kind);
    let found = messages.iter().rev().find(is_kind)?;
    T::deserialize(found).ok()
}

fn machine(platform: &str, found: &FoundMachine) -> Machine {
    Machine {
        key: MachineKey {
            platform: platform.to_owned(),
            id: found.id.clone(),
        },
        name: found.name.clone(),
        state: found.state.clone(),
        bytes: found.disks.iter().filter_map(|disk| disk.size).sum(),
        jobs: found.jobs.clone(),
        seen: Timestamp::UNIX_EPOCH,
        gone: None,
    }
}

fn point(task: &Task, repository: &str, told: &BackupOutcome, now: Timestamp) -> Option<Point> {
    let sum = |value: fn(&BackedUpDisk) -> u64| told.disks.iter().map(value).sum();
    Some(Point {
        key: PointKey {
            repository: repository.to_owned(),
            snapshot: told.snapshot_id.clone()?,
        },
        machine: task.subject.clone(),
        platform: None,
        job: Some(task.job.clone()),
        at: task.started.unwrap_or(now),
        bytes: sum(|disk| disk.size),
        bytes_read: sum(|disk| disk.bytes_read),
        bytes_stored: told.data_added_packed,
        seconds: told.total_duration,
        consistency: told.consistency.clone(),
        is_full: told.disks.iter().all(|disk| disk.mode != "incremental"),
        tags: Vec::new(),
        pinned_until: None,
        verified: None,
    })
}

/// A point with its platform, which stays known when its job is configured no more.
fn placed(settings: &Settings, point: Point) -> Point {
    let platform = settings.platform_of(&point).map(str::to_owned);
    Point { platform, ..point }
}

fn look(
    settings: &Settings,
    catalog: &Catalog,
    lease: &Lease,
    (repository, messages): (&str, &[Value]),
) -> Result<Value> {
    let now = catalog.now();
    if let Some(raw) = messages
        .iter()
        .rev()
        .find_map(|it| Raw::deserialize(it).ok())
    {
        catalog.change_repository(repository, |facts| {
            facts.size = Some(RepositorySize {
                at: now,
                bytes: raw.repository_size,
                bytes_unpacked: raw.total.raw_size,
                bytes_restored: raw.total.restore_size,
                blobs: raw.total.blobs,
                snapshots: raw.total.snapshots,
            });
        })?;
        return Ok(serde_json::json!({ "bytes": raw.repository_size }));
    }
    let found = each(messages).filter_map(|value| LookOutcome::deserialize(value).ok());
    let before = catalog.points_of(repository)?;
    let told = before.iter().filter(|point| point.tells_how());
    let told: BTreeSet<&str> = told.map(|point| point.key.snapshot.as_str()).collect();
    let mut points = Vec::new();
    for it in found {
        let original = it.original.clone();
        let Some(mut point) = listed(repository, it) else {
            continue;
        };
        let original = original.filter(|_| !told.contains(point.key.snapshot.as_str()));
        if let Some(first) = original.map(|id| catalog.point(&id)).transpose()?.flatten() {
            made_as(&mut point, first);
        }
        points.push(placed(settings, point));
    }
    catalog.set_points_of(lease, repository, &points)?;
    Ok(serde_json::json!({ "points": points.len() }))
}

/// A copy was made as its original.
fn made_as(point: &mut Point, first: Point) {
    point.is_full = first.is_full;
    point.bytes_read = first.bytes_read;
    point.consistency = first.consistency;
    if first.seconds > 0.0 {
        point.seconds = first.seconds;
    }
}

/// Seconds from the beginning to the end of a backup, if its record tells them.
fn lasted(summary: &LookSummary) -> Option<f64> {
    let spent = summary.backup_end?.duration_since(summary.backup_start?);
    Some(spent.as_secs_f64()).filter(|seconds| *seconds > 0.0)
}

/// A point as its snapshot's record tells it; how it was made does not stand there.
fn listed(repository: &str, found: LookOutcome) -> Option<Point> {
    let pinned_until = lifeboat_policy::pinned_until(&found.tags).and_then(end_of);
    let mut jobs = found.tags.iter().filter_map(|tag| tag.strip_prefix("job="));
    let seconds = found.summary.as_ref().and_then(lasted);
    let (bytes, bytes_stored) = found.summary.map_or((0, 0), |summary| {
        (summary.total_bytes_processed, summary.data_added_packed)
    });
    Some(Point {
        key: PointKey {
            repository: repository.to_owned(),
            snapshot: found.id,
        },
        machine: found.machine?,
        platform: None,
        job: jobs.next().map(str::to_owned),
        at: found.time,
        bytes,
        bytes_read: 0,
        bytes_stored,
        seconds: seconds.unwrap_or_default(),
        consistency: None,
        is_full: false,
        tags: found.tags,
        pinned_until,
        verified: None,
    })
}

/// The end of a day, in UTC.
fn end_of(day: jiff::civil::Date) -> Option<Timestamp> {
    let end = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    end.ok().map(|end| end.timestamp())
}

fn proof(
    task: &Task,
    repository: &str,
    now: Timestamp,
    done: std::result::Result<(), &str>,
) -> Proof {
    let snapshot = words::value(task, "--snapshot").unwrap_or_default();
    let began = task.started.unwrap_or(now);
    Proof {
        point: PointKey {
            repository: repository.to_owned(),
            snapshot: snapshot.to_owned(),
        },
        machine: task.subject.clone(),
        kind: ProofKind::Verify,
        at: now,
        is_ok: done.is_ok(),
        seconds: now.duration_since(began).as_secs_f64(),
        bytes: 0,
        message: done.err().unwrap_or_default().to_owned(),
    }
}
