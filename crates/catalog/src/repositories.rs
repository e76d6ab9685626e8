//! What was last seen of repositories, and how they grew.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::body;
use crate::events::tell;
use crate::{Catalog, Result};

/// What was last seen of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RepositoryFacts {
    /// Its configured name.
    pub name: String,
    /// Its id, 64 digits.
    pub id: Option<String>,
    /// How large it was.
    pub size: Option<RepositorySize>,
    /// When it was last checked.
    pub checked: Option<Timestamp>,
    /// Whether that check found nothing.
    pub is_ok: Option<bool>,
    /// What it found.
    pub findings: Vec<String>,
    /// When it was last pruned.
    pub pruned: Option<Timestamp>,
}

/// How large a repository was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepositorySize {
    /// When.
    pub at: Timestamp,
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes of what the snapshots hold, each blob once, before compression.
    pub bytes_unpacked: u64,
    /// Bytes that a restore of all snapshots would write.
    pub bytes_restored: u64,
    /// Blobs.
    pub blobs: u64,
    /// Snapshots.
    pub snapshots: u64,
}

impl Catalog {
    /// Changes what is known of a repository; a new size joins the history.
    pub fn change_repository(
        &self,
        name: &str,
        mut change: impl FnMut(&mut RepositoryFacts),
    ) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let statement = "SELECT body FROM repositories WHERE name = $1";
            let rows = transaction.query(statement, &[name.into()])?;
            let found: Option<RepositoryFacts> = rows.first().map(|row| row.body(0)).transpose()?;
            let mut facts = found.unwrap_or_default();
            let before = facts.size;
            facts.name = name.to_owned();
            change(&mut facts);
            let statement = "INSERT INTO repositories (name, body) VALUES ($1, $2) \
                             ON CONFLICT (name) DO UPDATE SET body = excluded.body";
            transaction.execute(statement, &[name.into(), body(&facts)?])?;
            if let Some(size) = facts.size.filter(|size| Some(*size) != before) {
                let statement = "INSERT INTO repository_sizes (repository, at, body) \
                                 VALUES ($1, $2, $3) ON CONFLICT (repository, at) DO NOTHING";
                transaction.execute(statement, &[name.into(), size.at.into(), body(&size)?])?;
            }
            tell(transaction, now, "repository", name, "changed")
        })
    }

    /// All repositories that were seen.
    pub fn repositories(&self) -> Result<Vec<RepositoryFacts>> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT body FROM repositories ORDER BY name", &[])?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }

    /// How a repository grew since a moment, oldest first.
    pub fn repository_sizes(&self, name: &str, since: Timestamp) -> Result<Vec<RepositorySize>> {
        self.read(|transaction| {
            let statement = "SELECT body FROM repository_sizes \
                             WHERE repository = $1 AND at >= $2 ORDER BY at";
            let rows = transaction.query(statement, &[name.into(), since.into()])?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }
}
