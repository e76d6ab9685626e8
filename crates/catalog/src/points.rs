//! Recovery points as repositories hold them, and proofs that they come back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalog::{last_number, next_number};
use crate::database::{Conditions, Row, Transaction, Value, body, insert_rows, name};
use crate::events::tell;
use crate::lease::{FENCES, Lease};
use crate::{Catalog, Result};

/// A snapshot in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PointKey {
    /// The repository's configured name.
    pub repository: String,
    /// The snapshot's id, 64 digits.
    pub snapshot: String,
}

/// A recovery point of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Where it is.
    pub key: PointKey,
    /// The machine's name.
    pub machine: String,
    /// The platform's configured name, if it is known.
    pub platform: Option<String>,
    /// The job that made it, if it is known.
    pub job: Option<String>,
    /// The instant that it shows.
    pub at: Timestamp,
    /// The sum of the disks, in bytes.
    pub bytes: u64,
    /// Bytes that were read for it; 0 if it is not known.
    pub bytes_read: u64,
    /// Bytes that it added to the repository, as stored.
    pub bytes_stored: u64,
    /// Seconds that it took; 0 if it is not known.
    pub seconds: f64,
    /// What the bytes are worth: `crash`, `filesystem`, `application`.
    pub consistency: Option<String>,
    /// Whether everything was read for it.
    pub is_full: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// It is not removed before this day.
    pub pinned_until: Option<Timestamp>,
    /// When it was last read back as a whole, and whether all was as it should be.
    pub verified: Option<(Timestamp, bool)>,
}

impl Point {
    /// Whether it is known how it was made: what was read, and what the bytes are worth. A list
    /// of snapshots does not say it.
    pub fn tells_how(&self) -> bool {
        self.is_full || self.bytes_read > 0 || self.consistency.is_some()
    }
}

/// Which points are wanted, newest first.
#[derive(Clone, Debug, Default)]
pub struct PointFilter {
    /// Those of one machine.
    pub machine: Option<String>,
    /// Those in one repository.
    pub repository: Option<String>,
    /// Those that come behind this one.
    pub behind: Option<(Timestamp, PointKey)>,
    /// At most so many.
    pub count: u32,
}

/// Machine, repository, number of points, and the moments of the oldest and the newest.
pub type PointCount = (String, String, i64, Timestamp, Timestamp);

/// How something was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofKind {
    /// Every byte was read back and compared with its name.
    Verify,
    /// It was restored.
    Restore,
    /// It was started in isolation and probed.
    Drill,
}

/// One proof, or the failure of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// What was proved.
    pub point: PointKey,
    /// The machine's name.
    pub machine: String,
    /// How.
    pub kind: ProofKind,
    /// When it ended.
    pub at: Timestamp,
    /// Whether it held.
    pub is_ok: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was seen.
    pub message: String,
}

