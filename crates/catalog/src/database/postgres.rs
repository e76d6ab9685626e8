//! PostgreSQL: one catalog for several nodes.

mod encryption;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::Duration;

use bytes::BytesMut;
use lifeboat_model::{ErrorKind, Secret};
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Database, Row, Transaction, Value, Work};
use crate::{Error, Result};

/// How often a transaction is begun anew because others were in the way.
const ATTEMPTS: u32 = 8;
/// The number under which nodes exclude each other.
const LOCK: i64 = 0x6c69_6665;
/// How long a server may be silent before the connection to it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A node that stands still in the middle of a transaction holds the others up for no longer.
const LIMITS: &str = "SET idle_in_transaction_session_timeout = '20s'; \
                      SET lock_timeout = '60s'; SET statement_timeout = '120s'";
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A server, reached again when the connection is lost.
pub(crate) struct Postgres {
    config: Config,
    /// Whom to believe, if the connection is encrypted.
    encryption: Option<MakeRustlsConnect>,
    /// The server and database, without secrets.
    place: String,
    begin: &'static str,
    connection: Option<Connection>,
}

/// What a server keeps for one client ends with the connection.
struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Postgres {
    /// Takes a URL as `psql` does; the password comes beside it.
    pub(crate) fn open(url: &str, password: Option<&Secret>) -> Result<Self> {
        let (url, encryption) = encryption::wanted(url)?;
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
        config.connect_timeout(Duration::from_secs(10));
        config.keepalives_idle(SILENCE_MAX);
        config.tcp_user_timeout(SILENCE_MAX);
        if encryption.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        let place = place(&config);
        let mut database = Self {
            config,
            encryption,
            place,
            begin: BEGIN_WRITE,
            connection: None,
        };
        database.connection = Some(database.connect()?);
        Ok(database)
    }

    /// Another way to the same database, which only reads; it connects when it is used.
    pub(crate) fn reader(&self) -> Self {
        Self {
            config: self.config.clone(),
            encryption: self.encryption.clone(),
            place: self.place.clone(),
            begin: BEGIN_READ,
            connection: None,
        }
    }

    fn connect(&self) -> Result<Connection> {
        let failed = |error| failed(&format!("cannot reach the catalog {}", self.place), error);
        let connected = match &self.encryption {
            Some(encryption) => self.config.connect(encryption.clone()),
            None => self.config.connect(NoTls),
        };
        let mut client = connected.map_err(failed)?;
        client.batch_execute(LIMITS).map_err(failed)?;
        let statements = HashMap::new();
        Ok(Connection { client, statements })
    }

    /// A connection with an open transaction. One that died while nobody used it is made anew:
    /// nothing was asked of it yet.
    fn begun(&mut self) -> Result<Connection> {
        if let Some(mut connection) = self.connection.take()
            && connection.client.batch_execute(self.begin).is_ok()
        {
            return Ok(connection);
        }
        let mut connection = self.connect()?;
        let begun = connection.client.batch_execute(self.begin);
        begun.map_err(|error| failed(&format!("cannot use the catalog {}", self.place), error))?;
        Ok(connection)
    }

    /// A connection on which something went wrong is kept only if it still answers.
    fn attempt(&mut self, work: &mut dyn FnMut(&mut dyn Transaction) -> Result<()>) -> Result<()> {
        let mut connection = self.begun()?;
        let place = &self.place;
        let done = work(&mut Open {
            connection: &mut connection,
            place,
        });
        let (last, doing) = match &done {
            Ok(()) => ("COMMIT", "it is not known whether something was written to"),
            Err(_) => ("ROLLBACK", "cannot leave"),
        };
        match (connection.client.batch_execute(last), done) {
            (Ok(()), done) => {
                self.connection = Some(connection);
                done
            }
            (Err(error), Ok(())) => Err(failed(&format!("{doing} the catalog {place}"), error)),
            (Err(_), done) => done,
        }
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

struct Open<'a> {
    connection: &'a mut Connection,
    place: &'a str,
}

impl Open<'_> {
    fn failed(&self, doing: &str, error: postgres::Error) -> Error {
        failed(&format!("{doing} the catalog {}", self.place), error)
    }

    fn prepared(&mut self, text: &str) -> std::result::Result<Statement, postgres::Error> {
        if let Some(statement) = self.connection.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.connection.client.prepare(text)?;
        let statements = &mut self.connection.statements;
        statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn references(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

impl Transaction for Open<'_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64> {
        let prepared = self.prepared(statement);
        let done = prepared.and_then(|prepared| {
            let client = &mut self.connection.client;
            client.execute(&prepared, &references(values))
        });
        done.map_err(|error| self.failed("cannot write", error))
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>> {
        let prepared = self.prepared(statement);
        let done = prepared.and_then(|prepared| {
            let client = &mut self.connection.client;
            client.query(&prepared, &references(values))
        });
        let rows = done.map_err(|error| self.failed("cannot read", error))?;
        rows.iter().map(row).collect()
    }

    fn exclude_others(&mut self) -> Result<()> {
        self.execute("SELECT pg_advisory_xact_lock($1)", &[LOCK.into()])
            .map(drop)
    }

    fn quick_check(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn server_time(&mut self) -> Result<Option<i64>> {
        let statement = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT";
        let rows = self.query(statement, &[])?;
        rows.first().map(|row| row.integer(0)).transpose()
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
        Some(code) => kind_of(code),
        None if is_missing_password(&error) => ErrorKind::Denied,
        None => ErrorKind::Unreachable,
    };
    Error::new(kind, doing).with_source(error)
}

/// The server wants a password and there is none: the client notices, not the server.
fn is_missing_password(error: &postgres::Error) -> bool {
    error.to_string().contains("password missing")
        || error
            .source()
            .is_some_and(|source| source.to_string().contains("password missing"))
}

fn kind_of(code: &SqlState) -> ErrorKind {
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => ErrorKind::Busy,
        SqlState::UNIQUE_VIOLATION => ErrorKind::Exists,
        SqlState::DISK_FULL => ErrorKind::Full,
        SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::READ_ONLY_SQL_TRANSACTION => ErrorKind::Denied,
        SqlState::INVALID_CATALOG_NAME => ErrorKind::NotFound,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => ErrorKind::Corrupt,
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::TOO_MANY_CONNECTIONS
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::QUERY_CANCELED
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => ErrorKind::Unreachable,
        _ => ErrorKind::Io,
    }
}
