//! SQLite: the catalog of one node, in a file.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use lifeboat_model::ErrorKind;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior};

use super::{Database, Row, Transaction, Value, Work};
use crate::{Error, Result};

/// How long one waits for another process of the same host.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// What to do with a damaged file.
const REPAIR: &str = "stop lifeboat, put the file away together with those that begin with its \
                      name, and start again: recovery points are read anew from the \
                      repositories; runs, users and the audit log come back from a copy only";

/// A file.
pub(crate) struct Sqlite {
    connection: Connection,
    behavior: TransactionBehavior,
}

impl Sqlite {
    /// Opens the file, and makes it with its folder if it is not there; others cannot read it.
    ///
    /// A commit is durable when it returns.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        make(path).map_err(|error| {
            let text = format!("cannot make the catalog {}", path.display());
            Error::new(ErrorKind::of_io(&error), text).with_source(error)
        })?;
        let failed = |error| {
            failed(
                &format!("cannot open the catalog {}", path.display()),
                error,
            )
        };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_MAX).map_err(failed)?;
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                        PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;";
        connection.execute_batch(settings).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(128);
        let behavior = TransactionBehavior::Immediate;
        Ok(Self {
            connection,
            behavior,
        })
    }

    /// Another way to the same file, which only reads, and so waits for no writer.
    pub(crate) fn reader(path: &Path) -> Result<Self> {
        let mut reader = Self::open(path)?;
        let only = reader.connection.execute_batch("PRAGMA query_only = ON");
        only.map_err(|error| failed("cannot read the catalog", error))?;
        reader.behavior = TransactionBehavior::Deferred;
        Ok(reader)
    }
}

fn make(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    // One that is there is not opened here: closing it would drop the locks that other
    // connections of this process hold, and another process would take their log away.
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

impl Database for Sqlite {
    fn transaction(&mut self, work: Work<'_>) -> Result<()> {
        let begun = self.connection.transaction_with_behavior(self.behavior);
        let transaction = begun.map_err(|error| failed("cannot write the catalog", error))?;
        work(&mut Open(&transaction))?;
        transaction
            .commit()
            .map_err(|error| failed("cannot write the catalog", error))
    }
}

struct Open<'c>(&'c rusqlite::Transaction<'c>);

impl Transaction for Open<'_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64> {
        let run = || {
            let mut prepared = self.0.prepare_cached(&numbered(statement))?;
            prepared.execute(rusqlite::params_from_iter(values))
        };
        let changed = run().map_err(|error| failed("cannot write the catalog", error))?;
        Ok(changed as u64)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>> {
        let run = || {
            let mut prepared = self.0.prepare_cached(&numbered(statement))?;
            let columns = prepared.column_count();
            let mut answer = prepared.query(rusqlite::params_from_iter(values))?;
            let mut rows = Vec::new();
            while let Some(row) = answer.next()? {
                let values = (0..columns).map(|column| Ok(value(row.get_ref(column)?)));
                rows.push(Row(values.collect::<rusqlite::Result<_>>()?));
            }
            Ok(rows)
        };
        run().map_err(|error| failed("cannot read the catalog", error))
    }

    fn exclude_others(&mut self) -> Result<()> {
        // Whoever writes is alone from the begin of a transaction on.
        Ok(())
    }

    fn quick_check(&mut self) -> Result<Vec<String>> {
        let rows = self.query("PRAGMA quick_check(20)", &[])?;
        let found: Result<Vec<String>> = rows.iter().map(|row| Ok(row.text(0)?.into())).collect();
        Ok(found?.into_iter().filter(|line| line != "ok").collect())
    }

    fn server_time(&mut self) -> Result<Option<i64>> {
        Ok(None)
    }
}

/// Parameters by number are `?1` here.
fn numbered(statement: &str) -> String {
    statement.replace('$', "?").replace("BYTEA", "BLOB")
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Integer(number as i64),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn failed(doing: &str, error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Busy,
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        Some(ErrorCode::SystemIoFailure) if is_full(&error) => ErrorKind::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => ErrorKind::Denied,
        Some(ErrorCode::ConstraintViolation) => ErrorKind::Exists,
        _ => ErrorKind::Io,
    };
    let doing = match kind {
        ErrorKind::Corrupt => format!("{doing}: the file is damaged; {REPAIR}"),
        _ => doing.to_owned(),
    };
    Error::new(kind, doing).with_source(error)
}

/// The index of the journal cannot grow.
fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}
