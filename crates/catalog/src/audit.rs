//! Who did what: a log that is only added to, each entry sealed together with the one before.
//!
//! The seal is HMAC-SHA256 over the entry and the seal before it, under a key that does not lie
//! in the database. The newest number and seal are kept beside the log too, under a seal of their
//! own, so that entries that were cut off at the end are missed. An older copy of everything is
//! found only by somebody who kept a newer head elsewhere.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use lifeboat_model::Secret;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::database::{Row, Transaction, Value, body};
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
    /// Entries from this number on were there and are not, or what tells where the log ends is
    /// not.
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

/// Where the log ends: the newest number and its seal, and a seal of both.
#[derive(PartialEq, Serialize, Deserialize)]
struct Head(i64, String, String);

/// Missing entries of one gap that are told.
const FLAWS_MAX: usize = 100;
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
            Self::CutOff(number) => write!(
                f,
                "the log does not end where it did: entries from {number} on were cut off, \
                 or what tells its end was changed"
            ),
        }
    }
}

impl Catalog {
    /// Adds an entry; its number and moment are set here.
    pub fn audit(&self, key: &AuditKey, entry: &AuditEntry) -> Result<i64> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let newest = newest(transaction)?;
            let number = next(transaction, key, newest.as_ref())?;
            let entry = AuditEntry {
                number,
                at: now,
                ..entry.clone()
            };
            let text = serde_json::to_string(&entry)
                .map_err(|error| Error::corrupt("an entry of the audit log").with_source(error))?;
            let before = newest.map(|(_, seal)| seal).unwrap_or_default();
            let seal = key.seal(&before, &text)?;
            let statement = "INSERT INTO audit (number, body, mac) VALUES ($1, $2, $3)";
            let values = [number.into(), Value::Text(text), seal.as_slice().into()];
            transaction.execute(statement, &values)?;
            set_head(transaction, key, number, &seal)?;
            Ok(number)
        })
    }

    /// Entries with smaller numbers than `before`, newest first, at most so many.
    pub fn audit_entries(&self, before: Option<i64>, count: u32) -> Result<Vec<AuditEntry>> {
        self.read(|transaction| {
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
        // Entries that are added meanwhile are no flaw.
        let (head, counted) =
            self.read(|transaction| Ok((head(transaction)?, counted(transaction)?)))?;
        let is_begun = head.is_some() || counted.is_some();
        let head = head.filter(|head| head.is_sealed(key));
        let mut marks: Vec<(i64, String)> = known.cloned().into_iter().collect();
        marks.extend(head.iter().map(|head| (head.0, head.1.clone())));
        let mut report = AuditReport::default();
        let (mut after, mut number, mut before) = (i64::MIN, 0_i64, Vec::new());
        loop {
            let page = self.audit_page(after)?;
            let Some((last, ..)) = page.last() else {
                break;
            };
            after = *last;
            for (found, text, seal) in page {
                let missing = number.saturating_add(1)..found;
                report
                    .flaws
                    .extend(missing.map(AuditFlaw::Missing).take(FLAWS_MAX));
                let is_marked = |(at, kept): &(i64, String)| *at != found || *kept == digits(&seal);
                let is_right = key.seal(&before, &text)? == seal
                    && is_itself(found, &text)
                    && marks.iter().all(is_marked);
                if !is_right {
                    report.flaws.push(AuditFlaw::Changed(found));
                }
                report.entries += 1;
                if found > 0 {
                    (number, before) = (found, seal);
                }
            }
        }
        let last = marks.iter().map(|(at, _)| *at).chain(counted).max();
        let is_headless = head.is_none() && (is_begun || report.entries > 0);
        if last.is_some_and(|last| last > number) || is_headless {
            report
                .flaws
                .push(AuditFlaw::CutOff(number.saturating_add(1)));
        }
        report.head = (number > 0).then(|| (number, digits(&before)));
        Ok(report)
    }

    fn audit_page(&self, after: i64) -> Result<Vec<(i64, String, Vec<u8>)>> {
        self.read(|transaction| {
            let statement = "SELECT number, body, mac FROM audit WHERE number > $1 \
                             ORDER BY number LIMIT $2";
            let rows = transaction.query(statement, &[after.into(), PAGE.into()])?;
            let one = |row: &Row| {
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

/// Whether an entry stands under its own number, which is one.
fn is_itself(found: i64, text: &str) -> bool {
    let entry: Option<AuditEntry> = serde_json::from_str(text).ok();
    found > 0 && entry.is_some_and(|entry| entry.number == found)
}

/// The number of the next entry. If the log does not end where it should, a number is left out:
/// that gap tells of it for ever.
fn next(
    transaction: &mut dyn Transaction,
    key: &AuditKey,
    newest: Option<&(i64, Vec<u8>)>,
) -> Result<i64> {
    let (head, counted) = (head(transaction)?, counted(transaction)?);
    let is_begun = head.is_some() || counted.is_some();
    let head = head.filter(|head| head.is_sealed(key));
    let last = newest.map_or(0, |(number, _)| *number);
    let is_sound = match (newest, &head) {
        (None, None) => !is_begun,
        (Some((number, seal)), Some(head)) => *number == head.0 && digits(seal) == head.1,
        _ => false,
    };
    if is_sound {
        return Ok(last.saturating_add(1));
    }
    let known = head.map_or(0, |head| head.0);
    Ok(last.max(known).max(counted.unwrap_or(0)).saturating_add(2))
}

fn newest(transaction: &mut dyn Transaction) -> Result<Option<(i64, Vec<u8>)>> {
    let statement = "SELECT number, mac FROM audit ORDER BY number DESC LIMIT 1";
    let rows = transaction.query(statement, &[])?;
    let pair = |row: &Row| Ok((row.integer(0)?, row.bytes(1)?.to_vec()));
    rows.first().map(pair).transpose()
}

/// The newest number as it is counted beside the log.
fn counted(transaction: &mut dyn Transaction) -> Result<Option<i64>> {
    let statement = "SELECT value FROM counters WHERE name = 'audit'";
    let rows = transaction.query(statement, &[])?;
    rows.first().map(|row| row.integer(0)).transpose()
}

/// What is kept beside the log; without a seal if it cannot be read.
fn head(transaction: &mut dyn Transaction) -> Result<Option<Head>> {
    let rows = transaction.query("SELECT body FROM notes WHERE name = 'audit head'", &[])?;
    let none = || Head(0, String::new(), String::new());
    Ok(rows
        .first()
        .map(|row| row.body(0).unwrap_or_else(|_| none())))
}

fn set_head(
    transaction: &mut dyn Transaction,
    key: &AuditKey,
    number: i64,
    seal: &[u8],
) -> Result<()> {
    let statement = "INSERT INTO notes (name, body) VALUES ('audit head', $1) \
                     ON CONFLICT (name) DO UPDATE SET body = excluded.body";
    let head = Head::new(key, number, digits(seal))?;
    transaction.execute(statement, &[body(&head)?])?;
    let statement = "INSERT INTO counters (name, value) VALUES ('audit', $1) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    transaction.execute(statement, &[number.into()]).map(drop)
}

impl Head {
    fn new(key: &AuditKey, number: i64, seal: String) -> Result<Self> {
        let own = key.seal(b"head", &format!("{number} {seal}"))?;
        Ok(Self(number, seal, digits(&own)))
    }

    fn is_sealed(&self, key: &AuditKey) -> bool {
        Self::new(key, self.0, self.1.clone()).is_ok_and(|right| right == *self)
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