impl Catalog {
    /// Writes a point down, in place of what was known of it. What only the catalog knows of it
    /// (its job, how it was made, when it was verified) stays.
    pub fn add_point(&self, point: &Point) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let before = known(transaction, &point.key)?;
            let newest = last_number(transaction, FENCES)?;
            write(transaction, &[row(&merged(point, before), newest)?])?;
            let snapshot = &point.key.snapshot;
            tell(transaction, now, "point", &point.machine, snapshot)
        })
    }

    /// Makes the points of a repository those of a list, which was read from it just now.
    pub fn set_points(&self, repository: &str, points: &[Point]) -> Result<()> {
        self.replace_points(repository, points, None)
    }

    /// As [`Self::set_points`], of a list that was read under a lease. What was written since that
    /// lease began is newer than the list and stays; a list that is older than the one before
    /// changes nothing.
    pub fn set_points_of(&self, lease: &Lease, repository: &str, points: &[Point]) -> Result<()> {
        self.replace_points(repository, points, Some(lease.fence))
    }

    fn replace_points(&self, repository: &str, points: &[Point], fence: Option<i64>) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let fence = match fence {
                Some(fence) => fence,
                None => last_number(transaction, FENCES)?.saturating_add(1),
            };
            if is_newest(transaction, repository, fence)? {
                replace(transaction, repository, points, fence)?;
            }
            tell(transaction, now, "repository", repository, "listed")
        })
    }

    /// Drops a point that its repository does not hold any more.
    pub fn remove_point(&self, key: &PointKey) -> Result<()> {
        self.write(|transaction| remove(transaction, &key.repository, &key.snapshot))
    }

    /// Points of a machine, or of all, newest first, at most so many.
    pub fn points(&self, machine: Option<&str>, count: u32) -> Result<Vec<Point>> {
        let machine = machine.map(str::to_owned);
        self.points_by(&PointFilter {
            machine,
            count,
            ..PointFilter::default()
        })
    }

    /// Points, newest first.
    pub fn points_by(&self, filter: &PointFilter) -> Result<Vec<Point>> {
        let conditions = Conditions::new()
            .and("machine =", filter.machine.as_deref())
            .and("repository =", filter.repository.as_deref());
        let conditions = match &filter.behind {
            None => conditions,
            Some((at, key)) => conditions.behind(
                ("at", "snapshot, repository"),
                (*at).into(),
                [(&key.snapshot).into(), (&key.repository).into()],
            ),
        };
        let conditions = conditions.limited("at DESC, snapshot, repository", filter.count);
        self.bodies(
            &format!("SELECT body FROM points {}", conditions.text),
            &conditions,
        )
    }

    /// Two points of a repository whose snapshots' ids begin so: more than one is one too many.
    pub fn points_starting(&self, repository: &str, start: &str) -> Result<Vec<Point>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM points WHERE repository = $1 \
                             AND SUBSTR(snapshot, 1, $2) = $3 ORDER BY snapshot LIMIT 2";
            let length = Value::Integer(start.chars().count() as i64);
            let values = [repository.into(), length, start.into()];
            let rows = transaction.query(statement, &values)?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }

    /// The point of a snapshot's whole id.
    pub fn point(&self, snapshot: &str) -> Result<Option<Point>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM points WHERE snapshot = $1";
            let rows = transaction.query(statement, &[snapshot.into()])?;
            rows.first().map(|row| row.body(0)).transpose()
        })
    }

    /// All points of a repository, newest first.
    pub fn points_of(&self, repository: &str) -> Result<Vec<Point>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM points WHERE repository = $1 \
                             ORDER BY at DESC, snapshot";
            let rows = transaction.query(statement, &[repository.into()])?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }

    /// The newest point of each machine in each repository.
    pub fn newest_points(&self) -> Result<Vec<Point>> {
        self.read(|transaction| {
            let statement = "SELECT points.body FROM (SELECT machine, repository, MAX(at) AS at \
                             FROM points GROUP BY machine, repository) AS newest JOIN points \
                             ON points.machine = newest.machine \
                             AND points.repository = newest.repository \
                             AND points.at = newest.at ORDER BY points.machine, \
                             points.repository, points.snapshot DESC";
            let rows = transaction.query(statement, &[])?;
            let points: Result<Vec<Point>> = rows.iter().map(|row| row.body(0)).collect();
            let mut points = points?;
            // Of the same moment.
            points.dedup_by(|next, point| {
                next.machine == point.machine && next.key.repository == point.key.repository
            });
            Ok(points)
        })
    }

    /// Machine, repository, number of points, and the moments of the oldest and the newest.
    pub fn point_counts(&self) -> Result<Vec<PointCount>> {
        self.read(|transaction| {
            let statement = "SELECT machine, repository, COUNT(*), MIN(at), MAX(at) FROM points \
                             GROUP BY machine, repository ORDER BY machine, repository";
            let rows = transaction.query(statement, &[])?;
            let one = |row: &Row| {
                let (machine, repository) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
                Ok((
                    machine,
                    repository,
                    row.integer(2)?,
                    row.moment(3)?,
                    row.moment(4)?,
                ))
            };
            rows.iter().map(one).collect()
        })
    }

    /// Writes a proof down, also on its point.
    pub fn add_proof(&self, proof: &Proof) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let id = next_number(transaction, "proofs")?;
            let statement = "INSERT INTO proofs (id, machine, repository, at, body) \
                             VALUES ($1, $2, $3, $4, $5)";
            let values = [
                id.into(),
                (&proof.machine).into(),
                (&proof.point.repository).into(),
                proof.at.into(),
                body(proof)?,
            ];
            transaction.execute(statement, &values)?;
            if let Some(mut point) = known(transaction, &proof.point)? {
                point.verified = point.verified.max(Some((proof.at, proof.is_ok)));
                write(transaction, &[row(&point, 0)?])?;
            }
            tell(transaction, now, "proof", &proof.machine, proof.is_ok)
        })
    }

    /// Proofs of a machine, or of all, newest first, at most so many.
    pub fn proofs(&self, machine: Option<&str>, count: u32) -> Result<Vec<Proof>> {
        let conditions = Conditions::new()
            .and("machine =", machine)
            .limited("at DESC, id DESC", count);
        self.bodies(
            &format!("SELECT body FROM proofs {}", conditions.text),
            &conditions,
        )
    }

    fn bodies<T: DeserializeOwned>(
        &self,
        statement: &str,
        conditions: &Conditions,
    ) -> Result<Vec<T>> {
        self.read(|transaction| {
            let rows = transaction.query(statement, &conditions.values)?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }
}

fn known(transaction: &mut dyn Transaction, key: &PointKey) -> Result<Option<Point>> {
    let statement = "SELECT body FROM points WHERE repository = $1 AND snapshot = $2";
    let values = [(&key.repository).into(), (&key.snapshot).into()];
    let rows = transaction.query(statement, &values)?;
    rows.first().map(|row| row.body(0)).transpose()
}

/// Whether no later listing of a repository was taken in; this one then is the newest.
fn is_newest(transaction: &mut dyn Transaction, repository: &str, fence: i64) -> Result<bool> {
    let statement = "INSERT INTO listings (repository, fence) VALUES ($1, $2) \
                     ON CONFLICT (repository) DO UPDATE SET fence = excluded.fence \
                     WHERE listings.fence <= excluded.fence";
    let changed = transaction.execute(statement, &[repository.into(), fence.into()])?;
    Ok(changed > 0)
}

/// Writes only what is not there as it is.
fn replace(
    transaction: &mut dyn Transaction,
    repository: &str,
    points: &[Point],
    fence: i64,
) -> Result<()> {
    let statement = "SELECT snapshot, written, body FROM points WHERE repository = $1";
    let found = transaction.query(statement, &[repository.into()])?;
    let mut before = BTreeMap::new();
    for row in &found {
        before.insert(row.text(0)?, row);
    }
    let mut wanted = BTreeMap::new();
    for point in points {
        wanted.insert(name(&point.key.snapshot), point);
    }
    for (snapshot, row) in &before {
        if !wanted.contains_key(*snapshot) && row.integer(1)? < fence {
            remove(transaction, repository, snapshot)?;
        }
    }
    let mut changed = Vec::new();
    for (snapshot, point) in &wanted {
        let there = before.get(snapshot.as_str());
        let known = there.map(|row| row.body::<Point>(2)).transpose()?;
        let fresh = merged(point, known.clone());
        if known.as_ref() != Some(&fresh) {
            changed.push(row(&fresh, fence.saturating_sub(1))?);
        }
    }
    write(transaction, &changed)
}

/// A point with what only the catalog knew of it.
fn merged(point: &Point, before: Option<Point>) -> Point {
    let mut point = point.clone();
    if let Some(before) = before {
        point.job = point.job.or(before.job);
        point.platform = point.platform.or(before.platform);
        point.verified = point.verified.max(before.verified);
        // A snapshot never changes: a list of them only knows less of it.
        point.consistency = point.consistency.or(before.consistency);
        point.is_full |= before.is_full;
        point.bytes_read = point.bytes_read.max(before.bytes_read);
        point.seconds = point.seconds.max(before.seconds);
    }
    point
}

/// A point as its row; `written` is the newest lease that it is newer than.
fn row(point: &Point, written: i64) -> Result<Vec<Value>> {
    Ok(vec![
        (&point.key.repository).into(),
        (&point.key.snapshot).into(),
        (&point.machine).into(),
        point.at.into(),
        body(point)?,
        written.into(),
    ])
}

fn write(transaction: &mut dyn Transaction, rows: &[Vec<Value>]) -> Result<()> {
    let into = "points (repository, snapshot, machine, at, body, written)";
    let after = "ON CONFLICT (repository, snapshot) DO UPDATE SET machine = excluded.machine, \
                 at = excluded.at, body = excluded.body, written = CASE \
                 WHEN points.written > excluded.written THEN points.written \
                 ELSE excluded.written END";
    insert_rows(transaction, into, rows, after)
}

fn remove(transaction: &mut dyn Transaction, repository: &str, snapshot: &str) -> Result<()> {
    let statement = "DELETE FROM points WHERE repository = $1 AND snapshot = $2";
    let values = [repository.into(), snapshot.into()];
    transaction.execute(statement, &values).map(drop)
}
