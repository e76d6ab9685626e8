//! Recovery points as repositories hold them, and proofs that they come back.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalog::next_number;
use crate::database::{Conditions, Row, Transaction, body};
use crate::events::tell;
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
    /// Bytes that were read for it.
    pub bytes_read: u64,
    /// Bytes that it added to the repository, as stored.
    pub bytes_stored: u64,
    /// Seconds that it took.
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
            put(transaction, point)?;
            tell(
                transaction,
                now,
                "point",
                &point.machine,
                &point.key.snapshot,
            )
        })
    }

    /// Makes the points of a repository those of a list, which was read from it.
    pub fn set_points(&self, repository: &str, points: &[Point]) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let statement = "SELECT snapshot FROM points WHERE repository = $1";
            let rows = transaction.query(statement, &[repository.into()])?;
            let kept: std::collections::BTreeSet<&str> = points
                .iter()
                .map(|point| point.key.snapshot.as_str())
                .collect();
            for row in &rows {
                let snapshot = row.text(0)?;
                if !kept.contains(snapshot) {
                    remove(transaction, repository, snapshot)?;
                }
            }
            for point in points {
                put(transaction, point)?;
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
        let conditions = Conditions::new()
            .and("machine =", machine)
            .limited("at DESC, snapshot", count);
        self.bodies(
            &format!("SELECT body FROM points {}", conditions.text),
            &conditions,
        )
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
                write(transaction, &point)?;
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

fn put(transaction: &mut dyn Transaction, point: &Point) -> Result<()> {
    let mut point = point.clone();
    if let Some(before) = known(transaction, &point.key)? {
        point.job = point.job.or(before.job);
        point.platform = point.platform.or(before.platform);
        point.verified = point.verified.max(before.verified);
        // A snapshot never changes: a list of them only knows less of it.
        point.consistency = point.consistency.or(before.consistency);
        point.is_full |= before.is_full;
        point.bytes_read = point.bytes_read.max(before.bytes_read);
        point.seconds = point.seconds.max(before.seconds);
    }
    write(transaction, &point)
}

fn write(transaction: &mut dyn Transaction, point: &Point) -> Result<()> {
    let statement = "INSERT INTO points (repository, snapshot, machine, at, body) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (repository, snapshot) \
                     DO UPDATE SET machine = excluded.machine, at = excluded.at, \
                     body = excluded.body";
    let values = [
        (&point.key.repository).into(),
        (&point.key.snapshot).into(),
        (&point.machine).into(),
        point.at.into(),
        body(point)?,
    ];
    transaction.execute(statement, &values).map(drop)
}

fn remove(transaction: &mut dyn Transaction, repository: &str, snapshot: &str) -> Result<()> {
    let statement = "DELETE FROM points WHERE repository = $1 AND snapshot = $2";
    let values = [repository.into(), snapshot.into()];
    transaction.execute(statement, &values).map(drop)
}
