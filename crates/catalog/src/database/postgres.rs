//! PostgreSQL: one catalog for several nodes.

use std::error::Error as StdError;

use bytes::BytesMut;
use lifeboat_model::{ErrorKind, Secret};
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, IsolationLevel, NoTls};

use super::{Database, Row, Transaction, Value, Work};
use crate::{Error, Result};

/// How often a transaction is begun anew because others were in the way.
const ATTEMPTS: u32 = 8;
/// The number under which nodes exclude each other.
const LOCK: i64 = 0x6c69_6665;

/// A server, reached again when the connection is lost.
pub(crate) struct Postgres {
    config: Config,
    /// The server and database, without secrets.
    place: String,
    client: Option<Client>,
}

impl Postgres {
    /// Takes a URL as `psql` does; the password comes beside it.
    pub(crate) fn open(url: &str, password: Option<&Secret>) -> Result<Self> {
        let parsed = url.parse::<Config>();
        let mut config = parsed.map_err(|error| {
            let text = "the catalog's address is none that PostgreSQL knows: write \
                        postgresql://user@host/database";
            Error::new(ErrorKind::Invalid, text).with_source(error)
        })?;
        if let Some(password) = password {
            config.password(password.expose());
        }
        config.application_name("lifeboat");
        config.connect_timeout(std::time::Duration::from_secs(10));
        let place = place(&config);
        let mut database = Self {
            config,
            place,
            client: None,
        };
        database.client()?;
        Ok(database)
    }

    fn client(&mut self) -> Result<&mut Client> {
        if self.client.as_ref().is_some_and(Client::is_closed) {
            self.client = None;
        }
        if self.client.is_none() {
            let failed = |error| self.failed("cannot reach", error);
            self.client = Some(self.config.connect(NoTls).map_err(failed)?);
        }
        let lost = || Error::new(ErrorKind::Unreachable, "the catalog's connection is lost");
        self.client.as_mut().ok_or_else(lost)
    }

    fn failed(&self, doing: &str, error: postgres::Error) -> Error {
        failed(&format!("{doing} the catalog {}", self.place), error)
    }

    /// The connection, after a word with the server: one that died while nobody used it is made
    /// anew, since nothing was asked of it yet.
    fn answering_client(&mut self) -> Result<&mut Client> {
        let is_dead = self.client()?.simple_query("").is_err();
        if is_dead {
            self.client = None;
        }
        self.client()
    }

    fn attempt(&mut self, work: &mut dyn FnMut(&mut dyn Transaction) -> Result<()>) -> Result<()> {
        let place = self.place.clone();
        let client = self.answering_client()?;
        let begun = client
            .build_transaction()
            .isolation_level(IsolationLevel::ReadCommitted)
            .start();
        let failed = |error| failed(&format!("cannot write the catalog {place}"), error);
        let mut transaction = begun.map_err(failed)?;
        work(&mut Open {
            transaction: &mut transaction,
            place: &place,
        })?;
        transaction.commit().map_err(failed)
    }
}

impl Database for Postgres {
    fn transaction(&mut self, work: Work<'_>) -> Result<()> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(work) {
                Err(error) if error.kind() == ErrorKind::Busy => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::Busy, "the catalog is busy")))
    }
}

struct Open<'a, 'c> {
    transaction: &'a mut postgres::Transaction<'c>,
    place: &'a str,
}

impl Open<'_, '_> {
    fn failed(&self, doing: &str, error: postgres::Error) -> Error {
        failed(&format!("{doing} the catalog {}", self.place), error)
    }
}

fn references(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

impl Transaction for Open<'_, '_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64> {
        let done = self.transaction.execute(statement, &references(values));
        done.map_err(|error| self.failed("cannot write", error))
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>> {
        let done = self.transaction.query(statement, &references(values));
        let rows = done.map_err(|error| self.failed("cannot read", error))?;
        rows.iter().map(row).collect()
    }

    fn exclude_others(&mut self) -> Result<()> {
        self.execute("SELECT pg_advisory_xact_lock($1)", &[LOCK.into()])
            .map(drop)
    }
}

fn row(row: &postgres::Row) -> Result<Row> {
    let value = |(number, column): (usize, &postgres::Column)| {
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(number)?.map(Value::Integer),
            Type::INT4 => row
                .try_get::<_, Option<i32>>(number)?
                .map(|it| Value::Integer(it.into())),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(number)?.map(Value::Bytes),
            _ => row.try_get::<_, Option<String>>(number)?.map(Value::Text),
        };
        Ok(value.unwrap_or(Value::Null))
    };
    let values = row.columns().iter().enumerate().map(value);
    let values: std::result::Result<_, postgres::Error> = values.collect();
    let unread = |error| Error::corrupt("an answer of the catalog").with_source(error);
    values.map(Row).map_err(unread)
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) if *kind == Type::INT4 => {
                i32::try_from(*number)?.to_sql(kind, out)
            }
            Self::Integer(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn place(config: &Config) -> String {
    let host = config.get_hosts().first().map(|host| match host {
        postgres::config::Host::Tcp(name) => name.clone(),
        postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let database = config.get_dbname().unwrap_or("postgres");
    format!(
        "{database} on {}",
        host.unwrap_or_else(|| "this host".to_owned())
    )
}

fn failed(doing: &str, error: postgres::Error) -> Error {
    let kind = match error.code() {
        Some(code) if is_conflict(code) => ErrorKind::Busy,
        Some(&SqlState::UNIQUE_VIOLATION) => ErrorKind::Exists,
        Some(&SqlState::DISK_FULL) => ErrorKind::Full,
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INSUFFICIENT_PRIVILEGE) => ErrorKind::Denied,
        Some(&SqlState::INVALID_CATALOG_NAME) => ErrorKind::NotFound,
        Some(
            &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW,
        ) => ErrorKind::Unreachable,
        Some(_) => ErrorKind::Io,
        None => ErrorKind::Unreachable,
    };
    Error::new(kind, doing).with_source(error)
}

fn is_conflict(code: &SqlState) -> bool {
    [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
    ]
    .contains(&code)
}
