//! Who may ask: users, tokens, sessions. Secrets are here only as digests.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use lifeboat_model::{ErrorKind, ParseError};
use serde::{Deserialize, Serialize};

use crate::database::{Row, body};
use crate::{Catalog, Error, Result};

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but the audit log and secrets.
    Viewer,
    /// And begins and stops runs, and acknowledges alerts.
    Operator,
    /// And brings machines and files back.
    Restore,
    /// And everything else.
    Admin,
    /// Sees everything with the audit log, changes nothing.
    Auditor,
}

/// A local user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password's digest with its settings, as Argon2 writes it.
    pub password_digest: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may come in.
    pub is_enabled: bool,
    /// When the user was made.
    pub created: Timestamp,
}

/// A token of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// What it is called in lists; no secret.
    pub id: String,
    /// What it is for.
    pub title: String,
    /// The secret's SHA-256, in digits.
    pub digest: String,
    /// What it may do.
    pub role: Role,
    /// Only these routes, by their beginnings; all of its role if there are none.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was last used, to the hour.
    pub used: Option<Timestamp>,
}

/// A user who is in, with a browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The cookie's SHA-256, in digits.
    pub digest: String,
    /// Whose.
    pub user: String,
    /// What forms must bring along.
    pub form_key: String,
    /// When it began.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Operator,
        Self::Restore,
        Self::Admin,
        Self::Auditor,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Restore => "restore",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}

impl FromStr for Role {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        let rule = "write viewer, operator, restore, admin or auditor";
        found.ok_or_else(|| ParseError::new("role", text, rule))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Catalog {
    /// All users.
    pub fn users(&self) -> Result<Vec<User>> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT body FROM users ORDER BY name", &[])?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }

    /// One user.
    pub fn user(&self, name: &str) -> Result<Option<User>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM users WHERE name = $1";
            let rows = transaction.query(statement, &[name.into()])?;
            rows.first().map(|row| row.body(0)).transpose()
        })
    }

    /// Makes a user, or changes one; sessions of a changed one end.
    pub fn set_user(&self, user: &User) -> Result<()> {
        self.write(|transaction| {
            let statement = "INSERT INTO users (name, body) VALUES ($1, $2) \
                             ON CONFLICT (name) DO UPDATE SET body = excluded.body";
            transaction.execute(statement, &[(&user.name).into(), body(user)?])?;
            let statement = "DELETE FROM sessions WHERE user_name = $1";
            transaction
                .execute(statement, &[(&user.name).into()])
                .map(drop)
        })
    }

    /// Removes a user with all sessions.
    ///
    /// Errors: `NotFound`.
    pub fn remove_user(&self, name: &str) -> Result<()> {
        self.write(|transaction| {
            let statement = "DELETE FROM sessions WHERE user_name = $1";
            transaction.execute(statement, &[name.into()])?;
            let gone = transaction.execute("DELETE FROM users WHERE name = $1", &[name.into()])?;
            found(gone, "user", name)
        })
    }

    /// All tokens.
    pub fn tokens(&self) -> Result<Vec<Token>> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT body FROM tokens ORDER BY id", &[])?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }

    /// The token with a secret's digest.
    pub fn token_by_digest(&self, digest: &str) -> Result<Option<Token>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM tokens WHERE digest = $1";
            let rows = transaction.query(statement, &[digest.into()])?;
            rows.first().map(|row: &Row| row.body(0)).transpose()
        })
    }

    /// Makes a token, or changes one of the same id.
    pub fn set_token(&self, token: &Token) -> Result<()> {
        self.write(|transaction| {
            let statement = "INSERT INTO tokens (id, digest, body) VALUES ($1, $2, $3) \
                             ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, \
                             body = excluded.body";
            let values = [(&token.id).into(), (&token.digest).into(), body(token)?];
            transaction.execute(statement, &values).map(drop)
        })
    }

    /// Writes down that a token was used just now. One that was removed meanwhile stays removed.
    pub fn touch_token(&self, id: &str) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let statement = "SELECT body FROM tokens WHERE id = $1";
            let rows = transaction.query(statement, &[id.into()])?;
            let Some(row) = rows.first() else {
                return Ok(());
            };
            let used = Some(now);
            let token = Token {
                used,
                ..row.body(0)?
            };
            let statement = "UPDATE tokens SET body = $2 WHERE id = $1";
            let values = [id.into(), body(&token)?];
            transaction.execute(statement, &values).map(drop)
        })
    }

    /// Removes a token.
    ///
    /// Errors: `NotFound`.
    pub fn remove_token(&self, id: &str) -> Result<()> {
        self.write(|transaction| {
            let gone = transaction.execute("DELETE FROM tokens WHERE id = $1", &[id.into()])?;
            found(gone, "token", id)
        })
    }

    /// Begins a session; ended ones are dropped.
    pub fn add_session(&self, session: &Session) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            let statement = "DELETE FROM sessions WHERE expires < $1";
            transaction.execute(statement, &[now.into()])?;
            let statement = "INSERT INTO sessions (digest, user_name, expires, body) \
                             VALUES ($1, $2, $3, $4)";
            let values = [
                (&session.digest).into(),
                (&session.user).into(),
                session.expires.into(),
                body(session)?,
            ];
            transaction.execute(statement, &values).map(drop)
        })
    }

    /// The session of a cookie's digest, if it has not ended, with its user.
    pub fn session(&self, digest: &str) -> Result<Option<(Session, User)>> {
        let now = self.now();
        self.read(|transaction| {
            let statement = "SELECT sessions.body, users.body FROM sessions \
                             JOIN users ON users.name = sessions.user_name \
                             WHERE digest = $1 AND expires > $2";
            let rows = transaction.query(statement, &[digest.into(), now.into()])?;
            let pair = |row: &Row| Ok((row.body(0)?, row.body(1)?));
            let pair: Option<(Session, User)> = rows.first().map(pair).transpose()?;
            Ok(pair.filter(|(_, user)| user.is_enabled))
        })
    }

    /// Ends a session.
    pub fn end_session(&self, digest: &str) -> Result<()> {
        self.write(|transaction| {
            let statement = "DELETE FROM sessions WHERE digest = $1";
            transaction.execute(statement, &[digest.into()]).map(drop)
        })
    }
}

fn found(gone: u64, what: &str, name: &str) -> Result<()> {
    match gone {
        0 => Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no {what} \"{name}\""),
        )),
        _ => Ok(()),
    }
}
