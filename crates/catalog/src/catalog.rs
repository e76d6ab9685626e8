//! Opening, and what every group of rows shares.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{Clock, ErrorKind, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::{Database, Postgres, Sqlite, Transaction, Value, body, moment};
use crate::schema::bring_up_to_date;
use crate::{Error, Result};

/// Where a catalog is.
#[derive(Clone, Debug)]
pub enum CatalogPlace {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL, by URL; the password beside it.
    Server {
        /// `postgresql://user@host/database`. With `?sslmode=require` (or `verify-full`, which
        /// is the same here) the connection is encrypted, and the server must prove its name by a
        /// certificate that this computer believes, or that `sslrootcert=/path` does.
        url: String,
        /// Its password.
        password: Option<Secret>,
    },
}

/// The catalog; threads share one.
pub struct Catalog {
    writer: Mutex<Box<dyn Database>>,
    reader: Mutex<Box<dyn Database>>,
    clock: Arc<dyn Clock>,
    /// In place of the clock of the database.
    judge: Option<Arc<dyn Clock>>,
    /// By how much the own clock is ahead of that of the database, in microseconds, as it was
    /// last seen.
    ahead: AtomicI64,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalog")
    }
}

impl CatalogPlace {
    /// Reads `sqlite:/path`, a path, or a `postgresql:` URL.
    ///
    /// Errors: `Invalid` for another beginning, and for a password in the URL.
    pub fn parse(text: &str, password: Option<Secret>) -> Result<Self> {
        let is_server = text.starts_with("postgresql://") || text.starts_with("postgres://");
        if is_server {
            let after = text.split_once("://").map_or("", |(_, after)| after);
            let user = after.split_once('@').map_or("", |(user, _)| user);
            if user.contains(':') || after.contains("password=") {
                let text = "the password stands in the catalog's address, where others can read \
                            it: write password_file beside it";
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            let url = text.to_owned();
            return Ok(Self::Server { url, password });
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        match path.starts_with('/') {
            true => Ok(Self::File(path.into())),
            false => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "\"{path}\" is no place of a catalog: write sqlite:/path or \
                         postgresql://user@host/database"
                ),
            )),
        }
    }
}

impl Catalog {
    /// Opens a catalog, makes its tables, and brings older ones up to date.
    ///
    /// Leases begin and end by the clock of the database, which all nodes share; a file has the
    /// clock of its computer.
    ///
    /// Errors: `Unreachable`, `Denied`, `Io` of the place; `Unsupported` for one of a newer
    /// program.
    pub fn open(place: &CatalogPlace, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_by(place, clock, None)
    }

    /// As [`Self::open`], with `judge` in place of the clock of the database: for time that is
    /// played.
    pub fn open_judged(
        place: &CatalogPlace,
        clock: Arc<dyn Clock>,
        judge: Arc<dyn Clock>,
    ) -> Result<Self> {
        Self::open_by(place, clock, Some(judge))
    }

