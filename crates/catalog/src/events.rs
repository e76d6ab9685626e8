//! What changed, for whoever watches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::next_number;
use crate::database::{Transaction, body};
use crate::{Catalog, Result};

/// Older events than the newest so many are dropped.
const KEPT: i64 = 10_000;

/// Something changed; whoever wants to know how it is now asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number; greater ones are later.
    #[serde(default)]
    pub number: i64,
    /// What sort of thing: `run`, `task`, `alert`, `machine`, `repository`, `point`.
    pub kind: String,
    /// Which one.
    pub subject: String,
    /// How it is now, in a word.
    pub state: String,
}

impl Catalog {
    /// Events after a number, at most so many, oldest first.
    pub fn events_after(&self, number: i64, count: u32) -> Result<Vec<Event>> {
        self.read(|transaction| {
            let statement = "SELECT number, body FROM events WHERE number > $1 \
                             ORDER BY number LIMIT $2";
            let values = [number.into(), i64::from(count).into()];
            let rows = transaction.query(statement, &values)?;
            let event = |row: &crate::database::Row| {
                let event: Event = row.body(1)?;
                let number = row.integer(0)?;
                Ok(Event { number, ..event })
            };
            rows.iter().map(event).collect()
        })
    }

    /// The number of the newest event; 0 if there was none.
    pub fn newest_event(&self) -> Result<i64> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT MAX(number) FROM events", &[])?;
            let newest = rows.first().map(|row| row.maybe_integer(0)).transpose()?;
            Ok(newest.flatten().unwrap_or(0))
        })
    }
}

/// Writes an event beside the change that it tells.
pub(crate) fn tell(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    kind: &str,
    subject: impl ToString + Copy,
    state: impl ToString + Copy,
) -> Result<()> {
    let number = next_number(transaction, "events")?;
    let event = Event {
        number,
        kind: kind.to_owned(),
        subject: subject.to_string(),
        state: state.to_string(),
    };
    let statement = "INSERT INTO events (number, at, body) VALUES ($1, $2, $3)";
    transaction.execute(statement, &[number.into(), now.into(), body(&event)?])?;
    if number % 256 == 0 {
        let statement = "DELETE FROM events WHERE number <= $1";
        transaction.execute(statement, &[(number - KEPT).into()])?;
    }
    Ok(())
}
