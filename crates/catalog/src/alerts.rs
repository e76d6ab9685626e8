//! Conditions that hold, held, or were acknowledged.

use jiff::Timestamp;
use lifeboat_model::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::catalog::next_number;
use crate::database::{Row, Transaction, body, moment};
use crate::events::tell;
use crate::{Catalog, Error, Result};

/// How bad a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// To know.
    Info,
    /// To look at soon.
    Warning,
    /// A recovery is at stake.
    Critical,
}

/// Who has seen an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A condition that holds since a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its number; given by the catalog.
    #[serde(default)]
    pub id: i64,
    /// What holds for whom: `rpo local/web01`. Of each there is one at a time.
    pub subject: String,
    /// What sort of condition: `rpo`, `failure`, `check`, `unprotected`.
    pub condition: String,
    /// How bad.
    pub severity: AlertSeverity,
    /// What is to be known, in a sentence.
    pub text: String,
    /// The site, job, machine and repository that it is about, where there is one.
    pub site: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The machine.
    pub machine: Option<String>,
    /// The machine's platform.
    #[serde(default)]
    pub platform: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// Since when it holds.
    pub since: Timestamp,
    /// Since when it does not hold any more.
    pub cleared: Option<Timestamp>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledged>,
}

impl Catalog {
    /// Makes the conditions that hold those of a list: new ones begin now, others end now.
    /// Of several with one subject the first counts.
    /// `id`, `since`, `cleared` and `acknowledged` of the list are not looked at.
    pub fn set_alerts(&self, holding: &[Alert]) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let open = open(transaction)?;
            for alert in open.iter().filter(|it| !holds(holding, &it.subject)) {
                let cleared = Some(now);
                write(
                    transaction,
                    &Alert {
                        cleared,
                        ..alert.clone()
                    },
                )?;
                tell(transaction, now, "alert", alert.id, "cleared")?;
            }
            for (number, new) in holding.iter().enumerate() {
                if holds(&holding[..number], &new.subject) {
                    continue;
                }
                match open.iter().find(|it| it.subject == new.subject) {
                    Some(old) if old.text == new.text && old.severity == new.severity => {}
                    Some(old) => {
                        let (severity, text) = (new.severity, new.text.clone());
                        write(
                            transaction,
                            &Alert {
                                severity,
                                text,
                                ..old.clone()
                            },
                        )?;
                        tell(transaction, now, "alert", old.id, "changed")?;
                    }
                    None => begin(transaction, new, now)?,
                }
            }
            Ok(())
        })
    }

    /// Alerts that hold, worst first.
    pub fn open_alerts(&self) -> Result<Vec<Alert>> {
        let mut alerts = self.read(open)?;
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.since));
        Ok(alerts)
    }

    /// Alerts of a time, newest first, also those that are over, at most so many.
    pub fn alerts_since(&self, since: Timestamp, count: u32) -> Result<Vec<Alert>> {
        self.alerts_before(i64::MAX, since, count)
    }

    /// As [`Self::alerts_since`], those with smaller numbers than `before`.
    pub fn alerts_before(&self, before: i64, since: Timestamp, count: u32) -> Result<Vec<Alert>> {
        self.read(|transaction| {
            let statement = "SELECT id, since, cleared, body FROM alerts \
                             WHERE (since >= $1 OR cleared IS NULL) AND id < $2 \
                             ORDER BY id DESC LIMIT $3";
            let values = [since.into(), before.into(), i64::from(count).into()];
            let rows = transaction.query(statement, &values)?;
            rows.iter().map(alert).collect()
        })
    }

    /// One alert, also one that is over.
    ///
    /// Errors: `NotFound`.
    pub fn alert(&self, id: i64) -> Result<Alert> {
        self.read(|transaction| get(transaction, id))
    }

    /// Writes down that somebody has seen an alert.
    ///
    /// Errors: `NotFound`.
    pub fn acknowledge(&self, id: i64, who: &str) -> Result<()> {
        let now = self.now();
        self.write(|transaction| {
            transaction.exclude_others()?;
            let mut alert = get(transaction, id)?;
            let by = who.to_owned();
            alert
                .acknowledged
                .get_or_insert(Acknowledged { by, at: now });
            write(transaction, &alert)?;
            tell(transaction, now, "alert", id, "acknowledged")
        })
    }
}

fn get(transaction: &mut dyn Transaction, id: i64) -> Result<Alert> {
    let statement = "SELECT id, since, cleared, body FROM alerts WHERE id = $1";
    let rows = transaction.query(statement, &[id.into()])?;
    let missing = || Error::new(ErrorKind::NotFound, format!("there is no alert {id}"));
    alert(rows.first().ok_or_else(missing)?)
}

fn holds(holding: &[Alert], subject: &str) -> bool {
    holding.iter().any(|alert| alert.subject == subject)
}

fn open(transaction: &mut dyn Transaction) -> Result<Vec<Alert>> {
    let statement = "SELECT id, since, cleared, body FROM alerts WHERE cleared IS NULL ORDER BY id";
    let rows = transaction.query(statement, &[])?;
    rows.iter().map(alert).collect()
}

fn begin(transaction: &mut dyn Transaction, new: &Alert, now: Timestamp) -> Result<()> {
    let id = next_number(transaction, "alerts")?;
    let alert = Alert {
        id,
        since: now,
        cleared: None,
        acknowledged: None,
        ..new.clone()
    };
    let statement = "INSERT INTO alerts (id, subject, since, body) VALUES ($1, $2, $3, $4)";
    let values = [
        id.into(),
        (&alert.subject).into(),
        now.into(),
        body(&alert)?,
    ];
    transaction.execute(statement, &values)?;
    tell(transaction, now, "alert", id, "holds")
}

fn write(transaction: &mut dyn Transaction, alert: &Alert) -> Result<()> {
    let statement = "UPDATE alerts SET cleared = $2, body = $3 WHERE id = $1";
    let values = [alert.id.into(), alert.cleared.into(), body(alert)?];
    transaction.execute(statement, &values).map(drop)
}

fn alert(row: &Row) -> Result<Alert> {
    let alert: Alert = row.body(3)?;
    Ok(Alert {
        id: row.integer(0)?,
        since: row.moment(1)?,
        cleared: row.maybe_integer(2)?.map(moment).transpose()?,
        ..alert
    })
}