    fn open_by(
        place: &CatalogPlace,
        clock: Arc<dyn Clock>,
        judge: Option<Arc<dyn Clock>>,
    ) -> Result<Self> {
        let (mut writer, reader) = connect(place)?;
        writer.transaction(&mut |transaction| bring_up_to_date(transaction))?;
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            clock,
            judge,
            ahead: AtomicI64::new(0),
        })
    }

    /// Now, as rows are dated: by the clock of the database, as far as it was last seen.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.ahead.load(Relaxed));
        let now = self.clock.now();
        kept(now.checked_sub(ahead).unwrap_or(now))
    }

    /// Now by the clock of the database, and by how much the own one is ahead of it. How long
    /// the question took is not counted against anybody.
    pub(crate) fn judged(
        &self,
        transaction: &mut dyn Transaction,
    ) -> Result<(Timestamp, SignedDuration)> {
        let before = self.clock.now();
        let judged = match &self.judge {
            Some(judge) => Some(kept(judge.now())),
            None => transaction.server_time()?.map(moment).transpose()?,
        };
        let after = self.clock.now();
        let judged = judged.unwrap_or(kept(after));
        let ahead = match (before.duration_since(judged), after.duration_since(judged)) {
            (early, _) if early.is_positive() => early,
            (_, late) if late.is_negative() => late,
            _ => SignedDuration::ZERO,
        };
        let micros = i64::try_from(ahead.as_micros()).unwrap_or_default();
        self.ahead.store(micros, Relaxed);
        Ok((judged, SignedDuration::from_micros(micros)))
    }

    /// Does `work` as one transaction and gives its result.
    pub(crate) fn write<T>(
        &self,
        work: impl FnMut(&mut dyn Transaction) -> Result<T>,
    ) -> Result<T> {
        within(&self.writer, work)
    }

    /// As [`Self::write`], for work that changes nothing: it waits for no writer, and sees what
    /// was written before it began.
    pub(crate) fn read<T>(&self, work: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T> {
        within(&self.reader, work)
    }

    /// A value that is kept under a name, if there is one: state of rules, settings.
    pub fn note<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM notes WHERE name = $1";
            let rows = transaction.query(statement, &[name.into()])?;
            rows.first().map(|row| row.body(0)).transpose()
        })
    }

    /// Keeps a value under a name, in place of the one before.
    pub fn set_note(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let body = body(value)?;
        self.write(|transaction| {
            let statement = "INSERT INTO notes (name, body) VALUES ($1, $2) \
                             ON CONFLICT (name) DO UPDATE SET body = excluded.body";
            transaction.execute(statement, &[name.into(), body.clone()])?;
            Ok(())
        })
    }
}

type Boxed = Box<dyn Database>;

/// What is written comes back as it was: moments have microseconds.
fn kept(moment: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment)
}

fn connect(place: &CatalogPlace) -> Result<(Boxed, Boxed)> {
    Ok(match place {
        CatalogPlace::File(path) => {
            let writer = Sqlite::open(path)?;
            (Box::new(writer), Box::new(Sqlite::reader(path)?))
        }
        CatalogPlace::Server { url, password } => {
            let writer = Postgres::open(url, password.as_ref())?;
            let reader = writer.reader();
            (Box::new(writer), Box::new(reader))
        }
    })
}

fn within<T>(
    database: &Mutex<Boxed>,
    mut work: impl FnMut(&mut dyn Transaction) -> Result<T>,
) -> Result<T> {
    let mut result = None;
    let mut database = database.lock().unwrap_or_else(|p| p.into_inner());
    database.transaction(&mut |transaction| {
        result = Some(work(transaction)?);
        Ok(())
    })?;
    result.ok_or_else(|| Error::new(ErrorKind::Io, "a transaction gave nothing"))
}

/// The next number of a counter, from 1 on; numbers of transactions that fail are not used.
pub(crate) fn next_number(transaction: &mut dyn Transaction, name: &str) -> Result<i64> {
    next_numbers(transaction, name, 1)
}

/// The first of the next `count` numbers of a counter.
pub(crate) fn next_numbers(
    transaction: &mut dyn Transaction,
    name: &str,
    count: usize,
) -> Result<i64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let statement = "INSERT INTO counters (name, value) VALUES ($1, $2) \
                     ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value \
                     RETURNING value";
    let rows = transaction.query(statement, &[Value::from(name), count.into()])?;
    let row = rows.first();
    let last = row.ok_or_else(|| Error::corrupt("a counter gave no number"))?;
    Ok(last.integer(0)? - count + 1)
}

/// The last number that a counter gave; 0 if it gave none.
pub(crate) fn last_number(transaction: &mut dyn Transaction, name: &str) -> Result<i64> {
    let statement = "SELECT value FROM counters WHERE name = $1";
    let rows = transaction.query(statement, &[Value::from(name)])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}
