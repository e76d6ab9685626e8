//! Which node does what only one may do.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::body;
use crate::lease::after;
use crate::{Catalog, Result};

#[derive(Serialize, Deserialize)]
struct Lead {
    node: String,
    until: Timestamp,
}

impl Catalog {
    /// Whether a node does what a role stands for, for the next `hold`: it did before, or nobody
    /// does.
    pub fn lead(&self, role: &str, node: &str, hold: Duration) -> Result<bool> {
        let name = format!("lead {role}");
        self.write(|transaction| {
            transaction.exclude_others()?;
            let (now, _) = self.judged(transaction)?;
            let statement = "SELECT body FROM notes WHERE name = $1";
            let rows = transaction.query(statement, &[(&name).into()])?;
            let held: Option<Lead> = rows.first().map(|row| row.body(0)).transpose()?;
            if held.is_some_and(|lead| lead.node != node && lead.until > now) {
                return Ok(false);
            }
            let lead = Lead {
                node: node.to_owned(),
                until: after(now, hold),
            };
            let statement = "INSERT INTO notes (name, body) VALUES ($1, $2) \
                             ON CONFLICT (name) DO UPDATE SET body = excluded.body";
            transaction.execute(statement, &[(&name).into(), body(&lead)?])?;
            Ok(true)
        })
    }
}
