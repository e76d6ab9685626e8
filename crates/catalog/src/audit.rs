//! Who did what: a log that is only added to, each entry sealed together with the one before.
//!
//! The seal is HMAC-SHA256 over the entry and the seal before it, under a key that does not lie
//! in the database. The newest number and seal are kept beside the log too, so that entries that
//! were cut off at the end are missed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use lifeboat_model::Secret;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::catalog::next_number;
use crate::database::{Transaction, Value, body};
use crate::{Catalog, Error, Result};

/// The key of the seals.
#[derive(Clone, Debug)]
pub struct AuditKey(Secret);

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number, from 1 on without gaps.
    #[serde(default)]
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who: a user, a token, `schedule`, or whoever ran the command.
    pub who: String,
    /// From where, if it came over the network.
    pub from: Option<String>,
    /// What: `run begin`, `restore`, `user add`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More, in a sentence.
    pub details: String,
    /// Whether it was done; refused ones are written down too.
    pub is_done: bool,
}

/// What is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFlaw {
    /// The entry is not the one that was sealed, or does not follow the one before.
    Changed(i64),
    /// No entry has this number.
    Missing(i64),
    /// Entries from this number on were there and are not.
    CutOff(i64),
}

/// What a look at the whole log gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries that were looked at.
    pub entries: u64,
    /// The newest number and seal, to be kept elsewhere.
    pub head: Option<(i64, String)>,
    /// What is wrong; nothing if all is well.
    pub flaws: Vec<AuditFlaw>,
}

/// Entries that are read at once.
const PAGE: i64 = 1_000;

impl AuditKey {
    /// A key of at least 32 random bytes.
    ///
    /// Errors: `Invalid` for a shorter one.
    pub fn new(secret: Secret) -> Result<Self> {
        match secret.expose().len() {
            32.. => Ok(Self(secret)),
            _ => Err(Error::new(
                lifeboat_model::ErrorKind::Invalid,
                "the key of the audit log is shorter than 32 bytes",
            )),
        }
    }

    fn seal(&self, before: &[u8], text: &str) -> Result<Vec<u8>> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.expose());
        let mut mac = mac.map_err(|_| Error::corrupt("the key of the audit log"))?;
        mac.update(&(before.len() as u64).to_le_bytes());
        mac.update(before);
        mac.update(text.as_bytes());
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl fmt::Display for AuditFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(number) => write!(
                f,
                "entry {number} is not what was written, or does not follow the one before it"
            ),
            Self::Missing(number) => write!(f, "entry {number} is missing"),
            Self::CutOff(number) => write!(f, "entries from {number} on were cut off"),
        }
    }
}

impl Catalog {
    /// Adds an entry; its number and moment are set here.
    pub fn audit(&self, key: &AuditKey, entry: &AuditEntry) -> Result<i64> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let before = newest_seal(transaction)?;
            let number = next_number(transaction, "audit")?;
            let entry = AuditEntry {
                number,
                at: now,
                ..entry.clone()
            };
            let text = body(&entry)?;
            let seal = match &text {
                Value::Text(text) => key.seal(&before, text)?,
                _ => return Err(Error::corrupt("an entry of the audit log")),
            };
            let statement = "INSERT INTO audit (number, body, mac) VALUES ($1, $2, $3)";
            let values = [number.into(), text, seal.as_slice().into()];
            transaction.execute(statement, &values)?;
            set_head(transaction, number, &seal)?;
            Ok(number)
        })
    }

    /// Entries with smaller numbers than `before`, newest first, at most so many.
    pub fn audit_entries(&self, before: Option<i64>, count: u32) -> Result<Vec<AuditEntry>> {
        self.write(|transaction| {
            let statement = "SELECT body FROM audit WHERE number < $1 \
                             ORDER BY number DESC LIMIT $2";
            let values = [before.unwrap_or(i64::MAX).into(), i64::from(count).into()];
            let rows = transaction.query(statement, &values)?;
            rows.iter().map(|row| row.body(0)).collect()
        })
    }

    /// Looks at every entry. `known` is a number and seal that was kept elsewhere.
    pub fn verify_audit(
        &self,
        key: &AuditKey,
        known: Option<&(i64, String)>,
    ) -> Result<AuditReport> {
        let mut report = AuditReport::default();
        let mut before = Vec::new();
        let mut number = 0;
        loop {
            let page = self.audit_page(number)?;
            if page.is_empty() {
                break;
            }
            for (found, text, seal) in page {
                report
                    .flaws
                    .extend((number + 1..found).map(AuditFlaw::Missing).take(100));
                let entry: Option<AuditEntry> = serde_json::from_str(&text).ok();
                let is_itself = entry.is_some_and(|entry| entry.number == found);
                let is_kept = known.is_none_or(|(at, kept)| *at != found || *kept == digits(&seal));
                if key.seal(&before, &text)? != seal || !is_itself || !is_kept {
                    report.flaws.push(AuditFlaw::Changed(found));
                }
                report.entries += 1;
                (number, before) = (found, seal);
            }
        }
        let head = self.write(head)?;
        let kept = known.map(|(at, _)| *at);
        let last = head
            .iter()
            .map(|(at, _)| *at)
            .chain(kept)
            .max()
            .unwrap_or(0);
        if last > number {
            report.flaws.push(AuditFlaw::CutOff(number + 1));
        }
        report.head = (number > 0).then(|| (number, digits(&before)));
        Ok(report)
    }

    fn audit_page(&self, after: i64) -> Result<Vec<(i64, String, Vec<u8>)>> {
        self.write(|transaction| {
            let statement = "SELECT number, body, mac FROM audit WHERE number > $1 \
                             ORDER BY number LIMIT $2";
            let rows = transaction.query(statement, &[after.into(), PAGE.into()])?;
            let one = |row: &crate::database::Row| {
                Ok((
                    row.integer(0)?,
                    row.text(1)?.to_owned(),
                    row.bytes(2)?.to_vec(),
                ))
            };
            rows.iter().map(one).collect()
        })
    }
}

fn newest_seal(transaction: &mut dyn Transaction) -> Result<Vec<u8>> {
    let statement = "SELECT mac FROM audit ORDER BY number DESC LIMIT 1";
    let rows = transaction.query(statement, &[])?;
    let seal = rows.first().map(|row| row.bytes(0)).transpose()?;
    Ok(seal.unwrap_or_default().to_vec())
}

fn head(transaction: &mut dyn Transaction) -> Result<Option<(i64, String)>> {
    let rows = transaction.query("SELECT body FROM notes WHERE name = 'audit head'", &[])?;
    rows.first().map(|row| row.body(0)).transpose()
}

fn set_head(transaction: &mut dyn Transaction, number: i64, seal: &[u8]) -> Result<()> {
    let statement = "INSERT INTO notes (name, body) VALUES ('audit head', $1) \
                     ON CONFLICT (name) DO UPDATE SET body = excluded.body";
    let value = body(&(number, digits(seal)))?;
    transaction.execute(statement, &[value]).map(drop)
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
