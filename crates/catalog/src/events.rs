//! What changed, for whoever watches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::next_numbers;
use crate::database::{Transaction, body, insert_rows};
use crate::{Catalog, Result};

/// Older events than the newest so many are dropped.
const KEPT: i64 = 10_000;
/// They are dropped when so many have come.
const PRUNED_EVERY: i64 = 256;

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
    subject: impl ToString,
    state: impl ToString,
) -> Result<()> {
    tell_all(transaction, now, (kind, state), &[subject])
}

/// As [`tell`], for many things to which the same happened.
pub(crate) fn tell_all(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    (kind, state): (&str, impl ToString),
    subjects: &[impl ToString],
) -> Result<()> {
    let first = next_numbers(transaction, "events", subjects.len())?;
    let state = state.to_string();
    let row = |(number, subject): (i64, &_)| {
        let event = Event {
            number,
            kind: kind.to_owned(),
            subject: ToString::to_string(subject),
            state: state.clone(),
        };
        Ok(vec![number.into(), now.into(), body(&event)?])
    };
    let rows: Vec<_> = (first..).zip(subjects).map(row).collect::<Result<_>>()?;
    insert_rows(transaction, "events (number, at, body)", &rows, "")?;
    let last = first + i64::try_from(subjects.len()).unwrap_or(0) - 1;
    if first / PRUNED_EVERY != (last + 1) / PRUNED_EVERY {
        let statement = "DELETE FROM events WHERE number <= $1";
        transaction.execute(statement, &[(last - KEPT).into()])?;
    }
    Ok(())
}
